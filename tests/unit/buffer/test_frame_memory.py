"""Frames between two commits: bounded, in order, and every one that is dropped is counted."""

import asyncio
from pathlib import Path

import pytest

from edge_agent.buffer.frames import EARLY_FLUSH_BYTES, MAX_RECORDS, FrameMemory
from edge_agent.buffer.ring import FrameRing
from edge_agent.buffer.seal import Take, seal
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.batch import Batch, Kind, Origin
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import Loss, LossReason
from tests.unit.buffer.life import frame, schema

FAST, SLOW = schema(group="fast"), schema(group="slow")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def memory(tmp_path: Path, clock: ManualClock, max_bytes: int = 1 << 20) -> FrameMemory:
    return FrameMemory(FrameRing(tmp_path, "b", "r1"), clock, max_bytes)


def numbers(take: Take) -> list[int]:
    return [each.n for each in take.frames[FAST.hash][1]]


def test_frames_of_a_failed_commit_come_before_those_that_arrived_since(
    tmp_path: Path, clock: ManualClock
) -> None:
    held = memory(tmp_path, clock)
    for n in (1, 2):
        held.append(FAST, frame(n))
    held.record(Kind.EVENT, {"code": "first"})
    taken = held.take()
    held.append(FAST, frame(3))
    held.append(SLOW, frame(1))
    held.record(Kind.EVENT, {"code": "second"})
    assert held.frame_count == 4
    held.give_back(taken)
    assert held.frame_count == 4
    again = held.take()
    assert numbers(again) == [1, 2, 3]
    assert [record["code"] for record in again.records[Kind.EVENT]] == ["first", "second"]
    assert SLOW.hash in again.frames
    held.stored(again)
    assert held.frame_count == 0


def test_what_does_not_fit_is_dropped_newest_first_and_named_exactly(
    tmp_path: Path, clock: ManualClock
) -> None:
    held = memory(tmp_path, clock, max_bytes=2000)
    for n in range(1, 21):
        held.append(FAST, frame(n, suppressed=3))
        held.append(SLOW, frame(n))
    take = held.take()
    kept = numbers(take)
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) < 20
    loss = take.dropped.loss(LossReason.OVERRUN, "r1", "why")
    lost = {entry.group: entry for entry in loss.connections}
    assert lost["fast"].n == [(len(kept) + 1, 20)]
    assert lost["fast"].samples == 4 * (20 - len(kept))
    slow = len(take.frames[SLOW.hash][1])
    assert lost["slow"].n == [(slow + 1, 20)]
    assert held.dropped_samples == sum(entry.samples for entry in loss.connections)
    assert loss.exact
    assert loss.t0 == frame(min(len(kept), slow) + 1).wall_ms
    assert loss.t1 == frame(20).wall_ms


def test_a_long_outage_makes_one_record_and_no_memory(tmp_path: Path, clock: ManualClock) -> None:
    held = memory(tmp_path, clock, max_bytes=1)
    held.append(FAST, frame(1))
    for n in range(2, 1001):
        held.append(FAST, frame(n))
        if n % 10 == 0:
            held.give_back(held.take())
    dropped = held.take().dropped
    assert dropped.groups["press1", "fast"].numbers == [(2, 1000)]
    assert dropped.groups["press1", "fast"].samples == 999 * 4


def test_the_loss_goes_with_the_next_commit_once(tmp_path: Path, clock: ManualClock) -> None:
    held = memory(tmp_path, clock, max_bytes=1)
    for n in (1, 2):
        held.append(FAST, frame(n))
    taken = held.take()
    [sealed] = seal(Origin("d", "r1", "b"), taken, 0)
    assert sealed.kind == Kind.FRAMES | Kind.LOSS
    [record] = Batch.open(sealed.body, sealed.codec, sealed.raw_bytes).records(Kind.LOSS)
    loss = Loss.model_validate(record)
    assert (loss.reason, loss.connections[0].run, loss.connections[0].n) == ("overrun", "r1", [(2, 2)])
    held.stored(taken)
    assert held.take().empty
    held.append(FAST, frame(3))
    assert held.frame_count == 1


def test_events_are_bounded_too(tmp_path: Path, clock: ManualClock) -> None:
    held = memory(tmp_path, clock)
    for index in range(MAX_RECORDS + 5):
        held.record(Kind.EVENT, {"index": index})
    take = held.take()
    assert len(take.records[Kind.EVENT]) == MAX_RECORDS
    assert take.dropped.records == 5
    assert "5 events" in take.dropped.loss(LossReason.OVERRUN, "r1", "why").detail


def test_text_counts_as_memory(tmp_path: Path, clock: ManualClock) -> None:
    held = memory(tmp_path, clock, max_bytes=10_000)
    for n in range(1, 100):
        held.append(FAST, Frame(n, 0, 0, b"", 1, text=("x" * 2000,)))
    assert held.frame_count < 10


async def test_a_full_batch_ends_the_wait_early(tmp_path: Path, clock: ManualClock) -> None:
    held = memory(tmp_path, clock, max_bytes=2 * EARLY_FLUSH_BYTES)
    waiting = asyncio.create_task(held.wait(10.0))
    await clock.advance(1.0)
    wide = schema(tags=10_000)
    n = 0
    while not waiting.done():
        n += 1
        assert n * 20_000 < EARLY_FLUSH_BYTES + 40_000
        held.append(wide, frame(n, 10_000))
        await clock.advance(0.0)
    assert n * 20_000 > EARLY_FLUSH_BYTES * 0.9
    held.take()
    again = asyncio.create_task(held.wait(10.0))
    await clock.advance(9.0)
    assert not again.done()
    await clock.advance(1.0)
    await again


async def test_the_age_is_that_of_the_oldest_frame_in_memory(tmp_path: Path, clock: ManualClock) -> None:
    held = memory(tmp_path, clock)
    assert held.age_seconds == 0.0
    held.append(FAST, frame(1))
    await clock.advance(3.0)
    taken = held.take()
    held.append(FAST, frame(2))
    await clock.advance(2.0)
    assert held.age_seconds == 5.0
    held.stored(taken)
    assert held.age_seconds == 2.0
    again = held.take()
    held.give_back(again)
    await clock.advance(1.0)
    assert held.age_seconds == 3.0


def test_of_a_group_whose_tags_changed_the_oldest_go_first_whatever_their_schema(
    tmp_path: Path, clock: ManualClock
) -> None:
    """A killed process counts on it: what is below a number that is committed is committed."""
    held = memory(tmp_path, clock)
    other = schema(group="fast", tags=5)
    for n in range(1, 13):
        held.append(other if 4 <= n <= 8 else FAST, frame(n, 5 if 4 <= n <= 8 else 4))
    seen: list[list[int]] = []
    while held.frame_count:
        taken = held.take(held.size_bytes // 2 + 1 if held.frame_count > 3 else 1 << 20)
        seen.append(sorted(each.n for _, frames in taken.frames.values() for each in frames))
        assert all(frames for _, frames in taken.frames.values())
        held.stored(taken)
    assert len(seen) > 2
    assert [n for part in seen for n in part] == list(range(1, 13))


def test_schemas_that_are_stored_are_not_written_again(tmp_path: Path, clock: ManualClock) -> None:
    held = memory(tmp_path, clock)
    held.announce([FAST, SLOW])
    held.give_back(held.take())
    held.announce([FAST])
    taken = held.take()
    assert taken.schemas.keys() == {FAST.hash, SLOW.hash}
    held.stored(taken)
    held.announce([FAST, SLOW])
    assert held.take().empty
