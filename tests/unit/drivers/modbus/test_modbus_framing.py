"""Finding the one reply that belongs to a request."""

import pytest

from edge_agent.drivers.links import Garbage
from edge_agent.drivers.modbus.framing import RtuFraming, TcpFraming

READ = bytes((3, 0, 10, 0, 1))
REPLY = bytes((3, 2, 0x12, 0x34))


def tcp_reply(request: bytes, pdu: bytes = REPLY) -> bytes:
    return request[:4] + (len(pdu) + 1).to_bytes(2) + request[6:7] + pdu


def test_a_tcp_request_has_its_header() -> None:
    assert TcpFraming().request(7, READ) == bytes.fromhex("0001 0000 0006 07 03 000a 0001")


def test_an_rtu_request_has_its_checksum() -> None:
    assert RtuFraming().request(7, READ) == bytes.fromhex("07 03 000a 0001 a46e")


def test_transaction_ids_wrap_around_and_are_never_0() -> None:
    framing = TcpFraming()
    seen = {framing.request(1, READ)[:2] for _ in range(65_535)}
    assert len(seen) == 65_535
    assert b"\0\0" not in seen
    assert framing.request(1, READ)[:2] == b"\0\x01"


def test_an_old_reply_before_the_awaited_one_is_skipped() -> None:
    framing = TcpFraming()
    old = framing.request(1, READ)
    assert framing.abandon()
    new = framing.request(1, READ)
    assert framing.receive(tcp_reply(old, bytes((3, 2, 0, 0))) + tcp_reply(new)) == REPLY


def test_half_a_reply_makes_an_abandoned_stream_useless() -> None:
    framing = TcpFraming()
    request = framing.request(1, READ)
    assert framing.receive(tcp_reply(request)[:8]) is None
    assert not framing.abandon()


def test_without_transaction_ids_only_the_order_counts() -> None:
    framing = TcpFraming(names_replies=False)
    request = framing.request(1, READ)
    assert framing.receive(b"\xff\xff" + tcp_reply(request)[2:]) == REPLY
    with pytest.raises(Garbage, match="nobody asked for"):
        framing.receive(tcp_reply(request))
    framing.request(1, READ)
    assert not framing.abandon()


@pytest.mark.parametrize(
    "header",
    ["0001 0001 0005 01", "0001 0000 0002 01", "0001 0000 00ff 01", "0001 0000 0000 01"],
)
def test_what_is_no_header_is_garbage(header: str) -> None:
    framing = TcpFraming()
    framing.request(1, READ)
    with pytest.raises(Garbage, match="not Modbus TCP"):
        framing.receive(bytes.fromhex(header))


def test_an_rtu_exception_is_short() -> None:
    framing = RtuFraming()
    framing.request(1, READ)
    assert framing.receive(bytes.fromhex("01 83 02 c0f1")) == bytes((0x83, 2))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("02 03 02 1234 0000", "unit 2 instead of 1"),
        ("01 04 02 1234 0000", "function 4 instead of 3"),
        ("01 03 02 1234 0000", "wrong checksum"),
        ("01 03 02 1234 b533 00", "bytes follow the reply"),
    ],
)
def test_what_is_no_rtu_reply_is_garbage(reply: str, error: str) -> None:
    framing = RtuFraming()
    framing.request(1, READ)
    with pytest.raises(Garbage, match=error):
        framing.receive(bytes.fromhex(reply))
