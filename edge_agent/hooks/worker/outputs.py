"""What a script may write: the row of its outputs, and how its values become the bytes of an answer."""

import math
import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from edge_agent.hooks.worker.cells import ABSENT, BAD_VALUE, NULL, QUALITY
from edge_agent.hooks.worker.patterns import choose
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import check_json
from edge_agent.wire.schema import ValueType

# What an output holds that was not set.
UNSET: Final = object()
# Patterns that are kept ready for a hook on a schema.
MOST_PATTERNS: Final = 256
# Up to so many numbers are packed one by one; more, as arrays.
_FEW: Final = 16
MAX_TEXT_CHARACTERS: Final = 65_536
_BIG_ENDIAN: Final = sys.byteorder == "big"


class Site(NamedTuple):
    """Where outputs are set. name: of one, or, of many, a pattern; None: of any of them. once: it is run once
    in each call that goes well, whatever was read."""

    name: str | None
    is_pattern: bool
    once: bool


class Output(NamedTuple):
    """start: its first byte in the row. replaces: the tag of the schema in whose place it stands, or -1."""

    name: str
    type: ValueType
    elements: int
    replaces: int
    start: int


class Block(NamedTuple):
    """Neighbouring single outputs of one type, written together."""

    first: int
    end: int
    start: int
    type: ValueType


class Encoded(NamedTuple):
    """An answer's row and the fields of its result that say how to read it."""

    row: bytes
    fields: dict[str, Any]


