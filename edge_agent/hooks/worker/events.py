"""What points without frames of their own are given: a cycle, a link, an alert, a tick.

All of them show the newest values of the tags that the script's INPUTS name, as `CONNECTION.TAG`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from edge_agent.hooks.worker.account import Account, label_of, own, own_values
from edge_agent.hooks.worker.cells import ABSENT, NULL, Cells, History, Read
from edge_agent.hooks.worker.column import Column
from edge_agent.hooks.worker.layout import Layout
from edge_agent.hooks.worker.outputs import UNSET, Outputs
from edge_agent.hooks.worker.patterns import choose, expand, is_glob, matcher

_UNKNOWN: Final = Read(None, ABSENT | NULL, 0)


class Named:
    """The tags that INPUTS name."""

    def __init__(self, inputs: Sequence[str]) -> None:
        self._names = frozenset(name for each in inputs if not is_glob(each) for name in expand(each))
        self._matchers = [matcher(pattern) for pattern in inputs if is_glob(pattern)]

    def have(self, name: str) -> bool:
        return name in self._names or any(matches(name) for matches in self._matchers)

    def among(self, names: Sequence[str]) -> set[str]:
        """Those of very many that they name."""
        found = set(self._names.intersection(names))
        for matches in self._matchers:
            found.update(filter(matches, names))
        return found


class Latest:
    """The newest values of tags that INPUTS name, by CONNECTION.TAG, laid together from frames."""

    def __init__(self, inputs: Named) -> None:
        self._inputs = inputs
        self._groups: dict[tuple[str, str], tuple[Layout, History]] = {}
        self._named: dict[tuple[str, str], dict[str, tuple[History, int]]] = {}
        self._all_places: dict[str, tuple[History, int]] | None = None

    def push(self, cells: Cells, number: int | None) -> None:
        schema = cells.layout.schema
        group = (schema.connection, schema.group)
        known = self._groups.get(group)
        if known is None or known[0] is not cells.layout:
            known = self._groups[group] = (cells.layout, History())
            self._named[group] = self._name(*known)
            self._all_places = None
        known[1].push(cells, number)

    def _name(self, layout: Layout, history: History) -> dict[str, tuple[History, int]]:
        before = layout.schema.connection + "."
        names = [before + tag for tag in layout.names]
        found = self._inputs.among(names)
        return {name: (history, index) for index, name in enumerate(names) if name in found}

    @property
    def _places(self) -> dict[str, tuple[History, int]]:
        """Of all groups; laid together when somebody looks, since a new worker is told of many at once."""
        if self._all_places is None:
            self._all_places = {}
            for named in self._named.values():
                self._all_places |= named
        return self._all_places

    @property
    def names(self) -> list[str]:
        return list(self._places)

    def find(self, name: str) -> Read | None:
        """None: there has been no value. Raises KeyError where INPUTS do not name it."""
        place = self._places.get(name)
        if place is not None:
            return place[0].find(place[1])
        if self._inputs.have(name):
            return None
        raise KeyError(f"{name!r} is not named in INPUTS")


class Given:
    """Values that came with a call: the same as `Latest`, for one call."""

    def __init__(self, inputs: Named, values: Mapping[str, Any]) -> None:
        self._inputs = inputs
        self._values = values

    @property
    def names(self) -> list[str]:
        return list(self._values)

    def find(self, name: str) -> Read | None:
        found = self._values.get(name)
        if found is not None:
            value, quality, time = found
            return Read(value, quality | (NULL if value is None else 0), time)
        if self._inputs.have(name):
            return None
        raise KeyError(f"{name!r} is not named in INPUTS")


Inputs: TypeAlias = "Latest | Given"


class Happening(Account):
    """Base of the four. `time`: UTC milliseconds."""

    __slots__ = ("_inputs", "time")

    def __init__(self, outputs: Outputs, inputs: Inputs, time: int) -> None:
        super().__init__(outputs)
        self._inputs = inputs
        self.time = time

    @property
    def names(self) -> list[str]:
        return self._inputs.names

    def __getitem__(self, name: str) -> Any:
        place = self._outputs.index.get(name)
        if place is not None and self._values[place] is not UNSET:
            return self._of_output(place)
        value, code, _ = self._inputs.find(name) or _UNKNOWN
        self.taint(code)
        return own(value)

    def get(self, name: str, default: Any = None) -> Any:
        try:
            value = self[name]
        except KeyError:
            return default
        return default if value is None else value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._inputs.names

    def _code_of(self, name: str) -> int:
        return (self._inputs.find(name) or _UNKNOWN).code

    def quality(self, name: str) -> str:
        return label_of(self._code_of(name))

    def age(self, name: str) -> float | None:
        """Seconds since the value was read; None where there is none."""
        read = self._inputs.find(name)
        return None if read is None else (self.time - read.time) / 1_000

    def columns(self, pattern: str = "*") -> Column:
        names = tuple(self._inputs.names)
        chosen = choose(pattern, names, {name: place for place, name in enumerate(names)})
        if not chosen:
            raise KeyError(f"{pattern!r} stands for no value of INPUTS")
        reads = [self._inputs.find(names[place]) or _UNKNOWN for place in chosen]
        codes = bytes(read.code for read in reads)
        values = own_values([read.value for read in reads])
        return Column(tuple(names[place] for place in chosen), values, codes if any(codes) else None, self)


class Cycle(Happening):
    """A group's cycle is complete. connection, group: which."""

    __slots__ = ("connection", "group")

    def __init__(self, outputs: Outputs, inputs: Inputs, cells: Cells) -> None:
        super().__init__(outputs, inputs, cells.time)
        self.connection = cells.layout.schema.connection
        self.group = cells.layout.schema.group


class Link(Happening):
    """A connection has come up or gone down."""

    __slots__ = ("address", "connection", "driver", "state")

    def __init__(self, outputs: Outputs, inputs: Inputs, call: Mapping[str, Any]) -> None:
        super().__init__(outputs, inputs, call["t"])
        self.connection: str = call.get("connection", "")
        self.driver: str = call.get("driver", "")
        self.address: str = call.get("address", "")
        self.state: str = call.get("state", "")


class Alert(Happening):
    """Something that is worth an event has happened."""

    __slots__ = ("_data", "code", "connection", "message")

    def __init__(self, outputs: Outputs, inputs: Inputs, call: Mapping[str, Any]) -> None:
        super().__init__(outputs, inputs, call["t"])
        self.code: str = call.get("code", "")
        self.message: str = call.get("message", "")
        self.connection: str = call.get("connection") or ""
        self._data: dict[str, Any] = call.get("data") or {}

    @property
    def data(self) -> Any:
        return own(self._data)


class Tick(Happening):
    """A time of the schedule has come. scheduled: that time, UTC milliseconds."""

    __slots__ = ("scheduled",)

    def __init__(self, outputs: Outputs, inputs: Inputs, call: Mapping[str, Any]) -> None:
        super().__init__(outputs, inputs, call["t"])
        self.scheduled: int = call.get("scheduled", call["t"])


CALLED: Final[dict[str, Callable[[Outputs, Inputs, Mapping[str, Any]], Happening]]] = {
    "on_connect": Link,
    "on_alert": Alert,
    "on_schedule": Tick,
}
