"""From the replies' bytes to a row. Pure, and built so that nothing happens for each tag.

`payload` is the data of all replies of a plan, one behind the other. Registers go into the row as they
came, in as few slices as possible; often the payload is the row. Bits are spread to one byte each by
whole-buffer operations. Strings are the only values that are decoded one by one.
"""

import codecs
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Final

from edge_agent.wire.frame import JsonValue

_BIT_TABLE: Final = bytes.maketrans(b"01", b"\x00\x01")
_Cut = Callable[[bytes], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one tag's value stands in the payload.

    start, nbytes: of a value of whole registers. bits: of a bool or an array of bools, counted from the
    lowest bit of the first byte. encoding: of a string; swapped: its bytes stand in reverse in each register;
    name: the tag's, for whoever is told of a text that cannot be read.
    """

    start: int = 0
    nbytes: int = 0
    bits: tuple[int, ...] = ()
    encoding: str = ""
    swapped: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class RowProgram:
    """What is cut out of the payload, in row order. `None` for `registers`: the payload is the row."""

    payload_bytes: int
    registers: _Cut | None
    bit_regions: _Cut | None
    bits: _Cut | None
    strings: tuple[Place, ...]

    @classmethod
    def of(cls, places: Sequence[Place], reply_bytes: Sequence[int]) -> "RowProgram":
        """places: in schema order, that is registers, then bits, then strings."""
        payload_bytes = sum(reply_bytes)
        words = [(place.start, place.start + place.nbytes) for place in places if _is_words(place)]
        slices = _join(words)
        whole = slices == [(0, payload_bytes)] and not any(place.bits for place in places)
        bits = list(chain.from_iterable(place.bits for place in places))
        regions = _join(sorted({(bit // 8, bit // 8 + 1) for bit in bits}))
        return cls(
            payload_bytes,
            None if whole else _cutter(slices),
            _cutter(regions) if bits else None,
            _cutter(_join(_relocate(bits, regions))) if bits else None,
            tuple(place for place in places if place.encoding),
        )

    def row(self, payload: bytes) -> bytes:
        """The row of a payload of `payload_bytes`."""
        if self.registers is None:
            return payload
        parts = self.registers(payload)
        if self.bits is None or self.bit_regions is None:
            return b"".join(parts)
        return b"".join((*parts, *self.bits(spread(b"".join(self.bit_regions(payload))))))

    def text(self, payload: bytes) -> tuple[tuple[JsonValue, ...], tuple[int, ...]]:
        """The strings in schema order, and the indexes of those that their encoding does not allow."""
        values: list[JsonValue] = []
        bad: list[int] = []
        for index, place in enumerate(self.strings):
            data = payload[place.start : place.start + place.nbytes + place.nbytes % 2]
            try:
                values.append(string(data, place.nbytes, place.encoding, swapped=place.swapped))
            except UnicodeError:
                values.append(None)
                bad.append(index)
        return tuple(values), tuple(bad)


def spread(data: bytes) -> bytes:
    """One byte of 0 or 1 for each bit, the lowest of the first byte first."""
    digits = bin(int.from_bytes(data, "little") | 1 << 8 * len(data))
    return digits[:2:-1].encode().translate(_BIT_TABLE)


def string(data: bytes, nbytes: int, encoding: str, *, swapped: bool) -> str:
    """A fixed field's text without its padding. Raises UnicodeError.

    data: whole registers; swapped: their bytes stand in reverse. The text ends at the first NUL; blanks
    at its end are padding. A character that the end of the field cuts in two is left out.
    """
    if swapped:
        turned = bytearray(len(data))
        turned[::2], turned[1::2] = data[1::2], data[::2]
        data = bytes(turned)
    data = data[:nbytes]
    if len("A".encode(encoding)) == 1:  # behind the NUL may stand anything, valid or not
        data = data.partition(b"\0")[0]
    text = codecs.getincrementaldecoder(encoding)().decode(data)
    return text.partition("\0")[0].rstrip(" ")


def _is_words(place: Place) -> bool:
    return place.nbytes > 0 and not place.encoding


def _join(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in the given order, neighbours joined."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _relocate(bits: Iterable[int], regions: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Each bit's place among the spread bits of the regions."""
    moved: dict[int, int] = {}
    for start, end in regions:
        base = len(moved)
        moved.update({byte: base + byte - start for byte in range(start, end)})
    return [(8 * moved[bit // 8] + bit % 8, 8 * moved[bit // 8] + bit % 8 + 1) for bit in bits]


def _cutter(spans: Sequence[tuple[int, int]]) -> _Cut:
    """Cuts these spans out of bytes, in C however many they are. Picklable, as all of a plan."""
    if not spans:
        return _cut_nothing
    if len(spans) == 1:
        return partial(_cut_once, slice(*spans[0]))
    return itemgetter(*(slice(start, end) for start, end in spans))


def _cut_nothing(_data: bytes) -> Sequence[bytes]:
    return ()


def _cut_once(span: slice, data: bytes) -> Sequence[bytes]:
    return (data[span],)
