"""One script run on samples, beside any agent: what it made of each, what it said, and how long it took.

It runs in a worker of its own through `hooks.runner`, as the stage runs it, one frame a call, so that prints
and times are of one frame. Nothing is kept. Bounded in time, and in the size of what it answers.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.errors import Unavailable
from edge_agent.hooks.derive import Derived
from edge_agent.hooks.errors import OutOfTime, ScriptRefused, WorkerGone
from edge_agent.hooks.flow import Wanted
from edge_agent.hooks.latest import Values
from edge_agent.hooks.layers import lacking
from edge_agent.hooks.link import Link, Worker
from edge_agent.hooks.merge import Merged
from edge_agent.hooks.process import WorkerProcess
from edge_agent.hooks.runner import Given, Outputs, Ran, Runner, frame_of
from edge_agent.hooks.samples import Sampled, shown
from edge_agent.hooks.trial import not_confined
from edge_agent.model.failed import mark_failed
from edge_agent.runtime.clock import SystemClock
from edge_agent.wire.dry_run import (
    MAX_ANSWER_BYTES,
    DryAlert,
    DryError,
    DryOutput,
    DryRunAnswer,
    DryTimes,
    DryValue,
)
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Schema
from edge_agent.wire.scripts import HOOKS_CONNECTION, HookPoint, OnFailure, Script, covers

# Shares of an answer; what is left is for prints, the state and an error.
_OUTPUT_BYTES: Final = MAX_ANSWER_BYTES * 5 // 8
_SCHEMA_BYTES: Final = MAX_ANSWER_BYTES // 8
_ALERT_BYTES: Final = MAX_ANSWER_BYTES // 16
_DECLARED_BYTES: Final = MAX_ANSWER_BYTES // 16
_MOST_PRINTS: Final = 20_000

Start = Callable[[], Awaitable[Worker]]


@dataclass(frozen=True, slots=True)
class Order:
    """samples: oldest first. calls: of on_connect, on_alert and on_schedule. repeat: rounds, of which the
    first is shown. seconds: for all of it, but for the start of the worker. flush_seconds: what a call may
    take follows from it, as in an agent. require: layers of the sandbox."""

    script: Script
    samples: Sequence[Sampled] = ()
    calls: Sequence[Mapping[str, Any]] = ()
    state: Mapping[str, Any] = field(default_factory=dict)
    repeat: int = 1
    seconds: float = 30.0
    flush_seconds: float = 1.0
    require: Collection[str] = ()

    @property
    def call_seconds(self) -> float:
        given = self.script.timeout_ms
        wanted = self.flush_seconds / 4 if given is None else given / 1_000
        return min(wanted, self.flush_seconds / 2)


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one frame or call. schema, frame: what goes on; made: names of the outputs in it. ran:
    None where the script is not for it."""

    schema: Schema
    frame: Frame
    ran: Ran | None = None
    error: DryError | None = None
    made: tuple[str, ...] = ()


async def run(order: Order, start: Start = WorkerProcess.start, clock: Clock | None = None) -> DryRunAnswer:
    """Raises Unavailable where no worker can be started, or it lacks a layer that is required."""
    try:
        worker = await start()
    except WorkerGone as gone:
        raise Unavailable(f"no process for hooks can be started: {gone}") from gone
    try:
        if missing := lacking(worker.layers, order.require):
            raise Unavailable(not_confined(missing))
        used = SystemClock() if clock is None else clock
        return await _Trial(order, Runner(order.script, Link(worker), used), used).answer()
    finally:
        await worker.close()


