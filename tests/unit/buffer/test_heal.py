"""A disk that fails under a running buffer: frames stay in memory, nothing is doubled, all heals itself."""

import asyncio
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import pytest

from edge_agent.buffer import recovery
from edge_agent.buffer.errors import DiskFull, NotStored
from edge_agent.buffer.file import connect_writer, transaction
from edge_agent.buffer.recovery import Identity
from edge_agent.buffer.segments import Leftovers
from edge_agent.wire import ranges
from edge_agent.wire.batch import Kind
from edge_agent.wire.messages import LossReason
from tests.unit.buffer.life import ALL_BYTES, Agent, Life, frame, schema

FAST = schema("press1", "fast")
SLOW = schema("press1", "slow", tags=9)


def fails_after_commit(agent: Agent) -> None:
    """The next commit reaches the disk, and its fsync says that it did not."""
    connection = agent.store._writer._connection
    assert connection is not None
    run = connection.run

    async def once(body: Callable[[sqlite3.Connection], object]) -> object:
        await run(body)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR | 4 << 8
        raise error

    connection.run = once  # type: ignore[method-assign,assignment]


async def broken(agent: Agent) -> None:
    """The file cannot be written through this connection any more."""
    await agent.store._writer.write(lambda db: db.execute("PRAGMA query_only=ON").fetchall())


async def pass_until(life: Life, done: Callable[[], bool]) -> None:
    """Lets the clock run until something is so; 20 s of real time at most."""
    async with asyncio.timeout(20):
        while not done():
            await life.clock.advance(1)
            await asyncio.sleep(0.01)


async def deliver(agent: Agent) -> None:
    while any(head.held for head in agent.outbox.heads()):
        for head in agent.outbox.heads():
            items = await agent.outbox.fetch(head.no, head.held, ALL_BYTES)
            agent.outbox.acknowledge(head.no, ranges.of_numbers(item.seq for item in items))


async def numbers(life: Life) -> Counter[int]:
    return Counter(n for _, _, _, n in (await life.contents()).frames().elements())


