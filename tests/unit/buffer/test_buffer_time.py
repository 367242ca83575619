"""Wall clocks that no batch can hold, and such that are set: commits go on, and nothing loses its order."""

import pytest

from edge_agent.buffer.seal import Take, seal
from edge_agent.runtime.clock import SystemClock
from edge_agent.wire.batch import Batch, Kind, Origin
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import Loss, LossReason
from tests.unit.buffer.life import Life, frame, schema

FAST = schema()
DAY_MS = 86_400_000
YEAR_10000_MS = 253_402_300_800_000
ORIGIN = Origin("press-shop-01", "r001", "b001")


def _at(n: int, wall_ms: int) -> Frame:
    return Frame(n, n * 10**9, wall_ms, b"\0" * 8, 4)


@pytest.mark.parametrize("wall_ms", [-1, -(1 << 63), YEAR_10000_MS, 1 << 62])
def test_a_frame_from_outside_of_what_batches_hold_is_a_loss_and_the_others_are_stored(wall_ms: int) -> None:
    take = Take({FAST.hash: (FAST, [_at(1, 1000), _at(2, wall_ms), _at(3, 2000)])})
    batches = [Batch.open(each.body, each.codec, each.raw_bytes) for each in seal(ORIGIN, take, wall_ms)]
    losses = [Loss.model_validate(record) for batch in batches for record in batch.records(Kind.LOSS)]
    [lost] = losses
    assert (lost.reason, lost.exact) == (LossReason.UNREADABLE, True)
    assert [(part.n, part.samples) for part in lost.connections] == [([(2, 2)], 4)]
    stored = sorted(n for batch in batches for lo, hi in batch.contents().get(FAST.hash, ([], 0))[0]
                    for n in range(lo, hi + 1))  # fmt: skip
    assert stored == [1, 3]


def test_the_last_moment_of_9999_and_the_first_of_1970_are_stored() -> None:
    take = Take({FAST.hash: (FAST, [_at(1, 0), _at(2, YEAR_10000_MS - 1)])})
    [batch] = seal(ORIGIN, take, YEAR_10000_MS - 1)
    assert (batch.t0, batch.t1) == (0, YEAR_10000_MS - 1)


def test_the_clock_of_this_machine_is_read_within_what_batches_hold() -> None:
    assert 0 < SystemClock().wall_ms() < YEAR_10000_MS


async def test_commits_go_on_through_steps_of_a_day_and_in_order(life: Life) -> None:
    agent = await life.start()
    for n, step in enumerate((0, DAY_MS, -2 * DAY_MS, DAY_MS), start=1):
        life.clock.step_wall(step)
        await agent.put(FAST)
        agent.store.append(FAST, frame(n, wall_ms=life.clock.wall_ms()))
        await agent.store.flush()
    stored = (await life.contents()).batches
    assert [batch.seq for batch in stored] == [1, 2, 3, 4]
    assert agent.held() == {1: [(1, 4)]}
    await agent.stop()


async def _retained(life: Life) -> list[int]:
    return [batch.seq for batch in (await life.contents()).batches]


@pytest.mark.parametrize("step_ms", [DAY_MS, -DAY_MS, -DAY_MS * 20_000])
async def test_what_is_retained_stays_its_time_and_no_longer_whatever_the_wall_clock_does(
    life: Life, step_ms: int
) -> None:
    agent = await life.start(retain_seconds=3600)
    for n in range(1, 6):
        await agent.commit(FAST, n)
    agent.outbox.acknowledge(1, [(1, 5)])
    life.clock.step_wall(step_ms)
    await life.clock.advance(1800)
    await agent.store.flush(settle=True)
    assert await _retained(life) == [1, 2, 3, 4, 5]
    await agent.stop()
    life.clock.step_wall(-step_ms)
    agent = await life.start(retain_seconds=3600)
    await life.clock.advance(2000)
    await agent.commit(FAST, 6)
    await agent.store.flush(settle=True)
    assert await _retained(life) == [6]
    await agent.stop()