class _Trial:
    def __init__(self, order: Order, runner: Runner, clock: Clock) -> None:
        self._order = order
        self._script = order.script
        self._runner = runner
        self._clock = clock
        self._ends = clock.monotonic() + order.seconds
        self._report = _Report(order.script)

    async def answer(self) -> DryRunAnswer:
        report, layers = self._report, dict(self._runner.link.worker.layers)
        try:
            outputs = await self._runner.load()
            report.declare(outputs)
            for number in range(self._order.repeat):
                report.shows = number == 0
                await self._round(outputs)
        except ScriptRefused as refused:
            report.stop(_error(self._script, "refused", "", str(refused), refused.line))
        except WorkerGone as gone:
            report.stop(_killed(self._script, gone))
        except OutOfTime:
            why = f"not all of it was run in {self._order.seconds:g} s"
            report.stop(_error(self._script, "killed", "OutOfTime", why, None))
        return report.finished(layers)

    async def _round(self, outputs: Outputs) -> None:
        state = orjson.dumps(dict(self._order.state)) if self._order.state else b""
        for index, (schema, frame) in enumerate(self._order.samples):
            try:
                step = await self._frame(outputs, schema, frame, state)
            except WorkerGone as gone:
                self._report.add(index, self._failed(schema, frame, gone), schema, frame)
                raise
            state = state if step.ran is None else step.ran.state
            self._report.add(index, step, schema, frame)
        wanted = Wanted(outputs.inputs)
        for index, given in enumerate(self._order.calls):
            call = _call(given, wanted, self._order.samples, self._clock.wall_ms())
            step = await self._call(outputs, call, state)
            assert step.ran is not None
            state = step.ran.state
            self._report.add(index, step, None, step.frame)
        self._report.keep(state)

    async def _frame(self, outputs: Outputs, schema: Schema, frame: Frame, state: bytes) -> Step:
        meant = self._is_for(schema)
        if self._script.hook_type.has_frames:
            if not meant:
                return Step(schema, frame)
            derived = outputs.derive(schema)
            await self._runner.prepare(derived)
            ran = await self._frames(Given(schema, frame, derived), state)
            return self._step(ran, derived, schema, frame)
        looked_at = bool(Wanted(outputs.inputs).indices(schema))
        if self._script.hook_type is not HookPoint.ON_CYCLE or not (meant or looked_at):
            return Step(schema, frame)
        await self._runner.learn(schema)
        made = outputs.computed if meant else None
        ran = await self._frames(Given(schema, frame, made), state)
        return Step(schema, frame) if made is None else self._step(ran, made, made.schema, frame)

    def _is_for(self, schema: Schema) -> bool:
        """What hooks have computed is not there yet when others than before_forward run."""
        computed = schema.connection == HOOKS_CONNECTION
        if computed and self._script.hook_type is not HookPoint.BEFORE_FORWARD:
            return False
        return covers(self._script.groups, schema.connection, schema.group)

    async def _frames(self, given: Given, state: bytes) -> Ran:
        return await self._runner.frames([given], state, self._order.call_seconds, self._ends)

    async def _call(self, outputs: Outputs, call: dict[str, Any], state: bytes) -> Step:
        made = outputs.computed
        assert made is not None, "a point with calls has outputs without a schema"
        frame = frame_of(call["t"], call["t"] * 1_000_000)
        ran = await self._runner.calls([call], [frame], state, self._order.call_seconds, self._ends)
        return self._step(ran, made, made.schema, frame)

    def _step(self, ran: Ran, derived: Derived, schema: Schema, frame: Frame) -> Step:
        (result,) = ran.results
        if isinstance(result, Merged):
            names = tuple(name for name, *_ in derived.outputs())
            return Step(derived.schema, result.frame, ran, None, names)
        assert result is not None, "it was run"
        error = _error(self._script, "failed", result.kind, result.message, result.line, result.traceback)
        return Step(schema, self._marked(schema, frame), ran, error)

    def _failed(self, schema: Schema, frame: Frame, gone: WorkerGone) -> Step:
        return Step(schema, self._marked(schema, frame), None, _killed(self._script, gone))

    def _marked(self, schema: Schema, frame: Frame) -> Frame:
        """As a frame goes on that the script failed on; what other points are shown is not theirs."""
        if not self._script.hook_type.has_frames:
            return frame
        return mark_failed(frame, schema.tag_count, withhold=self._script.on_failure is OnFailure.WITHHOLD)


# --- calls ---------------------------------------------------------------------------------------------


def _call(
    given: Mapping[str, Any], wanted: Wanted, samples: Sequence[Sampled], now_ms: int
) -> dict[str, Any]:
    """As the worker is told of it: with the newest values that INPUTS name."""
    values = Values()
    for schema, frame in samples:
        values.note((schema.connection, schema.group), schema, frame)
    last = max((frame.wall_ms for _, frame in samples), default=now_ms)
    time = given.get("time", last)
    time = time if type(time) is int and time >= 0 else last
    return {"scheduled": time, **given, "t": time, "v": wanted.values(values)}


# --- the answer ----------------------------------------------------------------------------------------


def _error(
    script: Script, kind: str, type_: str, message: str, line: int | None, traceback: str = ""
) -> DryError:
    lines = script.source.splitlines()
    source = lines[line - 1] if line is not None and 0 < line <= len(lines) else ""
    return DryError(
        kind=kind, type=type_, message=message[:2_000], line=line, source=source[:2_000], traceback=traceback
    )


def _killed(script: Script, gone: WorkerGone) -> DryError:
    return _error(script, "killed", type(gone).__name__, str(gone), None)


