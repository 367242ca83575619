"""All drivers in one agent, each peer killed and frozen in turn: the others do not notice.

The short form judges what is lost and who is affected. `make all-drivers FOR=60` strikes for so long each,
polls faster and judges the rhythm too, which needs a machine that does nothing else.
"""

import asyncio
import os
import time
from itertools import pairwise
from pathlib import Path
from statistics import quantiles

import pytest

from tests.integration.every_driver import HOST, MQTT, Plant, Seen, Strike, frames_of

SECONDS = float(os.environ.get("HOLDFAST_ALL_DRIVERS_SECONDS", "0"))
INTERVAL_MS = 100 if SECONDS else 250
STRUCK_SECONDS = SECONDS or 1.0
BASELINE_SECONDS = SECONDS or 2.0
POLLED = ("modbus", "opcua", "s7", "xgt", "http", HOST)
NS = 1_000_000
NOTICED_NS = 500 * NS


def slots(frames: list[Seen]) -> list[tuple[int, float, Seen]]:
    """Each frame with its cycle's number, and how late it was complete, in ms, against the earliest ones.

    Cycles begin on a grid, and frames are complete after that: a frame belongs to the cycle before it,
    however late, while it is not later than nine tenths of an interval.
    """
    interval = INTERVAL_MS * NS
    middle = sorted(frame.mono_ns % interval for frame in frames)[len(frames) // 2]
    offsets = sorted((frame.mono_ns - middle + interval // 2) % interval for frame in frames)
    earliest = middle - interval // 2 + offsets[len(offsets) // 50]
    begin = earliest - interval // 10
    return [
        (
            (frame.mono_ns - begin) // interval,
            max(0.0, ((frame.mono_ns - begin) % interval - interval // 10) / NS),
            frame,
        )
        for frame in frames
    ]


def within(frame: Seen, strike: Strike) -> bool:
    return strike.begin_ns <= frame.mono_ns <= strike.end_ns


def p99(late: list[float]) -> float:
    return quantiles(late, n=100)[98] if len(late) > 1 else 0.0


def undisturbed(name: str, frames: list[Seen], strikes: list[Strike]) -> list[str]:
    """What is wrong with what a connection brought while others were struck."""
    wrong: list[str] = []
    for strike in strikes:
        if strike.peer == name:
            continue
        during = [each for each in slots(frames) if within(each[2], strike)]
        bad = sum(not frame.good for _, _, frame in during)
        if bad:
            wrong.append(f"{name}: {bad} bad frames of {len(during)} while {strike.peer} was {strike.fault}")
        if name == MQTT:
            numbers = [frame.value for _, _, frame in during]
            steps = {b - a for a, b in pairwise(numbers) if a is not None and b is not None}
        else:
            places = [slot for slot, _, _ in during]
            steps = {b - a for a, b in pairwise(places)}
        if steps != {1}:
            wrong.append(f"{name}: steps of {steps} while {strike.peer} was {strike.fault}")
    return wrong


def noticed(frames: list[Seen], strike: Strike) -> bool:
    """Whether the fault was one: else the test shows nothing."""
    during = [frame for frame in frames if within(frame, strike)]
    times = [strike.begin_ns, *(frame.mono_ns for frame in during), strike.end_ns]
    gap = max(b - a for a, b in pairwise(times))
    return any(not frame.good for frame in during) or gap > NOTICED_NS


@pytest.mark.timeout(int(300 + 14 * (STRUCK_SECONDS + 65)))
async def test_each_peer_is_killed_and_frozen_and_all_others_are_read_as_before(tmp_path: Path) -> None:
    async with Plant(tmp_path, INTERVAL_MS) as plant:
        baseline_ns = time.monotonic_ns()
        await asyncio.sleep(BASELINE_SECONDS)
        calm = Strike("nobody", "left alone", baseline_ns, time.monotonic_ns(), 0.0)
        before = await plant.overruns()
        for fault in ("kill", "freeze"):
            for name in plant.peers:
                await plant.strike(name, fault, STRUCK_SECONDS)
        after = await plant.overruns()
        await plant.stop()
    frames = await asyncio.to_thread(frames_of, plant.database)
    assert set(frames) == {*POLLED, MQTT}
    for name, found in frames.items():
        assert [frame.n for frame in found] == list(range(1, len(found) + 1)), f"{name} has lost frames"
    strikes = plant.strikes
    assert [each for each in strikes if not noticed(frames[each.peer], each)] == []
    assert [text for name in frames for text in undisturbed(name, frames[name], [calm, *strikes])] == []
    assert after[HOST] == before[HOST]
    for strike in strikes:
        print(f"{strike.peer} {strike.fault}: read again after {strike.healed_seconds:.1f} s")
    if SECONDS:
        judge_rhythm(frames, calm, strikes)


def judge_rhythm(frames: dict[str, list[Seen]], calm: Strike, strikes: list[Strike]) -> None:
    wrong: list[str] = []
    for name in POLLED:
        timed = slots(frames[name])
        usual = p99([late for _, late, frame in timed if within(frame, calm)])
        for strike in strikes:
            if strike.peer == name:
                continue
            start, end = strike.starting_ns
            judged = [
                each for each in timed if within(each[2], strike) and not start <= each[2].mono_ns <= end
            ]
            late = p99([late for _, late, _ in judged])
            print(f"{name} while {strike.peer} {strike.fault}: p99 {late:.2f} ms, usually {usual:.2f} ms")
            if late > max(5.0, 1.5 * usual):
                wrong.append(
                    f"{name}: p99 {late:.2f} ms, usually {usual:.2f}, while {strike.peer} {strike.fault}"
                )
    assert wrong == []


def test_a_missed_cycle_a_bad_frame_and_a_lost_message_would_be_seen() -> None:
    start = 1000 * INTERVAL_MS * NS
    strike = Strike("xgt", "kill", start, start + 20 * INTERVAL_MS * NS, 0.0)
    kept = [Seen(n, start + n * INTERVAL_MS * NS + NS, True, n) for n in range(1, 20)]
    assert undisturbed("s7", kept, [strike]) == []
    assert undisturbed(MQTT, kept, [strike]) == []
    assert undisturbed("xgt", kept[:5], [strike]) == []
    assert "steps of {1, 2}" in undisturbed("s7", kept[:8] + kept[9:], [strike])[0]
    assert (
        "1 bad frames" in undisturbed("s7", [*kept[:8], kept[8]._replace(good=False), *kept[9:]], [strike])[0]
    )
    assert "steps of {1, 2}" in undisturbed(MQTT, kept[:8] + kept[9:], [strike])[0]
    assert not noticed(kept, strike)
    assert noticed(kept[:4] + kept[15:], strike)
