"""What a script has read and set in one call, shared by all objects that scripts are given.

What is made of values that are not good is not good: an output gets the worst quality of what the call
has read until it is set, and where it might have been set to something else, of all that the call reads
(`Outputs.firm`); unless the script says which quality it has or what it was made of.
"""

from collections.abc import Callable
from typing import Any, Final

from edge_agent.hooks.worker.cells import BAD_VALUE, NULL, QUALITY
from edge_agent.hooks.worker.column import Column
from edge_agent.hooks.worker.outputs import UNSET, Encoded, Outputs
from edge_agent.wire.frame import MAX_DEPTH
from edge_agent.wire.quality import Quality

QUALITY_BY_LABEL: Final = {quality.label: int(quality) for quality in Quality}


# What computing with None raises.
OF_NONE: Final = (TypeError, AttributeError, KeyError)
PLAIN: Final[frozenset[type]] = frozenset({int, float, bool, str, type(None)})
MUTABLE: Final[frozenset[type]] = frozenset({list, dict})


class Account:
    """Base of what a script is given: its outputs, and what it has read so far."""

    __slots__ = ("_codes", "_held", "_lacks", "_outer", "_outputs", "_read", "_said", "_values")

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self._values: list[Any] = [UNSET] * len(outputs.all)
        self._codes: bytearray | None = None
        self._read = 0
        self._outer: int | None = None  # while a line that stands alone is computed: what others have read
        self._held: set[int] = set()  # outputs whose lists or objects the script may still change
        self._lacks = False
        self._said: set[int] = set()  # outputs of which the script says how good they are

    def __repr__(self) -> str:
        """Without the place in memory that Python's own would tell."""
        return f"<{type(self).__name__}>"

    def taint(self, code: int) -> None:
        """The script has seen a value of this quality."""
        if code > self._read:
            self._read = code

    def lack(self) -> None:
        """The script was given no value for another reason than that it read one that there is not."""
        self._lacks = True

    def _code_of(self, name: str) -> int:
        """The quality byte of an input. Raises KeyError."""
        raise NotImplementedError

    def __setitem__(self, name: str, value: Any) -> None:
        place = self._outputs.index.get(name)
        if place is None:
            raise self._undeclared(name)
        if self._said:
            self._said.discard(place)
        if self._read or self._codes is not None:
            self._put(place, value, self._read)
        else:
            self._values[place] = value
        if type(value) not in PLAIN:
            self._hold(place, value)

    def set(self, name: str, value: Any, quality: str | None = None, of: Any = None) -> None:
        """`quality`: which the value has, whatever was read. `of`: the inputs it was made of, by name."""
        place = self._outputs.index.get(name)
        if place is None:
            raise self._undeclared(name)
        if type(value) not in PLAIN:
            self._hold(place, value)
        if quality is None and of is None:
            self._said.discard(place)
        else:
            self._said.add(place)
        if quality is not None:
            self._put(place, value, _code(quality))
        elif of is not None:
            names = [of] if isinstance(of, str) else of
            self._put(place, value, max((self._code_of(each) for each in names), default=0))
        else:
            self._put(place, value, self._read)

    def _hold(self, place: int, value: Any) -> None:
        """The script may still change what it has set."""
        if isinstance(value, Column):
            raise TypeError("a column is no single value: set it with set_columns, or take list(column)")
        self._held.add(place)

    def _put(self, place: int, value: Any, code: int) -> None:
        self._values[place] = value
        if code:
            if self._codes is None:
                self._codes = bytearray(len(self._values))
            self._codes[place] = code
        elif self._codes is not None:
            self._codes[place] = 0

    def set_columns(self, pattern: str, values: Any, quality: str | None = None) -> None:
        """Sets the outputs that the pattern stands for, in their order: a column, a list, or one value for
        all. A column brings the quality of its elements, which is no better than what else was read."""
        outputs = self._outputs
        places = outputs.choose(pattern)
        if not places:
            raise self._undeclared(pattern)
        items, codes = self._items(values, len(places))
        if quality is not None:
            codes = bytes((_code(quality),)) * len(places)
        if len(items) != len(places):
            raise ValueError(
                f"{pattern!r} stands for {len(places)} outputs, and {len(items)} values were given"
            )
        if quality is not None:
            self._said.update(places)
        elif self._said:
            self._said.difference_update(places)
        if not PLAIN.issuperset(map(type, items)):
            self._held.update(places)
        if isinstance(places, range):
            self._values[places.start : places.stop] = items
            self._put_codes(places.start, codes, len(places))
            return
        for number, place in enumerate(places):
            self._put(place, items[number], codes[number] if codes else 0)

    def _items(self, values: Any, count: int) -> tuple[list[Any], bytes | None]:
        if isinstance(values, Column):
            return values._values, self._no_better(values._codes, len(values))
        items = list(values) if isinstance(values, list | tuple) else [values] * count
        return items, self._same(len(items))

    def _same(self, count: int) -> bytes | None:
        return bytes((self._read,)) * count if self._read else None

    def _no_better(self, codes: bytes | None, count: int) -> bytes | None:
        """A column may have been computed with any number that was read, or chosen by it."""
        if not self._read:
            return codes
        return bytes(max(code, self._read) for code in codes or bytes(count))

    def _put_codes(self, first: int, codes: bytes | None, count: int) -> None:
        if codes is None and self._codes is None:
            return
        if self._codes is None:
            self._codes = bytearray(len(self._values))
        self._codes[first : first + count] = codes or bytes(count)

    def _undeclared(self, name: object) -> Exception:
        known = ", ".join(self._outputs.names[:5])
        more = ", …" if len(self._outputs.names) > 5 else ""
        return KeyError(f"{name!r} is not declared in OUTPUTS, which has {known or 'nothing'}{more}")

    def alone(self, name: str, make: Callable[[], Any]) -> None:
        """Sets an output that is made of what `make` reads alone, as nothing else is."""
        before, outer = self._read, self._outer
        self._read, self._outer = 0, outer if outer and outer > before else before
        try:
            value = make()
        except OF_NONE as error:
            if not (self._lacks or self._read & NULL) or not is_of_none(error):
                raise
            value = None
        finally:
            read, self._read, self._outer = self._read, before, outer
        place = self._outputs.index.get(name)
        if place is None:
            raise self._undeclared(name)
        if self._said:
            self._said.discard(place)
        if type(value) not in PLAIN:
            self._hold(place, value)
            value = own(value)
            self._held.discard(place)
        if read or self._codes is not None:
            self._put(place, value, read)
        else:
            self._values[place] = value

    def _of_output(self, place: int) -> Any:
        """What it was set to. What else was read may have decided that: a line that stands alone does not
        where it asks for it, and changes no list of others."""
        if self._codes is not None:
            self.taint(self._codes[place])
        value = self._values[place]
        if self._outer is not None:
            self.taint(self._outer)
            return own(value)
        if type(value) not in PLAIN:
            self._hold(place, value)
        return value

    def end(self) -> None:
        """The call went well. What might have been set to something else is no better than all it read."""
        if not self._read:
            return
        for place, value in enumerate(self._values):
            if value is not UNSET and not self._is_settled(place):
                code = self._codes[place] if self._codes is not None else 0
                self._put(place, value, max(code, self._read))

    def without_value(self) -> bool:
        """Whether the call has read a value that there is not; then every output has none, for the same
        reason, that is not set yet or might have been set again."""
        if not (self._lacks or self._read & NULL):
            return False
        worst = self._read if self._read & NULL else max(self._read, BAD_VALUE)
        for place, value in enumerate(self._values):
            if value is UNSET or not self._is_settled(place):
                code = self._codes[place] if self._codes is not None else 0
                self._put(place, None, max(code, worst))
        return True

    def _is_settled(self, place: int) -> bool:
        return place in self._said or (place in self._outputs.firm and place not in self._held)

    def encoded(self) -> Encoded:
        return self._outputs.encode(self._values, self._codes)


def own_values(values: list[Any]) -> list[Any]:
    """The same of many, of which most are numbers."""
    return values if PLAIN.issuperset(map(type, values)) else list(map(own, values))


def own(value: Any) -> Any:
    """An array or object as somebody's own: what he does to it changes no other."""
    return _copied(value, MAX_DEPTH)


def _copied(value: Any, depth: int) -> Any:
    """What is nested deeper is not kept anyway."""
    if depth:
        if isinstance(value, list | tuple):
            return [_copied(each, depth - 1) for each in value]
        if isinstance(value, dict):
            return {key: _copied(each, depth - 1) for key, each in value.items()}
    return value


def is_of_none(error: Exception) -> bool:
    """Whether somebody computed with None, or looked for it in a dict."""
    if isinstance(error, KeyError):
        return error.args == (None,)
    return "NoneType" in str(error)


def _code(label: str) -> int:
    code = QUALITY_BY_LABEL.get(label) if isinstance(label, str) else None
    if code is None:
        raise ValueError(f"{label!r} is not a quality: {', '.join(QUALITY_BY_LABEL)}")
    return code | NULL if code >= Quality.BAD_CONFIG else code


def label_of(code: int) -> str:
    return Quality(code & QUALITY).label
