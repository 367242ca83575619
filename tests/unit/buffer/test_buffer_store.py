"""Committing: nothing is lost by an error or a cancellation, and the medium is spared."""

import asyncio
import random
import sqlite3
from contextlib import closing

import pytest

from edge_agent.buffer import store as stores
from edge_agent.buffer.errors import NotStored
from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame
from tests.unit.buffer.life import ALL_BYTES, WHOLE, Agent, Life, frame, schema

FAST = schema()
LARGE = schema(group="large", tags=10_000)


async def full(agent: Agent, pages: int = 1) -> None:
    """From now on the database takes no more pages: SQLITE_FULL, as on a full disk."""
    await agent.store._writer.write(lambda db: db.execute(f"PRAGMA max_page_count={pages}").fetchone())


async def roomy(agent: Agent) -> None:
    await full(agent, 1_000_000)


def large(agent: Agent, n: int) -> None:
    """A frame that no free page can hold."""
    row = random.Random(n).randbytes(20_000)
    agent.store.memory.announce([LARGE])
    agent.store.append(LARGE, Frame(n, n, n, row, 10_000))


async def test_a_flush_is_one_batch_and_one_commit(life: Life) -> None:
    agent = await life.start()
    slow = schema(group="slow")
    await agent.put(FAST, 1, 2)
    await agent.put(slow, 1)
    agent.store.record(Kind.CLOCK, {"why": "start"})
    await agent.store.flush()
    contents = await life.contents()
    assert len(contents.batches) == 1
    assert contents.frames() == {
        ("r001", "press1", "fast", 1): 1,
        ("r001", "press1", "fast", 2): 1,
        ("r001", "press1", "slow", 1): 1,
    }
    assert contents.batches[0].batch.records(Kind.CLOCK) == [{"why": "start"}]
    assert agent.store.report().commits == 2  # the start's own, and this
    assert agent.store.stored_samples == sum(batch.samples for batch in contents.batches)
    await agent.stop()


async def test_an_empty_flush_writes_nothing(life: Life) -> None:
    agent = await life.start()
    before = agent.store.commits
    await agent.store.flush()
    assert agent.store.commits == before
    await agent.stop()


