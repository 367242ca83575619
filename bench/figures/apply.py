"""Whether polling keeps its rhythm while a config of 20,000 tags more is applied again and again."""

import asyncio
import time
from typing import Any, Final

from bench import arrivals
from bench.arrivals import Span
from bench.figure import Beside, Order, Outcome, progress
from bench.fit import percentile
from bench.plant import Load, Plant

_PAIRS: Final = 6
_EXTRA: Final = 20
_GOAL_MS: Final = 5.0
_GOAL_RATIO: Final = 1.5


async def run(order: Order) -> list[Outcome]:
    """Windows without and with reloads take turns, so that what else the machine does falls on both."""
    load = Load(connections=10)
    quiet: list[Span] = []
    busy: list[Span] = []
    reloads = 0
    async with Plant(order.directory, load) as plant:
        large = _with_extra(plant)
        await plant.start_agent()
        await plant.settle()
        for _ in range(_PAIRS):
            quiet.append(await _window(asyncio.sleep(order.seconds / _PAIRS / 2)))
            begin = time.monotonic()
            before = reloads

            async def reload(until: float = begin + order.seconds / _PAIRS / 2) -> None:
                nonlocal reloads
                while time.monotonic() < until:
                    for document in (large, plant.document):
                        await _apply(plant, document)
                        reloads += 1

            busy.append(await _window(reload()))
            progress(f"{reloads - before} reloads in {time.monotonic() - begin:.1f} s")
        account = await plant.drained()
        extra = frozenset(f"extra{index:02d}" for index in range(_EXTRA))
        spans = [*quiet, *busy]
        late = arrivals.cycle_lateness_ms(plant.central_database, load.interval, spans, extra)
    without, during = (
        [value for window in windows for value in window] for windows in (late[:_PAIRS], late[_PAIRS:])
    )
    p99, baseline = percentile(during, 0.99), percentile(without, 0.99)
    limit = max(_GOAL_MS, _GOAL_RATIO * baseline)
    return [
        Outcome(
            "apply_lateness_p99", round(p99, 2), "ms",
            f"≤ max({_GOAL_MS:g} ms, {_GOAL_RATIO:g} × the baseline)", p99 <= limit,
            "10 connections × 1,000 uint16 at 1 s; how late cycles ended against their grid, while reloads "
            "add and remove 20 connections × 1,000 tags without a pause",
            Beside("the same without reloads, in turns", round(baseline, 2), "ms", round(p99 / baseline, 2)),
            {
                "reloads": reloads, "cycles": len(during), "max_ms": round(max(during), 2),
                "baseline_max_ms": round(max(without), 2), "gaps": account.gaps,
                "duplicates": account.duplicates,
            },
        )
    ]  # fmt: skip


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


async def _window(what: Any) -> Span:
    begin = int(time.time() * 1000)
    await what
    return begin, int(time.time() * 1000)
