"""The reference line: 100 connections × 1,000 uint16 at 1 s, beside a bare reader of the same registers."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import Any, Final

import orjson

from bench import arrivals
from bench.arrivals import Span
from bench.figure import Beside, Order, Outcome, progress
from bench.fit import percentile
from bench.plant import Load, Plant
from bench.processes import Usage, watch
from edge_agent.contracts.status import AgentStatus
from edge_agent.demo.centre import Account
from edge_agent.demo.children import output_of
from tests.crash.judge import judge

_GOAL_CPU: Final = 10.0
_GOAL_RATIO: Final = 1.5
_GOAL_PSS_MIB: Final = 100.0
_GOAL_LATENESS_MS: Final = 20.0
_READER_SECONDS: Final = 100.0


@dataclass(frozen=True, slots=True)
class Bare:
    """The bare reader's windows: CPU in per cent of a core, requests answered a second."""

    cpu: list[float]
    replies: list[float]


async def read_bare(ports: Sequence[int], load: Load, seconds: float, *, streams: bool = False) -> Bare:
    printed = await output_of(
        "bench.reader",
        "--registers", str(load.registers), "--interval", str(load.interval), "--seconds", str(seconds),
        *(["--streams"] if streams else []), *map(str, ports),
    )  # fmt: skip
    found = orjson.loads(printed)
    return Bare(found["cpu"], found["replies"])


async def run(order: Order) -> list[Outcome]:
    """The bare reader has its windows before and after the agent's, with the same centre and simulator."""
    load = Load(connections=10 if order.quick else 100)
    aside = min(order.seconds / 2, _READER_SECONDS / 2)
    async with Plant(order.directory, load) as plant:
        before = await read_bare(plant.ports, load, aside)
        await plant.start_agent()
        await plant.settle()
        progress(f"agent reads {load.samples_per_second:,.0f} samples/s for {order.seconds:g} s")
        span, stats = await _observe(plant, order.seconds)
        progress("stopping, waiting for the last sample, judging every value")
        stats |= await judged(plant, span)
        after = await read_bare(plant.ports, load, aside)
        streams = None if order.quick else await read_bare(plant.ports, load, aside, streams=True)
        stats["bytes_a_sample"] = round(_stored_bytes(plant) / stats["judged_samples"], 3)
    agent: Usage = stats.pop("agent")
    bare = median(before.cpu + after.cpu)
    stats |= {
        "agent_windows": agent.windows,
        "bare_windows": [round(cpu, 2) for cpu in before.cpu + after.cpu],
        "bare_samples_per_second": round(median(before.replies + after.replies) * load.registers / 8),
        "bare_streams_cpu_percent": round(median(streams.cpu), 2) if streams else None,
    }
    return _outcomes(load, agent, bare, stats)


async def _observe(plant: Plant, seconds: float) -> tuple[Span, dict[str, Any]]:
    before, begin = await plant.status(), time.time()
    usage = await watch(plant.pids(), seconds)
    span = int(begin * 1000), int(time.time() * 1000)
    after = await plant.status()
    late = lateness_between(before, after)
    return span, {
        "lateness_p99_ms": upper_bound(late, 0.99),
        "lateness_counts": {str(bound): count for bound, count in late.items()},
        "agent": usage["agent"],
        "centre_cpu_percent": usage["centre"].cpu_percent,
        "simulator_cpu_percent": usage["simulator"].cpu_percent,
        "overruns": overruns(after) - overruns(before),
    }


def overruns(status: AgentStatus) -> int:
    return sum(report.overruns for report in status.connections)


def lateness_between(before: AgentStatus, after: AgentStatus) -> Counter[float]:
    """How many cycles began how late: counts by their upper bound in milliseconds, the last one infinite."""
    bounds = [*after.lateness.bounds_ms, inf]
    counts = zip(after.lateness.counts, before.lateness.counts, strict=True)
    return Counter({bound: new - old for bound, (new, old) in zip(bounds, counts, strict=True)})


def upper_bound(counts: Mapping[float, int], share: float) -> float | None:
    """The bound below which this share of the counted lies; None: above all of them."""
    reached = 0
    for bound in sorted(counts):
        reached += counts[bound]
        if reached >= share * sum(counts.values()):
            return None if bound == inf else bound
    return None


async def judged(plant: Plant, span: Span) -> dict[str, Any]:
    """Stops the agent, waits for the last sample, and opens everything that came."""
    account = await plant.drained()
    return await asyncio.to_thread(_judge, plant, span, account)


def _judge(plant: Plant, span: Span, account: Account) -> dict[str, Any]:
    load, seconds = plant.load, (span[1] - span[0]) / 1000
    late = arrivals.cycle_lateness_ms(plant.central_database, load.interval, [span])[0]
    delays = arrivals.delays_ms(plant.central_database, *span)
    found = judge(plant.central_database, load.tags)
    return {
        "samples_per_second_acknowledged": round(len(delays) * load.tags / seconds),
        "cycle_end_lateness_p99_ms": round(percentile(late, 0.99), 2),
        "cycle_end_lateness_max_ms": round(max(late), 2),
        "to_centre_p50_ms": percentile(delays, 0.5),
        "to_centre_p99_ms": percentile(delays, 0.99),
        "gaps": account.gaps + len(found.holes()),
        "duplicates": account.duplicates + found.doubled,
        "lost": account.lost,
        "wrong_frames": found.wrong_rows,
        "bad_frames": found.bad_frames,
        "judged_samples": found.framed,
    }


def _stored_bytes(plant: Plant) -> int:
    return sum(path.stat().st_size for path in plant.directory.glob("buffer.db*"))


def _outcomes(load: Load, agent: Usage, bare: float, stats: dict[str, Any]) -> list[Outcome]:
    whole = (
        not (stats["gaps"] or stats["duplicates"] or stats["lost"] or stats["wrong_frames"])
        and stats["samples_per_second_acknowledged"] >= 0.99 * load.samples_per_second
    )
    ratio = agent.cpu_percent / bare
    lateness = stats["lateness_p99_ms"]
    shape = f"{load.connections} connections × {load.tags:,} uint16 at {load.interval:g} s, all changing"
    return [
        Outcome(
            "reference_line", agent.cpu_percent, "% of a core",
            f"≤ {_GOAL_CPU:g} %, or ≤ {_GOAL_RATIO:g} × the bare reader; nothing lost, doubled or wrong",
            whole and (agent.cpu_percent <= _GOAL_CPU or ratio <= _GOAL_RATIO),
            f"{shape}; CPU time of the agent's processes, median of 5 windows; every value that reached the "
            "centre is compared with the simulator's formula. The bare reader is an asyncio Protocol that "
            "reads the same registers and throws them away, in 5 windows before and 5 after the agent's.",
            Beside("bare asyncio reader", round(bare, 2), "% of a core", round(ratio, 2)), stats,
        ),
        Outcome(
            "reference_lateness_p99", lateness, "ms", f"≤ {_GOAL_LATENESS_MS:g} ms",
            lateness is not None and lateness <= _GOAL_LATENESS_MS,
            f"{shape}; how late cycles began, upper bound of the agent's own counts",
        ),
        Outcome(
            "reference_memory", agent.pss_mib, "MiB PSS", f"≤ {_GOAL_PSS_MIB:g} MiB",
            agent.pss_mib <= _GOAL_PSS_MIB,
            f"{shape}; proportional set size of the agent's processes, median of 5 windows",
        ),
    ]  # fmt: skip
