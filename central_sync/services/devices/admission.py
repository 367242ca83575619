"""Whether a device may send that somebody else vouches for: a broker knows who it is, not whether it is in
service."""

from typing import Protocol

from central_sync.services.devices.registry import RegistryView
from central_sync.services.devices.roll import Roll
from central_sync.services.errors import Forbidden


class Known(Protocol):
    """The registry, as far as it is needed here."""

    async def registry(self, device: str) -> RegistryView | None: ...


class Admission:
    def __init__(self, roll: Roll, known: Known) -> None:
        """roll: who is in it is in service, and leaves it within the commit that ends that."""
        self._roll = roll
        self._known = known

    async def require(self, device: str) -> None:
        """Raises Forbidden for a device that nobody registered or accepted, and for one out of service."""
        if self._roll.get(device) is not None:
            return
        found = await self._known.registry(device)
        if found is None:
            raise Forbidden("unknown_device", f"the device {device} is not registered at this centre")
        if found.decommissioned is not None:
            raise Forbidden("decommissioned", f"the device {device} is out of service")
