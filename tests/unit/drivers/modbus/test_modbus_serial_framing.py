"""Finding the reply on a serial line among noise, echoes and what others say."""

import pytest

from edge_agent.drivers.modbus.framing import rtu_framer
from edge_agent.drivers.modbus.serial_framing import SerialFraming

READ_TWO = bytes.fromhex("0300640002")
REPLY = bytes.fromhex("030400070008")


def frame(unit: int, pdu: bytes) -> bytes:
    framed: bytes = rtu_framer().encode(pdu, unit, 0)
    return framed


@pytest.fixture
def framing() -> SerialFraming:
    made = SerialFraming()
    assert made.request(7, READ_TWO) == frame(7, READ_TWO)
    return made


def test_a_reply_is_taken_once_it_is_whole(framing: SerialFraming) -> None:
    data = frame(7, REPLY)
    for byte in data[:-1]:
        assert framing.receive(bytes((byte,))) is None
    assert framing.receive(data[-1:]) == REPLY


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(b"\0", id="a NUL of the line's switching"),
        pytest.param(b"\xff\x00\x07\x03\x04", id="noise that begins like the reply"),
        pytest.param(frame(7, READ_TWO), id="the echo of the request"),
        pytest.param(frame(9, REPLY), id="a late reply of another unit"),
        pytest.param(frame(7, bytes.fromhex("03020007")), id="a late reply to a shorter request"),
        pytest.param(frame(7, bytes.fromhex("040400010002")), id="a late reply to another function"),
        pytest.param(frame(7, REPLY)[:-1] + b"\0", id="a damaged reply"),
        pytest.param(bytes(5000), id="a line that babbles"),
    ],
)
def test_what_comes_before_the_reply_is_passed_over(framing: SerialFraming, before: bytes) -> None:
    assert framing.receive(before) is None
    assert framing.discarded
    assert framing.receive(frame(7, REPLY)) == REPLY


def test_the_reply_is_found_within_one_piece(framing: SerialFraming) -> None:
    assert framing.receive(b"\x07\x83" + frame(9, REPLY) + frame(7, REPLY) + b"\xff") == REPLY


@pytest.mark.parametrize("function", [1, 2])
def test_an_echo_that_looks_like_the_reply_is_passed_over(function: int) -> None:
    framing = SerialFraming()
    request = framing.request(1, bytes((function,)) + bytes.fromhex("03000014"))
    reply = bytes((function,)) + bytes.fromhex("03ffffff")
    for byte in request:
        assert framing.receive(bytes((byte,))) is None
    assert framing.receive(frame(1, reply)) == reply
    framing.request(1, request[1:-2])
    assert framing.receive(request + frame(1, reply)) == reply, "in one piece, too"


def test_a_reply_equal_to_its_request_is_known_by_the_echo_before_it() -> None:
    framing = SerialFraming()
    request = framing.request(1, bytes.fromhex("0103000014"))
    assert framing.receive(request) is None
    assert framing.receive(request) == request[1:-2]


def test_an_exception_is_a_reply(framing: SerialFraming) -> None:
    assert framing.receive(frame(7, b"\x83\x02")) == b"\x83\x02"


def test_a_reply_that_nobody_awaits_is_none(framing: SerialFraming) -> None:
    assert framing.abandon()
    assert framing.receive(frame(7, REPLY)) is None
    framing.request(7, READ_TWO)
    assert framing.receive(frame(7, REPLY)[3:]) is None
    assert framing.receive(frame(7, REPLY)) == REPLY
    assert framing.receive(frame(7, REPLY)) is None


def test_an_identification_ends_where_its_objects_do() -> None:
    framing = SerialFraming()
    framing.request(7, bytes.fromhex("2b0e0100"))
    reply = bytes.fromhex("2b0e0101000002") + b"\0\x04ACME" + b"\1\x02P1"
    assert framing.receive(frame(7, reply)[:-3]) is None
    assert framing.receive(frame(7, reply)[-3:]) == reply
