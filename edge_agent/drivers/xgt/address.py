"""Where a value stands in an XGT PLC, and the forms in which people write it. Pure.

With a size letter, as in FEnet requests: `%MX2764`, `%DB200`, `%DW100`, `%DD50`, `%DL25`; the number counts
units of that size, so %DD50 is D100 and D101. Without one the number counts words: `D100`, `D100.A` (a bit,
as XG5000 shows it), `M172.12`. The `%` may be left out everywhere. In XGI and XGR the inputs and outputs may
be written by base, slot and number: `%IX0.1.2`. `status:state` and its like are no addresses: see status.py.

The number behind X counts bits (%MX2764 is bit 12 of M172); where the connection's `bit_index` is hex its
last digit is the bit and the rest the word (%MX172C). Sources: XGL-EFMF manual 7.1, notes 2 to 4 to the
commands; XBL-EMTA manual, table 5-3; for the hexadecimal form the settings of VagabondK.Protocols.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

WORD_BITS: Final = 16
# Larger than any area of any CPU; the PLC itself says where its areas end.
MOST_BYTES: Final = 1 << 24
CONTACT_AREAS: Final = "TC"
MASTER_K_AREAS: Final = "PMKFTCLNDUZR"
IEC_AREAS: Final = "IQMRWFKLNU"
# The bits of these are named by word and hexadecimal digit where bit_index is hex, without a dot.
JOINED_HEX_AREAS: Final = "PMKFL"
_SIZES: Final = {"X": 0, "B": 1, "W": 2, "D": 4, "L": 8}
# XGI's fixed assignment: every slot has 64 points, every base 16 slots.
_SLOT_BITS: Final = 64
_BASE_SLOTS: Final = 16

_SIZED: Final = re.compile(r"%?([A-Z])([XBWDL])([0-9]{0,8}[0-9A-F])(?:\.([0-9A-F]|0[0-9]|1[0-5]))?")
_PLAIN: Final = re.compile(r"%?([A-Z])([0-9]{1,8})(?:\.([0-9A-F]|0[0-9]|1[0-5]))?")
_SLOTTED: Final = re.compile(r"%?([IQ])([XBWDL])([0-9]{1,3})\.([0-9]{1,2})\.([0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class Written:
    """An address as it was written. size: of its unit in bytes, 0 for bits. digits: behind X perhaps with a
    hexadecimal one at the end. bit: of the unit. slotted: base and slot came before the number."""

    text: str
    area: str
    size: int
    digits: str
    bit: int | None = None
    slotted: tuple[int, int] | None = None

    @property
    def is_contact(self) -> bool:
        """The contact of a timer or counter, which is no bit of its value."""
        return self.area in CONTACT_AREAS and self.size == 0

    @property
    def is_bit(self) -> bool:
        return self.size == 0 or self.bit is not None


@dataclass(frozen=True, slots=True)
class Address:
    """byte: first one of the value in its area; for a contact the number of its timer or counter.
    bit: 0 to 7 of that byte; None: no bit."""

    area: str
    byte: int
    bit: int | None = None
    contact: bool = False

    def __str__(self) -> str:
        if self.contact:
            return f"%{self.area}X{self.byte}"
        if self.bit is None:
            return f"%{self.area}B{self.byte}" if self.byte % 2 else f"%{self.area}W{self.byte // 2}"
        return f"{self.area}{self.byte // 2}.{8 * (self.byte % 2) + self.bit:X}"


@lru_cache(maxsize=1_024)  # a tag's validation asks several times, and machines of one kind share addresses
def parse(text: str) -> Written:
    """Raises ValueError with what is wrong and how it is written right."""
    upper = text.strip().upper()
    if ".." in upper:
        raise ValueError(f"{text!r} is a range: the tag's name needs one too, such as zone[01..16]")
    if match := _SLOTTED.fullmatch(upper):
        base, slot = int(match[3]), int(match[4])
        if slot >= _BASE_SLOTS:
            raise ValueError(f"{text!r}: a base has slots 0 to {_BASE_SLOTS - 1}")
        size = _SIZES[match[2]]
        if int(match[5]) >= _SLOT_BITS // (8 * size or 1):
            raise ValueError(f"{text!r}: a slot has {_SLOT_BITS} points")
        return Written(text, match[1], size, match[5], slotted=(base, slot))
    if match := _SIZED.fullmatch(upper):
        return _sized(text, *match.groups())
    if match := _PLAIN.fullmatch(upper):
        area, digits, bit = match.groups()
        if area == "U" and bit is not None:
            raise ValueError(f"{text!r}: write U's linear word number, slot × 32 + word, such as %UW37")
        return Written(text, area, 2, digits, _bit(bit))
    raise ValueError(f"{text!r} is no address: write %DW100, %MX2764, D100, M172.C or %IX0.1.2")


def _sized(text: str, area: str, letter: str, digits: str, bit: str | None) -> Written:
    size = _SIZES[letter]
    if size and not digits.isdecimal():
        raise ValueError(f"{text!r}: only the last digit of a bit's number, behind X, may be hexadecimal")
    if bit is not None and size != 2:
        raise ValueError(f"{text!r}: a bit is written behind a word, such as %{area}W10.3")
    return Written(text, area, size, digits, _bit(bit))


def _bit(digits: str | None) -> int | None:
    """One hexadecimal digit, or two decimal ones."""
    if digits is None:
        return None
    return int(digits, 16) if len(digits) == 1 else int(digits)


@lru_cache(maxsize=1_024)
def locate(text: str, *, hex_bits: bool) -> Address:
    """Where an address stands. Raises ValueError as `parse` does."""
    written = parse(text)
    if written.is_contact:
        return Address(written.area, _number(written), contact=True)
    if written.size == 0:
        bits = _bits(written, hex_bits=hex_bits)
    else:
        bits = 8 * written.size * _number(written) + (written.bit or 0)
    if written.slotted is not None:
        base, slot = written.slotted
        bits += (base * _BASE_SLOTS + slot) * _SLOT_BITS
    if bits >= 8 * MOST_BYTES:
        raise ValueError(f"{text!r}: no area is as long as that")
    return Address(written.area, bits // 8, bits % 8 if written.is_bit else None)


def _number(written: Written) -> int:
    if not written.digits.isdecimal():
        raise ValueError(f"{written.text!r}: the number must be decimal")
    return int(written.digits)


def _bits(written: Written, *, hex_bits: bool) -> int:
    if hex_bits and written.area in JOINED_HEX_AREAS and written.slotted is None:
        return WORD_BITS * int(written.digits[:-1] or "0") + int(written.digits[-1], 16)
    if not written.digits.isdecimal():
        raise ValueError(
            f"{written.text!r}: a hexadecimal bit needs bit_index: hex; with decimal numbers write the bit "
            f"of a word, such as {written.area}172.C"
        )
    return int(written.digits)
