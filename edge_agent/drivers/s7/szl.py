"""What a CPU says of itself in its system status lists (SZL): requests, and what their replies say. Pure.

Source: «System Software for S7-300/400, System and Standard Functions», SSL-ID W#16#xy11, xy1C and xy24.
"""

import struct
from typing import Final

from edge_agent.contracts.driver import Identity
from edge_agent.drivers.s7.errors import DeviceError, Refusal

MODULE: Final = 0x0011
COMPONENT: Final = 0x001C
STATE: Final = 0x0424
MOST_PARTS: Final = 8
_ORDER_NUMBER, _FIRMWARE = 1, 7
_MODULE_NAME, _COPYRIGHT, _MODULE_TYPE = 2, 4, 7
_HEAD: Final = struct.Struct(">BBHHHH")
_USERDATA: Final = 7
_TEXT: Final = 100


def request(reference: int, szl: int, index: int = 0) -> bytes:
    parameters = b"\x00\x01\x12\x04\x11\x44\x01\x00"
    data = struct.pack(">BBHHH", 0xFF, 0x09, 4, szl, index)
    return _HEAD.pack(0x32, _USERDATA, 0, reference, len(parameters), len(data)) + parameters + data


def next_request(reference: int, sequence: int) -> bytes:
    """For the next part of a list that takes several messages."""
    parameters = b"\x00\x01\x12\x08\x12\x44\x01" + bytes((sequence,)) + bytes(4)
    data = b"\x0a\x00\x00\x00"
    return _HEAD.pack(0x32, _USERDATA, 0, reference, len(parameters), len(data)) + parameters + data


def reply(pdu: bytes) -> tuple[bytes, int | None]:
    """The data of one part, and the sequence number to ask the next one with. Raises DeviceError."""
    if len(pdu) < 26 or pdu[1] != _USERDATA:
        raise DeviceError("the CPU's answer is no list")
    parameter_bytes = pdu[6] << 8 | pdu[7]
    if parameter_bytes != 12 or pdu[15] & 0x0F != 4:
        raise DeviceError("the CPU's answer is no list")
    if code := pdu[20] << 8 | pdu[21]:
        raise Refusal(code)
    if pdu[22] != 0xFF:
        raise DeviceError(f"the CPU does not have this list (code 0x{pdu[22]:02X})", is_config=True)
    length = pdu[24] << 8 | pdu[25]
    if len(pdu) < 26 + length:
        raise DeviceError("the list is cut short")
    return pdu[26 : 26 + length], (pdu[17] if pdu[19] else None)


def records(data: bytes) -> dict[int, bytes]:
    """The records of a list by their index: id, index, record length, count, records. Raises DeviceError."""
    if len(data) < 8:
        raise DeviceError("the list is cut short")
    size, count = struct.unpack_from(">HH", data, 4)
    found: dict[int, bytes] = {}
    for at in range(8, min(8 + size * count, len(data) - size + 1) if size >= 2 else 0, size or 1):
        found[data[at] << 8 | data[at + 1]] = data[at + 2 : at + size]
    return found


def operating_state(data: bytes) -> int:
    """The low nibble of the operating mode (`settings.STATES`). Raises DeviceError."""
    if len(data) < 12:
        raise DeviceError("the CPU does not tell its state")
    return data[11] & 0x0F


def identity(module: bytes, component: bytes) -> Identity | None:
    """From the lists MODULE and COMPONENT; empty bytes for one that the CPU does not have."""
    ids = records(module) if module else {}
    names = records(component) if component else {}
    order = _text(ids.get(_ORDER_NUMBER, b"")[:20])
    name = _text(names.get(_MODULE_TYPE, b"")[:32]) or _text(names.get(_MODULE_NAME, b"")[:24])
    product = f"{order} ({name})" if order and name else order or name
    found = Identity(_text(names.get(_COPYRIGHT, b"")[:26]), product, _version(ids))
    return found if found != Identity() else None


def _version(ids: dict[int, bytes]) -> str:
    """`V3.2.6`: of the firmware, or of the module."""
    record = ids.get(_FIRMWARE) or ids.get(_ORDER_NUMBER) or b""
    if len(record) < 26 or record[22:23] not in (b"V", b"\0"):
        return ""
    return f"V{record[23]}.{record[24]}.{record[25]}" if any(record[23:26]) else ""


def _text(raw: bytes) -> str:
    """Meant to be ASCII; whatever cannot be shown is left out."""
    return "".join(filter(str.isprintable, raw.partition(b"\0")[0].decode("latin-1"))).strip()[:_TEXT]
