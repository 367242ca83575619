"""Replies that are late, repeated, cut short or somebody else's never become values."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from edge_agent.contracts.errors import NotConnected, WriteUnknown
from edge_agent.drivers.modbus.write import target as target_of
from edge_agent.wire.quality import Quality, whole
from tests.contract.modbus_peer import (
    CLOSE,
    FRAMINGS,
    Bench,
    RawPeer,
    Sends,
    connection_to,
    registers,
    silent,
)


@pytest.fixture(params=FRAMINGS)
def framing(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def bench(framing: str) -> AsyncIterator[Bench]:
    peer = RawPeer(framing)
    await peer.start()
    made = Bench(peer)
    await made.driver.connect()
    yield made
    await made.driver.close()
    await peer.stop()


tcp_only = pytest.mark.parametrize("framing", ["tcp"])
rtu_only = pytest.mark.parametrize("framing", ["rtu_over_tcp"])


async def test_a_late_reply_does_not_shift_the_later_ones(bench: Bench) -> None:
    """grid-x/modbus#78, benthos-umh PR#340: later transaction ids were shifted until a restart."""
    peer = bench.peer
    peer.scripts.append(silent)
    reading = await bench.read(bench.low)
    assert reading.unanswered
    unanswered = peer.requests[-1]
    peer.scripts.append(lambda request: [peer.honest_frame(unanswered), peer.honest_frame(request)])
    try:
        reading = await bench.read_once(bench.high)
    except NotConnected:
        assert not peer.names_replies  # nothing tells replies apart: the link was given up
        peer.scripts.clear()
    else:
        assert reading.row == registers(range(500, 510))
    await bench.check_both()


async def test_a_repeated_reply_is_used_once(bench: Bench) -> None:
    peer = bench.peer
    for _ in range(3):
        peer.scripts.append(lambda request: [peer.honest_frame(request)] * 2)
        await bench.read(bench.low)
        await bench.check_both()


async def test_a_reply_in_pieces_is_put_together(bench: Bench) -> None:
    peer = bench.peer
    peer.always = lambda request: [bytes((byte,)) for byte in peer.honest_frame(request)]
    await bench.check_both()


async def test_a_truncated_reply_is_not_completed_by_the_next_one(bench: Bench) -> None:
    peer = bench.peer
    for cut in (1, 5, 6, 7, 8, 9, 12, 20):
        peer.scripts.append(peer.cut_short(cut))
        reading = await bench.read(bench.low)
        assert reading.unanswered
        assert reading.quality == whole(10, Quality.BAD_COMM)
        await bench.check_both()


async def test_a_link_cut_within_a_reply_is_lost(bench: Bench) -> None:
    peer = bench.peer
    peer.scripts.append(lambda request: [peer.honest_frame(request)[:9], CLOSE])
    with pytest.raises(NotConnected, match="the peer closed the connection"):
        await bench.read_once(bench.low)
    await bench.check_both()


async def test_a_reply_of_another_unit_is_not_used(bench: Bench) -> None:
    peer = bench.peer
    peer.scripts.append(lambda request: [peer.frame(request, peer.answer(request, shift=7), unit=9)])
    reading = await bench.read_once(bench.low)
    assert reading.unanswered
    assert "a reply of unit 9 instead of 1" in str(reading.errors)
    await bench.check_both()


@pytest.mark.writes
async def test_the_answer_to_another_write_is_no_yes_and_its_own_is_not_taken_for_the_next_one_s(
    bench: Bench,
) -> None:
    peer = bench.peer
    connection = connection_to(peer, [7])
    [group] = connection.groups
    target = target_of(connection, group, group.tags[0])
    late = bytes.fromhex("0600080001")  # of register 8
    own = bytes.fromhex("0600070005")
    peer.scripts.append(lambda request: [peer.frame(request, late)])
    with pytest.raises(WriteUnknown, match="does not repeat"):
        await bench.driver.write(target, 5)
    peer.scripts.append(lambda request: [peer.frame(request, own)])
    if peer.names_replies:
        await bench.driver.write(target, 5)
    else:
        with pytest.raises(NotConnected):
            await bench.driver.write(target, 5)
        peer.scripts.clear()
    await bench.check_both()


