"""The host driver: the box itself as one more connection.

settings and sources → plan (pure) → looking and jetson (I/O) → proc, sensors, disk and tegrastats (pure
parsers of texts) → figures by address → values. It reads, and writes nothing.
"""

from typing import TYPE_CHECKING, Final

from edge_agent.contracts.driver import Capability, DriverSpec
from edge_agent.drivers.host.plan import plan
from edge_agent.drivers.host.settings import HostConnection

if TYPE_CHECKING:
    from edge_agent.contracts.driver import Driver


def _driver(settings: HostConnection) -> "Driver":
    from edge_agent.drivers.host.client import HostDriver

    return HostDriver(settings)


SPEC: Final = DriverSpec(
    name="host",
    summary="the box itself: processor, memory, disks, temperatures, network, power, Jetson",
    settings=HostConnection,
    capabilities=frozenset({Capability.READ, Capability.BROWSE}),
    plan=plan,
    factory=_driver,
)
