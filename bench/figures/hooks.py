"""What hooks cost: the reference line through one, and whether polling feels those that misbehave."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson

from bench.figure import Beside, Order, Outcome, progress
from bench.figures.reference import lateness_between, overruns, upper_bound
from bench.plant import Load, Plant
from bench.processes import watch
from edge_agent.demo.children import output_of
from edge_agent.wire.batch import Batch
from edge_agent.wire.schema import Schema

_PAIRS: Final = 3
_GOAL_1000_US: Final = 1_200
_GOAL_1_US: Final = 60
_GOAL_MORE: Final = 25.0
_GOAL_LATE_MS: Final = 5.0
_GOAL_LATE_RATIO: Final = 1.5

SCALE: Final = """
OUTPUTS = {"t*": "float32"}

def transform(frame):
    frame.set_columns("t*", frame.columns("t*") * 0.1 + 4)
"""
# In one flush out of three, so that their breakers never see three failures in a row.
_HANG: Final = """
OUTPUTS = {"never": "float64"}

def transform(frame):
    while frame.time % 3_000 < 1_000:
        try:
            pass
        except Exception:
            pass
"""
_HOARD: Final = """
OUTPUTS = {"never": "float64"}

def transform(frame):
    kept = []
    while frame.time % 3_000 < 1_000:
        kept.append([0.5] * 100_000)
"""
_PRINT: Final = """
OUTPUTS = {"never": "float64"}

def transform(frame):
    text = "x" * 1_000_000
    while frame.time % 3_000 < 1_000:
        print(text)
