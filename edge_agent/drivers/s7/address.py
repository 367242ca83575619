"""Where a value stands in an S7 CPU, and the forms in which people write it. Pure.

`DB1.DBX0.3`, `DB1.DBB2`, `DB1.DBW2`, `DB1.DBD4:REAL`, `M10.0`, `MW20`, `I0.0`, `QB4`, `T5`, `C3`. The letter
says where reading begins and, without a `:TYPE`, how much is read. German mnemonics are accepted: E is I,
A is Q, Z is C. `CPU:STATE` is the CPU's operating state.
"""

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from edge_agent.drivers.s7.datatypes import MAX_STRING, MAX_WSTRING, TYPES, DataType

MAX_BYTE: Final = 65_535
MAX_DB: Final = 65_535
STATE: Final = "CPU:STATE"
_DB: Final = re.compile(r"(?:P#)?DB([0-9]{1,9})\.(?:DB)?([XBWD]?)([0-9]{1,9})(?:\.([0-9]{1,9}))?")
_PLAIN: Final = re.compile(r"(?:P#)?([MIQEA])([XBWD]?)([0-9]{1,9})(?:\.([0-9]{1,9}))?")
_NUMBERED: Final = re.compile(r"([TCZ])([0-9]{1,9})")
_TYPE: Final = re.compile(r"([A-Z0-9_]+)(?:\[([0-9]{1,9})\])?")
_GERMAN: Final = {"E": "I", "A": "Q", "Z": "C"}
_DEFAULTS: Final = {"X": "BOOL", "B": "BYTE", "W": "WORD", "D": "DWORD"}
_WIDTHS: Final = {"B": None, "W": (2,), "D": (4, 8)}
_FORMS: Final = "write DB1.DBX0.3, DB1.DBW2, DB1.DBD4:REAL, M10.0, MW20, I0.0, QB4, T5 or C3"


class Area(StrEnum):
    """The memory areas, and what is no memory: the CPU's own state."""

    DB = "DB"
    MARKER = "M"
    INPUT = "I"
    OUTPUT = "Q"
    TIMER = "T"
    COUNTER = "C"
    CPU = "CPU"

    @property
    def is_bytes(self) -> bool:
        """Addressed by bytes; timers and counters are numbered."""
        return self in (Area.DB, Area.MARKER, Area.INPUT, Area.OUTPUT)


AREAS: Final = tuple(Area)


@dataclass(frozen=True, slots=True)
class Address:
    """db: 0 outside of data blocks. number: of the first byte, or of the timer or counter. bit: of a BOOL.
    length: characters of a STRING or WSTRING as declared, else 0. written: the German form, where it is one.
    typed: the type stands in the address."""

    area: Area
    db: int
    number: int
    bit: int
    type: DataType
    length: int = 0
    written: str = ""
    typed: bool = False

    @property
    def nbytes(self) -> int:
        """Of one value."""
        return self.type.nbytes + self.length * self.type.character

    def __str__(self) -> str:
        if self.type.name == "BOOL":
            return f"{f'DB{self.db}.DBX' if self.area is Area.DB else self.area}{self.number}.{self.bit}"
        kind = self.type.name + (f"[{self.length}]" if self.length else "")
        return f"{span_text(self.area, self.db, self.number, self.number + 1)}:{kind}"


def span_text(area: Area, db: int, start: int, end: int) -> str:
    """How errors and plans name a range of bytes, timers or counters."""
    if area is Area.CPU:
        return STATE
    name = {Area.DB: f"DB{db}.DBB", Area.TIMER: "T", Area.COUNTER: "C"}.get(area, f"{area}B")
    return f"{name}{start}" if end - start == 1 else f"{name}{start}..{end - 1}"


