"""What every driver must do, whatever its protocol (contracts/driver.py).

A driver joins by a `Peer` in tests/contract/peers: its simulator with the faults that the suite asks for.
Each group that a peer offers holds values that no other group holds, so that an answer to another question
is seen. Writing, subscriptions and reconnecting have files of their own beside this one.
"""

import asyncio
import re
from collections.abc import Awaitable

import pytest

from edge_agent.contracts.driver import Capability, Reading, Writing
from edge_agent.contracts.errors import NotConnected
from edge_agent.wire.quality import Quality, whole
from tests.contract.driver_bench import Bench, lost, until
from tests.contract.peers.contract import Peer


def test_planning_needs_no_peer(peer: Peer, bench: Bench) -> None:
    assert Capability.READ in bench.spec.capabilities
    writes = Capability.WRITE in bench.spec.capabilities
    assert writes == isinstance(bench.driver, Writing) == (bench.spec.target is not None)
    assert peer.requests() == 0
    for plan in bench.plans:
        assert plan.requests
        assert sum(request.tags for request in plan.requests) == len(plan.schema.tags)


async def test_reads_what_the_peer_holds(peer: Peer, bench: Bench) -> None:
    await bench.driver.connect()
    for index, plan in enumerate(bench.plans):
        reading = await bench.whole(plan)
        assert reading.row == peer.row(index)
        assert len(reading.row) == plan.schema.row_bytes
        assert not reading.quality
        assert not reading.unanswered


async def test_a_plan_costs_the_requests_it_says(peer: Peer, bench: Bench) -> None:
    """A subscription costs nothing more once it was made: reading it asks nobody and waits for nothing."""
    await bench.driver.connect()
    if peer.subscribes:
        await bench.whole(bench.plans[0])
        start = asyncio.get_running_loop().time()
        for _ in range(20):
            await bench.driver.read(bench.plans[0])
        assert asyncio.get_running_loop().time() - start < peer.timeout_seconds
        return
    before = peer.requests()
    await bench.driver.read(bench.plans[0])
    assert peer.requests() - before == len(bench.plans[0].requests)


async def test_without_a_link_there_is_no_reading(bench: Bench) -> None:
    with pytest.raises(NotConnected):
        await bench.driver.read(bench.plans[0])


async def test_a_peer_that_is_not_there_is_named(peer: Peer, bench: Bench) -> None:
    await peer.stop()
    with pytest.raises(NotConnected, match=re.escape(peer.address)):
        await bench.reach()


async def test_close_may_be_called_at_any_time(bench: Bench) -> None:
    await bench.driver.close()
    await bench.driver.connect()
    await bench.driver.close()
    await bench.driver.close()
    with pytest.raises(NotConnected):
        await bench.driver.read(bench.plans[0])


async def test_a_bad_tag_is_bad_alone(peer: Peer) -> None:
    """telegraf#8871, #13296: one bad node stops all."""
    bench = Bench(peer, [peer.bad_group()])
    plan = bench.plans[0]
    await bench.connect()
    for _ in range(3):
        reading = await bench.whole(plan)
        marks = [(run.first, run.count, run.quality, run.null) for run in reading.quality]
        assert marks == [(1, 1, Quality.BAD_CONFIG, True)]
        assert len(reading.row) == plan.schema.row_bytes
        start, end = plan.schema.edges[1:3]
        assert reading.row[start:end] == bytes(end - start)
        assert reading.row.replace(b"\0", b"")
        assert reading.errors
        assert not reading.unanswered
    peer.answer_again()
    await bench.connect()
    await bench.heal(plan)
    await bench.driver.close()


async def test_a_lost_link_is_reported_and_a_new_one_works(peer: Peer, bench: Bench) -> None:
    """node-red-contrib-s7#143, #147: crash, no reconnect."""
    await bench.driver.connect()
    await bench.driver.read(bench.plans[0])
    await peer.stop()
    if peer.subscribes:
        await lost(lambda: bench.driver.read(bench.plans[0]))
    with pytest.raises(NotConnected):
        await bench.driver.read(bench.plans[0])
    with pytest.raises(NotConnected):
        await bench.reach()
    await peer.start()
    reading = await bench.heal(bench.plans[0])
    assert reading.row == peer.row(0)


