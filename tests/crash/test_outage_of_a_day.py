"""The centre is away for as many samples as a day has: nobody at the edge notices, and afterwards it is all
there soon.

A day of 200 samples/s is 17.28 million. The default form takes a few hundred thousand;
HOLDFAST_OUTAGE_SAMPLES=17280000 HOLDFAST_OUTAGE_CONNECTIONS=30 HOLDFAST_OUTAGE_TAGS=1000 is the long one
(`make crash`): about ten minutes of outage.
"""

import asyncio
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import pytest

from bench.processes import ProcessTree
from edge_agent.contracts.status import AgentStatus, LatenessReport
from edge_agent.wire.upload import ITEM_BYTES
from tests.crash.rig import Rig, Setup, until

SAMPLES: Final = int(os.environ.get("HOLDFAST_OUTAGE_SAMPLES", "120000"))
CONNECTIONS: Final = int(os.environ.get("HOLDFAST_OUTAGE_CONNECTIONS", "10"))
TAGS: Final = int(os.environ.get("HOLDFAST_OUTAGE_TAGS", "2000"))
RATE: Final = CONNECTIONS * TAGS  # samples a second: the groups are polled every second
SECONDS: Final = SAMPLES / RATE
# Bytes a second, so that the default form catches up for about ten seconds.
CAP: Final = int(os.environ.get("HOLDFAST_OUTAGE_CAP", str(40 << 10)))
# In the long form the capped test takes a part of it: what is measured is a rate.
CAPPED_SECONDS: Final = min(SECONDS, 90.0)

NEWEST_SECONDS: Final = 5.0
DRAIN_SECONDS: Final = 180.0
CAP_SHARE: Final = 0.10
# Between the first and the last third of the outage. Ten minutes of batches are named in the ledger by
# one range, and their bodies are on the disk.
GROWTH_MIB: Final = 8.0
LATE_MS: Final = 500.0


