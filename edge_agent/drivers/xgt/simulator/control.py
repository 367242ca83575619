"""Orders to a running simulator: those of all (simulating/control.py), and `{"state": "stop"}`."""

from typing import Any, Final

from edge_agent.drivers.simulating.control import switch
from edge_agent.drivers.xgt.simulator.faults import Fault
from edge_agent.drivers.xgt.simulator.server import Simulator

_STATES: Final = ("run", "stop", "error", "debug")


async def obey(simulator: Simulator, order: Any) -> dict[str, Any]:
    if "state" in order:
        if order["state"] not in _STATES:
            raise ValueError(f"a PLC's state is one of {', '.join(_STATES)}")
        simulator.world.state = order["state"]
    return switch(simulator, Fault.of, order)
