"""Payloads of Sparkplug B: metrics, and their values as Python and JSON have them. Pure.

Source: Sparkplug 3.0.0, 6.4 (sparkplug_b.proto). A metric whose value makes no sense is bad alone; only a
payload whose framing is broken is refused whole.
"""

import dataclasses
import struct
import zlib
from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Final

from edge_agent.drivers.mqtt.errors import BadPayload
from edge_agent.drivers.mqtt.metric import REBIRTH
from edge_agent.drivers.mqtt.protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    Budget,
    Field,
    encoded,
    fields,
    key,
    varint,
)

# Templates hold metrics that may be templates.
MAX_DEPTH: Final = 8
MAX_INFLATED_BYTES: Final = 4 << 20
# Of one payload, with all that is in it: a birth of 10,000 metrics has about 70,000.
MAX_FIELDS: Final = 100_000
MAX_ELEMENTS: Final = 65_536
# The `uuid` of a payload whose `body` is another, compressed: an addition of Eclipse Tahu's.
_COMPRESSED: Final = b"SPBV1.0_COMPRESSED"
_INT, _LONG, _FLOAT, _DOUBLE, _BOOLEAN, _STRING, _BYTES, _DATASET, _TEMPLATE = range(10, 19)
_SIGNED: Final = {1: 8, 2: 16, 3: 32, 4: 64}
_UNSIGNED: Final = {5: 8, 6: 16, 7: 32, 8: 64, 13: 64}
_TEXTS: Final = (12, 14, 15)
_ARRAYS: Final = {
    22: "b", 23: "h", 24: "i", 25: "q", 26: "B", 27: "H", 28: "I", 29: "Q", 30: "f", 31: "d", 34: "q",
}  # fmt: skip
_BOOLEANS, _STRINGS = 32, 33
_BOOLEAN_TYPE: Final = 11
# Of property sets: what most encoders call a metric's quality (6.4.15): OPC's codes of old.
_QUALITY: Final = "Quality"


@dataclass(slots=True)
class Metric:
    """One metric as it stands in a payload. kind: the number of the field that has the value; 0: none has.

    alias, timestamp, datatype: None where the payload does not say. quality: of its properties.
    """

    name: str = ""
    alias: int | None = None
    timestamp: int | None = None
    datatype: int | None = None
    is_historical: bool = False
    is_null: bool = False
    quality: int | None = None
    kind: int = 0
    raw: Any = None
    depth: int = 0
    budget: Budget = dataclasses.field(default_factory=lambda: Budget(MAX_FIELDS))

    def value(self, datatype: int) -> Any:
        """The value, as `datatype` says. Raises BadPayload."""
        if self.is_null or not self.kind:
            raise BadPayload("the metric is null")
        if isinstance(self.raw, BadPayload):
            raise self.raw
        if self.kind == _DATASET:
            return _data_set(self.raw, self.budget)
        if self.kind == _TEMPLATE:
            return _template(self.raw, self.depth + 1, self.budget)
        return value_of(datatype, self.kind, self.raw)


@dataclass(slots=True)
class SparkplugPayload:
    """size: of what was in it, once it was decompressed."""

    metrics: list[Metric]
    timestamp: int | None = None
    seq: int | None = None
    size: int = 0


def decode(data: bytes) -> SparkplugPayload:
    """Raises BadPayload. A compressed payload counts as what is in it."""
    budget = Budget(MAX_FIELDS)
    found, body = _payload(data, budget)
    if body is None:
        return found
    inner, deeper = _payload(_inflated(body), budget)
    if deeper is not None:
        raise BadPayload("a compressed payload is compressed once more")
    if inner.seq is None:
        inner.seq = found.seq
    return inner


def _payload(data: bytes, budget: Budget) -> tuple[SparkplugPayload, bytes | None]:
    """body: where the payload is compressed, else None."""
    found = SparkplugPayload([], size=len(data))
    body, is_compressed = b"", False
    for field in fields(data, budget):
        match field.tag:
            case 1:
                found.timestamp = field.whole()
            case 2:
                found.metrics.append(_metric(field.octets(), 0, budget))
            case 3:
                found.seq = field.whole()
            case 4:
                is_compressed = field.octets() == _COMPRESSED
            case 5:
                body = field.octets()
    return found, body if is_compressed else None