async def test_a_failed_commit_loses_nothing_and_the_next_one_stores_it_in_order(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await full(agent)
    await agent.put(FAST, 2)
    large(agent, 1)
    with pytest.raises(NotStored, match="full"):
        await agent.store.flush()
    await agent.put(FAST, 3)
    with pytest.raises(NotStored):
        await agent.store.flush()
    assert agent.store.report().uncommitted_frames == 3
    assert agent.outbox.head(1).next == 2
    await roomy(agent)
    await agent.store.flush()
    assert agent.store.report().uncommitted_frames == 0
    assert len(life.segments()) == 1
    await agent.stop()
    assert (await life.contents()).frames() == {
        ("r001", "press1", "fast", 1): 1,
        ("r001", "press1", "fast", 2): 1,
        ("r001", "press1", "fast", 3): 1,
        ("r001", "press1", "large", 1): 1,
    }


async def test_frames_of_failed_commits_survive_a_kill(life: Life) -> None:
    agent = await life.start()
    await full(agent)
    for n in (1, 2):
        large(agent, n)
        with pytest.raises(NotStored):
            await agent.store.flush()
    large(agent, 3)
    await agent.kill()
    agent = await life.start()
    assert agent.store.recovered_frames == 3
    assert agent.store.recovered_losses == []
    await agent.stop()
    assert (await life.contents()).frames() == {("r001", "press1", "large", n): 1 for n in (1, 2, 3)}


async def test_a_schema_needs_no_commit_and_no_room_to_be_announced(life: Life) -> None:
    agent = await life.start()
    await full(agent)
    await agent.store.announce([FAST])
    agent.store.append(FAST, frame(1))
    assert await agent.outbox.schema(FAST.hash) is None
    await agent.kill()
    agent = await life.start()
    assert await agent.outbox.schema(FAST.hash) == FAST.canonical
    assert (await life.contents()).frames() == {("r001", "press1", "fast", 1): 1}
    await agent.stop()


async def test_a_flush_that_is_cancelled_ends_first_and_memory_knows_it(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await agent.put(FAST, 2)
    with closing(await asyncio.to_thread(_locked, life)) as other:
        flush = asyncio.create_task(agent.store.flush())
        while agent.store.memory._taken is None:
            await asyncio.sleep(0)
        flush.cancel()
        await asyncio.sleep(0)
        flush.cancel()
        await asyncio.to_thread(other.rollback)
        with pytest.raises(asyncio.CancelledError):
            await flush
    assert agent.outbox.head(1).next == 3
    assert agent.store.report().uncommitted_frames == 0
    await agent.commit(FAST, 3)
    await agent.stop()
    assert (await life.contents()).frames() == {("r001", "press1", "fast", n): 1 for n in (1, 2, 3)}


def _locked(life: Life) -> sqlite3.Connection:
    """The database in somebody else's transaction."""
    db = sqlite3.connect(life.database, check_same_thread=False, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    return db


async def test_frames_that_come_while_a_commit_runs_are_in_the_next_one(life: Life) -> None:
    agent = await life.start()
    await agent.put(FAST, 1)
    with closing(await asyncio.to_thread(_locked, life)) as other:
        flush = asyncio.create_task(agent.store.flush())
        while agent.store.memory._taken is None:
            await asyncio.sleep(0)
        await agent.put(FAST, 2)
        await asyncio.to_thread(other.rollback)
        await flush
    assert agent.store.report().uncommitted_frames == 1
    await agent.kill()
    agent = await life.start()
    assert agent.store.recovered_frames == 1
    await agent.stop()
    assert (await life.contents()).frames() == {("r001", "press1", "fast", n): 1 for n in (1, 2)}


async def test_flushes_come_at_the_interval(life: Life) -> None:
    agent = await life.start(flush_seconds=2.0)
    task = asyncio.create_task(agent.store.run_flushes())
    await agent.put(FAST, 1)
    await life.clock.advance(1.9)
    assert agent.outbox.head(1).next == 1
    await life.clock.advance(0.2)
    await agent.outbox.wait_for_commit(0)
    assert agent.outbox.head(1).next == 2
    task.cancel()
    await asyncio.wait([task])
    await agent.stop()


@pytest.mark.parametrize(
    ("commit", "configured", "effective"),
    [(0.01, 1.0, 1.0), (0.1, 1.0, 2.0), (3.0, 1.0, 10.0), (3.0, 60.0, 60.0), (0.0, 0.05, 0.05)],
)
async def test_a_slow_medium_stretches_the_interval(
    life: Life, commit: float, configured: float, effective: float
) -> None:
    agent = await life.start(flush_seconds=configured)
    agent.store._commit_seconds = commit
    assert agent.store.flush_seconds == effective
    await agent.stop()


async def test_acknowledgements_ride_in_a_later_flush(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    agent.outbox.acknowledge(1, [(1, 1)])
    before = agent.store.commits
    await agent.store.flush()
    assert agent.store.commits == before
    await life.clock.advance(stores.SETTLE_SECONDS)
    await agent.commit(FAST, 2)
    assert agent.store.commits == before + 1
    await agent.kill()
    agent = await life.start()
    assert agent.held() == {1: [(2, 2)]}
    await agent.stop()


async def test_acknowledgements_are_saved_after_so_many_flushes_at_the_latest(life: Life) -> None:
    agent = await life.start()
    for n in range(1, stores.SETTLE_FLUSHES + 1):
        await agent.commit(FAST, n)
        agent.outbox.acknowledge(1, [(n, n)])
    await agent.kill()
    agent = await life.start()
    # The flush that saves them was taken before the last acknowledgement.
    assert agent.held() == {1: [(stores.SETTLE_FLUSHES, stores.SETTLE_FLUSHES)]}
    await agent.stop()


async def test_an_acknowledgement_that_comes_while_a_settling_commit_runs_is_saved_by_the_next(
    life: Life,
) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await agent.commit(FAST, 2)
    agent.outbox.acknowledge(1, [(1, 1)])
    with closing(await asyncio.to_thread(_locked, life)) as other:
        flush = asyncio.create_task(agent.store.flush(settle=True))
        while agent.store.memory._taken is None:
            await asyncio.sleep(0)
        agent.outbox.acknowledge(1, [(2, 2)])
        await asyncio.to_thread(other.rollback)
        await flush
    await life.clock.advance(stores.SETTLE_SECONDS)
    await agent.store.flush()
    await agent.kill()
    agent = await life.start()
    assert agent.held() == {}
    await agent.stop()


async def test_delivered_batches_go_when_they_are_old_and_others_stay(life: Life) -> None:
    agent = await life.start(retain_seconds=3600)
    for n in range(1, 11):
        await agent.commit(FAST, n)
    agent.outbox.acknowledge(1, [(1, 3), (5, 10)])
    await agent.store.flush(settle=True)
    assert len((await life.contents()).batches) == 10
    await life.clock.advance(3700)
    await agent.store.flush(settle=True)
    # The newest stays too: its name must not be given away again.
    assert [stored.seq for stored in (await life.contents()).batches] == [4, 10]
    assert agent.held() == {1: [(4, 4)]}
    await agent.stop()
    agent = await life.start()
    await agent.commit(FAST, 11)
    assert agent.outbox.head(1).next == 12
    await agent.stop()


async def test_delivered_batches_take_at_most_a_quarter_of_the_quota(life: Life) -> None:
    agent = await life.start(max_bytes=8_000)
    for n in range(1, 41):
        await agent.commit(FAST, n)
    agent.outbox.acknowledge(1, [(1, 30)])
    await agent.store.flush(settle=True)
    stored = (await life.contents()).batches
    delivered = sum(each.nbytes for each in stored if each.seq <= 30)
    assert 2_000 - 200 <= delivered <= 2_000
    assert [each.seq for each in stored][-10:] == list(range(31, 41))
    assert agent.store.state.totals.stored_bytes == sum(each.nbytes for each in stored)
    await agent.stop()


async def test_a_prune_goes_on_with_the_next_flush_where_one_was_not_enough(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.buffer.rows._PRUNED_BATCHES", 4)
    agent = await life.start(retain_seconds=0)
    for n in range(1, 12):
        await agent.commit(FAST, n)
    agent.outbox.acknowledge(1, [(1, 11)])
    await life.clock.advance(3600)
    await agent.store.flush(settle=True)
    assert [stored.seq for stored in (await life.contents()).batches] == list(range(5, 12))
    await agent.store.flush()
    assert [stored.seq for stored in (await life.contents()).batches] == [9, 10, 11]
    await agent.store.flush()
    assert [stored.seq for stored in (await life.contents()).batches] == [11]
    before = agent.store.commits
    await agent.store.flush()
    assert agent.store.commits == before
    await agent.stop()


async def test_the_sums_are_those_of_a_recount_whatever_happened(life: Life) -> None:
    agent = await life.start(retain_seconds=0)
    for n in range(1, 21):
        await agent.commit(FAST, n)
    await agent.outbox.fetch(1, [(1, 5)], ALL_BYTES)
    agent.outbox.acknowledge(1, [(1, 8)])  # 6 to 8 were never fetched: their sizes are not known
    await agent.outbox.reject(1, 9, "bad")
    await life.clock.advance(100)
    await agent.store.flush(settle=True)
    await _recount(agent, life)
    await agent.kill()
    agent = await life.start()
    await _recount(agent, life)
    await agent.stop()


async def _recount(agent: Agent, life: Life) -> None:
    held = agent.held()
    stored = (await life.contents()).batches
    pending = [each for each in stored if any(lo <= each.seq <= hi for lo, hi in held.get(each.epoch_no, []))]
    report = agent.store.report()
    assert agent.store.state.totals.stored_bytes == sum(each.nbytes for each in stored)
    assert report.pending_batches == len(pending)
    assert report.pending_bytes == sum(each.nbytes for each in pending)
    assert report.pending_samples == sum(each.samples for each in pending)


async def test_the_report_names_the_oldest_that_waits(life: Life) -> None:
    agent = await life.start()
    assert agent.store.report().oldest_pending is None
    await agent.commit(FAST, 1)
    await agent.commit(FAST, 2)
    assert agent.store.report().oldest_pending == frame(1).wall_ms
    agent.outbox.acknowledge(1, [(1, 1)])
    await agent.commit(FAST, 3)
    assert agent.store.report().oldest_pending == frame(2).wall_ms
    await agent.kill()
    agent = await life.start()
    assert agent.store.report().oldest_pending == frame(1).wall_ms
    agent.outbox.acknowledge(1, WHOLE)
    assert agent.store.report().oldest_pending is None
    await agent.stop()
