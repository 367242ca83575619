"""OPC UA's binary encoding, read into values that JSON knows (Part 6, 5.2). Pure; any bytes are safe to read.

A reader of our own rather than the library's: it makes no object of each value on the way, and classes that
a server describes become none of the interpreter's. What stands for what: DateTime a text in UTC, Guid and
NodeId their texts, ByteString base64, QualifiedName `2:Name`, LocalizedText `{locale, text}`, StatusCode its
number, Variant and DataValue their value (a DataValue within a value `{value, status, source_time}`). A
structure is `Opaque` until somebody who knows its definition reads it (`structures`).
"""

import base64
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

MAX_DEPTH: Final = 32
# Of one message, numbers aside: a byte on the wire may be an object of hundreds here.
MAX_OBJECTS: Final = 500_000
_EPOCH_MS: Final = 11_644_473_600_000  # from 1601 to 1970
_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)
_LAST_TICK: Final = 2_650_467_743_990_000_000  # 9999-12-31T23:59:59 (5.2.2.5)

_U8, _U16, _U32 = struct.Struct("<B"), struct.Struct("<H"), struct.Struct("<I")
_I32, _I64 = struct.Struct("<i"), struct.Struct("<q")
# By the number of the built-in type (5.1.2).
NUMBERS: Final = {1: "?", 2: "b", 3: "B", 4: "h", 5: "H", 6: "i", 7: "I", 8: "q", 9: "Q", 10: "f", 11: "d"}
_SINGLE: Final = {type_: struct.Struct("<" + code) for type_, code in NUMBERS.items()}
DATE_TIME: Final = 13
STATUS_CODE: Final = 19
EXTENSION_OBJECT: Final = 22
VARIANT: Final = 24
_HAS_VALUE, _HAS_STATUS, _HAS_SOURCE, _HAS_SERVER, _HAS_SOURCE_PICO, _HAS_SERVER_PICO = 1, 2, 4, 8, 16, 32


class Garbled(Exception):
    """These bytes are not what they should be."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """A structure in its own encoding. type_id: the node of that encoding."""

    type_id: str
    body: bytes

    def plain(self) -> dict[str, Any]:
        return {"type_id": self.type_id, "body": base64.b64encode(self.body).decode()}


@dataclass(slots=True)
class DataValue:
    """A value with its status code and the source's time (UTC, milliseconds)."""

    value: Any = None
    status: int = 0
    source_ms: int | None = None


def milliseconds(ticks: int) -> int | None:
    """Unix time; None for the null of the encoding."""
    return ticks // 10_000 - _EPOCH_MS if ticks > 0 else None