@lru_cache(maxsize=1_024)  # a tag's validation asks several times, and machines of one kind share addresses
def parse(text: str, default: str = "", *, carry: bool = False) -> Address:
    """default: the type's name where the address has none. carry: bits from 8 on count into the next bytes,
    which is how a range counts them. Raises ValueError with what is wrong and how it is written right."""
    if ".." in text:
        raise ValueError(f"{text!r} is a range: the tag's name needs one too, such as zone[01..16]")
    plain = text.strip().upper()
    if plain == STATE:
        return Address(Area.CPU, 0, 0, 0, TYPES["BYTE"])
    where, colon, kind = plain.partition(":")
    if colon and not kind:
        raise ValueError(f"{text!r}: a type must follow the colon, such as DB1.DBD4:REAL")
    if found := _NUMBERED.fullmatch(where):
        return _numbered(text, found[1], int(found[2]), kind)
    if found := _DB.fullmatch(where):
        area, db, groups = Area.DB, int(found[1]), found.groups()[1:]
        if not 1 <= db <= MAX_DB:
            raise ValueError(f"{text!r}: data blocks go from DB1 to DB{MAX_DB}")
    elif found := _PLAIN.fullmatch(where):
        area, db, groups = Area(_GERMAN.get(found[1], found[1])), 0, found.groups()[1:]
    else:
        raise ValueError(f"{text!r} is no address: {_FORMS}")
    letter, byte, bit = groups[0], int(groups[1]), None if groups[2] is None else int(groups[2])
    if carry and bit is not None:
        byte, bit = byte + bit // 8, bit % 8
    fallback = default or _DEFAULTS.get(letter or ("X" if bit is not None else ""), "")
    type_, length = _type(text, kind or fallback)
    _check(text, letter, bit, type_)
    if byte + type_.nbytes + length * type_.character - 1 > MAX_BYTE:
        raise ValueError(f"{text!r}: the last byte is {MAX_BYTE}")
    german = plain if where[0] in "EA" and area is not Area.DB else ""
    return Address(area, db, byte, bit or 0, type_, length, german, bool(colon))


def _numbered(text: str, letter: str, number: int, kind: str) -> Address:
    area = Area.TIMER if letter == "T" else Area.COUNTER
    native = "S5TIME" if area is Area.TIMER else "COUNTER"
    type_, _ = _type(text, kind or native)
    if type_.name not in (native, "WORD"):
        raise ValueError(f"{text!r}: a {'timer' if letter == 'T' else 'counter'} is {native} or WORD")
    if number > MAX_BYTE:
        raise ValueError(f"{text!r}: numbers go from 0 to {MAX_BYTE}")
    return Address(area, 0, number, 0, type_, 0, f"Z{number}" if letter == "Z" else "", bool(kind))


def _type(text: str, kind: str) -> tuple[DataType, int]:
    if not kind:
        raise ValueError(f"{text!r} needs a type, such as {text}:REAL")
    found = _TYPE.fullmatch(kind)
    type_ = TYPES.get(found[1]) if found else None
    if found is None or type_ is None:
        near = difflib.get_close_matches(kind.partition("[")[0], TYPES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(TYPES)}"
        raise ValueError(f"unknown type {kind!r}; {hint}")
    if not type_.character:
        if found[2] is not None:
            raise ValueError(f"{text!r}: an array of {type_.name} takes count, such as count: {found[2]}")
        return type_, 0
    most = MAX_STRING if type_.name == "STRING" else MAX_WSTRING
    length = int(found[2] or MAX_STRING)
    if not 1 <= length <= most:
        raise ValueError(f"{text!r}: a {type_.name} holds 1 to {most} characters")
    return type_, length


def _check(text: str, letter: str, bit: int | None, type_: DataType) -> None:
    if bit is not None and bit > 7:
        raise ValueError(f"{text!r}: the bits of a byte go from 0 to 7")
    if type_.name == "BOOL":
        if bit is None or letter not in ("", "X"):
            raise ValueError(f"{text!r}: a BOOL is one bit of a byte, such as DB1.DBX0.3 or M10.0")
        return
    if bit:
        raise ValueError(f"{text!r}: a {type_.name} begins with a whole byte")
    sizes = _WIDTHS.get(letter)
    if sizes and type_.nbytes not in sizes:
        right = {1: "B", 2: "W", 4: "D"}.get(type_.nbytes, "B")
        raise ValueError(
            f"{text!r}: a {type_.name} has {type_.nbytes} bytes and {letter} means {sizes[0]}: write {right}"
        )
