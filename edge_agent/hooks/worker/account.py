"""What a script has read and set in one call, shared by all objects that scripts are given.

What is made of values that are not good is not good: an output gets the worst quality of what the call
has read until it is set, unless the script says which quality it has or what it was made of.
"""

import copy
from collections.abc import Callable
from typing import Any, Final

from edge_agent.hooks.worker.cells import NULL, QUALITY
from edge_agent.hooks.worker.column import Column
from edge_agent.hooks.worker.outputs import UNSET, Encoded, Outputs
from edge_agent.wire.quality import Quality

QUALITY_BY_LABEL: Final = {quality.label: int(quality) for quality in Quality}


# What computing with None raises.
OF_NONE: Final = (TypeError, AttributeError, KeyError)
MUTABLE: Final[frozenset[type]] = frozenset({list, dict})


class Account:
    """Base of what a script is given: its outputs, and what it has read so far."""

    __slots__ = ("_codes", "_outputs", "_read", "_values")
    _guarded_writes = True

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self._values: list[Any] = [UNSET] * len(outputs.all)
        self._codes: bytearray | None = None
        self._read = 0

    def taint(self, code: int) -> None:
        """The script has seen a value of this quality."""
        if code > self._read:
            self._read = code

    def _code_of(self, name: str) -> int:
        """The quality byte of an input. Raises KeyError."""
        raise NotImplementedError

    def __setitem__(self, name: str, value: Any) -> None:
        place = self._outputs.index.get(name)
        if place is None:
            raise self._undeclared(name)
        if self._read or self._codes is not None:
            self._put(place, value, self._read)
        else:
            self._values[place] = value

    def set(self, name: str, value: Any, quality: str | None = None, of: Any = None) -> None:
        """`quality`: which the value has, whatever was read. `of`: the inputs it was made of, by name."""
        place = self._outputs.index.get(name)
        if place is None:
            raise self._undeclared(name)
        if quality is not None:
            self._put(place, value, _code(quality))
        elif of is not None:
            names = [of] if isinstance(of, str) else of
            self._put(place, value, max((self._code_of(each) for each in names), default=0))
        else:
            self._put(place, value, self._read)

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
        codes: bytes | None = None
        if isinstance(values, Column):
            items, codes = values._values, self._no_better(values._codes, len(values))
        elif isinstance(values, list | tuple):
            items, codes = list(values), self._same(len(values))
        else:
            items, codes = [values] * len(places), self._same(len(places))
        if quality is not None:
            codes = bytes((_code(quality),)) * len(places)
        if len(items) != len(places):
            raise ValueError(
                f"{pattern!r} stands for {len(places)} outputs, and {len(items)} values were given"
            )
        if isinstance(places, range):
            self._values[places.start : places.stop] = items
            self._put_codes(places.start, codes, len(places))
            return
        for number, place in enumerate(places):
            self._put(place, items[number], codes[number] if codes else 0)

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
        before, self._read = self._read, 0
        try:
            value = make()
        except OF_NONE as error:
            if not self._read & NULL or not is_of_none(error):
                raise
            value = None
        finally:
            own, self._read = self._read, before
        place = self._outputs.index.get(name)
        if place is None:
            raise self._undeclared(name)
        if own or self._codes is not None:
            self._put(place, value, own)
        else:
            self._values[place] = value

    def without_value(self) -> bool:
        """Whether the call has read a value that there is not; then every output not yet set has none, for
        the same reason."""
        if not self._read & NULL:
            return False
        for place, value in enumerate(self._values):
            if value is UNSET:
                self._put(place, None, self._read)
        return True

    def encoded(self) -> Encoded:
        return self._outputs.encode(self._values, self._codes)


def own(value: Any) -> Any:
    """An array or object as the script's own: what it does to it changes no input."""
    return copy.deepcopy(value) if type(value) in MUTABLE else value


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