def _inflated(body: bytes) -> bytes:
    """GZIP and DEFLATE tell themselves apart by their first bytes."""
    inflater = zlib.decompressobj(wbits=47)
    try:
        made = inflater.decompress(body, MAX_INFLATED_BYTES + 1)
    except zlib.error as error:
        raise BadPayload(f"the payload cannot be decompressed: {error}") from None
    if len(made) > MAX_INFLATED_BYTES or not inflater.eof:
        raise BadPayload("the compressed payload is cut short, or too large")
    return made


def encode_rebirth(timestamp: int) -> bytes:
    """The payload of an NCMD that asks an edge node for its births. Sparkplug 3.0.0, 6.4.25."""
    name = REBIRTH.encode()
    metric = key(1, BYTES) + encoded(len(name)) + name + key(3, VARINT) + encoded(timestamp)
    metric += key(4, VARINT) + encoded(_BOOLEAN_TYPE) + key(_BOOLEAN, VARINT) + encoded(1)
    return key(1, VARINT) + encoded(timestamp) + key(2, BYTES) + encoded(len(metric)) + metric


def _metric(data: bytes, depth: int, budget: Budget) -> Metric:
    found = Metric(depth=depth, budget=budget)
    for field in fields(data, budget):
        if field.tag >= _INT:
            _note_value(found, field)
        elif field.tag == 9:
            found.quality = _quality(field.octets(), budget)
        else:
            _note_fact(found, field)
    return found


def _note_fact(metric: Metric, field: Field) -> None:
    match field.tag:
        case 1:
            metric.name = field.text()
        case 2:
            metric.alias = field.whole()
        case 3:
            metric.timestamp = field.whole()
        case 4:
            metric.datatype = field.whole()
        case 5:
            metric.is_historical = bool(field.whole())
        case 7:
            metric.is_null = bool(field.whole())


def _note_value(metric: Metric, field: Field) -> None:
    if field.tag > _TEMPLATE:
        return
    metric.kind = field.tag
    try:
        metric.raw = _raw(field, field.tag)
    except BadPayload as error:
        metric.raw = error


def _raw(field: Field, kind: int) -> Any:
    """kind: as the fields of a metric are numbered."""
    if kind in (_INT, _LONG):
        return field.whole()
    if kind == _BOOLEAN:
        return bool(field.whole())
    if kind == _FLOAT:
        return _float(field, FIXED32, "<f")
    if kind == _DOUBLE:
        return _float(field, FIXED64, "<d")
    return field.text() if kind == _STRING else field.octets()


def _float(field: Field, wire_type: int, code: str) -> float:
    if field.wire_type != wire_type:
        raise BadPayload(f"field {field.tag} is no floating-point number")
    number: float = struct.unpack(code, field.data)[0]
    return number


def value_of(datatype: int, kind: int, raw: Any) -> Any:
    """Raises BadPayload where the field that has the value does not go with the type."""
    if datatype in _SIGNED and kind in (_INT, _LONG):
        return _signed(raw, _SIGNED[datatype])
    if datatype in _UNSIGNED and kind in (_INT, _LONG):
        if raw >> _UNSIGNED[datatype]:
            raise BadPayload(f"{raw} has more than {_UNSIGNED[datatype]} bits")
        return raw
    if datatype in (9, 10) and kind in (_FLOAT, _DOUBLE):
        return raw
    if datatype == _BOOLEAN_TYPE and kind == _BOOLEAN:
        return raw
    if datatype in _TEXTS and kind == _STRING:
        return raw
    if kind == _BYTES:
        return _octets(datatype, raw)
    raise BadPayload(f"a value in field {kind} is none of the data type {datatype}")


def _signed(raw: int, bits: int) -> int:
    """Two's complement of the type's own width, of 32 or of 64 bits: encoders differ."""
    for width in (bits, 32, 64):
        if width < bits or raw >> width:
            continue
        number = raw - (1 << width) if raw >> width - 1 else raw
        if -(1 << bits - 1) <= number < 1 << bits - 1:
            return number
    raise BadPayload(f"{raw} has more than {bits} bits")


