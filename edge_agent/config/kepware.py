"""Rows of a tag export of Kepware (KEPServerEX, ThingWorx Kepware Server) as settings of tags. Pure.

What such a row asks for and this agent does not do is told: a problem where values would be wrong, a
remark where they are right and something else is missing. The columns are those of the server's
"Export CSV" on a device's tags. Addresses of its Modbus drivers count from one, as ours with five or six
digits do; its strings (`400001.20H`) and arrays (`400001 [10]`) become `length` and `count`.
"""

import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, NamedTuple

from edge_agent.config.columns import number, squeezed

# One of them beside `Tag Name` makes a table such an export.
_MARKS: Final = {"respectdatatype", "clientaccess", "scaleddatatype", "negatevalue"}
_TYPES: Final = {
    "boolean": "bool", "char": "int8", "byte": "uint8", "short": "int16", "word": "uint16", "long": "int32",
    "dword": "uint32", "llong": "int64", "qword": "uint64", "float": "float32", "double": "float64",
    "string": "string",
}  # fmt: skip
_REFUSED_TYPES: Final = ("bcd", "lbcd", "date")
_TYPE_NAMES: Final = "Boolean, Char, Byte, Short, Word, Long, DWord, LLong, QWord, Float, Double, String"
_DEFAULT_TYPE: Final = "default"
_FLOATS: Final = ("", "float", "double", "default")
_MODBUS: Final = re.compile(
    r"([0134][0-9]{4,5})(?:\.([0-9]{1,3})([HL]))?\s*((?:\[[0-9]{1,5}\]\s*){0,3})", re.IGNORECASE
)
_SHORT_NUMBER: Final = re.compile(r"[1-9][0-9]{0,3}")
# What a six-digit address becomes when a spreadsheet takes it for a number, and what it may hide among.
_FIVE_DIGITS: Final = re.compile(r"[134][0-9]{4}")
_SIX_DIGITS: Final = re.compile(r"[0134][0-9]{5}(?![0-9])")
_FIRST_BIT: Final = re.compile(r"[34][0-9]{4,5}\.1")
# Exact arithmetic would write all of its digits.
_LONG_EXPONENT: Final = re.compile(r"e[-+]?[\d_]{4,}", re.IGNORECASE)
_ENDS: Final = ("rawlow", "rawhigh", "scaledlow", "scaledhigh")
_TRUE: Final = ("1", "true", "yes", "-1")
# The columns of which `shared` makes something. Respect Data Type and Description make no difference here.
SHARED: Final[tuple[str, ...]] = (
    "datatype", "clientaccess", "scanrate", "scaling", "rawlow", "rawhigh", "scaledlow", "scaledhigh",
    "scaleddatatype", "clamplow", "clamphigh", "engunits", "negatevalue",
)  # fmt: skip
_KNOWN: Final = frozenset({*SHARED, "tagname", "address", "respectdatatype", "description"})


class Finding(NamedTuple):
    """What is to be said of a cell. column: squeezed heading. refused: the row cannot be taken."""

    column: str
    message: str
    refused: bool


class Row(NamedTuple):
    """A tag's settings, the column that each came from, and what is to be said."""

    settings: dict[str, Any]
    columns: dict[str, str]
    findings: list[Finding]


def is_export(headings: list[str]) -> bool:
    names = {squeezed(heading) for heading in headings}
    return "tagname" in names and not names.isdisjoint(_MARKS)


def is_known(heading: str) -> bool:
    return squeezed(heading) in _KNOWN


def shared(cells: Mapping[str, str], delimiter: str = ",") -> Row:
    """What all rows with these cells have in common: everything but name and address.

    cells: those that are not empty, by squeezed heading.
    """
    row = Row({}, {}, [])
    _type(row, cells)
    _scaling(row, cells, delimiter)
    _take(row, "unit", cells.get("engunits"), "engunits")
    row.findings.extend(_not_done(cells))
    return row


def address(written: str) -> Row:
    """What an address says: mostly itself; of strings and arrays the size, too."""
    row = Row({}, {}, [])
    found = _MODBUS.fullmatch(written)
    if _SHORT_NUMBER.fullmatch(written):
        message = "a spreadsheet has cut off the address's leading zeros; it is read as a coil (six digits)"
        row.findings.append(Finding("address", message, False))
        written = written.zfill(6)
    elif found:
        written = found[1]
        sizes = [int(size) for size in re.findall(r"[0-9]+", found[4])]
        if sizes:
            _take(row, "count", math.prod(sizes), "address")
        if found[2]:
            _take(row, "type", "string", "address")
            _take(row, "length", int(found[2]), "address")
            _take(row, "byte_order", "big" if found[3].upper() == "H" else "little", "address")
    _take(row, "address", written, "address")
    return row