class _Report:
    """Collects what is shown, as far as it fits, and times of all calls."""

    def __init__(self, script: Script) -> None:
        self.shows = True
        self._script = script
        self._declared: list[str] = []
        self._outputs: list[DryOutput] = []
        self._left_out = 0
        self._room = {
            "outputs": _OUTPUT_BYTES, "schemas": _SCHEMA_BYTES, "alerts": _ALERT_BYTES,
            "declared": _DECLARED_BYTES,
        }  # fmt: skip
        self._schemas: dict[str, Schema] = {}
        self._prints = ""
        self._alerts: list[DryAlert] = []
        self._state: dict[str, Any] = {}
        self._error: DryError | None = None
        self._seconds: list[float] = []

    def declare(self, outputs: Outputs) -> None:
        for each in outputs.declared:
            count = f"[{each.count}]" if each.count > 1 else ""
            text = f"{each.pattern} {each.type}{count} {each.unit}".rstrip()
            if self._fits("declared", text):
                self._declared.append(text)

    def add(self, index: int, step: Step, before: Schema | None, frame: Frame) -> None:
        if step.ran is not None:
            self._seconds.append(step.ran.seconds)
        self._error = self._error or step.error
        if not self.shows:
            return
        if step.ran is not None:
            self._say(index, step.ran)
            known = step.schema.hash in self._schemas
            if step.error is None and step.schema.tag_count and not known:
                self._take_schema(step.schema)
        # The first that does not fit is the last that is looked at: what is shown has no holes.
        if self._left_out or not self._show(self._output(index, step, before, frame)):
            self._left_out += 1

    def _say(self, index: int, ran: Ran) -> None:
        self._prints = (self._prints + ran.prints)[-_MOST_PRINTS:]
        for alert in ran.alerts:
            shown_alert = DryAlert(code=alert.code, message=alert.message, data=alert.data, index=index)
            if self._fits("alerts", shown_alert.model_dump_json()):
                self._alerts.append(shown_alert)

    def _take_schema(self, schema: Schema) -> None:
        if self._fits("schemas", schema.canonical.decode()):
            self._schemas[schema.hash] = schema

    def _fits(self, part: str, text: str) -> bool:
        """Takes the room that a part of the answer has for this, if there is enough."""
        size = len(text.encode("utf-8", "replace")) + 1
        if size > self._room[part]:
            return False
        self._room[part] -= size
        return True

    def _output(self, index: int, step: Step, source: Schema | None, frame: Frame) -> DryOutput:
        before: dict[str, DryValue] = {} if source is None else shown(source, frame)
        computed = not self._script.hook_type.has_frames and step.ran is not None
        after = {} if computed and step.error is not None else shown(step.schema, step.frame)
        place = step.schema if source is None else source
        return DryOutput(
            index=index,
            connection=HOOKS_CONNECTION if source is None else place.connection,
            group=self._script.name if source is None else place.group,
            time=frame.wall_ms,
            before=before,
            after=after,
            made=[name for name in step.made if name in after],
            dropped=[] if computed else [name for name in before if name not in after],
            prints="" if step.ran is None else step.ran.prints,
            milliseconds=None if step.ran is None else round(step.ran.seconds * 1_000, 4),
            error=step.error,
        )

    def _show(self, output: DryOutput) -> bool:
        fits = self._fits("outputs", output.model_dump_json())
        if fits:
            self._outputs.append(output)
        return fits

    def keep(self, state: bytes) -> None:
        if self.shows:
            self._state = orjson.loads(state) if state else {}

    def stop(self, error: DryError) -> None:
        self._error = self._error or error

    def finished(self, layers: dict[str, str]) -> DryRunAnswer:
        return DryRunAnswer(
            ok=self._error is None,
            script=self._script.mark,
            declared=self._declared,
            outputs=self._outputs,
            left_out=self._left_out,
            schemas=[orjson.loads(schema.canonical) for schema in self._schemas.values()],
            prints=self._prints,
            alerts=self._alerts,
            state=self._state,
            error=self._error,
            milliseconds=_times(self._seconds),
            layers=layers,
        )


def _times(seconds: Sequence[float]) -> DryTimes:
    if not seconds:
        return DryTimes()
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return DryTimes(
        calls=len(ordered),
        p50_ms=round(ordered[last // 2] * 1_000, 4),
        p99_ms=round(ordered[-(-last * 99 // 100)] * 1_000, 4),
        total_ms=round(sum(ordered) * 1_000, 4),
    )
