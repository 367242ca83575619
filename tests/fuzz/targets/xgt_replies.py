"""Replies of XGT PLCs: framing, bodies of every kind, and whole plans' payloads."""

from collections.abc import Sequence
from typing import Final

from edge_agent.drivers.links import Garbage
from edge_agent.drivers.xgt import frames, status
from edge_agent.drivers.xgt.errors import DeviceError, Refused
from edge_agent.drivers.xgt.frames import BIT, COMPANY_IDS, WORD, Framing
from edge_agent.drivers.xgt.harvest import Harvest
from edge_agent.drivers.xgt.plan import plan
from edge_agent.drivers.xgt.settings import XgtConnection

_WORDS: Final = frames.read_names(WORD, ("%DW100", "%DW200", "%MW3"))
_BITS: Final = frames.read_names(BIT, ("%TX1", "%TX2", "%TX3"))
_BYTES: Final = frames.read_bytes("%DB200", 6)
_STATUS: Final = frames.read_status()
_WRITE: Final = frames.write_bytes("%DB200", b"\1\2")
_REQUESTS: Final = (_WORDS, _BITS, _BYTES, _STATUS, _WRITE)
_CONNECTION: Final = XgtConnection.model_validate(
    {
        "name": "plc",
        "transport": {"host": "192.0.2.1"},
        "groups": [
            {
                "name": "g", "interval": "1s",
                "tags": [
                    {"name": "word", "address": "%DW0"}, {"name": "bit", "address": "D1.3"},
                    {"name": "text", "address": "%DW2", "type": "string", "length": 4, "encoding": "cp949"},
                    {"name": "wide", "address": "%DW4", "type": "string", "length": 4, "encoding": "utf-16"},
                ],
            }
        ],
    }
)  # fmt: skip
_PLAN: Final = plan(_CONNECTION, _CONNECTION.groups[0])


def _seed(kind: int, body: str) -> bytes:
    data = bytes.fromhex(body)
    head = bytes.fromhex("4C5349532D58475400000401A0110100") + len(data).to_bytes(2, "little") + b"\0\0"
    return bytes((kind,)) + head + data


SEEDS: Final[Sequence[bytes]] = (
    _seed(0, "550002000000000003000200D42602003C3402007233"),
    _seed(1, "55000000000000000300010000010001010001"),
    _seed(2, "5500140000000000010006000123456789AB"),
    _seed(3, "B10000000000000000001800" + "00" * 4 + "01A00000" + "01000000" + "00" * 8 + "27030000"),
    _seed(4, "59001400000000000100"),
    _seed(0, "550002000000FFFF0400"),
    _seed(0, "550002000000FFFF21"),
    b"\x05" + bytes.fromhex("0100020041420043B0A1AC00"),
)


def target(data: bytes) -> None:
    """The first byte says what was asked; the second half of the rest comes later."""
    if not data:
        return
    kind = data[0] % (len(_REQUESTS) + 1)
    if kind == len(_REQUESTS):
        _payload(data[1:])
        return
    framing = Framing(COMPANY_IDS["LSIS-XGT"], 0xA0, 0)
    framing.request(_REQUESTS[kind])
    half = len(data) // 2 + 1
    try:
        for part in (data[1:half], data[half:]):
            reply = framing.receive(part)
            if reply is not None:
                _body(_REQUESTS[kind], reply)
    except (Garbage, Refused, DeviceError):
        pass


def _body(request: bytes, reply: frames.Reply) -> None:
    record = status.record(reply.plc_info, reply.series, b"")
    assert len(record) == status.RECORD_BYTES
    assert status.product(record).isprintable()
    frames.check(request, reply.body)
    if request is _WORDS:
        assert len(frames.values_in(reply.body, 3, 2)) == 6
    elif request is _BITS:
        assert len(frames.values_in(reply.body, 3, 1)) == 3
    elif request is _BYTES:
        assert len(frames.bytes_in(reply.body, 6)) == 6
    elif request is _STATUS:
        data = frames.status_in(reply.body, status.STATUS_BYTES)
        status.version(status.record(reply.plc_info, reply.series, data))


def _payload(data: bytes) -> None:
    """The client hands on only data of the size that was asked for."""
    harvest = Harvest(_PLAN)
    (block,) = _PLAN.blocks
    harvest.whole(0, data[: block.data_bytes].ljust(block.data_bytes, b"\0"))
    reading = harvest.reading()
    assert len(reading.row) == _PLAN.schema.row_bytes
    assert reading.text is not None
    assert len(reading.text) == 2
