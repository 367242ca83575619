"""Answers of OPC UA servers: values of all types, notifications, structures, and what becomes of them."""

import struct
from collections.abc import Sequence
from typing import Final

from edge_agent.drivers.opcua import messages
from edge_agent.drivers.opcua.binary import Garbled, Reader
from edge_agent.drivers.opcua.inbox import Inbox
from edge_agent.drivers.opcua.plan import plan
from edge_agent.drivers.opcua.quality import mark_of
from edge_agent.drivers.opcua.settings import OpcUaConnection
from edge_agent.drivers.opcua.structures import Definition, Field, Kind, plain
from edge_agent.drivers.opcua.writing import held_type
from edge_agent.drivers.packing import Packer

_HEADER: Final = bytes.fromhex("01007702") + bytes(12) + bytes(4) + b"\0" + struct.pack("<i", -1) + b"\0\0\0"
_TYPES: Final = ("float64", "float32", "int64", "uint8", "bool", "string", "json", "json")
_DEFINITIONS: Final = {
    "i=1": Definition(Kind.PLAIN, (Field("a", 11), Field("b", 12), Field("c", "i=1", 1), Field("d", 24, 2))),
    "i=2": Definition(Kind.OPTIONAL, (Field("a", 1, 0, True), Field("b", 22, 1, True))),
    "i=3": Definition(Kind.UNION, (Field("a", 6), Field("b", "i=2"))),
}
_CONNECTION: Final = OpcUaConnection.model_validate(
    {
        "name": "fuzz",
        "transport": {"url": "opc.tcp://127.0.0.1:1"},
        "groups": [
            {
                "name": "g",
                "interval": "1s",
                "tags": [{"name": f"t{i}", "address": f"i={i}", "type": t} for i, t in enumerate(_TYPES)],
            }
        ],
    }
)
_PLAN: Final = plan(_CONNECTION, _CONNECTION.groups[0])
_PACKER: Final = Packer(_PLAN.schema)


def _published(*changes: bytes) -> bytes:
    items = struct.pack("<i", len(changes)) + b"".join(changes) + struct.pack("<i", -1)
    body = b"\x01\x00\x2b\x03\x01" + struct.pack("<i", len(items)) + items
    message = struct.pack("<IqI", 1, 0, 1) + body
    return b"\x01" + _HEADER + struct.pack("<Ii", 1, -1) + b"\0" + message


SEEDS: Final[Sequence[bytes]] = (
    b"\x00" + _HEADER + struct.pack("<i", 2) + b"\x05\x0b" + struct.pack("<dq", 1.5, 132_000_000_000_000_000)
    + b"\x03\x0c" + struct.pack("<i", 2) + b"ab" + struct.pack("<I", 0x80340000),
    b"\x00" + _HEADER + struct.pack("<i", 1) + b"\x01\xc6" + struct.pack("<6i", 4, 1, 2, 3, 4, 2)
    + struct.pack("<2i", 2, 2),
    _published(b"\0\0\0\0\x05\x0b" + struct.pack("<dq", 2.5, 1)),
    _published(b"\x01\0\0\0\x03\x0a" + struct.pack("<fI", 1, 1152)),
    _published(b"\x06\0\0\0\x01\x16\x00\x01\x01" + struct.pack("<id", 8, 2.0)),
    b"\x02\x00\x01\x01" + struct.pack("<id", 8, 2.0) + b"\x18\x97" + struct.pack("<i", 1) + b"\x01\x06",
    b"\x02" + bytes((0x19, 0x55)) + struct.pack("<i", 3),
)  # fmt: skip


def target(data: bytes) -> None:
    kind, rest = data[:1], data[1:]
    try:
        if kind == b"\x00":
            _read(rest)
        elif kind == b"\x01":
            _publish(rest)
        elif kind == b"\x02":
            plain(Reader(rest).variant(), _DEFINITIONS)
        else:
            for parse in (messages.read_created, messages.read_items, messages.read_transfers, held_type):
                _tried(parse, rest)
    except Garbled:
        return


def _tried(parse: object, data: bytes) -> None:
    assert callable(parse)
    try:
        parse(data)
    except Garbled:
        return


def _read(data: bytes) -> None:
    _, found, _ = messages.read_values(data)
    values = [plain(each.value, _DEFINITIONS) for each in found[: len(_TYPES)]]
    marks = {
        place: mark
        for place, each in enumerate(found[: len(_TYPES)])
        if (mark := mark_of(each.status, empty=each.value is None)) is not None
    }
    if len(values) == len(_TYPES):
        reading = _PACKER.reading(values, marks, [each.source_ms for each in found[: len(_TYPES)]])
        assert len(reading.row) in (0, _PLAN.schema.row_bytes)


def _publish(data: bytes) -> None:
    _, found = messages.read_publish(data)
    if found is None:
        return
    inbox = Inbox(_PLAN)
    inbox.begin()
    inbox.take_message(found)
    inbox.restate()
    for part in inbox.take(_DEFINITIONS).news or ():
        assert len(part.tags) == _PLAN.schema.tag_count
        assert any(part.tags)
        assert len(part.row) in (0, _PLAN.schema.row_bytes)
