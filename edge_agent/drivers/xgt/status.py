"""What a PLC tells of itself: the tags `status:…`, CPU types and states. Pure.

Every reply's header says which CPU it is and whether it runs; the status command adds 24 bytes of flags. A
module that does not know the command refuses it with the same header, so that state and type are known
all the same. Sources: XGL-EFMF manual 7.1 (header), XGL-EFMT manual 8.2.5 (status, flags).
"""

import struct
from dataclasses import dataclass
from typing import Final

from edge_agent.wire.schema import ValueType

PREFIX: Final = "status:"
# State, CPU type, flags, series; then what the status command says.
HEADER_FIELDS_BYTES: Final = 4
STATUS_BYTES: Final = 24
RECORD_BYTES: Final = HEADER_FIELDS_BYTES + STATUS_BYTES
_RUN, _STOP, _ERROR, _DEBUG = 1, 2, 4, 8
STATE_NAMES: Final = {_RUN: "run", _STOP: "stop", _ERROR: "error", _DEBUG: "debug"}
_SERIES_NAMES: Final = {0xA0: "XGK", 0xA4: "XGI", 0xA8: "XGR", 0xB0: "XGB (MK)", 0xB4: "XGB (IEC)"}
_CPU_NAMES: Final = {
    0x01: "CPUH", 0x02: "CPUS", 0x03: "CPUA", 0x04: "CPUE", 0x05: "CPUU", 0x11: "CPUHN", 0x12: "CPUSN",
    0x15: "CPUUN",
}  # fmt: skip
_VERSION_AT: Final = HEADER_FIELDS_BYTES + 20


@dataclass(frozen=True, slots=True)
class Field:
    """start: in the record, in bytes. bit: of a bool. enum: names of its values."""

    start: int
    type: ValueType
    bit: int | None = None
    enum: tuple[tuple[int, str], ...] = ()


FIELDS: Final = {
    "state": Field(0, ValueType.UINT8, enum=tuple(STATE_NAMES.items())),
    "cpu": Field(1, ValueType.UINT8, enum=tuple(_CPU_NAMES.items())),
    "error": Field(2, ValueType.BOOL, 0),
    "slave": Field(2, ValueType.BOOL, 1),
    "series": Field(3, ValueType.UINT8, enum=tuple(_SERIES_NAMES.items())),
    "flags": Field(HEADER_FIELDS_BYTES + 8, ValueType.UINT32),
    "errors": Field(HEADER_FIELDS_BYTES + 12, ValueType.UINT32),
    "warnings": Field(HEADER_FIELDS_BYTES + 16, ValueType.UINT32),
    "version": Field(_VERSION_AT, ValueType.UINT16),
}


def is_status(text: str) -> bool:
    return text.strip().lower().startswith(PREFIX)


def field(text: str) -> Field:
    """Raises ValueError for one that there is not."""
    name = text.strip().lower().removeprefix(PREFIX)
    if name not in FIELDS:
        raise ValueError(f"{text!r}: there is no such status; there are {', '.join(FIELDS)}")
    return FIELDS[name]


def record(plc_info: int, series: int, data: bytes) -> bytes:
    """data: of the status command; empty where it was refused."""
    flags = (plc_info >> 7 & 1) | (plc_info >> 6 & 1) << 1
    head = bytes((plc_info >> 8 & 0x1F, plc_info & 0x3F, flags, series))
    return head + data[:STATUS_BYTES].ljust(STATUS_BYTES, b"\0")


def product(record_: bytes) -> str:
    """The CPU as people call it."""
    series = _SERIES_NAMES.get(record_[3], f"series 0x{record_[3]:02X}")
    return f"{series} {_CPU_NAMES.get(record_[1], f'CPU type 0x{record_[1]:02X}')}"


def version(record_: bytes) -> str:
    """hXXYY is XX.YY; empty where the status command was refused."""
    (number,) = struct.unpack_from("<H", record_, _VERSION_AT)
    return f"{number >> 8}.{number & 0xFF:02d}" if number else ""
