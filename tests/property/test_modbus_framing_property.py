"""Whatever bytes come, a reply is the awaited one or none."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.drivers.links import Garbage
from edge_agent.drivers.modbus.framing import Framing, RtuFraming, TcpFraming

READ = bytes((3, 0, 10, 0, 2))
CHUNKS = st.lists(st.binary(min_size=1, max_size=40), max_size=12)
NEAR_HEADER = st.builds(
    lambda tid, pid, length, unit, rest: tid.to_bytes(2) + pid.to_bytes(2) + length.to_bytes(2) + unit + rest,
    st.integers(0, 3),
    st.integers(0, 1),
    st.integers(0, 12),
    st.binary(min_size=1, max_size=1),
    st.binary(max_size=12),
)


def fed(framing: Framing, chunks: list[bytes]) -> list[bytes]:
    answers: list[bytes] = []
    for chunk in chunks:
        try:
            answer = framing.receive(chunk)
        except Garbage:
            break  # the link would be dropped
        if answer is not None:
            answers.append(answer)
    return answers


@settings(max_examples=300)
@given(st.lists(NEAR_HEADER, max_size=8))
def test_a_tcp_answer_carries_its_request(chunks: list[bytes]) -> None:
    framing = TcpFraming()
    framing.request(1, READ)
    framing.abandon()
    request = framing.request(1, READ)
    answers = fed(framing, chunks)
    assert len(answers) <= 1
    for answer in answers:
        frame = request[:4] + (len(answer) + 1).to_bytes(2) + request[6:7] + answer
        assert frame in b"".join(chunks)


@settings(max_examples=300)
@given(CHUNKS)
def test_an_rtu_answer_comes_from_the_unit_and_function_asked(chunks: list[bytes]) -> None:
    framing = RtuFraming()
    framing.request(1, READ)
    for answer in fed(framing, chunks):
        assert answer[0] & 0x7F == 3
        assert b"".join(chunks).startswith(b"\x01" + answer)


@settings(max_examples=100)
@given(st.lists(st.integers(1, 20), max_size=20))
def test_pieces_make_no_difference(cuts: list[int]) -> None:
    for framing in (TcpFraming(), RtuFraming()):
        request = framing.request(1, READ)
        pdu = bytes((3, 4, 1, 2, 3, 4))
        if isinstance(framing, TcpFraming):
            stream = request[:4] + (len(pdu) + 1).to_bytes(2) + b"\x01" + pdu
        else:
            stream = bytes.fromhex("0103040102 0304 5b3c")
        pieces: list[bytes] = []
        for cut in cuts:
            pieces.append(stream[:cut])
            stream = stream[cut:]
        assert fed(framing, [piece for piece in [*pieces, stream] if piece]) == [pdu]
