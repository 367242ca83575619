"""The XGT driver: LS Electric's PLCs through FEnet, over TCP and UDP, by a client of our own.

settings, address, status → plan (pure) → client and link (I/O) over frames (pure) → harvest (pure) → a row;
split holds what the driver learns about addresses that a PLC refuses; write (pure) is the way back. The
simulator shares no code with any of these.
"""

from typing import Final

from edge_agent.contracts.driver import Capability, Driver, DriverSpec
from edge_agent.drivers.xgt.plan import plan
from edge_agent.drivers.xgt.settings import XgtConnection
from edge_agent.drivers.xgt.write import target


def _driver(settings: XgtConnection) -> Driver:
    from edge_agent.drivers.xgt.client import XgtDriver

    return XgtDriver(settings)


SPEC: Final = DriverSpec(
    name="xgt",
    summary="LS Electric XGT (FEnet) over TCP and UDP",
    settings=XgtConnection,
    capabilities=frozenset({Capability.READ, Capability.WRITE}),
    plan=plan,
    factory=_driver,
    target=target,
)
