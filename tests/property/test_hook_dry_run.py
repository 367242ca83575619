"""A dry run is the real one: on the same samples, `edge-agent hook test` and an agent whose buffer asks its
hooks at each flush come to the same frames, schemas, states and alerts, wherever the flushes happen to be."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_agent.buffer import recorded
from edge_agent.contracts.hooks import LinkChange, Tick
from edge_agent.hooks import dry_run
from edge_agent.hooks.samples import Sampled, frames_of, shown
from edge_agent.hooks.stage import Stage
from edge_agent.runtime.clock import SystemClock
from edge_agent.wire.batch import Kind
from edge_agent.wire.dry_run import DryFrame, DryRunAnswer
from edge_agent.wire.schema import Schema
from edge_agent.wire.scripts import HOOKS_CONNECTION, HookPoint, Script
from tests.unit.buffer.life import Life

# Far more than anything here takes: what is compared is what scripts do, not how long.
_FLUSH_SECONDS = 40.0
_BEGIN_MS = 1_767_225_600_000
SCHEMAS = [
    {"connection": "press1", "group": group, "unit_id": None, "tags": [
        {"name": "force", "type": "float32", "order": "cdab"},
        {"name": "count", "type": "uint32", "order": "abcd"},
        {"name": "oil", "type": "int16", "order": "abcd", "scale": 0.1, "offset": -40.0, "unit": "°C"},
        {"name": "zone1", "type": "int16"}, {"name": "zone2", "type": "int16"},
        {"name": "running", "type": "bool"}, {"name": "lot", "type": "string"},
    ]}
    for group in ("fast", "slow")
]  # fmt: skip
SOURCES = {
    "computed, with a state": (
        HookPoint.TRANSFORM,
        'OUTPUTS = {"n": "uint32", "rate": "float64", "oil": "float32 °F"}\n'
        "def transform(frame, state):\n"
        '    state["n"] = state.get("n", 0) + 1\n    frame["n"] = state["n"]\n'
        '    if frame["oil"] is not None:\n'
        '        if "oil" in state:\n            frame["rate"] = frame["oil"] - state["oil"]\n'
        '        state["oil"] = frame["oil"]\n        frame["oil"] = frame["oil"] * 1.8 + 32\n',
    ),
    "columns": (
        HookPoint.TRANSFORM,
        'OUTPUTS = {"zone*": "float64", "hot": "bool", "mean": "float32"}\n'
        "def transform(frame):\n"
        '    zones = frame.columns("zone*")\n    frame.set_columns("zone*", zones * 0.5 + 1)\n'
        '    frame["hot"] = (zones > 10).any()\n    frame["mean"] = zones.mean()\n',
    ),
    "drops and errors": (
        HookPoint.BEFORE_FORWARD,
        'OUTPUTS = {"lot": "string"}\n'
        "def before_forward(frame, state):\n"
        '    state["seen"] = state.get("seen", 0) + 1\n'
        '    if frame.get("count", 0) == 13:\n        raise ValueError("unlucky")\n'
        '    if frame.get("count", 0) == 7:\n        frame.drop("*")\n        return\n'
        '    frame.drop("force")\n    frame["lot"] = "***"\n'
        '    if state["seen"] % 3 == 0:\n        alert("third", "of three", seen=state["seen"])\n',
    ),
    "what is not known": (
        HookPoint.TRANSFORM,
        'OUTPUTS = {"sum": "float64", "quality": "string", "kept": "int16"}\n'
        "def transform(frame):\n"
        '    frame["quality"] = frame.quality("oil")\n    frame["sum"] = frame["force"] + frame["count"]\n'
        '    frame.set("kept", 99_999, quality="uncertain")\n',
    ),
    "across groups": (
        HookPoint.ON_CYCLE,
        'OUTPUTS = {"both": "float64", "n": "uint16"}\nINPUTS = ["press1.count", "press1.force"]\n'
        "def on_cycle(cycle, state):\n"
        '    state["n"] = state.get("n", 0) + 1\n    cycle["n"] = state["n"]\n'
        '    cycle["both"] = cycle["press1.count"] + cycle["press1.force"]\n'
        '    if state["n"] == 4:\n        alert("fourth")\n',
    ),
}  # fmt: skip

WHOLE = {"oil": 21.7, "force": 1.5, "count": 3, "running": True, "zone1": 7, "zone2": 40, "lot": "A7"}
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "oil": st.integers(-400, 400).map(lambda raw: round(raw * 0.1 - 40, 6)) | st.none(),
        "force": st.floats(-1e6, 1e6, width=32) | st.none(),
        "count": st.sampled_from([0, 1, 7, (1 << 32) - 1]) | st.none(),
        "running": st.booleans(),
        "zone1": st.integers(-(1 << 15), (1 << 15) - 1),
        "zone2": st.integers(-20, 20) | st.none(),
        "lot": st.text(max_size=4) | st.none(),
    },
).map(lambda values: values or {"zone1": 1})


class Case(NamedTuple):
    """cuts: whether a flush follows each frame. calls: what happened after the last one."""

    script: Script
    samples: list[Sampled]
    cuts: list[bool]
    calls: tuple[dict[str, Any], ...] = ()


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rows = draw(st.lists(st.just(WHOLE) | VALUES, min_size=1, max_size=12))
    groups = draw(st.lists(st.sampled_from(["fast", "slow"]), min_size=len(rows), max_size=len(rows)))
    labels = draw(st.lists(st.sampled_from([{}, {}, {"oil": "uncertain"}, {"force": "bad_comm"}]),
                           min_size=len(rows), max_size=len(rows)))  # fmt: skip
    # A hook that fails at every call is switched off in an agent, which a dry run does not do.
    unlucky = draw(st.sets(st.integers(0, len(rows) - 1), max_size=2))
    cuts = draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    frames = []
    for at, row in enumerate(rows):
        values: dict[str, Any] = {**row, "count": 13} if at in unlucky else dict(row)
        quality = {tag: label for tag, label in labels[at].items() if tag in values}
        values |= {tag: None for tag, label in quality.items() if label.startswith("bad")}
        frames.append(
            DryFrame(
                connection="press1",
                group=groups[at],
                time=_BEGIN_MS + 1_000 * at,
                values=values,
                quality=quality,
            )
        )
    return Case(draw(scripts()), frames_of(frames, SCHEMAS), cuts)


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    point, source = SOURCES[draw(st.sampled_from(sorted(SOURCES)))]
    return Script(
        name="tried",
        hook_type=point,
        source=source,
        groups=draw(st.sampled_from([["*"], ["press1.fast"]])),
        keep_raw=point.has_frames and draw(st.booleans()),
        on_failure=draw(st.sampled_from(["raw", "withhold"])),
    )


# --- the real run --------------------------------------------------------------------------------------


class Real(NamedTuple):
    """What an agent has committed. frames: by connection, group and number, in their order."""

    frames: dict[tuple[str, str, int], Sampled]
    state: bytes
    alerts: list[tuple[str, dict[str, Any]]]


@dataclass
class Sources:
    """What a case says that happened, told once."""

    script: Script
    groups: Sequence[Schema]
    calls: tuple[dict[str, Any], ...] = ()

    def links(self) -> list[LinkChange]:
        return [LinkChange(**call) for call in self._once(HookPoint.ON_CONNECT)]

    def polled(self) -> Sequence[Schema]:
        return self.groups

    def ticks(self) -> list[Tick]:
        return [Tick(self.script.name, **call) for call in self._once(HookPoint.ON_SCHEDULE)]

    def _once(self, point: HookPoint) -> tuple[dict[str, Any], ...]:
        if self.script.hook_type is not point:
            return ()
        calls, self.calls = self.calls, ()
        return calls


async def really(case: Case, directory: Path) -> Real:
    """Through the buffer of an agent, with a flush wherever the case has one."""
    life = Life(directory)
    sources = Sources(case.script, [schema for schema, _ in case.samples])
    stage = Stage(SystemClock(), sources, {})
    await stage.replace([case.script], (), _FLUSH_SECONDS / 4)
    agent = await life.start(flush_seconds=_FLUSH_SECONDS)
    try:
        agent.store.hooks = stage
        for (schema, frame), cut in zip(case.samples, case.cuts, strict=True):
            await agent.store.announce([schema])
            agent.store.append(schema, frame)
            if cut:
                await agent.store.flush()
        sources.calls = case.calls
        if case.script.hook_type is HookPoint.ON_ALERT:
            for call in case.calls:
                agent.store.record(Kind.EVENT, call)
        await agent.store.flush()
        state = agent.store.hook_states.get(case.script.name, b"")
    finally:
        await agent.stop()
        await stage.close()
    found = await asyncio.to_thread(recorded.newest, life.database, lambda _: True, 1_000)
    assert not found.left_out
    frames = {(schema.connection, schema.group, frame.n): (schema, frame) for schema, frame in found.frames}
    assert len(frames) == len(found.frames), "a frame is there twice"
    contents = await life.contents()
    events = [record for stored in contents.batches for record in stored.batch.records(Kind.EVENT)]
    return Real(frames, state, [_alert(event) for event in events if event["code"].startswith("hook.")])


def _alert(event: Any) -> tuple[str, dict[str, Any]]:
    data = {name: value for name, value in event["data"].items() if name not in ("hook", "sha256")}
    return event["code"], data


async def dryly(case: Case) -> DryRunAnswer:
    return await dry_run.run(
        dry_run.Order(case.script, case.samples, case.calls, flush_seconds=_FLUSH_SECONDS)
    )


def check(case: Case) -> DryRunAnswer:
    with tempfile.TemporaryDirectory() as directory:
        real = asyncio.run(really(case, Path(directory)))
    dry = asyncio.run(dryly(case))
    assert dry.error is None or dry.error.kind == "failed", dry.error
    if case.script.hook_type.has_frames:
        same_frames(case.samples, dry, real)
    else:
        same_computed(dry, real)
    assert dry.state == (orjson.loads(real.state) if real.state else {})
    assert [(f"hook.{each.code}", each.data) for each in dry.alerts] == real.alerts
    return dry


def same_frames(samples: Sequence[Sampled], dry: DryRunAnswer, real: Real) -> None:
    assert len(dry.outputs) == len(samples) == len(real.frames)
    schemas = {str(orjson.dumps(each, option=orjson.OPT_SORT_KEYS)) for each in dry.schemas}
    for (schema, frame), output in zip(samples, dry.outputs, strict=True):
        made, kept = real.frames[schema.connection, schema.group, frame.n]
        assert output.after == shown(made, kept)
        assert output.time == kept.wall_ms
        ran = output.milliseconds is not None and output.error is None
        assert made.hooks == ((dry.script,) if ran else ())
        assert not ran or str(made.canonical) in schemas


def same_computed(dry: DryRunAnswer, real: Real) -> None:
    computed = [
        shown(*sampled) for (connection, *_), sampled in real.frames.items() if connection == HOOKS_CONNECTION
    ]
    assert [output.after for output in dry.outputs if output.made] == computed


EVERY = [
    Case(
        Script(name="tried", hook_type=point, source=source, groups=["*"]),
        frames_of(
            [
                DryFrame(connection="press1", group=group, time=_BEGIN_MS + at,
                         values={**WHOLE, "count": 13 if at == 3 else at})
                for at, group in enumerate(["fast", "slow", "slow", "fast", "slow", "fast", "fast"])
            ],
            SCHEMAS,
        ),
        [False, False, True, False, False, False, True],
    )
    for point, source in SOURCES.values()
]  # fmt: skip


@given(cases())
@example(EVERY[0])
@example(EVERY[1])
@example(EVERY[2])
@example(EVERY[3])
@example(EVERY[4])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_dry_run_gives_what_the_real_run_gives(case: Case) -> None:
    check(case)


LINK = {"connection": "press1", "driver": "modbus", "address": "192.0.2.10:502", "time": _BEGIN_MS}
CALLED: dict[HookPoint, tuple[str, tuple[dict[str, Any], ...]]] = {
    HookPoint.ON_CONNECT: (
        "call.connection + call.driver + call.address + call.state",
        ({**LINK, "state": "connected"}, {**LINK, "state": "down"}),
    ),
    HookPoint.ON_ALERT: (
        "call.code + call.message + call.connection + str(call.data)",
        tuple(
            {"time": _BEGIN_MS + at, "code": code, "message": "m", "connection": "press1", "data": {"at": at}}
            for at, code in enumerate(["a", "fails", "b"])
        ),
    ),
    HookPoint.ON_SCHEDULE: ("str(call.scheduled)", ({"scheduled": _BEGIN_MS}, {"scheduled": _BEGIN_MS + 5})),
}  # fmt: skip


@pytest.mark.parametrize("point", CALLED)
def test_calls_of_a_dry_run_give_what_those_of_an_agent_give(point: HookPoint) -> None:
    seen, calls = CALLED[point]
    source = (
        'OUTPUTS = {"seen": "string", "force": "float64", "n": "uint8", "age": "float64"}\n'
        'INPUTS = ["press1.force", "press1.l*"]\n'
        f"def {point}(call, state):\n"
        '    state["n"] = state.get("n", 0) + 1\n'
        f'    call["seen"] = {seen}\n    call["n"] = state["n"]\n'
        '    call["force"] = call["press1.force"]\n    alert("called", call["press1.lot"], n=state["n"])\n'
        '    if "fails" in call["seen"]:\n        raise ValueError("as it was told to")\n'
    )
    script = Script(name="tried", hook_type=point, source=source, schedule="* * * * *")
    whole = EVERY[0]
    found = check(Case(script, whole.samples, [*whole.cuts[:-1], False], calls))
    made = [output for output in found.outputs if output.made]
    assert [output.after["n"].value for output in made] == [1, 2]
    assert {output.after["force"].value for output in made} == {1.5}