def _octets(datatype: int, raw: bytes) -> Any:
    if datatype in (17, 18):
        return b64encode(raw).decode()
    if (code := _ARRAYS.get(datatype)) is not None:
        size = struct.calcsize(f"<{code}")
        if len(raw) % size:
            raise BadPayload(f"{len(raw)} bytes are no array of values of {size} bytes")
        _check_elements(len(raw) // size)
        return list(struct.unpack(f"<{len(raw) // size}{code}", raw))
    if datatype == _BOOLEANS:
        return _booleans(raw)
    if datatype == _STRINGS:
        return _strings(raw)
    raise BadPayload(f"bytes are no value of the data type {datatype}")


def _check_elements(count: int) -> None:
    if count > MAX_ELEMENTS:
        raise BadPayload(f"an array of {count} values: the most is {MAX_ELEMENTS}")


def _booleans(raw: bytes) -> list[bool]:
    """Their number in four bytes, then a bit for each, the highest of a byte first (6.4.16)."""
    count = int.from_bytes(raw[:4], "little")
    if len(raw) != 4 + (count + 7) // 8:
        raise BadPayload(f"{len(raw)} bytes are no array of {count} truth values")
    _check_elements(count)
    return [bool(raw[4 + n // 8] >> 7 - n % 8 & 1) for n in range(count)]


def _strings(raw: bytes) -> list[str]:
    """Each ends with a NUL."""
    if raw and raw[-1]:
        raise BadPayload("an array of texts ends within one")
    _check_elements(raw.count(0))
    try:
        return [each.decode() for each in raw.split(b"\0")[:-1]]
    except UnicodeDecodeError:
        raise BadPayload("a text of an array is not in UTF-8") from None


def _data_set(data: bytes, budget: Budget) -> dict[str, Any]:
    columns: list[str] = []
    types: list[int] = []
    rows: list[bytes] = []
    for field in fields(data, budget):
        match field.tag:
            case 2:
                columns.append(field.text())
            case 3:
                types += _types(field, budget)
            case 4:
                rows.append(field.octets())
    if len(columns) != len(types):
        raise BadPayload(f"a data set has {len(columns)} columns and {len(types)} types")
    return {"columns": columns, "rows": [_row(row, types, budget) for row in rows]}


def _types(field: Field, budget: Budget) -> list[int]:
    """One, or several that are packed."""
    if field.wire_type == VARINT:
        return [field.number]
    data, at, found = field.octets(), 0, []
    while at < len(data):
        budget.spend()
        number, at = varint(data, at)
        found.append(number)
    return found


def _row(data: bytes, types: list[int], budget: Budget) -> list[Any]:
    elements = [field.octets() for field in fields(data, budget) if field.tag == 1]
    if len(elements) != len(types):
        raise BadPayload(f"a row of a data set has {len(elements)} values for {len(types)} columns")
    return [_element(element, type_, 9, budget) for element, type_ in zip(elements, types, strict=True)]


def _element(data: bytes, datatype: int, offset: int, budget: Budget) -> Any:
    """A value of a data set or a template's parameter. offset: from its field numbers to a metric's."""
    value = None
    for field in fields(data, budget):
        kind = field.tag + offset
        if _INT <= kind <= _STRING:
            value = value_of(datatype, kind, _raw(field, kind))
    return value


def _template(data: bytes, depth: int, budget: Budget) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise BadPayload(f"templates are more than {MAX_DEPTH} deep")
    made: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    for field in fields(data, budget):
        match field.tag:
            case 1:
                made["version"] = field.text()
            case 2:
                metric = _metric(field.octets(), depth, budget)
                metrics[metric.name] = _member(metric)
            case 3:
                name, value = _parameter(field.octets(), budget)
                parameters[name] = value
            case 4:
                made["template"] = field.text()
    return {**made, "metrics": metrics, **({"parameters": parameters} if parameters else {})}


def _member(metric: Metric) -> Any:
    if metric.is_null or not metric.kind:
        return None
    if metric.datatype is None and metric.kind not in (_DATASET, _TEMPLATE):
        return metric.raw if metric.kind in (_FLOAT, _DOUBLE, _BOOLEAN, _STRING) else None
    return metric.value(metric.datatype or 0)


def _parameter(data: bytes, budget: Budget) -> tuple[str, Any]:
    name, datatype = "", 0
    for field in fields(data, budget):
        if field.tag == 1:
            name = field.text()
        elif field.tag == 2:
            datatype = field.whole()
    return name, _element(data, datatype, 7, budget)


def _quality(data: bytes, budget: Budget) -> int | None:
    """The property of that name. One that cannot be read says nothing."""
    names: list[str] = []
    values: list[bytes] = []
    for field in fields(data, budget):
        if field.tag == 1:
            names.append(field.text())
        elif field.tag == 2:
            values.append(field.octets())
    if _QUALITY not in names or names.index(_QUALITY) >= len(values):
        return None
    for field in fields(values[names.index(_QUALITY)], budget):
        if field.tag in (3, 4) and field.wire_type == VARINT:
            return field.number
    return None
