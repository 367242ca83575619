"""What hooks make of frames, from the flush to the next start: once, with their states, and marked."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from edge_agent.buffer import failing
from edge_agent.buffer.errors import NotStored
from edge_agent.contracts.hooks import Frames, Hooked, Records
from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import LossReason
from edge_agent.wire.quality import Quality, QualityRun
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from tests.unit.buffer.life import Agent, Life, frame, schema
from tests.unit.buffer.test_heal import broken, fails_after_commit

FAST = schema("press1", "fast")
SLOW = schema("press1", "slow", tags=9)
COUNTED = Schema.of("press1", "fast", 1, [TagSchema("calls", ValueType.UINT64), *FAST.tags], ("count@0",))


class Counting:
    """Adds to each frame of `fast` how many it has seen. seen: numbers of the frames that it was given."""

    def __init__(self, states: Mapping[str, bytes] | None = None) -> None:
        self.count = int((states or {}).get("count", b"0"))
        self.seen: list[int] = []
        self.events: list[object] = []
        self.expected: list[Schema] = []
        self.seconds = 0.0
        self.most_bytes = 0

    async def apply(self, frames: Frames, records: Records, seconds: float) -> Hooked:
        self.seconds = seconds
        taken = sum(len(each.row) for _, own in frames.values() for each in own)
        self.most_bytes = max(self.most_bytes, taken)
        self.events += records.get(Kind.EVENT, [])
        made: Frames = {}
        for name, (described, own) in frames.items():
            made[name] = (described, own) if described is not FAST else (COUNTED, list(map(self._see, own)))
        made = {described.hash: (described, own) for described, own in made.values()}
        states = {"count": b"%d" % self.count} if FAST.hash in frames else {}
        alerts = {Kind.EVENT: [*records.get(Kind.EVENT, []), {"time": 1, "code": "hook.x", "message": ""}]}
        return Hooked(made, alerts if self.events else records, [COUNTED], states)

    def _see(self, each: Frame) -> Frame:
        self.seen.append(each.n)
        self.count += 1
        row = self.count.to_bytes(8, "little") + each.row
        return Frame(each.n, each.mono_ns, each.wall_ms, row, each.read + 1, each.suppressed)

    async def expect(self, schemas: Sequence[Schema]) -> None:
        self.expected += schemas

    def failed(self) -> Mapping[str, bool]:
        return {"press1.fast": False}


async def begun(life: Life) -> tuple[Agent, Counting]:
    agent = await life.start()
    hooks = Counting(agent.store.hook_states)
    agent.store.hooks = hooks
    await agent.store.announce([FAST, SLOW])
    return agent, hooks


async def stored(life: Life, described: Schema) -> list[Frame]:
    contents = await life.contents()
    return [
        each
        for batch in contents.batches
        for index, entry in enumerate(batch.batch.sections)
        if entry["k"] == "frames" and entry["s"] == described.hash
        for each in batch.batch.frames(index, described)
    ]


async def test_what_hooks_made_is_stored_in_place_of_what_they_were_given(life: Life) -> None:
    agent, hooks = await begun(life)
    for n in (1, 2):
        agent.store.append(FAST, frame(n))
        agent.store.append(SLOW, frame(n, tags=9))
    await agent.store.flush()
    assert [each.row[:8] for each in await stored(life, COUNTED)] == [
        b"\x01" + bytes(7),
        b"\x02" + bytes(7),
    ]
    assert await stored(life, FAST) == []
    assert [each.n for each in await stored(life, SLOW)] == [1, 2]
    assert hooks.expected == [FAST, SLOW]
    assert hooks.seconds == agent.store.flush_seconds / 2
    agent.store.hook_seconds = 0.01
    await agent.store.flush(settle=True)
    assert hooks.seconds == 0.01, "an agent that stops gives hooks no more than its stop leaves"
    assert agent.store.stored_samples == 2 * (4 + 1) + 2 * 9
    await agent.stop()


async def test_a_state_is_there_after_a_kill_exactly_as_the_frames_that_it_counts(life: Life) -> None:
    agent, hooks = await begun(life)
    agent.store.append(FAST, frame(1))
    await agent.store.flush()
    agent.store.append(FAST, frame(2))
    await agent.kill()
    agent, hooks = await begun(life)
    assert hooks.count == 1
    agent.store.append(FAST, frame(1))
    await agent.store.flush()
    assert agent.store.hook_states == {"count": b"2"}
    await agent.stop()


async def test_an_empty_state_is_kept_no_more(life: Life) -> None:
    agent, _ = await begun(life)
    agent.store.append(FAST, frame(1))
    await agent.store.flush()
    agent.store.hooks = Forgetful()
    agent.store.append(FAST, frame(2))
    await agent.store.flush()
    assert agent.store.hook_states == {}
    await agent.stop()
    assert (await life.start()).store.hook_states == {}


class Forgetful(Counting):
    async def apply(self, frames: Frames, records: Records, seconds: float) -> Hooked:
        return Hooked(frames, records, [], {"count": b""})


async def test_a_commit_that_fails_gives_no_frame_to_hooks_again(life: Life) -> None:
    agent, hooks = await begun(life)
    agent.store.append(FAST, frame(1))
    agent.store.record(Kind.EVENT, {"time": 1, "code": "a", "message": ""})
    await broken(agent)
    with pytest.raises(NotStored):
        await agent.store.flush()
    for n in (2, 3):
        agent.store.append(FAST, frame(n))
    assert hooks.seen == [1]
    await agent.store.flush()
    assert hooks.seen == [1, 2, 3]
    assert [event["code"] for event in hooks.events].count("a") == 1  # type: ignore[index]
    assert [each.n for each in await stored(life, COUNTED)] == [1, 2, 3]
    assert agent.store.hook_states == {"count": b"3"}
    assert agent.store.report().uncommitted_frames == 0
    await agent.stop()


@pytest.mark.parametrize("copies", [1, 2])
async def test_a_commit_that_counts_although_it_failed_is_not_repeated(life: Life, copies: int) -> None:
    agent, hooks = await begun(life)
    for n in range(1, copies + 1):
        agent.store.append(FAST, frame(n))
        fails_after_commit(agent)
        with pytest.raises(NotStored):
            await agent.store.flush()
        await agent.store.flush()
    assert hooks.seen == list(range(1, copies + 1))
    assert [each.n for each in await stored(life, COUNTED)] == hooks.seen
    assert agent.store.hook_states == {"count": b"%d" % copies}
    await agent.stop()


async def test_frames_that_hooks_made_go_first_where_hooks_are_taken_away(life: Life) -> None:
    agent, _ = await begun(life)
    agent.store.append(FAST, frame(1))
    await broken(agent)
    with pytest.raises(NotStored):
        await agent.store.flush()
    agent.store.hooks = None
    agent.store.append(FAST, frame(2))
    await agent.store.flush()
    assert [each.n for each in await stored(life, COUNTED)] == [1]
    assert [each.n for each in await stored(life, FAST)] == [2]
    assert agent.store.hook_states == {"count": b"1"}
    await agent.stop()


async def test_of_very_much_what_hooks_made_already_is_stored_first(life: Life) -> None:
    """A commit takes a bounded share; the frames of a group must not be stored out of order."""
    agent, _ = await begun(life)
    wide = schema("press1", "wide", tags=20_000)
    await agent.store.announce([wide])
    for n in range(1, 231):
        agent.store.append(wide, replace(frame(n), row=bytes(40_000), read=20_000))
    await broken(agent)
    with pytest.raises(NotStored):
        await agent.store.flush()
    taken = agent.store.report().uncommitted_frames
    assert taken == 230
    await agent.store.flush()
    first = [each.n for each in await stored(life, wide)]
    assert first == list(range(1, len(first) + 1))
    assert 0 < len(first) < 230
    while agent.store.report().uncommitted_frames:
        await agent.store.flush()
    assert [each.n for each in await stored(life, wide)] == list(range(1, 231))
    await agent.stop()


async def test_what_has_piled_up_comes_to_hooks_in_parts_that_they_have_time_for(life: Life) -> None:
    """A flush after an outage had eight megabytes of it: most went on without hooks, for want of time."""
    agent, hooks = await begun(life)
    wide = schema("press1", "wide", tags=20_000)
    await agent.store.announce([wide])
    for n in range(1, 101):
        agent.store.append(wide, replace(frame(n), row=bytes(40_000), read=20_000))
    flushes = 0
    while agent.store.report().uncommitted_frames:
        await agent.store.flush()
        flushes += 1
    assert flushes >= 4
    assert hooks.most_bytes <= 1 << 20
    assert [each.n for each in await stored(life, wide)] == list(range(1, 101))
    await agent.stop()


async def test_what_is_refused_for_want_of_disk_counts_what_hooks_made(life: Life) -> None:
    agent = await life.start(max_bytes=4 << 20, drop_oldest=False)
    agent.store.hooks = Counting()
    wide = Schema.of("press1", "fast", 1, [TagSchema(f"t{at}", ValueType.UINT64) for at in range(4_000)])
    await agent.store.announce([FAST, wide])
    random, n = Random(1), 0
    while not agent.store.dropped_samples:
        for _ in range(5):
            n += 2
            agent.store.append(FAST, frame(n - 1))
            agent.store.append(wide, replace(frame(n), row=random.randbytes(32_000), read=4_000))
        await agent.store.flush()
    await agent.stop()
    lost = [loss for loss in (await life.contents()).losses if loss.reason is LossReason.QUOTA]
    kept = sum(each.samples for each in [*await stored(life, COUNTED), *await stored(life, wide)])
    gone = [each for loss in lost for each in loss.connections]
    assert kept + sum(each.samples for each in gone) == n // 2 * (5 + 4_000)
    numbers = [number for each in gone for first, last in each.n for number in range(first, last + 1)]
    assert numbers == list(range(n + 1 - len(numbers), n + 1))


@pytest.mark.parametrize("withheld", [False, True])
async def test_frames_that_a_killed_agent_left_are_marked_where_hooks_have_a_say(
    life: Life, withheld: bool
) -> None:
    agent, _ = await begun(life)
    agent.store.keep_failing({"press1.f*": withheld})
    bad = replace(frame(2), quality=(QualityRun(1, 1, Quality.BAD_COMM),))
    for each in (frame(1), bad):
        agent.store.append(FAST, each)
    agent.store.append(SLOW, frame(1, tags=9))
    await agent.kill()
    agent = await life.start()
    left = await stored(life, FAST)
    assert [each.quality for each in left] == [
        (QualityRun(0, 4, Quality.BAD_HOOK, withheld),),
        (
            QualityRun(0, 1, Quality.BAD_HOOK, withheld), QualityRun(1, 1, Quality.BAD_COMM),
            QualityRun(2, 2, Quality.BAD_HOOK, withheld),
        ),
    ]  # fmt: skip
    assert [bool(each.row) for each in left] == [not withheld, not withheld]
    assert [each.quality for each in await stored(life, SLOW)] == [()]
    await agent.stop()
    again = await life.start()
    again.store.append(FAST, frame(1))
    await again.kill()
    await (await life.start()).stop()
    assert (await stored(life, FAST))[-1].quality == ()


async def test_what_hooks_change_is_withheld_where_that_cannot_be_read(life: Life) -> None:
    agent, _ = await begun(life)
    agent.store.keep_failing({"press1.slow": False})
    agent.store.append(FAST, frame(1))
    await agent.kill()
    (life.runtime / "hooked.json").write_text("{")
    await (await life.start()).stop()
    assert (await stored(life, FAST))[0].quality == (QualityRun(0, 4, Quality.BAD_HOOK, True),)


async def test_what_hooks_change_is_withheld_where_there_was_no_room_to_keep_it(tmp_path: Path) -> None:
    """It was said in the log alone, and what a new script withholds was stored after a kill."""
    directory = tmp_path
    while len(str(directory)) < 4_075 - 202:
        directory /= "d" * 200
    directory /= "d" * (4_075 - len(str(directory)) - 1)
    directory.mkdir(parents=True)
    failing.write(directory, {"press1.fast": True})
    assert not list(directory.glob(".*")), "the file beside it has a name that is too long for the kernel"
    assert failing.read(directory) == {"*": True}
    failing.write(directory, {})
    assert failing.read(directory) == {}
