"""A stage with workers in this process, and what its frames hold."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge_agent.contracts.hooks import Frames, Hooked, LinkChange, Tick
from edge_agent.contracts.status import LatestValue
from edge_agent.hooks.stage import Stage
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.frame import Frame, selection
from edge_agent.wire.messages import HookReport
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.scripts import HookPoint, Script
from edge_agent.wire.values import read_value
from tests.unit.hooks.in_process import InProcess, Workers

FAST = Schema.of("press1", "fast", 1, [TagSchema(f"t{index}", ValueType.UINT16) for index in range(3)])
SLOW = Schema.of("press2", "slow", 1, [TagSchema("speed", ValueType.UINT16)])
DOUBLE = """
OUTPUTS = {"t*": "float64"}
def transform(frame):
    frame.set_columns("t*", frame.columns("t*") * 2)
"""
SUM = 'OUTPUTS = {"sum": "float64"}\ndef transform(frame):\n    frame["sum"] = frame["t0"] + frame["t1"]\n'
WIDE = """
OUTPUTS = {"w[1..20000]": "float64"}
def transform(frame):
    frame.set_columns("w[1..20000]", 1.0)
"""
BREAKS = 'OUTPUTS = {"x": "int64"}\ndef transform(frame):\n    if frame["t0"] >= 100:\n        1 / 0\n'
COUNTS = """
OUTPUTS = {"calls": "int64"}
def transform(frame, state):
    state["n"] = state.get("n", 0) + 1
    frame["calls"] = state["n"]
"""


CYCLE = """
OUTPUTS = {"both": "float64"}
INPUTS = ["press1.t0", "press2.speed"]
def on_cycle(cycle):
    cycle["both"] = cycle["press1.t0"] + cycle["press2.speed"]
"""


def script(
    name: str, source: str, point: str = "transform", groups: Sequence[str] = ("*",), **more: Any
) -> Script:
    return Script(name=name, hook_type=HookPoint(point), source=source, groups=list(groups), **more)


def frame(n: int, values: Sequence[int], **more: Any) -> Frame:
    row = b"".join(value.to_bytes(2, "little") for value in values)
    return Frame(n, n * 10**9, 1_767_225_600_000 + n * 1_000, row, len(values), **more)


def given(*pairs: tuple[Schema, Frame]) -> Frames:
    frames: Frames = {}
    for schema, one in pairs:
        frames.setdefault(schema.hash, (schema, []))[1].append(one)
    return frames


def newest(stage: Stage, connection: str) -> list[LatestValue]:
    return [
        value
        for schema in stage.schemas()
        if schema.connection == connection
        for value in stage.latest_of(schema, range(schema.tag_count))
    ]


def values(hooked: Hooked, connection: str = "press1") -> list[dict[str, Any]]:
    """Of each frame of the connection, in the order of their numbers: value and quality of what it has."""
    found = []
    for schema, frames in hooked.frames.values():
        if schema.connection == connection:
            found += [(one.n, _values(schema, one)) for one in frames]
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]


def _values(schema: Schema, one: Frame) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for index, (tag, there) in enumerate(
        zip(schema.tags, selection(one.present, schema.tag_count), strict=True)
    ):
        if not there:
            continue
        mark = next((run for run in one.quality if run.first <= index < run.first + run.count), None)
        if mark is not None and mark.null:
            value = None
        elif index >= schema.fixed_tags:
            value = (one.text or ())[index - schema.fixed_tags]
        else:
            value = read_value(tag, one.row[schema.edges[index] : schema.edges[index + 1]])
        shown[tag.name] = value if mark is None else (value, mark.quality.label)
    return shown


class House:
    """A stage, its workers and what happens beside frames. Implements contracts.hooks.HookSources."""

    def __init__(self, saved: Mapping[str, bytes] | None = None) -> None:
        self.clock = ManualClock()
        self.workers = Workers(self.clock)
        self.new_links: list[LinkChange] = []
        self.new_ticks: list[Tick] = []
        self.groups: dict[tuple[str, str], Schema] = {}
        self.stage = Stage(self.clock, self, saved or {}, self.workers.start)
        self._n = 0

    def links(self) -> list[LinkChange]:
        links, self.new_links = self.new_links, []
        return links

    def polled(self) -> list[Schema]:
        return list(self.groups.values())

    def ticks(self) -> list[Tick]:
        ticks, self.new_ticks = self.new_ticks, []
        return ticks

    async def run(self, *scripts: Script, require: Sequence[str] = ()) -> None:
        await self.stage.replace(scripts, require, 0.25)

    async def flush(self, *pairs: tuple[Schema, Frame], records: Any = None) -> Hooked:
        self.groups |= {(schema.connection, schema.group): schema for schema, _ in pairs}
        return await self.stage.apply(given(*pairs), records or {}, 0.5)

    async def beat(self, *rows: Sequence[int]) -> Hooked:
        """A flush with frames of `fast`."""
        self._n += len(rows)
        first = self._n - len(rows) + 1
        return await self.flush(*((FAST, frame(first + at, row)) for at, row in enumerate(rows)))

    def worker(self, hook: str) -> InProcess:
        """Where the hook lives, hooks having one each."""
        names = [one.name for one in self.stage.report().hooks]
        return self.workers.begun[names.index(hook)]

    def report(self, hook: str) -> HookReport:
        return next(one for one in self.stage.report().hooks if one.name == hook)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0)
