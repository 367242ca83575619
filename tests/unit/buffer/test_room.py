"""A buffer that is full: what goes, that each sample of it is accounted for, and that it never grows."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from edge_agent.buffer.disk import BALLAST_SUFFIX
from edge_agent.buffer.room import Room
from edge_agent.wire import ranges
from edge_agent.wire.batch import Kind
from edge_agent.wire.messages import Loss, LossReason
from edge_agent.wire.schema import Schema
from tests.unit.buffer.life import ALL_BYTES, Agent, Contents, Life, frame, schema

QUOTA = 1 << 20
WIDE = schema("press1", "wide", tags=2000)
NARROW = schema("oven", "zones", tags=10)


async def put(agent: Agent, described: Schema, n: int) -> None:
    """A frame that does not compress."""
    await agent.store.announce([described])
    made = frame(n, len(described.tags))
    made.row = Random(n).randbytes(len(made.row))
    agent.store.append(described, made)


async def fill(agent: Agent, first: int, count: int) -> None:
    for n in range(first, first + count):
        await put(agent, WIDE, n)
        await agent.commit(NARROW, n)


def lost(losses: list[Loss]) -> dict[tuple[str, str], tuple[ranges.Ranges, int]]:
    """By (connection, group): frame numbers and samples of the losses for want of disk."""
    found: dict[tuple[str, str], tuple[ranges.Ranges, int]] = {}
    for loss in losses:
        if loss.reason is LossReason.QUOTA:
            assert loss.exact
            for each in loss.connections:
                numbers, samples = found.get((each.name, each.group), ([], 0))
                assert not ranges.intersect(numbers, each.n), "a frame is lost twice"
                found[each.name, each.group] = ranges.union(numbers, each.n), samples + each.samples
    return found


def accounted(contents: Contents, group: str) -> tuple[ranges.Ranges, ranges.Ranges]:
    """Numbers that are stored, and that are lost."""
    stored = ranges.of_numbers(n for _, _, name, n in contents.frames() if name == group)
    gone = [numbers for (_, name), (numbers, _) in lost(contents.losses).items() if name == group]
    return stored, gone[0] if gone else []


def disk_bytes(life: Life) -> int:
    return sum(path.stat().st_blocks * 512 for path in life.directory.glob("buffer.db*") if path.is_file())


@pytest.mark.parametrize("drop_oldest", [True, False])
async def test_polled_is_stored_and_lost_to_the_sample_when_the_quota_is_full(
    life: Life, drop_oldest: bool
) -> None:
    agent = await life.start(max_bytes=QUOTA, drop_oldest=drop_oldest)
    for first in range(1, 301, 50):
        await fill(agent, first, 50)
        await life.clock.advance(20)
        assert disk_bytes(life) <= QUOTA
    await agent.store.flush(settle=True)
    report = agent.store.report()
    await agent.stop()
    contents = await life.contents()
    for group, tags in (("wide", 2000), ("zones", 10)):
        stored, gone = accounted(contents, group)
        assert stored
        assert gone
        assert not ranges.intersect(stored, gone)
        assert ranges.union(stored, gone) == [(1, 300)]
        [samples] = [count for (_, name), (_, count) in lost(contents.losses).items() if name == group]
        assert samples == ranges.size(gone) * tags
        newest_kept = ranges.contains(stored, 300)
        assert newest_kept is drop_oldest
    assert max(Counter(contents.frames()).values()) == 1
    assert report.state == "full"
    assert report.lost_samples == sum(count for _, count in lost(contents.losses).values())
    assert report.size_bytes <= report.quota_bytes == QUOTA


async def test_tb_1483_a_full_store_recovers_when_it_is_emptied(life: Life) -> None:
    agent = await life.start(max_bytes=QUOTA, drop_oldest=False, retain_seconds=0)
    await fill(agent, 1, 500)
    assert agent.store.condition.state == "full"
    await life.clock.advance(20)
    await agent.store.flush()
    while any(head.held for head in agent.outbox.heads()):
        for head in agent.outbox.heads():
            for item in await agent.outbox.fetch(head.no, head.held, ALL_BYTES):
                agent.outbox.acknowledge(head.no, [(item.seq, item.seq)])
        await life.clock.advance(20)
        await agent.store.flush(settle=True)
    before = agent.store.lost_samples
    await life.clock.advance(700)
    await fill(agent, 501, 50)
    assert agent.store.condition.state == "ok"
    assert agent.store.lost_samples == before
    await agent.stop()
    assert {n for _, _, group, n in (await life.contents()).frames() if group == "wide"} >= set(
        range(501, 551)
    )


async def test_delivered_batches_go_before_any_that_is_to_be_sent(life: Life) -> None:
    agent = await life.start(max_bytes=QUOTA)
    await fill(agent, 1, 40)
    head = agent.outbox.head(agent.outbox.current_epoch)
    agent.outbox.acknowledge(head.no, head.held)
    for first in range(41, 141, 20):
        await fill(agent, first, 20)
    assert agent.store.lost_samples == 0
    assert ranges.size(agent.outbox.held(head.no)) == 100
    await agent.stop()


async def test_a_refusing_buffer_gives_up_delivered_batches_before_it_refuses_samples(life: Life) -> None:
    agent = await life.start(max_bytes=QUOTA, drop_oldest=False)
    await fill(agent, 1, 40)
    agent.outbox.acknowledge(1, agent.outbox.held(1))
    await agent.store.flush(settle=True)
    await fill(agent, 41, 100)
    assert agent.store.lost_samples == 0
    assert ranges.size(agent.outbox.held(1)) == 100
    await agent.stop()


async def test_however_many_delivered_batches_there_are_they_go_before_any_that_is_to_be_sent(
    life: Life,
) -> None:
    """More of them than one prune of a flush takes."""
    agent = await life.start()
    await agent.commit(NARROW, 1)
    await life.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
        " INSERT INTO batch SELECT id + i, kind, codec, raw, samples, t0, t1, hash, body FROM batch, n"
    )
    await agent.kill()
    agent = await life.start()
    sizes = [each.nbytes for each in (await life.contents()).batches]
    agent.outbox.acknowledge(1, [(1, 2500)])
    room = Room(agent.store._amendments(), sum(sizes[:2400]))
    await agent.store._change(room.drop(held=True))
    assert (room.freed.batches, room.freed.held_samples) == (2400, 0)
    assert agent.held() == {1: [(2501, 3001)]}
    await agent.stop()


async def test_an_epoch_of_which_nothing_is_left_does_not_end_the_making_of_room(life: Life) -> None:
    """Its batches are gone, and the records of that wait for a link as all else does."""
    agent = await life.start(max_bytes=QUOTA)
    await fill(agent, 1, 20)
    await agent.stop()
    life.reboot()
    agent = await life.start(max_bytes=QUOTA)
    await fill(agent, 1, 300)
    assert agent.store.state.ledger.off(1)
    assert agent.store.condition.error == ""
    await agent.stop()
    contents = await life.contents()
    assert {each.epoch_no for each in contents.batches} == {2}
    for run, last in (("r001", 20), ("r002", 300)):
        gone = [
            pair
            for loss in contents.losses
            for each in loss.connections
            if (each.run, each.group) == (run, "wide")
            for pair in each.n
        ]
        stored = [(n, n) for name, _, group, n in contents.frames() if (name, group) == (run, "wide")]
        assert ranges.coalesce([*gone, *stored]) == [(1, last)]


@pytest.mark.parametrize("drop_oldest", [True, False])
async def test_a_stop_loses_nothing_of_more_than_one_commit_takes(life: Life, drop_oldest: bool) -> None:
    agent = await life.start(max_bytes=QUOTA, drop_oldest=drop_oldest)
    for n in range(1, 301):
        await put(agent, WIDE, n)
    await agent.stop()
    stored, gone = accounted(await life.contents(), "wide")
    assert ranges.union(stored, gone) == [(1, 300)]
    assert not ranges.intersect(stored, gone)
    assert life.segments() == []


async def test_records_of_losses_stay_few_however_long_the_buffer_is_full(life: Life) -> None:
    agent = await life.start(max_bytes=QUOTA, drop_oldest=False)
    for n in range(1, 500):
        await put(agent, WIDE, n)
        await agent.store.flush()
        await life.clock.advance(11)
    await agent.stop()
    contents = await life.contents()
    pure = [stored for stored in contents.batches if stored.batch.kind == Kind.LOSS]
    assert len(pure) < 100
    stored, gone = accounted(contents, "wide")
    assert ranges.union(stored, gone) == [(1, 499)]


async def test_names_that_were_dropped_are_settled_when_their_record_is_delivered(life: Life) -> None:
    agent = await life.start(max_bytes=QUOTA)
    await fill(agent, 1, 400)
    while any(head.held for head in agent.outbox.heads()):
        for head in agent.outbox.heads():
            for item in await agent.outbox.fetch(head.no, head.held, ALL_BYTES):
                agent.outbox.acknowledge(head.no, [(item.seq, item.seq)])
    head = agent.outbox.head(agent.outbox.current_epoch)
    assert head.floor == head.next
    report = agent.store.report()
    assert (report.pending_batches, report.pending_bytes, report.pending_samples) == (0, 0, 0)
    await agent.stop()


async def test_what_was_dropped_stays_dropped_over_a_kill(life: Life) -> None:
    agent = await life.start(max_bytes=QUOTA)
    await fill(agent, 1, 300)
    await put(agent, WIDE, 301)
    await agent.kill()
    agent = await life.start(max_bytes=QUOTA)
    await fill(agent, 1, 50)
    await agent.stop()
    contents = await life.contents()
    first_run = {n for run, _, group, n in contents.frames() if group == "wide" and run == "r001"}
    gone = [
        n
        for loss in contents.losses
        if loss.reason is LossReason.QUOTA
        for each in loss.connections
        if each.run == "r001" and each.group == "wide"
        for lo, hi in each.n
        for n in range(lo, hi + 1)
    ]
    assert sorted([*first_run, *gone]) == list(range(1, 302))


async def test_a_smaller_quota_is_kept_after_a_while(life: Life) -> None:
    agent = await life.start(max_bytes=8 * QUOTA)
    await fill(agent, 1, 1000)
    await agent.stop()
    assert disk_bytes(life) > 3 * QUOTA
    agent = await life.start(max_bytes=2 * QUOTA)
    for first in range(1, 41):
        await fill(agent, first, 1)
        await agent.store.flush(settle=True)
    assert disk_bytes(life) <= 2 * QUOTA
    await agent.stop()


async def test_the_ballast_takes_real_room(life: Life) -> None:
    agent = await life.start(max_bytes=QUOTA)
    ballast = Path(f"{life.database}{BALLAST_SUFFIX}")
    assert ballast.stat().st_blocks * 512 >= QUOTA // 8
    await agent.stop()


async def test_more_than_the_quota_at_once_is_committed_in_parts(life: Life) -> None:
    """What memory has gathered while the disk failed."""
    agent = await life.start(max_bytes=QUOTA)
    noise = schema("huge", "noise", tags=2_000)
    for n in range(1, 301):
        await put(agent, noise, n)
    while agent.store.memory.frame_count:
        await agent.store.flush()
        assert disk_bytes(life) <= QUOTA
    await agent.stop()
    stored, gone = accounted(await life.contents(), "noise")
    assert ranges.union(stored, gone) == [(1, 300)]
    assert ranges.contains(stored, 300)
    assert not ranges.intersect(stored, gone)


async def test_what_was_refused_takes_no_memory_and_does_not_wait(life: Life) -> None:
    agent = await life.start(max_bytes=QUOTA, drop_oldest=False)
    for n in range(1, 400):
        await put(agent, WIDE, n)
        await agent.store.flush()
    assert agent.store.condition.state == "full"
    assert agent.store.memory.frame_count == 0
    assert agent.store.memory.size_bytes == 0
    assert agent.store.report().uncommitted_frames == 0
    await agent.stop()


async def test_samples_that_were_refused_are_not_stored_by_a_start_after_a_kill(life: Life) -> None:
    """The record is on the disk, and the ring has the frames still."""
    agent = await life.start(max_bytes=QUOTA, drop_oldest=False)
    n, segments = 0, {}
    while not agent.store.lost_samples:
        n += 1
        await put(agent, WIDE, n)
        segments = {path: path.read_bytes() for path in life.segments()}
        await agent.store.flush()
        await life.clock.advance(11)
    await agent.kill()
    life.lose_runtime()
    for path, data in segments.items():
        path.write_bytes(data)
    agent = await life.start(max_bytes=QUOTA, drop_oldest=False)
    assert agent.store.recovered_frames == 0
    await agent.stop()
    stored, gone = accounted(await life.contents(), "wide")
    assert (stored, gone) == ([(1, n - 1)], [(n, n)])
