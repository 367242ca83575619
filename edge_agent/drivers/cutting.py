"""From the bytes of replies to a row, for protocols that send raw values. Pure; nothing happens for each tag.

Values of whole bytes go into the row as they came, in as few slices as possible. Bits are spread to one
byte each by whole-buffer operations.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Final

_BIT_TABLE: Final = bytes.maketrans(b"01", b"\x00\x01")
Span = tuple[int, int]
_Cut = Callable[[bytes], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class RowCut:
    """What is cut out of a payload, in row order. `None` for `values`: the payload is the row."""

    values: _Cut | None
    bit_regions: _Cut | None
    bits: _Cut | None

    @classmethod
    def of(cls, spans: Iterable[Span], bits: Sequence[int], payload_bytes: int) -> "RowCut":
        """spans: of the values, in row order. bits: of what follows them there, one byte each, counted from
        the lowest bit of the payload's first byte."""
        slices = _join(spans)
        whole = slices == [(0, payload_bytes)] and not bits
        band, places = BitBand.of(bits)
        return cls(
            None if whole else _cutter(slices),
            band.regions if bits else None,
            _cutter(_join((place, place + 1) for place in places)) if bits else None,
        )

    def row(self, payload: bytes) -> bytes:
        if self.values is None:
            return payload
        parts = self.values(payload)
        if self.bits is None or self.bit_regions is None:
            return b"".join(parts)
        return b"".join((*parts, *self.bits(spread(b"".join(self.bit_regions(payload))))))


@dataclass(frozen=True, slots=True)
class BitBand:
    """The bytes of a payload that have bits, for rows where bits stand between other values."""

    regions: _Cut

    @classmethod
    def of(cls, bits: Iterable[int]) -> "tuple[BitBand, list[int]]":
        """And the place of each bit in `spread`. bits: counted from the lowest of the first byte."""
        wanted = list(bits)
        regions = _join(sorted({(bit // 8, bit // 8 + 1) for bit in wanted}))
        return cls(_cutter(regions)), _relocate(wanted, regions)

    def spread(self, payload: bytes) -> bytes:
        """One byte of 0 or 1 for each bit of those bytes."""
        return spread(b"".join(self.regions(payload)))


def spread(data: bytes) -> bytes:
    """One byte of 0 or 1 for each bit, the lowest of the first byte first."""
    digits = bin(int.from_bytes(data, "little") | 1 << 8 * len(data))
    return digits[:2:-1].encode().translate(_BIT_TABLE)


def _join(spans: Iterable[Span]) -> list[Span]:
    """Spans in the given order, neighbours joined."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _relocate(bits: Iterable[int], regions: Sequence[Span]) -> list[int]:
    """Each bit's place among the spread bits of the regions."""
    moved: dict[int, int] = {}
    for start, end in regions:
        base = len(moved)
        moved.update({byte: base + byte - start for byte in range(start, end)})
    return [8 * moved[bit // 8] + bit % 8 for bit in bits]


def _cutter(spans: Sequence[Span]) -> _Cut:
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
