"""Whether memory stays what it is at the reference line."""

import asyncio
import time
from typing import Final

from bench.figure import Order, Outcome
from bench.fit import least_squares
from bench.plant import Load, Plant
from bench.processes import ProcessTree

_EVERY_SECONDS: Final = 10.0
_WARM_UP: Final = 1 / 12  # of the time: 5 min of an hour
_GOAL_MIB: Final = 5.0


async def run(order: Order) -> list[Outcome]:
    load = Load()
    points: list[tuple[float, float]] = []
    async with Plant(order.directory, load) as plant:
        await plant.start_agent()
        tree = ProcessTree(plant.agent.pid)
        begin = time.monotonic()
        while (passed := time.monotonic() - begin) < order.seconds:
            points.append((round(passed, 1), round(await asyncio.to_thread(tree.private_bytes) / 2**20, 2)))
            await asyncio.sleep(min(_EVERY_SECONDS, order.seconds / 30))
        account = await plant.drained()
    line = least_squares([point for point in points if point[0] >= _WARM_UP * order.seconds])
    growth = 3600 * line.slope
    return [
        Outcome(
            "memory_growth", round(growth, 2), "MiB/h", f"flat: within ± {_GOAL_MIB:g} MiB over the hour",
            abs(growth) <= _GOAL_MIB if order.seconds >= 3600 else None,
            f"private memory (USS) of the agent at the reference line for {order.seconds:g} s, least "
            "squares without the first twelfth",
            None,
            {
                "first_mib": points[0][1], "last_mib": points[-1][1], "most_mib": max(y for _, y in points),
                "points": points[:: max(1, len(points) // 60)], "gaps": account.gaps,
            },
        )
    ]  # fmt: skip
