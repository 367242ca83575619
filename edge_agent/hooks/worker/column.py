"""Many values of a frame as one object: arithmetic on a whole group without a loop in the script.

An element without a value (None) stays without one in whatever is computed from it, and an element's
quality is the worst of those that it was made of. So one bad sensor spoils its own element alone.
"""

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, Final, NoReturn, Protocol

from edge_agent.hooks.worker.cells import BAD_VALUE, NULL, QUALITY
from edge_agent.wire.quality import Quality

_UNCERTAIN: Final = int(Quality.UNCERTAIN)
# What arithmetic raises for values that it has no result for.
_NO_RESULT: Final = (ZeroDivisionError, OverflowError, ValueError)
Operation = Callable[[Any, Any], Any]


class Reads(Protocol):
    """Who keeps account of what a script has read."""

    def taint(self, code: int) -> None: ...

    def lack(self) -> None: ...


class Column:
    """names: of the tags that the values are of. Made by `frame.columns`."""

    __slots__ = ("_codes", "_reads", "_values", "names")
    __hash__ = None  # type: ignore[assignment]  # == compares element by element

    def __init__(self, names: tuple[str, ...], values: list[Any], codes: bytes | None, reads: Reads) -> None:
        self.names = names
        self._values = values
        self._codes = codes
        self._reads = reads

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        self._reads.taint(self._worst())
        shown = ", ".join(repr(value) for value in self._values[:8])
        return f"Column([{shown}{', …' if len(self._values) > 8 else ''}])"

    def __bool__(self) -> NoReturn:
        raise TypeError("a column is neither true nor false: ask column.any() or column.all()")

    def __iter__(self) -> Iterator[Any]:
        self._reads.taint(self._worst())
        return iter(self._values)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            codes = None if self._codes is None else self._codes[place]
            return Column(self.names[place], self._values[place], codes, self._reads)
        if isinstance(place, str):
            if place not in self.names:
                raise KeyError(f"the column has no element {place!r}")
            place = self.names.index(place)
        if self._codes is not None:
            self._reads.taint(self._codes[place])
        return self._values[place]

    def _meet(self, other: "Column") -> None:
        """What is made of columns of two frames is known to one account alone: each is told beforehand."""
        if other._reads is not self._reads:
            self._reads.taint(self._worst())
            other._reads.taint(other._worst())

    def _worst(self) -> int:
        return max(self._codes, default=0) if self._codes is not None else 0

    def _map(self, function: Callable[[Any], Any]) -> "Column":
        try:
            if self._codes is None:
                values = [function(value) for value in self._values]
            else:
                values = [None if value is None else function(value) for value in self._values]
            return Column(self.names, values, self._codes, self._reads)
        except (TypeError, *_NO_RESULT):
            return self._one_by_one(lambda value, _: function(value), [0] * len(self), None)

    def _with(self, operation: Operation, other: Any, mirrored: bool = False) -> "Column":
        if isinstance(other, Column):
            return self._with_column(operation, other)
        if other is None or isinstance(other, str | bytes | list | tuple | dict | set):
            raise TypeError(f"a column is computed with numbers and columns, not with {type(other).__name__}")
        if self._codes is not None:
            return self._with_some(operation, other, mirrored)
        others = repeat(other)
        try:
            # C all the way: no step of the interpreter for each value.
            values = list(
                map(operation, others, self._values) if mirrored else map(operation, self._values, others)
            )
        except (TypeError, *_NO_RESULT):
            return self._one_by_one(_mirror(operation) if mirrored else operation, [other] * len(self), None)
        return Column(self.names, values, self._codes, self._reads)

    def _with_some(self, operation: Operation, other: Any, mirrored: bool) -> "Column":
        """Where not every element is good: some may have no value."""
        each = _mirror(operation) if mirrored else operation
        try:
            values = [None if value is None else each(value, other) for value in self._values]
        except (TypeError, *_NO_RESULT):
            return self._one_by_one(each, [other] * len(self), None)
        return Column(self.names, values, self._codes, self._reads)

    def _with_column(self, operation: Operation, other: "Column") -> "Column":
        if len(other) != len(self):
            raise ValueError(f"a column of {len(self)} values and one of {len(other)}")
        self._meet(other)
        codes = _worse(self._codes, other._codes)
        try:
            if codes is None:
                values = list(map(operation, self._values, other._values))
            else:
                values = [
                    None if mine is None or its is None else operation(mine, its)
                    for mine, its in zip(self._values, other._values, strict=True)
                ]
        except (TypeError, *_NO_RESULT):
            return self._one_by_one(operation, other._values, other._codes)
        return Column(self.names, values, codes, self._reads)

    def _one_by_one(self, operation: Operation, others: Sequence[Any], codes: bytes | None) -> "Column":
        """Where an element has no value, or no result, it alone is without one."""
        made = bytearray(_worse(self._codes, codes) or bytes(len(self)))
        values: list[Any] = []
        for place, (mine, its) in enumerate(zip(self._values, others, strict=True)):
            value = None
            if mine is None or its is None:
                made[place] |= NULL
            else:
                try:
                    value = operation(mine, its)
                except _NO_RESULT:
                    made[place] = max(made[place], BAD_VALUE)
            values.append(value)
        return Column(self.names, values, bytes(made), self._reads)

    def __add__(self, other: Any) -> "Column":
        return self._with(operator.add, other)

    def __radd__(self, other: Any) -> "Column":
        return self._with(operator.add, other, True)

    def __sub__(self, other: Any) -> "Column":
        return self._with(operator.sub, other)

    def __rsub__(self, other: Any) -> "Column":
        return self._with(operator.sub, other, True)

    def __mul__(self, other: Any) -> "Column":
        return self._with(operator.mul, other)

    def __rmul__(self, other: Any) -> "Column":
        return self._with(operator.mul, other, True)

    def __truediv__(self, other: Any) -> "Column":
        return self._with(operator.truediv, other)

    def __rtruediv__(self, other: Any) -> "Column":
        return self._with(operator.truediv, other, True)

    def __floordiv__(self, other: Any) -> "Column":
        return self._with(operator.floordiv, other)

    def __rfloordiv__(self, other: Any) -> "Column":
        return self._with(operator.floordiv, other, True)

    def __mod__(self, other: Any) -> "Column":
        return self._with(operator.mod, other)

    def __rmod__(self, other: Any) -> "Column":
        return self._with(operator.mod, other, True)

    def __pow__(self, other: Any) -> "Column":
        return self._with(_power, other)

    def __rpow__(self, other: Any) -> "Column":
        return self._with(_power, other, True)

    def __and__(self, other: Any) -> "Column":
        return self._with(operator.and_, other)

    def __rand__(self, other: Any) -> "Column":
        return self._with(operator.and_, other, True)

    def __or__(self, other: Any) -> "Column":
        return self._with(operator.or_, other)

    def __ror__(self, other: Any) -> "Column":
        return self._with(operator.or_, other, True)

    def __lt__(self, other: Any) -> "Column":
        return self._with(operator.lt, other)

    def __le__(self, other: Any) -> "Column":
        return self._with(operator.le, other)

    def __gt__(self, other: Any) -> "Column":
        return self._with(operator.gt, other)

    def __ge__(self, other: Any) -> "Column":
        return self._with(operator.ge, other)

    def __eq__(self, other: object) -> "Column":  # type: ignore[override]
        return self._with(operator.eq, other)

    def __ne__(self, other: object) -> "Column":  # type: ignore[override]
        return self._with(operator.ne, other)

    def __neg__(self) -> "Column":
        return self._map(operator.neg)

    def __pos__(self) -> "Column":
        return self

    def __invert__(self) -> "Column":
        return self._map(_invert)

    def __abs__(self) -> "Column":
        return self._map(abs)

    def __round__(self, digits: int | None = None) -> "Column":
        return self._map(lambda value: round(value, digits))

    def abs(self) -> "Column":
        return self._map(abs)

    def round(self, digits: int | None = None) -> "Column":
        return self.__round__(digits)

    def clip(self, low: Any = None, high: Any = None) -> "Column":
        """Values below `low` become `low`, those above `high` become `high`."""
        bottom = -math.inf if low is None else low
        top = math.inf if high is None else high
        return self._map(lambda value: bottom if value < bottom else min(value, top))

    def bit(self, number: int) -> "Column":
        """Bit `number` of whole numbers, 0 the lowest, as True and False."""
        return self._map(lambda value: bool(value >> number & 1))

    def where(self, condition: "Column", otherwise: Any = None) -> "Column":
        """Its values where the condition is true, else `otherwise`: a number, a column, or no value."""
        if not isinstance(condition, Column) or len(condition) != len(self):
            raise ValueError("where() takes a column of the same length")
        self._meet(condition)
        codes = bytearray(_worse(self._codes, condition._codes) or bytes(len(self)))
        column = otherwise if isinstance(otherwise, Column) else None
        if column is not None and len(column) != len(self):
            raise ValueError("where() takes a column of the same length")
        if column is not None:
            self._meet(column)
        values: list[Any] = []
        for place, true in enumerate(condition._values):
            value = None
            if true:
                value = self._values[place]
            elif true is not None and column is None:
                value = otherwise
                codes[place] = condition._codes[place] if condition._codes else 0
            elif true is not None and column is not None:
                value = column._values[place]
                mine = condition._codes[place] if condition._codes else 0
                codes[place] = max(mine, column._codes[place] if column._codes else 0)
            if value is None:
                codes[place] |= NULL
            values.append(value)
        return Column(self.names, values, bytes(codes) if any(codes) else None, self._reads)

    def fill(self, value: Any) -> "Column":
        """`value` where there is none; what was filled in is uncertain."""
        if self._codes is None and None not in self._values:
            return self
        old = self._codes or bytes(len(self))
        pairs = list(zip(self._values, old, strict=True))
        values = [value if mine is None else mine for mine, _ in pairs]
        codes = bytes(_UNCERTAIN if mine is None else code for mine, code in pairs)
        return Column(self.names, values, codes, self._reads)

    def good(self) -> "Column":
        """Those of its elements that have a value and are good."""
        if self._codes is None and None not in self._values:
            return self
        old = self._codes or bytes(len(self))
        keep = [place for place, code in enumerate(old) if not code and self._values[place] is not None]
        names = tuple(self.names[place] for place in keep)
        return Column(names, [self._values[place] for place in keep], None, self._reads)

    def _known(self) -> list[Any]:
        self._reads.taint(self._worst())
        if self._codes is None and None not in self._values:
            return self._values
        return [value for value in self._values if value is not None]

    def _some(self) -> list[Any]:
        """Those that are known. Of none of them there is no value, as there is none of a bad input."""
        values = self._known()
        if not values:
            self._reads.lack()
        return values

    def count(self) -> int:
        """How many elements have a value and are not False."""
        return sum(1 for value in self._known() if value is not False)

    def sum(self) -> Any:
        return sum(self._known())

    def mean(self) -> float | None:
        values = self._some()
        return sum(values) / len(values) if values else None

    def min(self) -> Any:
        return min(self._some(), default=None)

    def max(self) -> Any:
        return max(self._some(), default=None)

    def any(self) -> bool:
        return any(self._known())

    def all(self) -> bool:
        return all(self._known())

    def qualities(self) -> list[str]:
        codes = self._codes or bytes(len(self))
        return [Quality(code & QUALITY).label for code in codes]


def _worse(one: bytes | None, other: bytes | None) -> bytes | None:
    if one is None or other is None:
        return one if other is None else other
    return bytes(map(max, one, other))


def _power(base: Any, exponent: Any) -> Any:
    """Bounded, since a whole number may have as many digits as there is time for; a root of less than
    nothing has no value."""
    value = float(base) ** exponent if abs(exponent) > 64 else base**exponent
    if isinstance(value, complex):
        raise ValueError("no real number")
    return value


def _mirror(operation: Operation) -> Operation:
    return lambda mine, its: operation(its, mine)


def _invert(value: Any) -> Any:
    return not value if isinstance(value, bool) else ~value