class Outputs:
    """The outputs of one hook on one schema, in the order of their row."""

    def __init__(self, described: Sequence[Sequence[Any]], sites: Sequence[Site] = ()) -> None:
        """`sites`: where the script sets them."""
        start = 0
        self.all: list[Output] = []
        for name, type_, count, replaces in described:
            kind = ValueType(type_)
            self.all.append(Output(sys.intern(name), kind, count, replaces, start))
            start += kind.size * count
        self.row_bytes = start
        self.names = tuple(output.name for output in self.all)
        self.index = {output.name: place for place, output in enumerate(self.all)}
        self.fixed = sum(1 for output in self.all if output.type.size)
        self.replaced = [place for place, output in enumerate(self.all) if output.replaces >= 0]
        self._blocks, self._single = _blocks(self.all[: self.fixed])
        self._pack_all = _pack_all(self.all)
        self._chosen: dict[str, Sequence[int]] = {}
        self.firm = self._firm(sites)
        self._everything = ((1 << len(self.all)) - 1).to_bytes((len(self.all) + 7) // 8, "little").hex()

    def _firm(self, sites: Sequence[Site]) -> frozenset[int]:
        """Places of those that are set once and are what they were set to, whatever is read behind it."""
        times = [0] * len(self.all)
        firm: set[int] = set()
        for name, is_pattern, once in sites:
            if name is None:
                found: Sequence[int] = range(len(self.all))
            elif is_pattern:
                found = choose(name, self.names, self.index)
            else:
                found = [self.index[name]] if name in self.index else []
            for place in found:
                times[place] += 1
            if once and name is not None:
                firm.update(found)
        return frozenset(place for place in firm if times[place] == 1)

    def choose(self, pattern: str) -> Sequence[int]:
        """Places of the outputs that a pattern stands for; a range of Python where they are neighbours."""
        chosen = self._chosen.get(pattern)
        if chosen is None:
            chosen = choose(pattern, self.names, self.index)
            if len(self._chosen) >= MOST_PATTERNS:
                self._chosen.clear()
            self._chosen[pattern] = chosen
        return chosen

    def encode(self, values: list[Any], codes: bytearray | None) -> Encoded:
        """`values`: of each output, UNSET where it is left out; they are changed to what is stored.
        `codes`: quality bytes, None: all good."""
        if self._pack_all is not None and codes is None:
            packed = self._pack_all(values)
            if packed is not None:
                return Encoded(packed, {"n": self.row_bytes, "p": self._everything})
        row = bytearray(self.row_bytes)
        absent: list[int] = []
        for block in self._blocks:
            data = None
            if codes is None or max(codes[block.first : block.end]) < ABSENT:
                data = _together(block.type, values[block.first : block.end])
            if data is None:
                data = _partly(block, values, codes, absent)
            if data is not None:
                row[block.start : block.start + len(data)] = data
            else:
                codes = self._each(range(block.first, block.end), values, codes, row, absent)
        codes = self._each(self._single, values, codes, row, absent)
        codes = self._each(range(self.fixed, len(values)), values, codes, row, absent)
        fields: dict[str, Any] = {"n": len(row), "p": self._present(absent)}
        if codes is not None and any(codes):
            fields["q"] = _runs(codes)
        if self.fixed < len(values):
            fields["x"] = values[self.fixed :]
        return Encoded(bytes(row), fields)

    def _present(self, absent: list[int]) -> str:
        if not absent:
            return self._everything
        bits = (1 << len(self.all)) - 1
        for place in absent:
            bits ^= 1 << place
        return bits.to_bytes((len(self.all) + 7) // 8, "little").hex()

    def _each(
        self,
        places: Sequence[int],
        values: list[Any],
        codes: bytearray | None,
        row: bytearray,
        absent: list[int],
    ) -> bytearray | None:
        """Stores outputs one by one: some are not set, have no value, or not one of their type."""
        for place in places:
            value = values[place]
            if value is UNSET or (codes is not None and codes[place] & ABSENT):
                absent.append(place)
                values[place] = None
                if codes is not None:
                    codes[place] = 0
                continue
            code = codes[place] if codes is not None else 0
            if value is not None and not code & NULL:
                if self._store(place, value, row):
                    continue
                code = BAD_VALUE
            elif not code:
                code = BAD_VALUE
            values[place] = None
            codes = bytearray(len(values)) if codes is None else codes
            codes[place] = code | NULL
        return codes

    def _store(self, place: int, value: Any, row: bytearray) -> bool:
        output = self.all[place]
        if not output.type.size:
            return _is_text(output, value)
        if output.elements == 1:
            data = _single(output.type, value)
        elif isinstance(value, list | tuple) and len(value) == output.elements:
            parts = [_single(output.type, part) for part in value]
            data = None if None in parts else b"".join(part for part in parts if part is not None)
        else:
            data = None
        if data is None:
            return False
        row[output.start : output.start + len(data)] = data
        return True


def _pack_all(outputs: Sequence[Output]) -> Callable[[list[Any]], bytes | None] | None:
    """For a few numbers: all of them in one step, None where one is no plain number that its type holds."""
    numbers = all(output.type.size and output.elements == 1 for output in outputs)
    if not numbers or len(outputs) > _FEW or any(output.type is ValueType.BOOL for output in outputs):
        return None
    pack = struct.Struct("<" + "".join(output.type.typecode for output in outputs)).pack

    def packed(values: list[Any]) -> bytes | None:
        try:
            row = pack(*values)
            total = sum(values)
        except (TypeError, OverflowError, struct.error):
            return None
        return row if total - total == 0 else None

    return packed


def _blocks(outputs: Sequence[Output]) -> tuple[list[Block], list[int]]:
    blocks: list[Block] = []
    single: list[int] = []
    for place, output in enumerate(outputs):
        if output.elements != 1:
            single.append(place)
        elif blocks and blocks[-1].end == place and blocks[-1].type is output.type:
            blocks[-1] = blocks[-1]._replace(end=place + 1)
        else:
            blocks.append(Block(place, place + 1, output.start, output.type))
    return blocks, single


def _partly(block: Block, values: list[Any], codes: bytearray | None, absent: list[int]) -> bytes | None:
    """Like `_together`, where some are left out or known to have no value: their bytes are zeros."""
    filled = values[block.first : block.end]
    empty: list[int] = []
    for place, value in enumerate(filled, block.first):
        if value is UNSET or (codes is not None and codes[place] >= ABSENT):
            filled[place - block.first] = 0
            empty.append(place)
    data = _together(block.type, filled) if empty else None
    if data is None:
        return None
    for place in empty:
        if values[place] is UNSET or (codes is not None and codes[place] & ABSENT):
            absent.append(place)
            if codes is not None:
                codes[place] = 0
        values[place] = None
    return data


def _together(type_: ValueType, values: list[Any]) -> bytes | None:
    """The values' bytes where all are plain numbers that the type holds, else None."""
    try:
        if type_ is ValueType.BOOL:
            truths = bytes(values)
            return truths if max(truths) <= 1 else None
        numbers = _numbers(type_, values)
    except (TypeError, OverflowError, ValueError):
        return None
    if type_.is_float:
        total = sum(numbers)
        if total - total != 0.0:
            return None
    if _BIG_ENDIAN:
        numbers.byteswap()
    return numbers.tobytes()


def _numbers(type_: ValueType, values: list[Any]) -> "array[Any]":
    """Raises TypeError, OverflowError or ValueError where the type does not hold one of them."""
    try:
        return array(type_.typecode, values)
    except TypeError:
        # Whole numbers that a script made with floats. A text is none, whatever `int` makes of it.
        whole = list(map(int, values))
        if whole != values:
            raise
        return array(type_.typecode, whole)


_PACK: Final[dict[ValueType, Callable[..., bytes]]] = {
    type_: struct.Struct("<" + type_.typecode).pack for type_ in ValueType if type_.size
}


def _single(type_: ValueType, value: Any) -> bytes | None:
    """A value's bytes; None where the type cannot hold it. A fraction is not cut off without a word."""
    if not isinstance(value, int | float):
        return None
    if type_ is ValueType.BOOL:
        return b"\x01" if value == 1 else b"\x00" if value == 0 else None
    try:
        if type_.is_float:
            data = _PACK[type_](value)
            return data if math.isfinite(value) else None
        whole = int(value)
        return _PACK[type_](whole) if whole == value else None
    except (OverflowError, ValueError, struct.error):
        return None


def _is_text(output: Output, value: Any) -> bool:
    if output.type is ValueType.STRING:
        texts = [value] if output.elements == 1 else value
        if not isinstance(texts, list | tuple) or len(texts) != output.elements:
            return False
        if not all(isinstance(text, str) and len(text) <= MAX_TEXT_CHARACTERS for text in texts):
            return False
    try:
        check_json(value)
    except (WireError, RecursionError):
        return False
    return True


def _runs(codes: bytearray) -> list[list[int]]:
    """Neighbours that are not plainly good: first, count, quality, null."""
    result: list[list[int]] = []
    for place, code in enumerate(codes):
        if not code:
            continue
        last = result[-1] if result else None
        quality, null = code & QUALITY, code >> 7
        if last and last[0] + last[1] == place and last[2] == quality and last[3] == null:
            last[1] += 1
        else:
            result.append([place, 1, quality, null])
    return result