@tcp_only
@pytest.mark.parametrize("skew", [-1, 1, 1000])
async def test_a_wrong_transaction_id_is_not_used(bench: Bench, skew: int) -> None:
    peer = bench.peer
    peer.scripts.append(lambda request: [peer.frame(request, peer.answer(request, shift=7), skew=skew)])
    reading = await bench.read_once(bench.low)
    assert reading.unanswered
    assert "a reply to transaction" in str(reading.errors)
    await bench.check_both()


@tcp_only
async def test_a_transaction_id_of_0_is_not_taken_for_the_right_one(bench: Bench) -> None:
    """pymodbus takes it."""
    peer = bench.peer
    peer.scripts.append(lambda request: [b"\0\0" + peer.frame(request, peer.answer(request, shift=7))[2:]])
    assert (await bench.read_once(bench.low)).unanswered
    await bench.check_both()


@tcp_only
async def test_the_right_reply_after_a_wrong_one_is_used(bench: Bench) -> None:
    peer = bench.peer
    peer.scripts.append(
        lambda request: [
            peer.frame(request, peer.answer(request, shift=7), skew=-1),
            peer.frame(request, peer.answer(request, shift=9), unit=9),
            peer.honest_frame(request),
        ]
    )
    assert (await bench.read_once(bench.low)).row == registers(range(10))


async def test_a_wrong_byte_count_is_not_used(bench: Bench) -> None:
    peer = bench.peer
    for change in (-2, -1, 1, 2):

        def script(request: bytes, change: int = change) -> Sends:
            pdu = peer.answer(request) + b"\0\0"
            count = pdu[1] + change
            return [peer.frame(request, bytes((pdu[0], count)) + pdu[2 : 2 + count])]

        peer.scripts.append(script)
        reading = await bench.read(bench.low)
        assert reading.row == b""
        quality = Quality.BAD_DEVICE if peer.names_replies else Quality.BAD_COMM
        assert reading.quality == whole(10, quality)
        assert "bytes" in str(reading.errors)
        await bench.check_both()


async def test_a_count_that_contradicts_the_length_is_not_used(bench: Bench) -> None:
    peer = bench.peer
    peer.scripts.append(lambda request: [peer.frame(request, peer.answer(request)[:-2])])
    reading = await bench.read(bench.low)
    assert reading.row == b""
    await bench.check_both()


async def test_a_reply_to_another_function_is_not_used(bench: Bench) -> None:
    """pymodbus takes it."""
    peer = bench.peer
    peer.scripts.append(lambda request: [peer.frame(request, b"\x04" + peer.answer(request)[1:])])
    reading = await bench.read(bench.low)
    assert reading.row == b""
    assert "function 4 instead of 3" in str(reading.errors)
    await bench.check_both()


@rtu_only
async def test_a_wrong_checksum_is_not_used(bench: Bench) -> None:
    peer = bench.peer
    peer.scripts.append(lambda request: [peer.honest_frame(request)[:-1] + b"\xee"])
    reading = await bench.read_once(bench.low)
    assert reading.unanswered
    assert "wrong checksum" in str(reading.errors)
    with pytest.raises(NotConnected):
        await bench.read_once(bench.low)
    await bench.check_both()


@pytest.mark.parametrize("noise", [b"\xff" * 20, b"GET / HTTP/1.1\r\n\r\n", bytes(64)])
async def test_noise_makes_the_link_useless_and_no_values(bench: Bench, noise: bytes) -> None:
    peer = bench.peer
    peer.scripts.append(lambda _request: [noise])
    reading = await bench.read_once(bench.low)
    assert reading.unanswered
    assert reading.row == b""
    with pytest.raises(NotConnected):
        await bench.read_once(bench.low)
    await bench.check_both()


async def test_bytes_that_nobody_asked_for_are_not_the_next_answer(bench: Bench) -> None:
    peer = bench.peer
    await bench.read_once(bench.low)
    stale = peer.frame(peer.requests[-1], peer.answer(peer.requests[-1], shift=7))
    peer.send(stale)
    await asyncio.sleep(0.02)  # until it is there, between two requests; nothing observable marks it
    await bench.check_both()
