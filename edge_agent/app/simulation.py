"""The simulators of the drivers that have one."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Final

from edge_agent.contracts.errors import ConfigError

_SIMULATORS: Final[Mapping[str, str]] = {
    "modbus": "edge_agent.drivers.modbus.simulator.command",
    "opcua": "edge_agent.drivers.opcua.simulator.command",
    "s7": "edge_agent.drivers.s7.simulator.command",
    "xgt": "edge_agent.drivers.xgt.simulator.command",
}


def simulators() -> Sequence[str]:
    """The drivers that have a simulator."""
    return tuple(_SIMULATORS)


def simulator_command(driver: str) -> ModuleType:
    """The module with `add_arguments` and `run` of a driver's simulator. Raises ConfigError."""
    if driver not in _SIMULATORS:
        raise ConfigError(f"there is no simulator for {driver!r}; there are: {', '.join(_SIMULATORS)}")
    return import_module(_SIMULATORS[driver])