def time_text(ticks: int) -> str | None:
    """ISO 8601 in UTC, as precise as it was sent; None for the null of the encoding."""
    if ticks <= 0:
        return None
    if ticks >= _LAST_TICK:
        return "9999-12-31T23:59:59Z"
    moment = _EPOCH + timedelta(seconds=ticks // 10_000_000)
    fraction = f"{ticks % 10_000_000:07d}".rstrip("0")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' if fraction else ''}{fraction}Z"


class Reader:
    """Reads forward through bytes. Every method raises Garbled.

    opaque: a structure was met that somebody has to read.
    """

    def __init__(self, data: bytes, at: int = 0, end: int | None = None, depth: int = 0) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end
        self.opaque = False
        self._depth = depth
        self._objects = 0

    def _number(self, kind: struct.Struct) -> Any:
        at = self.at
        self.at = at + kind.size
        if self.at > self.end:
            raise Garbled("the message ends in the middle of a value")
        return kind.unpack_from(self.data, at)[0]

    def u8(self) -> int:
        return int(self._number(_U8))

    def u16(self) -> int:
        return int(self._number(_U16))

    def u32(self) -> int:
        return int(self._number(_U32))

    def i32(self) -> int:
        return int(self._number(_I32))

    def i64(self) -> int:
        return int(self._number(_I64))

    def take(self, count: int) -> bytes:
        at = self.at
        if count < 0 or at + count > self.end:
            raise Garbled("the message ends in the middle of a value")
        self.at = at + count
        return self.data[at : self.at]

    def length(self, least: int = 1) -> int:
        """How many elements follow, each of at least so many bytes; -1 for none at all."""
        count = self.i32()
        if count > 0 and count * least > self.end - self.at:
            raise Garbled(f"{count} elements are announced, and the message ends before")
        return max(count, -1)

    def byte_string(self) -> bytes | None:
        count = self.i32()
        return None if count < 0 else self.take(count)

    def string(self) -> str | None:
        """Bytes that are no UTF-8 become U+FFFD: the rest can still be read."""
        raw = self.byte_string()
        return None if raw is None else raw.decode("utf-8", "replace")

    # --- built-in types (5.1.2) --------------------------------------------------------------------

    def builtin(self, type_: int) -> Any:
        """One value of this built-in type."""
        if kind := _SINGLE.get(type_):
            return self._number(kind)
        read = _READERS.get(type_)
        if read is None:
            raise Garbled(f"there is no built-in type {type_}")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Garbled(f"values are nested more than {MAX_DEPTH} deep")
        value = read(self)
        self._depth -= 1
        return value

    def array(self, type_: int) -> list[Any] | None:
        count = self.length()
        if count < 0:
            return None
        if code := NUMBERS.get(type_):
            kind = struct.Struct(f"<{count}{code}")
            return list(kind.unpack(self.take(kind.size)))
        self.reckon(count)
        return [self.builtin(type_) for _ in range(count)]

    def reckon(self, objects: int) -> None:
        """Before an array of them is read."""
        self._objects += objects
        if self._objects > MAX_OBJECTS:
            raise Garbled(f"more than {MAX_OBJECTS} objects")

    def variant(self) -> Any:
        """5.2.2.16."""
        encoding = self.u8()
        type_ = encoding & 0x3F
        if not encoding & 0x80:
            return self.builtin(type_) if type_ else None
        values = self.array(type_)
        if not encoding & 0x40:
            return values
        dimensions = self.array(6) or []
        return values if values is None else reshaped(values, dimensions)

    def data_value(self) -> DataValue:
        """5.2.2.17."""
        mask = self.u8()
        found = DataValue()
        if mask & _HAS_VALUE:
            found.value = self.variant()
        if mask & _HAS_STATUS:
            found.status = self.u32()
        if mask & _HAS_SOURCE:
            found.source_ms = milliseconds(self.i64())
        self.take((2 if mask & _HAS_SOURCE_PICO else 0) + (8 if mask & _HAS_SERVER else 0)
                  + (2 if mask & _HAS_SERVER_PICO else 0))  # fmt: skip
        return found

    def node_id(self, flags: int | None = None) -> str:
        """5.2.2.9, as text. flags: the first byte, where it was read already."""
        kind = self.u8() if flags is None else flags
        if kind == 0:
            return f"i={self.u8()}"
        if kind == 1:
            return _named(self.u8(), f"i={self.u16()}")
        if kind > 5:
            raise Garbled(f"there is no node id of kind {kind}")
        space = self.u16()
        if kind == 2:
            return _named(space, f"i={self.u32()}")
        if kind == 3:
            return _named(space, f"s={self.string() or ''}")
        if kind == 4:
            return _named(space, f"g={self.guid()}")
        return _named(space, f"b={base64.b64encode(self.byte_string() or b'').decode()}")

    def expanded_node_id(self) -> str:
        """5.2.2.10."""
        flags = self.u8()
        text = self.node_id(flags & 0x3F)
        if flags & 0x80 and (uri := self.string()):
            text = f"nsu={uri};{text.rpartition(';')[2] if text.startswith('ns=') else text}"
        if flags & 0x40:
            text = f"svr={self.u32()};{text}"
        return text

    def guid(self) -> str:
        return str(uuid.UUID(bytes_le=self.take(16)))

    def qualified_name(self) -> str:
        space = self.u16()
        name = self.string() or ""
        return f"{space}:{name}" if space else name

    def localized_text(self) -> dict[str, Any]:
        mask = self.u8()
        locale = self.string() if mask & 1 else None
        return {"locale": locale or "", "text": (self.string() if mask & 2 else None) or ""}

    def extension_object(self) -> Any:
        """5.2.2.15. None for one without a type."""
        type_id = self.node_id()
        encoding = self.u8()
        if encoding == 0:
            return None if type_id == "i=0" else self._met(Opaque(type_id, b""))
        body = self.byte_string() or b""
        if encoding == 2:
            return body.decode("utf-8", "replace")
        if encoding != 1:
            raise Garbled(f"there is no body of kind {encoding}")
        return self._met(Opaque(type_id, body))

    def _met(self, structure: Opaque) -> Opaque:
        self.opaque = True
        return structure

    def diagnostic_info(self) -> dict[str, Any]:
        """5.2.2.12."""
        mask = self.u8()
        found: dict[str, Any] = {}
        for bit, name in enumerate(("symbolic_id", "namespace_uri", "localized_text", "locale")):
            # In the order of the encoding, in which the locale stands before the text.
            if mask & (1, 2, 8, 4)[bit]:
                found[name] = self.i32()
        if mask & 0x10:
            found["additional_info"] = self.string()
        if mask & 0x20:
            found["inner_status"] = self.u32()
        if mask & 0x40:
            found["inner"] = self.builtin(25)
        return found

    def inner_data_value(self) -> dict[str, Any]:
        found = self.data_value()
        at = found.source_ms
        ticks = 0 if at is None else (at + _EPOCH_MS) * 10_000
        return {"value": found.value, "status": found.status, "source_time": time_text(ticks)}

    def base64(self) -> str | None:
        raw = self.byte_string()
        return None if raw is None else base64.b64encode(raw).decode()

    # --- messages ----------------------------------------------------------------------------------

    def response(self) -> int:
        """The type of a response and its header (Part 4, 7.33); returns the status of the service."""
        self.node_id()
        self.take(12)  # time, handle
        status = self.u32()
        self.diagnostic_info()
        for _ in range(self.length(4)):
            self.byte_string()
        self.extension_object()
        return status


def reshaped(values: list[Any], dimensions: list[int]) -> list[Any]:
    """A matrix as lists of lists. Raises Garbled where the dimensions are not those of the values."""
    if len(dimensions) < 2:
        return values
    if len(dimensions) > MAX_DEPTH or min(dimensions) < 0:
        raise Garbled("an array has impossible dimensions")
    size = 1
    for each in dimensions:
        size *= each
    if size != len(values):
        raise Garbled(f"{len(values)} values do not fill {'×'.join(map(str, dimensions))}")
    for each in reversed(dimensions[1:]):
        values = [values[at : at + each] for at in range(0, len(values), each)] if each else []
    return values


def _named(space: int, identifier: str) -> str:
    return f"ns={space};{identifier}" if space else identifier


_READERS: Final[dict[int, Callable[[Reader], Any]]] = {
    12: Reader.string,
    DATE_TIME: lambda reader: time_text(reader.i64()),
    14: Reader.guid,
    15: Reader.base64,
    16: Reader.string,
    17: Reader.node_id,
    18: Reader.expanded_node_id,
    STATUS_CODE: Reader.u32,
    20: Reader.qualified_name,
    21: Reader.localized_text,
    EXTENSION_OBJECT: Reader.extension_object,
    23: Reader.inner_data_value,
    VARIANT: Reader.variant,
    25: Reader.diagnostic_info,
}