@dataclass(frozen=True)
class Away:
    """What the agent did while nobody took its data."""

    read: int
    overruns: int
    late: float
    pss_mib: list[float]
    pending_bytes: int

    @property
    def growth_mib(self) -> float:
        third = max(1, len(self.pss_mib) // 3)
        return median(self.pss_mib[-third:]) - median(self.pss_mib[:third])


async def _outage(rig: Rig, seconds: float) -> Away:
    """The centre is killed and stays away. The first tenth is not measured: memory settles in it."""
    await rig.centre.kill()
    tree = ProcessTree(rig.agent.pid)
    begin = await rig.status()
    started = time.monotonic()
    pss: list[float] = []

    async def over() -> bool:
        passed = time.monotonic() - started
        if passed > seconds / 10 and len(pss) < passed:
            pss.append(tree.pss_bytes() / 2**20)
        return passed >= seconds

    await until(over, seconds + 10)
    end = await rig.status()
    return Away(
        sum(entry.read for entry in end.accounting) - sum(entry.read for entry in begin.accounting),
        _overruns(end) - _overruns(begin),
        _share_above(begin.lateness, end.lateness, LATE_MS),
        pss,
        end.buffer.pending_bytes,
    )


def _overruns(status: AgentStatus) -> int:
    return sum(connection.overruns for connection in status.connections)


def _share_above(begin: LatenessReport, end: LatenessReport, milliseconds: float) -> float:
    """Which part of the cycles between two reports began later than that."""
    before = begin.counts or [0] * len(end.counts)
    cycles = [later - earlier for earlier, later in zip(before, end.counts, strict=True)]
    bounds = [*end.bounds_ms, float("inf")]
    late = sum(count for bound, count in zip(bounds, cycles, strict=True) if bound > milliseconds)
    return late / max(1, sum(cycles))


async def _begin(rig: Rig) -> None:
    await rig.start_centre()
    await rig.start_agent()

    async def all_arrive() -> bool:
        return (await rig.api.account()).samples >= 2 * RATE

    await until(all_arrive, 60)


async def _drained(rig: Rig, seconds: float) -> None:
    async def no_backlog() -> bool:
        return (await rig.status()).buffer.pending_batches <= 3

    await until(no_backlog, seconds)


@pytest.mark.timeout(SECONDS + DRAIN_SECONDS + 200)
async def test_a_days_outage_disturbs_nothing_and_is_made_up_for_in_3_minutes(tmp_path: Path) -> None:
    setup = Setup(noise=True, buffer={"catch_up_rate": "1GiB/s"})
    async with Rig(tmp_path, CONNECTIONS, TAGS, setup=setup) as rig:
        await _begin(rig)
        away = await _outage(rig, SECONDS)
        await rig.start_centre()
        returned = time.monotonic()
        waited = await until(rig.fresh_value, NEWEST_SECONDS)
        await _drained(rig, DRAIN_SECONDS)
        drained = time.monotonic() - returned
        await rig.agent.stop()
        account = await rig.settled(60)
    found = await rig.judged()
    print(
        f"\n{SECONDS:.0f} s away at {RATE} samples/s, {away.pending_bytes / 2**20:.1f} MiB: "
        f"newest after {waited:.2f} s, backlog after {drained:.1f} s; overruns {away.overruns}, "
        f"cycles over {LATE_MS:.0f} ms late {away.late:.2%}; PSS {min(away.pss_mib):.1f} to "
        f"{max(away.pss_mib):.1f} MiB, growth {away.growth_mib:+.2f}\n{found.summary()}"
    )
    assert (account.gaps, account.duplicates, account.lost, account.pending) == (0, 0, 0, 0)
    assert (found.holes(), found.doubled, found.bad_frames) == ([], 0, 0)
    assert away.read >= 0.9 * SECONDS * RATE
    assert away.read + away.overruns * TAGS >= 0.95 * SECONDS * RATE
    assert away.late <= 0.05
    assert away.growth_mib <= GROWTH_MIB


@pytest.mark.timeout(CAPPED_SECONDS + 300)
async def test_catching_up_keeps_the_rate_that_it_may_use(tmp_path: Path) -> None:
    setup = Setup(noise=True, buffer={"catch_up_rate": f"{CAP >> 10}KiB/s", "flush_interval": "500ms"})
    async with Rig(tmp_path, CONNECTIONS, TAGS, setup=setup) as rig:
        await _begin(rig)
        away = await _outage(rig, CAPPED_SECONDS)
        since = time.time_ns() // 1_000_000
        await rig.start_centre()
        await until(rig.fresh_value, NEWEST_SECONDS)
        await _drained(rig, 1.5 * away.pending_bytes / CAP + 30)
        await rig.agent.stop()
    rate = await asyncio.to_thread(_backlog_rate, rig.central_database, since)
    print(f"\n{away.pending_bytes} bytes of backlog came with {rate / CAP:.1%} of the rate")
    assert abs(rate / CAP - 1) <= CAP_SHARE


def _backlog_rate(database: Path, since_ms: int) -> float:
    """Bytes a second of what was older than the centre's return, without the burst of the first second.

    What a POST brings is waited for after it, so the last one does not count.
    """
    sql = (
        "SELECT arrived, sum(length(body) + ?) FROM batch WHERE arrived >= ? AND t1 < ? "
        "GROUP BY arrived ORDER BY arrived"
    )
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        posts = db.execute(sql, (ITEM_BYTES, since_ms, since_ms)).fetchall()
    steady = [post for post in posts if post[0] >= posts[0][0] + 1000]
    return float(sum(size for _, size in steady[:-1]) / ((steady[-1][0] - steady[0][0]) / 1000))


# --- what is measured can be too much --------------------------------------------------------------------


def test_memory_that_grows_while_the_centre_is_away_shows() -> None:
    steady = Away(0, 0, 0.0, [60.0 + at % 3 for at in range(60)], 0)
    growing = Away(0, 0, 0.0, [60.0 + at % 3 + at / 2 for at in range(60)], 0)
    assert abs(steady.growth_mib) < 1
    assert growing.growth_mib > GROWTH_MIB


def test_cycles_that_begin_late_show() -> None:
    begin = LatenessReport(bounds_ms=[1, 100, 500, 1000], counts=[50, 0, 0, 3, 2])
    well = LatenessReport(bounds_ms=[1, 100, 500, 1000], counts=[140, 5, 5, 3, 2])
    late = LatenessReport(bounds_ms=[1, 100, 500, 1000], counts=[140, 0, 0, 8, 7])
    assert _share_above(begin, well, LATE_MS) == 0
    assert _share_above(begin, late, LATE_MS) == 0.1


@pytest.mark.parametrize(("bytes_a_post", "holds"), [(1000, True), (1200, False), (800, False)])
def test_a_rate_that_is_not_the_one_that_was_set_shows(
    tmp_path: Path, bytes_a_post: int, holds: bool
) -> None:
    """Ten POSTs a second of the backlog; live batches and the burst at the beginning do not count."""
    since, wanted = 1_000_000, 10_000
    path = tmp_path / "central.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE batch(arrived, t1, body)")
        posts = [(since + 100 * at, since - 5_000, bytes_a_post) for at in range(100)]
        burst = [(since, since - 9_000, 1 << 20)]
        live = [(since + 100 * at, since + 100 * at, 50_000) for at in range(100)]
        rows = [(arrived, t1, bytes(size - ITEM_BYTES)) for arrived, t1, size in [*burst, *posts, *live]]
        db.executemany("INSERT INTO batch VALUES(?, ?, ?)", rows)
        db.commit()
    assert (abs(_backlog_rate(path, since) / wanted - 1) <= CAP_SHARE) is holds
