"""The S7 driver: Siemens CPUs over ISO on TCP, and what speaks like them.

settings, address and datatypes → plan and blocks (pure) → client and link (I/O) over framing, messages and
szl (pure) → harvest and decode (pure) → a row; trail holds what the driver learns about ranges that a CPU
refuses, write is the way back. The simulator shares no code with any of these.
"""

from typing import Final

from edge_agent.contracts.driver import Capability, DriverSpec
from edge_agent.drivers.s7.client import S7Driver
from edge_agent.drivers.s7.plan import plan
from edge_agent.drivers.s7.settings import S7Connection
from edge_agent.drivers.s7.write import target

SPEC: Final = DriverSpec(
    name="s7",
    summary="Siemens S7-300, 400, 1200 and 1500 over ISO on TCP",
    settings=S7Connection,
    capabilities=frozenset({Capability.READ, Capability.WRITE}),
    plan=plan,
    factory=S7Driver,
    target=target,
)
