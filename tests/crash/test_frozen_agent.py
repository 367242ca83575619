"""An agent that is stopped for a while, as a frozen container or a debugger does: no burst, no storm."""

import asyncio
import os
import signal
import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from edge_agent.wire.batch import Batch
from edge_agent.wire.schema import Schema
from tests.crash.rig import Rig, Setup, until

FROZEN_SECONDS = 5.0
INTERVAL_MS = 100


def _times(database: Path) -> list[int]:
    """When each frame was read, in milliseconds of the monotonic clock, by frame number."""
    found: dict[int, int] = {}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        schemas = {
            name: Schema.from_bytes(body) for name, body in db.execute("SELECT hash, body FROM schema")
        }
        for codec, raw, body in db.execute("SELECT codec, raw, body FROM batch"):
            batch = Batch.open(body, codec, raw)
            for index, entry in enumerate(batch.sections):
                if entry["k"] == "frames":
                    for frame in batch.frames(index, schemas[entry["s"]]):
                        assert not frame.quality, "a frozen agent took its PLC for silent"
                        found[frame.n] = frame.mono_ns // 1_000_000
    assert sorted(found) == list(range(1, len(found) + 1))
    return [found[n] for n in sorted(found)]


async def test_what_a_stopped_process_missed_is_counted_and_never_made_up_for(tmp_path: Path) -> None:
    setup = Setup(buffer={"flush_interval": "200ms"})
    async with Rig(tmp_path, 1, 10, interval=f"{INTERVAL_MS}ms", setup=setup) as rig:
        await rig.start_centre()
        await rig.start_agent()

        async def arrived() -> bool:
            return (await rig.api.account()).samples >= 10 * 20

        await until(arrived, 40)
        before = (await rig.status()).connections[0].overruns
        os.kill(rig.agent.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(FROZEN_SECONDS)  # the time itself is what is tested
        finally:
            os.kill(rig.agent.pid, signal.SIGCONT)

        async def fresh() -> bool:
            return await rig.fresh_value(within_ms=1000)

        await until(fresh, 20)
        status = await rig.status()
        await rig.agent.stop()
        account = await rig.settled(30)
        times = await asyncio.to_thread(_times, rig.central_database)
    assert (account.gaps, account.duplicates, account.lost, account.pending) == (0, 0, 0, 0)
    gap, woken = max((later - earlier, later) for earlier, later in pairwise(times))
    assert gap >= 1000 * FROZEN_SECONDS - 2 * INTERVAL_MS
    burst = sum(woken <= at < woken + 1000 for at in times)
    assert burst <= 1000 / INTERVAL_MS + 2
    missed = status.connections[0].overruns - before
    assert missed >= 0.8 * 1000 * FROZEN_SECONDS / INTERVAL_MS
    log = rig.log("agent").read_text()
    assert "connection is down" not in log
    assert "makes no progress" not in log
