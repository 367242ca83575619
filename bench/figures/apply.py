"""Whether polling keeps its rhythm while a config of 20,000 tags more is applied again and again."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from bench import arrivals
from bench.arrivals import Span
from bench.figure import Beside, Order, Outcome, progress
from bench.figures.reference import lateness_between, upper_bound
from bench.fit import percentile
from bench.plant import Load, Plant

_PAIRS: Final = 6
_EXTRA: Final = 20
_GOAL_MS: Final = 5.0
_GOAL_RATIO: Final = 1.5


@dataclass(slots=True)
class _Side:
    """The windows of one kind: when they were, and how late cycles began in them."""

    spans: list[Span] = field(default_factory=list)
    late: Counter[float] = field(default_factory=Counter)

    async def window(self, plant: Plant, what: Awaitable[Any]) -> None:
        before, begin = await plant.status(), int(time.time() * 1000)
        await what
        self.spans.append((begin, int(time.time() * 1000)))
        self.late += lateness_between(before, await plant.status())


async def run(order: Order) -> list[Outcome]:
    """Windows without and with reloads take turns, so that what else the machine does falls on both."""
    load = Load(connections=10)
    quiet, busy = _Side(), _Side()
    each = order.seconds / _PAIRS / 2
    reloads = 0
    async with Plant(order.directory, load) as plant:
        large = _with_extra(plant)
        await plant.start_agent()
        await plant.settle()
        for _ in range(_PAIRS):
            await quiet.window(plant, asyncio.sleep(each))
            before, until = reloads, time.monotonic() + each

            async def reload(until: float = until) -> None:
                nonlocal reloads
                while time.monotonic() < until:
                    for document in (large, plant.document):
                        await _apply(plant, document)
                        reloads += 1

            await busy.window(plant, reload())
            progress(f"{reloads - before} reloads; cycles by lateness: {dict(busy.late)}")
        account = await plant.drained()
        extra = frozenset(f"extra{index:02d}" for index in range(_EXTRA))
        spans = [*quiet.spans, *busy.spans]
        ends = arrivals.cycle_lateness_ms(plant.central_database, load.interval, spans, extra)
    calm, shaken = (
        percentile([value for window in windows for value in window], 0.99)
        for windows in (ends[:_PAIRS], ends[_PAIRS:])
    )
    p99, baseline = upper_bound(busy.late, 0.99), upper_bound(quiet.late, 0.99)
    limit = max(_GOAL_MS, _GOAL_RATIO * (baseline or inf))
    return [
        Outcome(
            "apply_lateness_p99", p99, "ms", f"≤ max({_GOAL_MS:g} ms, {_GOAL_RATIO:g} × the baseline)",
            p99 is not None and p99 <= limit,
            "10 connections × 1,000 uint16 at 1 s; how late cycles began (upper bound of the agent's own "
            "counts) while reloads add and remove 20 connections × 1,000 tags without a pause, the first "
            "polls of the new connections included; details: how late cycles ended, by the centre's database",
            Beside("the same without reloads, in turns", baseline, "ms", p99 and baseline and p99 / baseline),
            {
                "reloads": reloads, "late": _named(busy.late), "baseline_late": _named(quiet.late),
                "end_lateness_p99_ms": round(shaken, 2), "baseline_end_lateness_p99_ms": round(calm, 2),
                "gaps": account.gaps, "duplicates": account.duplicates,
            },
        )
    ]  # fmt: skip


def _named(counts: Counter[float]) -> dict[str, int]:
    return {str(bound): counts[bound] for bound in sorted(counts)}


def _with_extra(plant: Plant) -> dict[str, Any]:
    """The config with 20,000 tags more, polled so seldom that reading them is not what is measured."""
    tags = [{"name": f"t{index}", "address": f"holding:{index}"} for index in range(1_000)]
    extra = [
        {
            "name": f"extra{index:02d}",
            "driver": "modbus",
            "transport": {"type": "tcp", "host": "127.0.0.1", "port": plant.ports[index % len(plant.ports)]},
            "groups": [{"name": "all", "interval": "1h", "tags": tags}],
        }
        for index in range(_EXTRA)
    ]
    return {**plant.document, "connections": [*plant.document["connections"], *extra]}


async def _apply(plant: Plant, document: dict[str, Any]) -> None:
    plant.write_config(document)
    result = await asyncio.to_thread(plant.client().reload)
    if not result.applied:
        raise RuntimeError(f"the reload was refused: {result.problems[:3]}")
