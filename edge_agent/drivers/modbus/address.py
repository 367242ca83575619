"""Where a value stands in a Modbus station, and the forms in which people write it.

Addresses are zero-based offsets, as they travel in the request: `holding:100`, `input:5`, `coil:0`,
`discrete:3`, and `holding:100.3` for bit 3 of a register (bit 0 is the lowest). The reference numbers of
manuals are accepted too and count from one: `40001` and `400001` mean `holding:0`, `30001` `input:0`,
`10001` `discrete:0`, `00001` `coil:0`.
"""

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

ADDRESS_SPACE: Final = 65_536
REGISTER_BITS: Final = 16
_WRITTEN: Final = re.compile(r"([A-Za-z]+):([0-9]{1,5})(?:\.([0-9]{1,2}))?")
_REFERENCE: Final = re.compile(r"([0134])([0-9]{4,5})(?:\.([0-9]{1,2}))?")
# What the protocol has beside the four tables, and no driver of samples can read as one value.
_OTHER_TABLES: Final = {"file": "file records (function 20)", "fifo": "FIFO queues (function 24)"}
_RANGE: Final = re.compile(r"([0-9]+)\.\.([0-9]+)$")


class Area(StrEnum):
    """The four tables of a station, each with its own address space and read function."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"

    @property
    def function(self) -> int:
        """The function code that reads it (Modbus Application Protocol V1.1b3, 6.1 to 6.4)."""
        return _FUNCTIONS[self]

    @property
    def is_bits(self) -> bool:
        return self in (Area.COIL, Area.DISCRETE)


_FUNCTIONS: Final = {Area.COIL: 1, Area.DISCRETE: 2, Area.HOLDING: 3, Area.INPUT: 4}
_REFERENCE_AREAS: Final = {"0": Area.COIL, "1": Area.DISCRETE, "3": Area.INPUT, "4": Area.HOLDING}


@dataclass(frozen=True, slots=True)
class Address:
    """number: zero-based offset. bit: of the register, 0 to 15. reference: written in a manual's form."""

    area: Area
    number: int
    bit: int | None = None
    reference: bool = False

    @property
    def is_bit(self) -> bool:
        return self.area.is_bits or self.bit is not None

    def __str__(self) -> str:
        return f"{self.area}:{self.number}" + ("" if self.bit is None else f".{self.bit}")


@lru_cache(maxsize=1_024)  # a tag's validation asks four times, and machines of one kind share addresses
def parse(text: str) -> Address:
    """Raises ValueError with what is wrong and how it is written right."""
    if ".." in text:
        raise ValueError(f"{text!r} is a range: the tag's name needs one too, such as zone[01..16]")
    if match := _REFERENCE.fullmatch(text):
        return _checked(text, _REFERENCE_AREAS[match[1]], int(match[2]) - 1, match[3], reference=True)
    table = text.partition(":")[0].lower()
    if table in _OTHER_TABLES:
        raise ValueError(
            f"{text!r}: {_OTHER_TABLES[table]} are not supported; let the PLC copy what is needed into "
            "holding registers, and read holding:NUMBER"
        )
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no address: write holding:100, input:5, coil:0 or discrete:3")
    try:
        area = Area(match[1].lower())
    except ValueError:
        near = difflib.get_close_matches(match[1].lower(), list(Area), n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(Area)}"
        raise ValueError(f"unknown table {match[1]!r}; {hint}") from None
    return _checked(text, area, int(match[2]), match[3], reference=False)


def _checked(text: str, area: Area, number: int, bit: str | None, *, reference: bool) -> Address:
    if not 0 <= number < ADDRESS_SPACE:
        least, most = (1, ADDRESS_SPACE) if reference else (0, ADDRESS_SPACE - 1)
        raise ValueError(f"{text!r}: numbers go from {least} to {most}")
    if bit is None:
        return Address(area, number, None, reference)
    if area.is_bits:
        raise ValueError(f"{text!r}: a {area} is one bit already")
    if int(bit) >= REGISTER_BITS:
        raise ValueError(f"{text!r}: the bits of a register go from 0 to 15")
    return Address(area, number, int(bit), reference)


def expand_address(text: str, index: int, registers_per_value: int) -> str:
    """The address of item `index` (from 0) of a range such as `holding:200..215`.

    The range stands in the last number; each item takes `registers_per_value` of it (bits where the last
    number counts bits). Leading zeros are kept. A text without a range comes back as it is.
    """
    match = _RANGE.search(text)
    if match is None:
        return text
    number = int(match[1]) + index * registers_per_value
    return f"{text[: match.start()]}{number:0{len(match[1])}d}"
