"""A soak: agent, centre and simulator for a long time over a link that breaks at random.

Memory and file handles of agent and centre are sampled into a JSONL file, one line each time; `Series`
says what they did after the first quarter. `test_soak` runs it: `make soak` for an hour, CI for half a
minute.
"""

import asyncio
import contextlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

from tests.crash.fault_proxy import HEALTHY, play, schedule
from tests.crash.judge import Judgement
from tests.crash.rig import Rig, Setup

MIB: Final = 1 << 20
PROGRESS_SECONDS: Final = 60.0
# How long good and bad times of the links last in the mean.
GOOD_SECONDS: Final = 10.0
BAD_SECONDS: Final = 4.0
PLC_GOOD_SECONDS: Final = 60.0
PLC_BAD_SECONDS: Final = 3.0
# A frame is eight requests, each of which a slow link may hold up for its time-out of 2 s.
SLOW_TICKS: Final = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one time. anonymous_bytes: its memory that no file stands for (smaps_rollup); what is
    private of the libraries moves with every other Python that starts or ends. database_bytes: of its
    database, journal included."""

    process: str
    seconds: float
    rss_bytes: int
    pss_bytes: int
    anonymous_bytes: int
    handles: int
    database_bytes: int


def sample(process: str, pid: int, database: Path, seconds: float) -> Sample:
    """Raises OSError where the process is gone."""
    sizes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, kib, _ = line.split()
        sizes[name.removesuffix(":")] = int(kib) * 1024
    anonymous = sizes["Anonymous"]
    handles = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    files = (database, database.with_name(f"{database.name}-wal"))
    stored = sum(path.stat().st_size for path in files if path.exists())
    return Sample(process, round(seconds, 1), sizes["Rss"], sizes["Pss"], anonymous, handles, stored)


class Series:
    """The samples of one process after a warm-up: the first quarter of the soak."""

    def __init__(self, samples: Sequence[Sample], process: str) -> None:
        own = [each for each in samples if each.process == process]
        self.all = own
        self.settled = [each for each in own if each.seconds >= own[-1].seconds / 4]

    @property
    def slope_mib_an_hour(self) -> float:
        """Of anonymous memory: the median of the slopes between all pairs of samples (Theil and Sen)."""
        points = [(each.seconds / 3600, each.anonymous_bytes / MIB) for each in self.settled]
        slopes = [
            (y2 - y1) / (x2 - x1)
            for index, (x1, y1) in enumerate(points)
            for x2, y2 in points[index + 1 :]
            if x2 > x1
        ]
        return statistics.median(slopes)

    @property
    def database_mib_an_hour(self) -> float:
        """How fast the database grows. SQLite keeps in memory what it wrote, up to its cache's size: a
        centre whose database has not reached that (32 MiB) grows with it, and not by a leak."""
        first, last = self.settled[0], self.settled[-1]
        hours = (last.seconds - first.seconds) / 3600
        return (last.database_bytes - first.database_bytes) / MIB / hours if hours else 0.0

    @property
    def handles(self) -> tuple[int, int, int]:
        """Fewest in the first and in the last third of what is looked at, and the most. A handle that is
        never closed lifts the fewest; connections that come and go do not."""
        counts = [each.handles for each in self.settled]
        third = max(1, len(counts) // 3)
        return min(counts[:third]), min(counts[-third:]), max(counts)

    def summary(self) -> str:
        first, last, most = self.handles
        memory = [each.anonymous_bytes / MIB for each in self.settled]
        return (
            f"{len(self.settled)} samples; anonymous memory {memory[0]:.2f} → {memory[-1]:.2f} MiB "
            f"({min(memory):.2f} to {max(memory):.2f}), slope {self.slope_mib_an_hour:+.2f} MiB/h; "
            f"database {self.database_mib_an_hour:+.2f} MiB/h; "
            f"handles at least {first} → {last}, at most {most}"
        )


@dataclass(frozen=True, slots=True)
class Soaked:
    agent: Series
    centre: Series
    judgement: Judgement
    gaps: int
    duplicates: int
    pending: int


async def soak(directory: Path, seconds: float, every_seconds: float, seed: int, out: Path) -> Soaked:
    """Runs it, drains, and judges. The link to the centre breaks about every 14 s, those to PLCs seldom."""
    samples: list[Sample] = []
    async with Rig(directory, connections=4, tags=1000, setup=Setup(proxied=True)) as rig:
        await rig.start_centre()
        await rig.start_agent()
        players = [
            asyncio.create_task(play(rig.to_centre, schedule(seed, GOOD_SECONDS, BAD_SECONDS))),
            *(
                asyncio.create_task(play(plc, schedule(seed + at, PLC_GOOD_SECONDS, PLC_BAD_SECONDS)))
                for at, plc in enumerate(rig.to_plcs[:2], 1)
            ),
        ]
        try:
            await _watch(rig, samples, seconds, every_seconds, out)
        finally:
            for player in players:
                player.cancel()
            await asyncio.gather(*players, return_exceptions=True)
        for proxy in (rig.to_centre, *rig.to_plcs):
            await proxy.set(HEALTHY)
        await rig.agent.stop()
        await rig.agent.start()
        account = await rig.drained(120)
        await rig.agent.stop()
    return Soaked(
        Series(samples, "agent"), Series(samples, "centre"), await rig.judged(SLOW_TICKS),
        account.gaps, account.duplicates, account.pending,
    )  # fmt: skip


async def _watch(rig: Rig, samples: list[Sample], seconds: float, every: float, out: Path) -> None:
    began = told = time.monotonic()
    with out.open("ab") as lines:
        while (now := time.monotonic()) - began < seconds:
            for child, database in ((rig.agent, rig.edge_database), (rig.centre, rig.central_database)):
                assert child.running, f"{child.name} ended: {rig.log(child.name).read_text()[-2000:]}"
                taken = await asyncio.to_thread(sample, child.name, child.pid, database, now - began)
                samples.append(taken)
                lines.write(orjson.dumps(asdict(taken)) + b"\n")
            lines.flush()
            if now - told >= PROGRESS_SECONDS:
                told = now
                _tell(samples, rig, now - began)
            await asyncio.sleep(max(0.0, now + every - time.monotonic()))


def _tell(samples: Sequence[Sample], rig: Rig, seconds: float) -> None:
    print(f"{seconds:6.0f} s, link {rig.to_centre.fault}, {rig.to_centre.accepted} connections", flush=True)
    for process in ("agent", "centre"):
        with contextlib.suppress(statistics.StatisticsError):
            print(f"         {process}: {Series(samples, process).summary()}", flush=True)