async def test_a_commit_that_failed_and_is_there_nevertheless_is_not_stored_twice(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    fails_after_commit(agent)
    await agent.put(FAST, 2, 3)
    with pytest.raises(NotStored):
        await agent.store.flush()
    assert agent.store.memory.frame_count == 2
    assert agent.store.report().state == "failing"
    await agent.commit(FAST, 4)
    assert agent.store.memory.frame_count == 0
    assert agent.store.report().state == "ok"
    assert agent.store.stored_samples == 16
    await agent.stop()
    assert await numbers(life) == {1: 1, 2: 1, 3: 1, 4: 1}


async def test_a_loss_record_in_a_commit_that_is_there_nevertheless_is_not_written_twice(life: Life) -> None:
    agent = await life.start()
    agent.store.memory._max_bytes = 1
    await agent.put(FAST, 1, 2, 3)
    fails_after_commit(agent)
    with pytest.raises(NotStored):
        await agent.store.flush()
    await agent.store.flush()
    await agent.stop()
    [loss] = [loss for loss in (await life.contents()).losses if loss.reason is LossReason.OVERRUN]
    assert loss.connections[0].samples == 8


async def test_a_commit_that_failed_is_made_when_the_disk_works_again(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await broken(agent)
    await agent.put(FAST, 2)
    with pytest.raises(NotStored):
        await agent.store.flush()
    await agent.put(FAST, 3)
    await agent.store.flush()
    [head] = agent.outbox.heads()
    assert ranges.coalesce(head.held) == [(1, 2)]
    await agent.stop()
    assert await numbers(life) == {1: 1, 2: 1, 3: 1}


async def test_acknowledgements_are_remembered_over_a_fault(life: Life) -> None:
    agent = await life.start()
    for n in range(1, 5):
        await agent.commit(FAST, n)
    agent.outbox.acknowledge(agent.outbox.current_epoch, [(1, 3)])
    await broken(agent)
    await agent.put(FAST, 5)
    with pytest.raises(NotStored):
        await agent.store.flush()
    await agent.store.flush()
    assert agent.held() == {agent.outbox.current_epoch: [(4, 5)]}
    await agent.stop()


async def test_names_never_mean_two_things_when_a_running_agents_database_is_deleted(life: Life) -> None:
    agent = await life.start()
    for n in range(1, 4):
        await agent.commit(FAST, n)
    [before] = agent.outbox.heads()
    agent.outbox.acknowledge(before.no, [(1, 1)])
    for path in life.directory.glob("buffer.db*"):
        path.unlink()
    await agent.put(FAST, 4)
    with pytest.raises(NotStored):
        await agent.store.flush()
    await agent.put(SLOW, 1)
    await agent.store.flush()
    old, new = agent.outbox.heads()
    assert (old.epoch, old.next, old.floor) == (before.epoch, before.next, 2)
    assert new.epoch != before.epoch
    await deliver(agent)
    await agent.store.flush()
    assert all(head.floor == head.next for head in agent.outbox.heads())
    await agent.stop()
    contents = await life.contents()
    assert {n for _, _, group, n in contents.frames() if group == "fast"} == {4}
    [loss] = [loss for loss in contents.losses if loss.reason is LossReason.UNREADABLE]
    assert (loss.epoch, ranges.coalesce(loss.seqs), loss.exact) == (before.epoch, [(2, 3)], False)


async def test_a_database_that_was_replaced_by_an_older_copy_gives_no_name_again(
    life: Life, tmp_path: Path
) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await agent.stop()
    copy = tmp_path / "copy.db"
    shutil.copy(life.database, copy)
    agent = await life.start()
    for n in range(2, 5):
        await agent.commit(FAST, n)
    named = {(head.epoch, head.next) for head in agent.outbox.heads()}
    for path in life.directory.glob("buffer.db*"):
        path.unlink()
    shutil.copy(copy, life.database)
    await agent.put(FAST, 5)
    with pytest.raises(NotStored):
        await agent.store.flush()
    await agent.store.flush()
    heads = agent.outbox.heads()
    assert named <= {(head.epoch, head.next) for head in heads}
    assert heads[-1].epoch not in {epoch for epoch, _ in named}
    await deliver(agent)
    await agent.stop()


async def test_the_ring_keeps_what_a_failing_disk_does_not_take_over_a_kill(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await broken(agent)
    await agent.put(FAST, 2, 3)
    with pytest.raises(NotStored):
        await agent.store.flush()
    await agent.kill()
    agent = await life.start()
    assert agent.store.recovered_frames == 2
    await agent.stop()
    assert await numbers(life) == {1: 1, 2: 1, 3: 1}


async def test_a_kill_after_the_file_was_opened_afresh_loses_nothing(life: Life) -> None:
    agent = await life.start()
    await broken(agent)
    await agent.put(FAST, 1)
    with pytest.raises(NotStored):
        await agent.store.flush()
    await agent.store.flush()
    await agent.put(FAST, 2)
    await agent.kill()
    agent = await life.start()
    await agent.stop()
    assert await numbers(life) == {1: 1, 2: 1}


async def test_a_start_on_a_disk_that_fails_collects_in_memory_and_catches_up(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await agent.put(FAST, 2)
    await agent.kill()
    hidden = life.directory / "hidden"
    life.database.rename(hidden)
    life.database.symlink_to(life.database)
    agent = await life.start()
    assert agent.outbox.heads() == []
    assert agent.outbox.current_epoch == 0
    await agent.put(SLOW, 1)
    with pytest.raises(NotStored):
        await agent.store.flush()
    assert agent.store.report().state == "failing"
    life.database.unlink()
    hidden.rename(life.database)
    await agent.store.flush()
    assert agent.store.recovered_frames == 1
    assert agent.store.report().state == "ok"
    await agent.stop()
    frames = (await life.contents()).frames()
    assert frames == {
        ("r001", "press1", "fast", 1): 1,
        ("r001", "press1", "fast", 2): 1,
        ("r002", "press1", "slow", 1): 1,
    }


async def test_the_loop_of_flushes_goes_on_until_the_disk_works(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    hidden = life.directory / "hidden"
    task = asyncio.create_task(agent.store.run_flushes())
    life.database.rename(hidden)
    life.database.symlink_to(life.database)
    await agent.put(FAST, 2)
    await pass_until(life, lambda: agent.store.condition.failures >= 3)
    assert not task.done()
    assert agent.store.report().state == "failing"
    life.database.unlink()
    hidden.rename(life.database)
    await pass_until(life, lambda: agent.store.memory.frame_count == 0)
    assert agent.store.report().state == "ok"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await agent.stop()
    assert await numbers(life) == {1: 1, 2: 1}
    told = [
        event["code"]
        for stored in (await life.contents()).batches
        for event in stored.batch.records(Kind.EVENT)
    ]
    assert told == ["buffer_failing", "buffer_back"]


async def test_a_full_disk_is_told_from_one_that_fails(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await agent.store._writer.write(lambda db: db.execute("PRAGMA max_page_count=1").fetchall())
    with pytest.raises(DiskFull):
        await agent.commit(schema("press1", "wide", tags=5000), 1)
    assert agent.store._writer.fault is None
    await agent.kill()


async def test_epochs_that_are_over_are_not_taken_for_lost(life: Life) -> None:
    agent = await life.start(retain_seconds=0)
    await agent.commit(FAST, 1)
    await agent.stop()
    life.reboot()
    agent = await life.start(retain_seconds=0)
    await deliver(agent)
    await agent.commit(FAST, 1)
    await life.clock.advance(10)
    await agent.store.flush(settle=True)
    epochs = [head.epoch for head in agent.outbox.heads()]
    await broken(agent)
    await agent.put(FAST, 2)
    with pytest.raises(NotStored):
        await agent.store.flush()
    await agent.store.flush()
    assert agent.outbox.heads()[-1].epoch == epochs[-1]
    await agent.stop()


class FullWhenTidied(sqlite3.Connection):
    """What is given back to the file system needs room in the log."""

    def executescript(self, script: str, /) -> sqlite3.Cursor:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error


async def test_a_commit_counts_although_the_disk_is_too_full_to_tidy_up_behind_it(life: Life) -> None:
    wide = schema("press1", "wide", tags=3000)
    agent = await life.start(max_bytes=8 << 20)
    await agent.store.announce([wide])
    for n in range(1, 301):
        made = frame(n, 3000)
        made.row = Random(n).randbytes(len(made.row))
        agent.store.append(wide, made)
        await agent.store.flush()
    await life.sql("DELETE FROM batch WHERE id % 2")
    await agent.stop()
    agent = await life.start(max_bytes=1 << 20)
    connection = agent.store._writer._connection
    assert connection is not None
    sound = connection._db
    connection._db = await connection.run(
        lambda _: sqlite3.connect(life.database, isolation_level=None, factory=FullWhenTidied)
    )
    for n in (1, 2, 3):
        await agent.put(FAST, n)
        await agent.store.flush(settle=True)
        assert agent.store.memory.frame_count == 0
    await connection.run(sqlite3.Connection.close)
    connection._db = sound
    await agent.stop()
    frames = (await life.contents()).frames()
    assert [frames["r002", "press1", "fast", n] for n in (1, 2, 3)] == [1, 1, 1]


async def test_a_reader_creates_no_file_where_the_database_is_gone(life: Life) -> None:
    """On the disk below a mount that is gone it would be taken for the buffer's."""
    agent = await life.start()
    await agent.commit(FAST, 1)
    agent.store.state.recent.clear()
    for path in life.directory.glob("buffer.db*"):
        path.unlink()
    assert await agent.outbox.fetch(1, [(1, 1)], ALL_BYTES) == []
    assert not life.database.exists()
    await agent.kill()


def test_a_start_that_failed_behind_its_commit_does_not_take_itself_for_a_killed_run(
    life: Life,
) -> None:
    db, _ = connect_writer(life.database, 1 << 30)
    try:
        identity = Identity(life.device, "r001", life.boot, life.machine)
        begin = partial(recovery.begin, db, identity, Leftovers(), 0, has_sink=True)
        losses = [transaction(db, begin).losses for _ in range(2)]
    finally:
        db.close()
    assert losses == [[], []]


async def test_a_stop_on_a_failing_disk_that_had_everything_loses_nothing(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await broken(agent)
    with pytest.raises(NotStored):
        await agent.stop()
    agent = await life.start()
    assert agent.store.recovered_losses == []
    await agent.stop()
    assert life.segments() == []
