"""A clock that is set while the agent runs, and one that begins in 1970: with libfaketime under a real agent.

The wall clock alone is faked, by a file that may change at any time; the monotonic one stays the kernel's.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from edge_agent.wire.batch import Batch, Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Schema
from tests.crash.rig import Rig, Setup, until

pytestmark = pytest.mark.timeout(180)

DAY = 86_400
TAGS = 20


class FakedClock:
    """By how much the agent's wall clock is off, in seconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(0)

    def set(self, seconds: float) -> None:
        """Into place at once: a half-written number would be a time of its own."""
        draft = self._path.with_suffix(".new")
        draft.write_text(f"{seconds:+.0f}\n")
        draft.replace(self._path)

    @contextmanager
    def faked(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Programs that start meanwhile have this clock."""
        [library] = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        with monkeypatch.context() as patch:
            patch.setenv("LD_PRELOAD", str(library))
            patch.setenv("FAKETIME_TIMESTAMP_FILE", str(self._path))
            patch.setenv("FAKETIME_NO_CACHE", "1")
            patch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            patch.setenv("NO_FAKE_STAT", "1")
            yield


@pytest.fixture(autouse=True)
def nothing_left_in_shared_memory() -> Iterator[None]:
    """libfaketime leaves two files there for each process."""
    place = Path("/dev/shm")
    before = set(place.glob("*faketime_s*"))
    yield
    for path in set(place.glob("*faketime_s*")) - before:
        path.unlink(missing_ok=True)


def _read(database: Path) -> tuple[list[Frame], list[dict[str, Any]]]:
    """All frames and clock records at the centre, in the order of their names."""
    frames: list[Frame] = []
    records: list[dict[str, Any]] = []
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        schemas = {
            name: Schema.from_bytes(bytes(body)) for name, body in db.execute("SELECT hash, body FROM schema")
        }
        for codec, raw, body in db.execute("SELECT codec, raw, body FROM batch ORDER BY epoch_no, seq"):
            batch = Batch.open(body, codec, raw)
            records += batch.records(Kind.CLOCK)
            for index, entry in enumerate(batch.sections):
                if entry["k"] == "frames":
                    frames += batch.frames(index, schemas[entry["s"]])
    return frames, records


async def _more(rig: Rig) -> None:
    """Some new samples have arrived, and the latest value is one of them."""
    before = (await rig.api.account()).samples

    async def arrived() -> bool:
        return (await rig.api.account()).samples >= before + 20 * TAGS

    await until(arrived, 60)


async def _latest(rig: Rig) -> int:
    page = await rig.api._get("/api/fleet/devices/rig/latest-values", {"limit": "1"})
    return int(page["items"][0]["value"])


async def _moves(rig: Rig) -> None:
    """The page shows new values: what it orders by is no clock."""
    shown = await _latest(rig)

    async def moved() -> bool:
        return await _latest(rig) != shown

    await until(moved, 10)


def _rig(directory: Path) -> Rig:
    setup = Setup(buffer={"flush_interval": "200ms"})
    return Rig(directory, connections=1, tags=TAGS, interval="100ms", setup=setup)


def _in_order(frames: list[Frame]) -> None:
    """Whole, in the order in which they were read, and at their interval."""
    assert [frame.n for frame in frames] == list(range(1, len(frames) + 1))
    gaps = [later.mono_ns - earlier.mono_ns for earlier, later in pairwise(frames)]
    assert all(gap > 0 for gap in gaps)
    # A busy machine is late now and then; a schedule that followed the wall clock would be late for good.
    assert median(gaps) < 300_000_000


async def test_a_step_of_a_day_either_way_disturbs_neither_polling_nor_order_nor_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakedClock(tmp_path / "clock")
    async with _rig(tmp_path) as rig:
        await rig.start_centre()
        with clock.faked(monkeypatch):
            await rig.start_agent()
        await _more(rig)
        for offset in (DAY, 0, -DAY, 0):
            clock.set(offset)
            await _more(rig)
            await _moves(rig)

            async def told(offset: int = offset) -> bool:
                device = await rig.api.device()
                return bool(abs(device["clock_offset_ms"] - 1000 * offset) < 2000)

            await until(told, 15)
            assert (await rig.api.device())["state"] in ("online", "degraded")
        await rig.agent.stop()
        account = await rig.settled(30)
    assert (account.gaps, account.duplicates, account.lost, account.pending) == (0, 0, 0, 0)
    frames, records = await asyncio.to_thread(_read, rig.central_database)
    _in_order(frames)
    steps = [record["step_ms"] for record in records if record["why"] == "step"]
    assert [round(step / 1000 / DAY) for step in steps] == [1, -1, -1, 1]


async def test_a_start_in_1970_is_carried_as_it_was_and_the_step_to_today_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakedClock(tmp_path / "clock")
    clock.set(60 - time.time())
    async with _rig(tmp_path) as rig:
        await rig.start_centre()
        with clock.faked(monkeypatch):
            await rig.start_agent()
        await _more(rig)
        clock.set(0)
        await _more(rig)
        await _moves(rig)
        await rig.agent.stop()
        account = await rig.settled(30)
    assert (account.gaps, account.duplicates, account.lost, account.pending) == (0, 0, 0, 0)
    frames, records = await asyncio.to_thread(_read, rig.central_database)
    _in_order(frames)
    old = [frame for frame in frames if frame.wall_ms < 1000 * DAY]
    assert 0 < len(old) < len(frames)
    [start] = [record for record in records if record["why"] == "start"]
    [step] = [record for record in records if record["why"] == "step"]
    assert start["wall_ms"] < 1000 * DAY
    # From the two records each frame of 1970 gets its true time: it is in the minute before the step.
    for frame in old:
        true_ms = step["wall_ms"] - (step["mono_ns"] - frame.mono_ns) // 1_000_000
        assert 0 <= step["wall_ms"] - true_ms < 60_000
