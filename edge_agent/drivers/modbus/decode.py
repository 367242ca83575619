"""From the replies' bytes to a row. Pure, and built so that nothing happens for each tag.

`payload` is the data of all replies of a plan, one behind the other. Registers and bits are cut out of it
(drivers/cutting.py); often the payload is the row. Strings are the only values that are decoded one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from edge_agent.drivers.cutting import RowCut
from edge_agent.drivers.texts import text_of
from edge_agent.wire.frame import JsonValue


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
    """What becomes of the payload: the row that is cut out of it, and the strings."""

    payload_bytes: int
    cut: RowCut
    strings: tuple[Place, ...]

    @classmethod
    def of(cls, places: Sequence[Place], reply_bytes: Sequence[int]) -> "RowProgram":
        """places: in schema order, that is registers, then bits, then strings."""
        payload_bytes = sum(reply_bytes)
        words = [(place.start, place.start + place.nbytes) for place in places if _is_words(place)]
        bits = list(chain.from_iterable(place.bits for place in places))
        strings = tuple(place for place in places if place.encoding)
        return cls(payload_bytes, RowCut.of(words, bits, payload_bytes), strings)

    def row(self, payload: bytes) -> bytes:
        """The row of a payload of `payload_bytes`."""
        return self.cut.row(payload)

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


def string(data: bytes, nbytes: int, encoding: str, *, swapped: bool) -> str:
    """A fixed field's text without its padding. Raises UnicodeError.

    data: whole registers; swapped: their bytes stand in reverse.
    """
    if swapped:
        turned = bytearray(len(data))
        turned[::2], turned[1::2] = data[1::2], data[::2]
        data = bytes(turned)
    return text_of(data[:nbytes], encoding)


def _is_words(place: Place) -> bool:
    return place.nbytes > 0 and not place.encoding
