"""`hooks.require`: without a layer that it names no script is told to a worker, and that is said."""

from collections.abc import Mapping

import pytest

from edge_agent.contracts.hooks import LinkChange, Tick
from edge_agent.hooks.layers import LAYERS
from edge_agent.hooks.process import WorkerProcess
from edge_agent.hooks.stage import Stage
from edge_agent.runtime.clock import SystemClock
from edge_agent.wire.frame import Frame
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.scripts import HookPoint, OnFailure, Script

SCHEMA = Schema.of("plc", "all", 1, [TagSchema("t0", ValueType.UINT16)])
DOUBLED = 'OUTPUTS = {"t0": "uint32"}\ndef transform(frame):\n    frame["t0"] = frame["t0"] * 2\n'


class Nothing:
    """Nothing happens beside the frames."""

    def links(self) -> list[LinkChange]:
        return []

    def polled(self) -> list[Schema]:
        return []

    def ticks(self) -> list[Tick]:
        return []


async def without_landlock() -> WorkerProcess:
    return await WorkerProcess.start(layers=[layer for layer in LAYERS if layer != "landlock"])


def script(on_failure: OnFailure) -> Script:
    return Script(name="doubled", hook_type=HookPoint.TRANSFORM, source=DOUBLED, on_failure=on_failure)


async def made(stage: Stage) -> tuple[Schema, Frame]:
    """What becomes of one frame."""
    frame = Frame(1, 1, 1, (7).to_bytes(2, "big"), 1)
    hooked = await stage.apply({SCHEMA.hash: (SCHEMA, [frame])}, {}, 5.0)
    ((schema, frames),) = hooked.frames.values()
    (out,) = frames
    return schema, out


@pytest.mark.parametrize("on_failure", list(OnFailure))
async def test_without_a_required_layer_no_script_runs_and_its_samples_say_so(on_failure: OnFailure) -> None:
    states: Mapping[str, bytes] = {}
    stage = Stage(SystemClock(), Nothing(), states, without_landlock)
    await stage.replace([script(on_failure)], ["landlock", "seccomp"], 1.0)
    try:
        schema, frame = await made(stage)
        assert schema is SCHEMA
        assert [run.quality for run in frame.quality] == [Quality.BAD_HOOK]
        assert (frame.row == b"") == (on_failure is OnFailure.WITHHOLD)
        report = stage.report()
        (hook,) = report.hooks
        assert (hook.state, hook.calls) == ("refused", 0)
        assert hook.error.startswith("hooks.require names what is not on here (landlock: ")
        assert report.layers["landlock"] != "on"
        assert report.layers["seccomp"] == "on"
    finally:
        await stage.close()


async def test_a_layer_that_nobody_requires_may_be_missing() -> None:
    stage = Stage(SystemClock(), Nothing(), {}, without_landlock)
    await stage.replace([script(OnFailure.RAW)], ["seccomp"], 1.0)
    try:
        schema, frame = await made(stage)
        assert schema.hooks == (script(OnFailure.RAW).mark,)
        assert frame.quality == ()
        assert stage.report().hooks[0].state == "running"
        # It is required from now on: the same script is not run any more.
        await stage.replace([script(OnFailure.RAW)], ["landlock"], 1.0)
        _, frame = await made(stage)
        assert [run.quality for run in frame.quality] == [Quality.BAD_HOOK]
        assert stage.report().hooks[0].state == "refused"
    finally:
        await stage.close()
