"""From the replies' bytes to a row. Pure, and built so that nothing happens for each tag that is raw.

`payload` is the data of all ranges of a plan, in the order of its requests. Raw values and bits are cut out
of it (drivers/cutting.py); often the payload is the row. Only numbers that must be computed, texts and points
in time are looked at one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from edge_agent.drivers.cutting import BitBand, RowCut, Span
from edge_agent.drivers.s7.datatypes import Form, number, text
from edge_agent.wire.frame import JsonValue

# Bytes of a computed number in the row: S5TIME is a uint32 of milliseconds, BCD a uint16.
_COMPUTED_BYTES: Final = {Form.S5TIME: 4, Form.BCD: 2}
_BCD_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where one tag's value stands in the payload: in several spans where it was cut.

    nbytes: of one element. bits: of a BOOL or an array of them, counted from the payload's lowest bit.
    encoding: of a text.
    """

    form: Form
    spans: tuple[Span, ...]
    nbytes: int
    bits: tuple[int, ...] = ()
    encoding: str = ""


@dataclass(frozen=True, slots=True)
class Computed:
    """The elements of a tag whose numbers must be computed."""

    tag: int
    form: Form
    starts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RowProgram:
    """What becomes of a payload of `payload_bytes`. texts: in schema order.

    Bytes and bits of one size stand in a row as the schema has them, mixed. So what is computed and the bits,
    spread to a byte each, are put behind the payload, and all of the row is cut out of that.
    """

    payload_bytes: int
    cut: RowCut
    computed: tuple[Computed, ...]
    bits: BitBand | None
    texts: tuple[Place, ...]

    @classmethod
    def of(cls, places: Sequence[Place], payload_bytes: int) -> "RowProgram":
        """places: in schema order, texts last."""
        computed: list[Computed] = []
        sizes = [_computed_bytes(place) for place in places]
        bit_base = payload_bytes + sum(sizes)
        band, found = BitBand.of(bit for place in places for bit in place.bits)
        spread = iter(found)
        spans: list[Span] = []
        end = payload_bytes
        for tag, (place, size) in enumerate(zip(places, sizes, strict=True)):
            if place.form is Form.RAW:
                spans += place.spans
            elif place.form is Form.BIT:
                spans += [(bit_base + at, bit_base + at + 1) for at in islice(spread, len(place.bits))]
            elif size:
                computed.append(Computed(tag, place.form, _starts(place)))
                spans.append((end, end + size))
                end += size
        texts = tuple(place for place in places if place.form.is_text)
        cut = RowCut.of(spans, (), payload_bytes)
        return cls(payload_bytes, cut, tuple(computed), band if found else None, texts)

    def row(self, payload: bytes) -> tuple[bytes, tuple[int, ...]]:
        """The row, and the tags whose bytes are no number of their type; theirs are zeros."""
        if not self.computed and self.bits is None:
            return self.cut.row(payload), ()
        parts, bad = [payload], []
        for each in self.computed:
            nbytes = _COMPUTED_BYTES[each.form]
            try:
                numbers = [number(each.form, payload[at : at + _BCD_BYTES]) for at in each.starts]
                parts.append(b"".join([value.to_bytes(nbytes) for value in numbers]))
            except ValueError:
                parts.append(bytes(nbytes * len(each.starts)))
                bad.append(each.tag)
        if self.bits is not None:
            parts.append(self.bits.spread(payload))
        return self.cut.row(b"".join(parts)), tuple(bad)

    def text(self, payload: bytes) -> tuple[list[JsonValue], tuple[int, ...]]:
        """The texts in schema order, and the indexes of those whose bytes are none."""
        values: list[JsonValue] = []
        bad: list[int] = []
        for index, place in enumerate(self.texts):
            data = b"".join([payload[start:end] for start, end in place.spans])
            try:
                values.append(text(place.form, data, place.encoding))
            except (ValueError, OverflowError):
                values.append(None)
                bad.append(index)
        return values, tuple(bad)


def _starts(place: Place) -> tuple[int, ...]:
    return tuple(chain.from_iterable(range(*span, _BCD_BYTES) for span in place.spans))


def _computed_bytes(place: Place) -> int:
    return _COMPUTED_BYTES[place.form] * len(_starts(place)) if place.form.is_number else 0
