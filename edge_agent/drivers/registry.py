"""Which drivers there are. Importing this module imports no driver and no protocol library.

The project's own drivers stand in an explicit table of import paths; others register an entry point in
the group `holdfast.drivers` whose name is the driver's and whose value is a `DriverSpec`. The table wins
over an entry point of the same name.
"""

import difflib
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Final

from edge_agent.contracts.driver import DriverSpec
from edge_agent.contracts.errors import ConfigError

ENTRY_POINT_GROUP: Final = "holdfast.drivers"
TABLE: Final[Mapping[str, str]] = {
    "host": "edge_agent.drivers.host:SPEC",
    "http": "edge_agent.drivers.http:SPEC",
    "modbus": "edge_agent.drivers.modbus:SPEC",
    "mqtt": "edge_agent.drivers.mqtt:SPEC",
    "opcua": "edge_agent.drivers.opcua:SPEC",
    "s7": "edge_agent.drivers.s7:SPEC",
    "xgt": "edge_agent.drivers.xgt:SPEC",
}
# Drivers whose libraries come with the bare distribution; an extra of its name brings any other's.
_BARE: Final = frozenset({"host", "http", "modbus", "s7", "xgt"})


def names() -> tuple[str, ...]:
    """The names that `driver:` may have, sorted."""
    return tuple(sorted({*TABLE, *_foreign()}))


def lookup(name: str) -> DriverSpec:
    """The driver of this name, imported now; what it `requires` is not.

    Raises ConfigError for an unknown name, with the nearest known one, and for a library that is not
    installed, with the command that installs it.
    """
    if path := TABLE.get(name):
        point = EntryPoint(name, path, ENTRY_POINT_GROUP)
    elif found := _foreign().get(name):
        point = found
    else:
        raise ConfigError(f"unknown driver {name!r}; {_suggestion(name)}")
    return _load(point)


def _foreign() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, names(), n=1)
    return f"did you mean {near[0]!r}?" if near else f"known drivers: {', '.join(names())}"


def _load(point: EntryPoint) -> DriverSpec:
    try:
        spec = getattr(import_module(point.module), point.attr)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("edge_agent"):
            raise
        raise _lacking(point.name, error.name) from error
    if not isinstance(spec, DriverSpec):
        raise ConfigError(f"driver {point.name!r}: {point.value} is not a DriverSpec")
    for library in spec.requires:
        if find_spec(library) is None:
            raise _lacking(point.name, library)
    return spec


def _lacking(driver: str, library: str | None) -> ConfigError:
    wanted = "holdfast" if driver in _BARE else f"holdfast[{driver}]"
    return ConfigError(f"driver {driver!r} needs the library {library!r}: pip install '{wanted}'")
