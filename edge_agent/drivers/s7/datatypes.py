"""The data types of S7 programs, and how each becomes a value. Pure.

Numbers go into the row as the CPU sent them (big-endian). What is BCD is computed into a number of the same
row; texts and points in time travel as JSON. Source: STEP 7 Professional, «Data types»; for S5TIME, DATE
and DATE_AND_TIME also «Statement List for S7-300 and S7-400», appendix C.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final

from edge_agent.wire.schema import ValueType

MAX_STRING: Final = 254
MAX_WSTRING: Final = 16_382
_NANOSECONDS: Final = 1_000_000_000
_DATE_ZERO: Final = date(1990, 1, 1)
_TIME_BASES_MS: Final = (10, 100, 1_000, 10_000)


class Form(StrEnum):
    """raw: as it came. bits: one of a byte. The others are computed, each in its own way."""

    RAW = "raw"
    BIT = "bit"
    S5TIME = "s5time"
    BCD = "bcd"
    CHAR = "char"
    WCHAR = "wchar"
    STRING = "string"
    WSTRING = "wstring"
    DATE = "date"
    DT = "dt"
    DTL = "dtl"
    LDT = "ldt"

    @property
    def is_number(self) -> bool:
        """Computed, and a number of the row."""
        return self in (Form.S5TIME, Form.BCD)

    @property
    def is_text(self) -> bool:
        return self not in (Form.RAW, Form.BIT, Form.S5TIME, Form.BCD)


@dataclass(frozen=True, slots=True)
class DataType:
    """nbytes: of one value in the PLC; of a STRING or WSTRING its head, of which `character` bytes follow for
    each character. value: the type in the schema."""

    name: str
    value: ValueType
    nbytes: int
    form: Form = Form.RAW
    unit: str = ""
    character: int = 0


def _types() -> dict[str, DataType]:
    v, f = ValueType, Form
    found = [
        DataType("BOOL", v.BOOL, 1, f.BIT),
        DataType("BYTE", v.UINT8, 1), DataType("USINT", v.UINT8, 1), DataType("SINT", v.INT8, 1),
        DataType("WORD", v.UINT16, 2), DataType("UINT", v.UINT16, 2), DataType("INT", v.INT16, 2),
        DataType("DWORD", v.UINT32, 4), DataType("UDINT", v.UINT32, 4), DataType("DINT", v.INT32, 4),
        DataType("LWORD", v.UINT64, 8), DataType("ULINT", v.UINT64, 8), DataType("LINT", v.INT64, 8),
        DataType("REAL", v.FLOAT32, 4), DataType("LREAL", v.FLOAT64, 8),
        DataType("TIME", v.INT32, 4, unit="ms"), DataType("LTIME", v.INT64, 8, unit="ns"),
        DataType("TOD", v.UINT32, 4, unit="ms"), DataType("LTOD", v.UINT64, 8, unit="ns"),
        DataType("S5TIME", v.UINT32, 2, f.S5TIME, unit="ms"), DataType("COUNTER", v.UINT16, 2, f.BCD),
        DataType("CHAR", v.STRING, 1, f.CHAR), DataType("WCHAR", v.STRING, 2, f.WCHAR),
        DataType("STRING", v.STRING, 2, f.STRING, character=1),
        DataType("WSTRING", v.STRING, 4, f.WSTRING, character=2),
        DataType("DATE", v.STRING, 2, f.DATE), DataType("DT", v.STRING, 8, f.DT),
        DataType("DTL", v.STRING, 12, f.DTL), DataType("LDT", v.STRING, 8, f.LDT),
    ]  # fmt: skip
    named = {each.name: each for each in found}
    longer = {
        "TIME_OF_DAY": "TOD", "LTIME_OF_DAY": "LTOD", "DATE_AND_TIME": "DT", "DATE_AND_LTIME": "LDT",
        "TIMER": "S5TIME",
    }  # fmt: skip
    return named | {long: named[short] for long, short in longer.items()}


TYPES: Final = _types()
# The type of a value whose address has none: by the schema's type where that is given.
BY_VALUE: Final = {
    ValueType.BOOL: "BOOL", ValueType.INT8: "SINT", ValueType.UINT8: "BYTE", ValueType.INT16: "INT",
    ValueType.UINT16: "WORD", ValueType.INT32: "DINT", ValueType.UINT32: "DWORD", ValueType.INT64: "LINT",
    ValueType.UINT64: "LWORD", ValueType.FLOAT32: "REAL", ValueType.FLOAT64: "LREAL",
    ValueType.STRING: "STRING",
}  # fmt: skip


def number(form: Form, data: bytes) -> int:
    """A computed number of the row. Raises ValueError where the bytes are none."""
    digits = _bcd((data[0] & 0x0F).to_bytes() + data[1:2])
    if form is Form.BCD:
        if data[0] >> 4:
            raise ValueError("no BCD number")
        return digits
    if data[0] >> 6:
        raise ValueError("no S5TIME")
    return digits * _TIME_BASES_MS[data[0] >> 4 & 3]


def text(form: Form, data: bytes, encoding: str) -> str:
    """A text, or a point in time as ISO 8601. Raises ValueError (and so UnicodeError)."""
    match form:
        case Form.CHAR:
            return data.decode(encoding).rstrip("\0")
        case Form.WCHAR:
            return data.decode("utf-16-be").rstrip("\0")
        case Form.STRING:
            return _counted(data, data[0], data[1], 2).decode(encoding)
        case Form.WSTRING:
            most, length = int.from_bytes(data[:2]), int.from_bytes(data[2:4])
            return _counted(data, 2 * most, 2 * length, 4).decode("utf-16-be")
        case Form.DATE:
            return (_DATE_ZERO + timedelta(days=int.from_bytes(data))).isoformat()
        case Form.DT:
            return _date_and_time(data)
        case Form.DTL:
            return _dtl(data)
        case _:
            seconds, nanoseconds = divmod(int.from_bytes(data), _NANOSECONDS)
            return _iso(datetime.fromtimestamp(seconds, UTC), nanoseconds)


def s5time(milliseconds: int) -> bytes:
    """The shortest time base that holds it. Raises ValueError where none does without rounding."""
    for code, base in enumerate(_TIME_BASES_MS):
        if milliseconds % base == 0 and 0 <= milliseconds // base <= 999:
            return (code << 12 | int(str(milliseconds // base), 16)).to_bytes(2)
    raise ValueError(f"{milliseconds} ms is no S5TIME: 0 to 9990000, with three digits and zeros behind them")


def _bcd(data: bytes) -> int:
    """Raises ValueError where a digit is none."""
    digits = data.hex()
    if not digits.isdecimal():
        raise ValueError(f"{digits} is no BCD number")
    return int(digits)


def _counted(data: bytes, most: int, length: int, head: int) -> bytes:
    """A text shorter than the program declared it is read as it is; a longer one was never one."""
    if length > most or length > len(data) - head:
        raise ValueError("its length is longer than the text: no text stands here")
    return data[head : head + length]


def _date_and_time(data: bytes) -> str:
    year, month, day, hour, minute, second, hundredths = (_bcd(data[at : at + 1]) for at in range(7))
    milliseconds = 10 * hundredths + (data[7] >> 4)
    if data[7] >> 4 > 9:
        raise ValueError("no BCD number")
    century = 1900 if year >= 90 else 2000
    at = datetime(century + year, month, day, hour, minute, second, tzinfo=UTC)
    return _iso(at, milliseconds * 1_000_000)


def _dtl(data: bytes) -> str:
    at = datetime(int.from_bytes(data[:2]), data[2], data[3], data[5], data[6], data[7], tzinfo=UTC)
    nanoseconds = int.from_bytes(data[8:12])
    if nanoseconds >= _NANOSECONDS:
        raise ValueError("no nanoseconds")
    return _iso(at, nanoseconds)


def _iso(at: datetime, nanoseconds: int) -> str:
    """Without a zone: the PLC's clock says none."""
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return at.replace(tzinfo=None).isoformat(timespec="seconds") + fraction
