"""Orders to a running simulator: those of all (simulating/control.py), and `{"state": 4}` (stop; 8: run).

Such as `{"add": {"kind": "item", "db": 7, "code": 10}}` → `{"fault": 1, …}`.
"""

from typing import Any

from edge_agent.drivers.s7.simulator.faults import Fault
from edge_agent.drivers.s7.simulator.server import Simulator
from edge_agent.drivers.simulating.control import switch


async def obey(simulator: Simulator, order: Any) -> dict[str, Any]:
    if "state" in order:
        simulator.cpu.state = int(order["state"]) & 0x0F
    return switch(simulator, Fault.of, order)
