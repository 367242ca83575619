"""Whatever a line brings, in whatever pieces: the reply is found, and nothing else is taken for it."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.drivers.modbus.framing import rtu_framer
from edge_agent.drivers.modbus.serial_framing import SerialFraming
from edge_agent.drivers.modbus.timing import reply_data_bytes

UNITS = st.integers(1, 247)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    function = draw(st.integers(1, 4))
    count = draw(st.integers(1, 2000 if function < 3 else 125))
    return bytes((function,)) + draw(st.integers(0, 65_535)).to_bytes(2) + count.to_bytes(2)


def frame(unit: int, pdu: bytes) -> bytes:
    framed: bytes = rtu_framer().encode(pdu, unit, 0)
    return framed


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


@given(UNITS, requests(), st.binary(max_size=300), st.lists(st.integers(0, 1000), max_size=5), st.data())
def test_a_reply_is_found_behind_any_noise(
    unit: int, request: bytes, noise: bytes, cuts: list[int], data: st.DataObject
) -> None:
    size = reply_data_bytes(request)
    assert size is not None
    reply = bytes((request[0], size)) + data.draw(st.binary(min_size=size, max_size=size))
    framing = SerialFraming()
    framing.request(unit, request)
    found = [
        pdu
        for piece in pieces(noise + frame(unit, reply), cuts)
        if (pdu := framing.receive(piece)) is not None
    ]
    assert found == [reply]


@given(UNITS, requests(), st.binary(max_size=2000), st.lists(st.integers(0, 3000), max_size=5))
def test_noise_alone_is_no_reply(unit: int, request: bytes, noise: bytes, cuts: list[int]) -> None:
    """But for a checksum that is right by chance, one in 65,536 where unit and function are right too."""
    framing = SerialFraming()
    framing.request(unit, request)
    for piece in pieces(noise, cuts):
        pdu = framing.receive(piece)
        assert pdu is None or frame(unit, pdu) in noise


@given(UNITS, UNITS, requests(), requests())
def test_the_reply_of_another_or_to_another_request_is_none(
    unit: int, other: int, request: bytes, late: bytes
) -> None:
    size = reply_data_bytes(late)
    assert size is not None
    framing = SerialFraming()
    framing.request(unit, request)
    reply = bytes((late[0], size)) + bytes(size)
    alike = (unit, request[0], reply_data_bytes(request)) == (other, late[0], size)
    assert (framing.receive(frame(other, reply)) == reply) is alike
