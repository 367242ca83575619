"""Replies of Modbus stations: TCP and RTU framing, registers, bits, strings, identification."""

from collections.abc import Sequence
from typing import Final

from edge_agent.drivers.links import Garbage
from edge_agent.drivers.modbus.decode import Place, RowProgram
from edge_agent.drivers.modbus.framing import RtuFraming, TcpFraming
from edge_agent.drivers.modbus.identification import Identification

_UNIT: Final = 1
_READ: Final = bytes.fromhex("0300000003")
_PROGRAM: Final = RowProgram.of(
    (Place(0, 2), Place(bits=(9, 3)), Place(2, 4, encoding="utf-8", name="text")), (6,)
)
_REPLY: Final = bytes.fromhex("030600014142f000")
_IDENTITY: Final = b"\x2b\x0e\x01\x01\x00\x00\x02\x00\x03LSE\x01\x02P1"

SEEDS: Final[Sequence[bytes]] = (
    b"\x00" + bytes.fromhex("00010000000901") + _REPLY,
    b"\x00" + bytes.fromhex("000100000003018302"),
    b"\x01" + bytes.fromhex("01030600014142f0005e1a"),
    b"\x01" + bytes.fromhex("018302c0f1"),
    b"\x02" + _IDENTITY,
    b"\x03" + _REPLY[2:],
)


def target(data: bytes) -> None:
    """The first byte says which decoder takes the rest; the second half of it comes later."""
    if not data:
        return
    _DECODERS[data[0] % len(_DECODERS)](data[1:])


def _tcp(data: bytes) -> None:
    framing = TcpFraming()
    framing.request(_UNIT, _READ)
    half = len(data) // 2
    try:
        for part in (data[:half], data[half:]):
            answer = framing.receive(part)
            if answer is not None:
                assert 2 <= len(answer) <= 253
                _decode(answer[2:])
    except Garbage:
        pass


def _rtu(data: bytes) -> None:
    framing = RtuFraming()
    framing.request(_UNIT, _READ)
    half = len(data) // 2
    try:
        for part in (data[:half], data[half:]):
            answer = framing.receive(part)
            if answer is not None:
                assert answer[0] in (0x03, 0x83)
                return
    except Garbage:
        pass


def _identification(data: bytes) -> None:
    said = Identification()
    if said.take(data):
        said.next_request()
    assert all(text.isprintable() for text in (said.identity.vendor, said.identity.product))


def _decode(data: bytes) -> None:
    """Only whole payloads are decoded: the client compares their size with the plan's."""
    if len(data) != _PROGRAM.payload_bytes:
        return
    assert len(_PROGRAM.row(data)) == 4
    texts, bad = _PROGRAM.text(data)
    assert all((text is None) == (index in bad) for index, text in enumerate(texts))


_DECODERS: Final = (_tcp, _rtu, _identification, _decode)
