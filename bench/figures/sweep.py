"""CPU against samples/s, from 100 to 200,000, beside a bare reader of the same registers."""

from statistics import median
from typing import Any, Final

from bench.figure import Beside, Order, Outcome, progress
from bench.figures.reference import read_bare
from bench.fit import Line, least_squares
from bench.plant import Load, Plant
from bench.processes import watch

_LOADS: Final = (
    Load(connections=1, tags=100), Load(connections=1), Load(connections=10), Load(connections=50),
    Load(connections=100), Load(connections=200),
)  # fmt: skip
_GOAL_R2: Final = 0.99


async def run(order: Order) -> list[Outcome]:
    """`order.seconds` are shared by all loads; the bare reader gets as long again, as part of them."""
    each = order.seconds / len(_LOADS) / 2
    rows: list[dict[str, Any]] = []
    for index, load in enumerate(_LOADS):
        directory = order.directory / str(index)
        directory.mkdir()
        async with Plant(directory, load) as plant:
            await plant.start_agent()
            await plant.settle()
            usage = await watch(plant.pids(), each)
            account = await plant.drained()
            bare = await read_bare(plant.ports, load, each)
        rows.append(
            {
                "samples_per_second": load.samples_per_second,
                "agent_cpu_percent": usage["agent"].cpu_percent,
                "bare_cpu_percent": round(median(bare.cpu), 2),
                "centre_cpu_percent": usage["centre"].cpu_percent,
                "agent_pss_mib": usage["agent"].pss_mib,
                "gaps": account.gaps,
            }
        )
        progress(str(rows[-1]))
    return [_outcome(rows)]


def _outcome(rows: list[dict[str, Any]]) -> Outcome:
    agent, bare = (_line(rows, key) for key in ("agent_cpu_percent", "bare_cpu_percent"))
    slope, bare_slope = (round(1e4 * line.slope, 3) for line in (agent, bare))
    return Outcome(
        "sweep", slope, "µs CPU/sample", f"linear: R² ≥ {_GOAL_R2:g}", agent.r2 >= _GOAL_R2,
        "1,000 uint16 a connection at 1 s, 1 to 200 connections (100/s: 100 tags); least squares through the "
        "CPU of the agent's processes; intercept in details",
        Beside("bare asyncio reader", bare_slope, "µs CPU/sample", round(slope / bare_slope, 2)),
        {"intercept_percent": round(agent.intercept, 2), "r2": round(agent.r2, 4), "points": rows},
    )  # fmt: skip


def _line(rows: list[dict[str, Any]], key: str) -> Line:
    return least_squares([(row["samples_per_second"], row[key]) for row in rows])