async def test_a_frozen_peer_is_unanswered_within_the_time_out(peer: Peer, bench: Bench) -> None:
    """Of a subscription: it is not said to live, and its first read ends (test_driver_subscriptions)."""
    await bench.driver.connect()
    if peer.subscribes:
        await bench.whole(bench.plans[0])
        peer.be_silent()
        await asyncio.sleep(peer.timeout_seconds)  # what was on its way arrives
        assert await bench.is_mute(bench.plans[0], 5 * peer.timeout_seconds)
        peer.answer_again()
        assert (await bench.heal(bench.plans[0])).row == peer.row(0)
        return
    peer.be_silent()
    before = peer.requests()
    start = asyncio.get_running_loop().time()
    reading = await bench.driver.read(bench.plans[0])
    taken = asyncio.get_running_loop().time() - start
    assert reading.unanswered
    assert reading.row == b""
    assert reading.quality == whole(len(bench.plans[0].schema.tags), Quality.BAD_COMM)
    assert peer.requests() - before == 1  # it is asked nothing more in this read
    assert peer.timeout_seconds <= taken < 10 * peer.timeout_seconds
    peer.answer_again()
    assert (await bench.heal(bench.plans[0])).row == peer.row(0)


async def test_a_half_open_link_is_given_up(peer: Peer, bench: Bench) -> None:
    """The peer is gone without a word: only a new connection helps, so the driver must ask for one.

    Where a peer has no connections that it could forget, its silence ends by itself.
    """
    await bench.driver.connect()
    await bench.driver.read(bench.plans[0])
    if peer.connects:
        peer.freeze_connections()
    else:
        peer.be_silent()
    if peer.subscribes:
        await asyncio.sleep(peer.timeout_seconds)
        assert await bench.is_mute(bench.plans[0], 5 * peer.timeout_seconds)
    else:
        await lost(lambda: bench.driver.read(bench.plans[0]))
    if not peer.connects:
        peer.answer_again()
    await bench.connect()
    assert (await bench.whole(bench.plans[0])).row == peer.row(0)


async def test_a_read_may_be_cancelled(peer: Peer, bench: Bench) -> None:
    await bench.driver.connect()
    if not peer.subscribes:  # there the first read alone waits for anything
        await bench.driver.read(bench.plans[1])
    peer.be_silent()
    before = peer.requests()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bench.driver.read(bench.plans[1]))
        await until(lambda: peer.requests() > before)
        task.cancel()
    peer.answer_again()
    assert (await bench.heal(bench.plans[0])).row == peer.row(0)


async def test_a_late_reply_never_becomes_another_value(peer: Peer, bench: Bench) -> None:
    """grid-x/modbus#78, benthos-umh PR#340: a late reply shifts all later ones until a restart."""
    await bench.connect()
    for _ in range(3):
        if peer.subscribes:  # the answer to what made it is late, and the next link has answers of its own
            await _make_in_vain(peer, bench)
            for index in (1, 0):
                assert (await bench.heal(bench.plans[index])).row == peer.row(index)
            continue
        peer.be_late_once()
        reading = await bench.driver.read(bench.plans[1])
        assert reading.unanswered
        for _ in range(4):  # the late reply arrives during these
            for index in (0, 1):
                assert (await bench.heal(bench.plans[index])).row == peer.row(index)
                await asyncio.sleep(peer.timeout_seconds / 4)


async def test_closing_ends_a_read_under_way(peer: Peer, bench: Bench) -> None:
    await bench.driver.connect()
    if not peer.subscribes:
        await bench.driver.read(bench.plans[0])
    peer.be_silent()
    before = peer.requests()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_swallow_not_connected(bench.driver.read(bench.plans[0])))
        await until(lambda: peer.requests() > before)
        await bench.driver.close()
    assert task.result() == "no link"


async def _swallow_not_connected(read: Awaitable[Reading]) -> str:
    try:
        await read
    except NotConnected:
        return "no link"
    return "a reading"


async def _make_in_vain(peer: Peer, bench: Bench) -> None:
    """Connects anew, and cancels the making of a subscription that nobody answers.

    Closed before: over a link that was merely lost, a server may go on with the subscription it has.
    """
    await bench.driver.close()
    await bench.connect()
    peer.be_silent()
    before = peer.requests()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bench.driver.read(bench.plans[0]))
        await until(lambda: peer.requests() > before)
        task.cancel()
    peer.answer_again()
