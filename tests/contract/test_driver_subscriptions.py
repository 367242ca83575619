"""What every driver that subscribes must do, and source times of all (contracts/driver.py)."""

import asyncio

import pytest

from edge_agent.contracts.driver import Part, Reading, Subscribing
from edge_agent.wire.values import elements
from tests.contract.driver_bench import SERVED_WITHIN_SECONDS, Bench
from tests.contract.peers import SUBSCRIBING
from tests.contract.peers.contract import Peer


async def test_source_times_are_those_of_the_peer_or_none(peer: Peer, bench: Bench) -> None:
    await bench.connect()
    for index, plan in enumerate(bench.plans):
        found: dict[int, int] = {}
        async with asyncio.timeout(SERVED_WITHIN_SECONDS):
            while True:
                reading = await bench.driver.read(plan)
                for part in [reading] if reading.news is None else reading.news:
                    found |= _times(part)
                if reading.news is None or len(found) == plan.schema.tag_count or not peer.source_times:
                    break
                await asyncio.sleep(0.005)
        if peer.source_times:
            assert set(found) == set(range(plan.schema.tag_count))
            assert set(found.values()) == {peer.source_ms(index)}
        else:
            assert not found


@pytest.mark.parametrize("peer", SUBSCRIBING, indirect=True)
async def test_changes_come_in_order_and_each_once(peer: Peer, bench: Bench) -> None:
    plan = bench.plans[0]
    tag = plan.schema.tags[0]
    await bench.connect()
    await bench.whole(plan)
    wanted = list(range(101, 131))
    came: list[float] = []
    peer.change(wanted)
    async with asyncio.timeout(SERVED_WITHIN_SECONDS):
        while len(came) < len(wanted):
            reading = await bench.driver.read(plan)
            assert reading.lost == ()
            for part in reading.news or ():
                if part.tags[0]:
                    came += elements(tag.type, tag.order, part.row[: tag.row_bytes])
            await asyncio.sleep(0.005)
    assert came == wanted
    assert not (await bench.driver.read(plan)).news


@pytest.mark.parametrize("peer", SUBSCRIBING, indirect=True)
async def test_what_came_and_nobody_read_is_left_over_for_a_stop(peer: Peer, bench: Bench) -> None:
    """The peer was told that it was taken: it does not send it again."""
    plan = bench.plans[0]
    tag = plan.schema.tags[0]
    await bench.connect()
    await bench.whole(plan)
    assert isinstance(bench.driver, Subscribing)
    came: list[float] = []
    peer.change([101, 102, 103])
    async with asyncio.timeout(SERVED_WITHIN_SECONDS):
        while len(came) < 3:
            reading = bench.driver.left_over(plan)
            for part in () if reading is None else reading.news or ():
                if part.tags[0]:
                    came += elements(tag.type, tag.order, part.row[: tag.row_bytes])
            await asyncio.sleep(0.005)
    assert came == [101, 102, 103]
    await bench.driver.close()
    after = bench.driver.left_over(plan)
    assert after is None or not any(part.row for part in after.news or ())


@pytest.mark.parametrize("peer", SUBSCRIBING, indirect=True)
async def test_a_dead_subscription_on_a_live_link_is_not_said_to_live(peer: Peer, bench: Bench) -> None:
    """opcua-asyncio#1372, Telegraf #9411: the session goes on, and its subscription is gone for ever."""
    plan = bench.plans[0]
    await bench.connect()
    await bench.whole(plan)
    await bench.lives(plan)
    peer.kill_subscriptions()
    await asyncio.sleep(peer.timeout_seconds)
    assert await bench.is_mute(plan, 5 * peer.timeout_seconds)
    await bench.driver.close()
    await bench.connect()
    assert (await bench.whole(plan)).row == peer.row(0)


def _times(part: Part | Reading) -> dict[int, int]:
    return {run.first + n: run.time_ms for run in part.source for n in range(run.count)}
