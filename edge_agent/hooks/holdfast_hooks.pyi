"""What a Holdfast hook is given, for editors and type checkers. On the gateway the import does nothing.

`edge-agent hook stubs DIR` writes this file; tell your editor of DIR (`stubPath`, MYPYPATH).
The guide: docs/hooks.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, overload

# Quality of a value, best first. A value that is `bad_…` is None.
Quality = Literal[
    "good", "uncertain", "stale", "bad_config", "bad_device", "bad_comm", "bad_value", "bad_hook"
]
# In engineering units: a number, True or False, a text, or what JSON holds.
Value = Any
# Kept between calls and committed with the values of the call; at most 16 KiB as JSON, keys are texts.
State = dict[str, Any]

def alert(code: str, message: str = "", **data: Value) -> None:
    """Records the event `hook.CODE`. code: small letters, digits, `_`, `.`, `-`. At most 20 in a batch."""

class Column:
    """Values of several tags, computed with element by element, without a loop.

    An element without a value (None) stays without one in whatever is made of it, and an element is never
    better than what it was made of. What has no result (1 / 0) is None and `bad_value`.
    """

    names: tuple[str, ...]
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Value]: ...
    @overload
    def __getitem__(self, place: int | str) -> Value: ...
    @overload
    def __getitem__(self, place: slice) -> Column: ...
    def __add__(self, other: Column | float) -> Column: ...
    def __radd__(self, other: float) -> Column: ...
    def __sub__(self, other: Column | float) -> Column: ...
    def __rsub__(self, other: float) -> Column: ...
    def __mul__(self, other: Column | float) -> Column: ...
    def __rmul__(self, other: float) -> Column: ...
    def __truediv__(self, other: Column | float) -> Column: ...
    def __rtruediv__(self, other: float) -> Column: ...
    def __floordiv__(self, other: Column | float) -> Column: ...
    def __rfloordiv__(self, other: float) -> Column: ...
    def __mod__(self, other: Column | float) -> Column: ...
    def __rmod__(self, other: float) -> Column: ...
    def __pow__(self, other: Column | float) -> Column: ...
    def __rpow__(self, other: float) -> Column: ...
    def __and__(self, other: Column | int) -> Column: ...
    def __rand__(self, other: int) -> Column: ...
    def __or__(self, other: Column | int) -> Column: ...
    def __ror__(self, other: int) -> Column: ...
    def __lt__(self, other: Column | float) -> Column: ...
    def __le__(self, other: Column | float) -> Column: ...
    def __gt__(self, other: Column | float) -> Column: ...
    def __ge__(self, other: Column | float) -> Column: ...
    def __eq__(self, other: object) -> Column: ...  # type: ignore[override]
    def __ne__(self, other: object) -> Column: ...  # type: ignore[override]
    def __neg__(self) -> Column: ...
    def __pos__(self) -> Column: ...
    def __invert__(self) -> Column:
        """`not` of truth values; the bits turned round of whole numbers."""
    def __abs__(self) -> Column: ...
    def __round__(self, digits: int | None = None) -> Column: ...
    def abs(self) -> Column: ...
    def round(self, digits: int | None = None) -> Column: ...
    def clip(self, low: float | None = None, high: float | None = None) -> Column:
        """Values below `low` become `low`, those above `high` become `high`."""
    def bit(self, number: int) -> Column:
        """Bit `number` of whole numbers, 0 the lowest, as True and False."""
    def where(self, condition: Column, otherwise: Column | Value | None = None) -> Column:
        """Its values where the condition is true, else `otherwise`: a value, a column, or None."""
    def fill(self, value: Value) -> Column:
        """`value` where there is none; what was filled in is `uncertain`."""
    def good(self) -> Column:
        """Those of its elements that have a value and are good."""
    def qualities(self) -> list[Quality]: ...
    def count(self) -> int:
        """How many elements have a value and are not False."""
    def sum(self) -> Value: ...
    def mean(self) -> float | None: ...
    def min(self) -> Value | None: ...
    def max(self) -> Value | None: ...
    def any(self) -> bool: ...
    def all(self) -> bool: ...

class _Values:
    """What frames, cycles, links, alerts and ticks have in common. time: UTC, milliseconds."""

    time: int
    def __getitem__(self, name: str) -> Value:
        """The value of an input, None where it is bad or unknown; of an output, what was set."""
    def __setitem__(self, name: str, value: Value) -> None:
        """Sets an output that OUTPUTS declares. Its quality is the worst of what was read for it."""
    def __contains__(self, name: object) -> bool: ...
    def get(self, name: str, default: Value = None) -> Value:
        """Like [], and `default` where there is no such tag or it has no value."""
    def quality(self, name: str) -> Quality:
        """Of an input. Looking at it makes no output worse."""
    def age(self, name: str) -> float | None:
        """Seconds since the value was read; None where none is known."""
    def columns(self, pattern: str = "*") -> Column:
        """Inputs by `zone*` (any text; `?` is one character) or `zone[01..16]` (a range)."""
    def set(
        self, name: str, value: Value, quality: Quality | None = None, of: str | Iterable[str] | None = None
    ) -> None:
        """Sets an output. quality: which it has, whatever was read. of: inputs that it was made of."""
    def set_columns(
        self, pattern: str, values: Column | Sequence[Value] | Value, quality: Quality | None = None
    ) -> None:
        """Sets several outputs: a column (with its elements' quality), a list, or one value for all."""

class Frame(_Values):
    """transform, before_forward: all tags of one group from one cycle.

    A tag that did not change enough to be sent again has the value that it had; `name in frame` says
    whether it is in this frame, `frame.age(name)` how old its value is.
    """

    connection: str
    group: str
    unit_id: int | None
    names: tuple[str, ...]
    def drop(self, pattern: str | None = None) -> None:
        """Leaves tags and outputs out of the frame; without a pattern: all of them."""

class _Happening(_Values):
    """Values are those that INPUTS name, as CONNECTION.TAG. names: of those that are known."""

    @property
    def names(self) -> list[str]: ...

class Cycle(_Happening):
    """on_cycle: a cycle of this group is complete."""

    connection: str
    group: str

class Link(_Happening):
    """on_connect: a connection came up or went down. state: connected, down, stopped."""

    connection: str
    driver: str
    address: str
    state: str

class Alert(_Happening):
    """on_alert: something happened that is worth an event. connection: empty where it is of none."""

    code: str
    message: str
    connection: str
    data: dict[str, Any]

class Tick(_Happening):
    """on_schedule: a time of the schedule has come. scheduled: that time, UTC milliseconds."""

    scheduled: int
