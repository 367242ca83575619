"""Which devices exist for whom: asked before a handler runs, for every route about one device."""

from typing import Protocol

from central_sync.services.access.roles import Identity, require_sight


class LabelStore(Protocol):
    async def registry_labels(self, device: str) -> dict[str, str] | None:
        """None: there is no such device."""
        ...


class Sight:
    def __init__(self, store: LabelStore) -> None:
        self._store = store

    async def require(self, identity: Identity, device: str) -> None:
        """Raises NotFound where the device does not exist for `identity`. Whoever is not limited is not
        asked: then it is the handler's business whether there is such a device."""
        if identity.is_limited:
            require_sight(identity, device, await self._store.registry_labels(device))