"""


def _section(*scripts: tuple[str, str, str]) -> dict[str, Any]:
    """The section of the config: (name, pattern of its groups, source)."""
    return {
        "scripts": [
            {"name": name, "point": "transform", "groups": [groups], "source": source}
            for name, groups, source in scripts
        ]
    }


@dataclass(slots=True)
class _Side:
    """The windows of one kind: CPU in per cent of a core, PSS in MiB, how late cycles began."""

    cpu: list[float] = field(default_factory=list)
    pss: list[float] = field(default_factory=list)
    late: Counter[float] = field(default_factory=Counter)
    overruns: int = 0

    async def window(self, plant: Plant, seconds: float) -> None:
        before = await plant.status()
        usage = (await watch({"agent": plant.agent.pid}, seconds, windows=1))["agent"]
        after = await plant.status()
        self.cpu.append(usage.cpu_percent)
        self.pss.append(usage.pss_mib)
        self.late += lateness_between(before, after)
        self.overruns += overruns(after) - overruns(before)


async def _in_turns(plant: Plant, section: Mapping[str, Any], seconds: float) -> tuple[_Side, _Side]:
    """Windows without and with these hooks, so that what else the machine does falls on both."""
    without, with_them = _Side(), _Side()
    documents = plant.document, {**plant.document, "hooks": dict(section)}
    for turn in range(2 * _PAIRS):
        side = (without, with_them)[turn % 2]
        plant.write_config(documents[turn % 2])
        await plant.start_agent()
        await plant.settle()
        await side.window(plant, seconds / _PAIRS / 2)
        await plant.agent.stop()
        progress(f"{'with' if turn % 2 else 'without'}: {side.cpu[-1]} % of a core")
    return without, with_them


async def calls(order: Order) -> list[Outcome]:
    found = orjson.loads(await output_of("bench.hook_caller", str(order.seconds)))
    bare, bare_4k = round(found["bare_100_bytes"], 1), round(found["bare_4_kilobytes"], 1)
    columns, loop, one, ten = (found[name]["p50"] for name in ("columns", "loop", "one", "one_of_10"))
    how = (
        "there and back through the agent's own side of a call (request, answer and what is checked of it) "
        "and a confined worker; median. Beside it a process that sends the bytes back, asked without a loop"
    )
    return [
        Outcome(
            "hook_call_1000", round(columns), "µs", f"≤ {_GOAL_1000_US:,} µs",
            columns <= _GOAL_1000_US,
            f"`frame.columns(\"t*\") * 0.1 + 4` over 1,000 uint16, one frame a call: {how}",
            Beside("4 kB there and back", bare_4k, "µs", round(columns / bare_4k, 2)),
            {"loop_p50_us": round(loop), **found},
        ),
        Outcome(
            "hook_call_1", round(one, 1), "µs", f"≤ {_GOAL_1_US} µs", one <= _GOAL_1_US,
            f"one uint16, one frame a call: {how}. In a flush with ten frames, which are one call, a frame "
            "takes what the details name",
            Beside("100 bytes there and back", bare, "µs", round(one / bare, 2)),
            {"frame_of_10_us": round(ten, 1)},
        ),
    ]  # fmt: skip


async def reference_line(order: Order) -> list[Outcome]:
    load = Load(connections=10 if order.quick else 100)
    async with Plant(order.directory, load) as plant:
        section = _section(("scale", "*", SCALE))
        without, hooked = await _in_turns(plant, section, order.seconds)
        account = await plant.drained()
        made = await asyncio.to_thread(samples_by_fate, plant.central_database)
    base, cpu = median(without.cpu), median(hooked.cpu)
    more = round(cpu - base, 2)
    whole = not (account.gaps or account.duplicates or account.lost or made["bad_hook"]) and made["hooked"]
    return [
        Outcome(
            "hooks_reference_line", more, "% of a core more", f"≤ {_GOAL_MORE:g} %; every sample hooked",
            bool(whole) and more <= _GOAL_MORE,
            f"{load.connections} connections × {load.tags:,} uint16 at {load.interval:g} s through "
            "`frame.columns(\"t*\") * 0.1 + 4` as float32; CPU of the agent and its worker, less that of the "
            f"same agent without the hook; medians of {_PAIRS} windows each, in turns",
            Beside("the agent without hooks", base, "% of a core", round(cpu / base, 2)),
            {
                "with_percent": hooked.cpu, "without_percent": without.cpu, "pss_mib": median(hooked.pss),
                "pss_mib_without": median(without.pss), "lateness_p99_ms": upper_bound(hooked.late, 0.99),
                "lateness_p99_ms_without": upper_bound(without.late, 0.99), "overruns": hooked.overruns,
                "gaps": account.gaps, "duplicates": account.duplicates, "lost": account.lost, **made,
            },
        )
    ]  # fmt: skip


async def lateness(order: Order) -> list[Outcome]:
    """Four connections have hooks that hang, eat memory, print without end and work; the others none."""
    load = Load(connections=10)
    section = _section(
        ("hang", "plc000.*", _HANG), ("hoard", "plc001.*", _HOARD), ("print", "plc002.*", _PRINT),
        ("scale", "plc003.*", SCALE),
    )  # fmt: skip
    async with Plant(order.directory, load) as plant:
        calm, shaken = await _in_turns(plant, section, order.seconds)
        account = await plant.drained()
        made = await asyncio.to_thread(samples_by_fate, plant.central_database)
    p99, baseline = upper_bound(shaken.late, 0.99), upper_bound(calm.late, 0.99)
    limit = max(_GOAL_LATE_MS, _GOAL_LATE_RATIO * (baseline or inf))
    return [
        Outcome(
            "hooks_lateness_p99", p99, "ms",
            f"≤ max({_GOAL_LATE_MS:g} ms, {_GOAL_LATE_RATIO:g} × the baseline)",
            p99 is not None and p99 <= limit and not (account.gaps or account.duplicates or account.lost),
            "10 connections × 1,000 uint16 at 1 s, three of which have a hook that hangs, eats memory or "
            "prints without end in each third flush; how late cycles began, upper bound of the agent's own "
            "counts",
            Beside("the same agent without hooks, in turns", baseline, "ms",
                   round(p99 / baseline, 2) if p99 and baseline else None),
            {
                "late": _named(shaken.late), "baseline_late": _named(calm.late), "cpu_percent": shaken.cpu,
                "pss_mib": shaken.pss, "pss_mib_without": calm.pss, "overruns": shaken.overruns,
                "gaps": account.gaps, "duplicates": account.duplicates, "lost": account.lost, **made,
            },
        )
    ]  # fmt: skip


def _named(counts: Counter[float]) -> dict[str, int]:
    return {str(bound): counts[bound] for bound in sorted(counts)}


def samples_by_fate(database: Path) -> dict[str, int]:
    """How many samples of a centre a hook made, are marked `bad_hook`, or come from agents without hooks."""
    found = {"hooked": 0, "bad_hook": 0, "plain": 0}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        schemas = {
            name: Schema.from_bytes(bytes(body)) for name, body in db.execute("SELECT hash, body FROM schema")
        }
        for codec, raw, body in db.execute("SELECT codec, raw, body FROM batch"):
            batch = Batch.open(body, codec, raw)
            for index, entry in enumerate(batch.sections):
                if entry["k"] == "frames":
                    _count(found, schemas[entry["s"]], batch.frames(index, schemas[entry["s"]]))
    return found


def _count(found: dict[str, int], schema: Schema, frames: Sequence[Any]) -> None:
    for frame in frames:
        bad = sum(run.count for run in frame.quality if run.quality.label == "bad_hook")
        found["bad_hook"] += bad
        found["hooked" if schema.hooks else "plain"] += frame.samples - bad