class CutZeros:
    """What only the whole list shows of zeros that a spreadsheet may have cut off its addresses."""

    def __init__(self) -> None:
        self._has_six_digits = False
        self._first_bits: set[str] = set()

    def note(self, written: str) -> Finding | None:
        """Takes an address of the list as it is written. Returns what is to be warned of, if anything."""
        if _SHORT_NUMBER.fullmatch(written) or _SIX_DIGITS.match(written):
            self._has_six_digits = True
        if _FIRST_BIT.fullmatch(written) is None:
            return None
        if written not in self._first_bits:
            self._first_bits.add(written)
            return None
        message = "bit 1 is there twice: a spreadsheet makes .1 of .10, so one of them may be bit 10"
        return Finding("address", message, False)

    def refusal(self, five_digits: bool) -> Finding | None:
        """Once all addresses are noted: what is wrong if some of them are plain ones of five digits."""
        if not five_digits or not self._has_six_digits:
            return None
        message = (
            "five digits among addresses of six: this is what a spreadsheet makes of a coil such as 010001, "
            "or a discrete input or register: write it with six digits (010001 or 100001)"
        )
        return Finding("address", message, True)


def has_five_digits(written: str) -> bool:
    """Whether it may be a coil of six digits without its zero."""
    return _FIVE_DIGITS.fullmatch(written) is not None


def _take(row: Row, key: str, value: Any, column: str) -> None:
    if value is not None:
        row.settings[key] = value
        row.columns[key] = column


def _type(row: Row, cells: Mapping[str, str]) -> None:
    written = cells.get("datatype", _DEFAULT_TYPE)
    name = written.lower().removesuffix(" array")
    if name in _REFUSED_TYPES:
        row.findings.append(Finding("datatype", f"values of the type {written} are not read here", True))
    elif name in _TYPES:
        _take(row, "type", _TYPES[name], "datatype")
    elif name != _DEFAULT_TYPE:
        message = f"unknown data type '{written}'; known: {_TYPE_NAMES}"
        row.findings.append(Finding("datatype", message, True))


def _scaling(row: Row, cells: Mapping[str, str], delimiter: str) -> None:
    kind = cells.get("scaling", "none").lower()
    if kind == "none":
        return
    if kind != "linear":
        message = f"'{cells['scaling']}' scaling is not done here, only Linear: compute it behind the agent"
        row.findings.append(Finding("scaling", message, True))
        return
    sign = -1 if cells.get("negatevalue", "").lower() in _TRUE else 1
    texts: list[str] = []
    for column in _ENDS:
        try:
            texts.append(number(cells.get(column, ""), delimiter))
        except ValueError as error:
            row.findings.append(Finding(column, str(error), True))
            return
    found = _linear(*texts, sign)
    if isinstance(found, Finding):
        row.findings.append(found)
        return
    _take(row, "scale", found[0], "scaledhigh")
    _take(row, "offset", found[1], "scaledlow")


@lru_cache(maxsize=1_024)  # the tags of a machine share a few ranges, and exact arithmetic is slow
def _linear(
    raw_low: str, raw_high: str, scaled_low: str, scaled_high: str, sign: int
) -> tuple[float, float] | Finding:
    """Scale and offset, each the float that is nearest to the exact one."""
    ends: list[Fraction] = []
    for column, text in zip(_ENDS, (raw_low, raw_high, scaled_low, scaled_high), strict=True):
        try:
            if _LONG_EXPONENT.search(text):
                raise ValueError
            ends.append(Fraction(text))
        except (ValueError, ZeroDivisionError):
            return Finding(column, f"Linear scaling needs a number here (got '{text}')", True)
    span = ends[1] - ends[0]
    if span == 0:
        return Finding("rawhigh", "Raw Low and Raw High are the same", True)
    scale = (ends[3] - ends[2]) / span
    if scale == 0:
        return Finding("scaledhigh", "Scaled Low and Scaled High are the same", True)
    return _rounded(sign * scale), _rounded(sign * (ends[2] - ends[0] * scale))


def _rounded(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:  # validation refuses it, with its place
        return math.inf


def _not_done(cells: Mapping[str, str]) -> Iterator[Finding]:
    """What a row asks for beside its value."""
    if "scanrate" in cells:
        yield Finding("scanrate", "Scan Rate is ignored: a group's interval counts for all its tags", False)
    if "w" in cells.get("clientaccess", "").lower():
        yield Finding("clientaccess", "the tag is only read here: Client Access allows writing", False)
    if cells.get("scaling", "none").lower() == "none":
        if cells.get("negatevalue", "").lower() in _TRUE:
            yield Finding("negatevalue", "Negate Value without Linear scaling has no effect", False)
        return
    for column in ("clamplow", "clamphigh"):
        if cells.get(column, "").lower() in _TRUE:
            yield Finding(column, "values are not clamped: those outside of the range are kept", False)
    kind = cells.get("scaleddatatype", "")
    if kind.lower() not in _FLOATS:
        yield Finding("scaleddatatype", f"values are not rounded to {kind}: scaled ones are floats", False)
