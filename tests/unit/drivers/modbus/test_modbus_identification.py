"""What stations say about themselves, and what of it is believed."""

import pytest

from edge_agent.contracts.driver import Identity
from edge_agent.drivers.modbus.identification import Identification


def reply(*objects: tuple[int, bytes], more: int = 0, following: int = 0) -> bytes:
    body = b"".join(bytes((number, len(value))) + value for number, value in objects)
    return bytes((0x2B, 0x0E, 1, 1, more, following, len(objects))) + body


def test_one_reply_may_say_everything() -> None:
    said = Identification()
    assert said.next_request() == bytes.fromhex("2b0e0100")
    assert said.take(reply((0, b"ACME"), (1, b"P-7"), (2, b"2.10")))
    assert said.next_request() is None
    assert said.identity == Identity("ACME", "P-7", "2.10")


def test_a_long_story_takes_several_requests() -> None:
    said = Identification()
    assert said.take(reply((0, b"ACME"), more=0xFF, following=1))
    assert said.next_request() == bytes.fromhex("2b0e0101")
    assert said.take(reply((1, b"P-7"), (2, b"2.10")))
    assert said.next_request() is None
    assert said.identity == Identity("ACME", "P-7", "2.10")


def test_texts_are_made_fit_to_show() -> None:
    said = Identification()
    assert said.take(reply((0, b" A\x00C\x1b[31mME\xff  "), (1, b"x" * 200)))
    assert said.identity.vendor == "AC[31mMEÿ"
    assert said.identity.product == "x" * 100


@pytest.mark.parametrize(
    "pdu",
    [
        pytest.param(b"\xab\x01", id="an exception"),
        pytest.param(b"", id="nothing"),
        pytest.param(reply((0, b"ACME"))[:-1], id="cut within a value"),
        pytest.param(reply((0, b""))[:-1], id="cut within an object's head"),
        pytest.param(b"\x2b\x0d" + reply((0, b"ACME"))[2:], id="another interface"),
    ],
)
def test_what_cannot_be_read_ends_it(pdu: bytes) -> None:
    assert not Identification().take(pdu)
