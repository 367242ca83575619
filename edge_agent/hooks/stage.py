"""All hooks of an agent, as a flush asks them: implements contracts.hooks.HookStage.

Order in a flush: transform → on_connect, on_alert, on_schedule → on_cycle → before_forward; hooks that share
no group run at the same time, others in the order of the config. Whatever a hook or its worker does, each
frame that came in goes out once, with its number.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.hooks import Frames, Hooked, HookSources, Records
from edge_agent.contracts.status import LatestValue
from edge_agent.hooks.asking import Asked, Asking
from edge_agent.hooks.flow import (
    MAX_CALLS,
    Flow,
    Item,
    Sums,
    Wanted,
    alert_calls,
    concerned,
    covered,
    cycle,
    dependencies,
    given_up,
    lacking,
    link_calls,
    tick_calls,
)
from edge_agent.hooks.hook import Hook
from edge_agent.hooks.latest import Group, Made, Values
from edge_agent.hooks.merge import Merged
from edge_agent.hooks.place import Place, Start
from edge_agent.hooks.process import WorkerProcess
from edge_agent.hooks.runner import Failure, Given, frame_of, parts
from edge_agent.hooks.states import States
from edge_agent.wire.messages import HooksReport
from edge_agent.wire.schema import Schema
from edge_agent.wire.scripts import HookPoint, Script, covers

logger = structlog.stdlib.get_logger(__name__)

# Computed tags of a hook that fails are told as bad so often: the first frame alone could be overlooked.
REPEAT_SECONDS: Final = 60.0
# What a connection's begin and a change of scripts wait for workers to learn the groups.
PREPARE_SECONDS: Final = 5.0
_UNPREPARED: Final = Failure("NotReady", "its worker is still being told of this group", blameless=True)


class Stage:
    """One `apply` at a time. Nothing of it raises."""

    def __init__(
        self,
        clock: Clock,
        sources: HookSources,
        states: Mapping[str, bytes],
        start: Start = WorkerProcess.start,
    ) -> None:
        """states: what the buffer has kept of hooks, by name; looked at in the first flush that needs it."""
        self._clock = clock
        self._sources = sources
        self._states = States(states)
        self._start = start
        self._turn = asyncio.Lock()
        self._hooks: list[Hook] = []
        self._places: dict[str, Place] = {}
        self._require: tuple[str, ...] = ()
        self._call_seconds = 0.0
        self._wanted: dict[str, Wanted] = {}
        self._primed: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}
        # Since when hooks without frames were told of as computing nothing.
        self._silent: dict[str, float] = {}
        self._sums: dict[str, Sums] = {}
        # Of each group the schema that it was read with last.
        self._raw: dict[Group, Schema] = {}
        self._values = Values()
        self._made = Made()
        self._asking = Asking(clock)

    # --- which scripts run -------------------------------------------------------------------------

    async def replace(self, scripts: Sequence[Script], require: Collection[str], call_seconds: float) -> None:
        same = {(hook.name, hook.script.sha256): hook for hook in self._hooks}
        again = tuple(require) != self._require
        hooks = [self._hook(script, same.get((script.name, script.sha256))) for script in scripts]
        groups: dict[str, list[Hook]] = {}
        for hook in hooks:
            groups.setdefault(_key(hook.script), []).append(hook)
        places: dict[str, Place] = {}
        fresh: list[Place] = []
        for key, own in groups.items():
            place = self._places.get(key)
            if place is None or place.hooks != own or again:
                place = Place(own, self._start, self._clock, require, self._asking.blame)
                fresh.append(place)
            places[key] = place
        await asyncio.gather(*(place.begin() for place in fresh))
        await self._teach(hooks, places, list(self._raw.values()))
        async with self._turn:
            before, self._places = self._places, places
            for gone in self._states.hand_over(self._hooks, hooks):
                self._asking.forget(gone)
            self._hooks, self._require, self._call_seconds = hooks, tuple(require), call_seconds
            self._wanted = {}
            self._made.keep(concerned(hooks, self._made.groups))
        kept = set(places.values())
        await asyncio.gather(*(place.close() for place in before.values() if place not in kept))

    def _hook(self, script: Script, same: Hook | None) -> Hook:
        if same is None:
            return Hook(script, self._clock)
        same.script = script
        return same

    async def close(self) -> None:
        async with self._turn:
            await asyncio.gather(*(place.close() for place in self._places.values()))

    # --- a flush -----------------------------------------------------------------------------------

    async def apply(self, frames: Frames, records: Records, seconds: float) -> Hooked:
        async with self._turn:
            flow = Flow.of(frames, self._clock.monotonic() + seconds)
            flow.events = self._asking.take_events()
            self._raw |= {group: lane[-1].raw for group, lane in flow.lanes.items()}
            before = {hook.name: self._states.of(hook) for hook in self._hooks}
            try:
                await self._run(flow, records)
            except Exception:  # the boundary of hooks: a fault of ours must not cost the samples either
                logger.exception("hooks could not be run")
                flow = given_up(frames, flow, self._hooks)
            flow.add_sums(self._sums)
            flow.events += self._asking.take_events()
            states = {hook.name: hook.state or b"" for hook in self._hooks if hook.state != before[hook.name]}
            return flow.hooked(frames, records, states)

    async def _run(self, flow: Flow, records: Records) -> None:
        for place in self._places.values():
            place.mend()
        await self._chain(flow, HookPoint.TRANSFORM)
        primers = self._primers()
        for group, lane in flow.lanes.items():
            self._note(group, lane)
        links, ticks = self._sources.links(), self._sources.ticks()
        now_ms = self._clock.wall_ms()
        await self._called(flow, HookPoint.ON_CONNECT, lambda _: link_calls(links))
        await self._called(flow, HookPoint.ON_ALERT, lambda _: alert_calls(records, flow.events, links))
        await self._called(flow, HookPoint.ON_SCHEDULE, lambda hook: tick_calls(hook, ticks, now_ms))
        cycles = [
            self._cycle(flow, hook, primers.get(hook.name, [])) for hook in self._of(HookPoint.ON_CYCLE)
        ]
        await asyncio.gather(*cycles)
        await self._chain(flow, HookPoint.BEFORE_FORWARD)
        for group, lane in flow.lanes.items():
            for item in lane:
                self._made.note(group, item.raw, item.schema, item.frame)

    def _wanted_by(self, hook: Hook) -> Wanted | None:
        """What its INPUTS name; None before its worker has told."""
        if hook.name not in self._wanted and hook.outputs is not None:
            self._wanted[hook.name] = Wanted(hook.outputs.inputs)
        return self._wanted.get(hook.name)

    def _of(self, point: HookPoint) -> list[Hook]:
        return _of(self._hooks, point)

    # --- points with frames ------------------------------------------------------------------------

    async def _chain(self, flow: Flow, point: HookPoint) -> None:
        hooks = self._of(point)
        lanes = [covered(hook, flow.lanes) for hook in hooks]
        if len(hooks) == 1:
            await self._framed(flow, hooks[0], lanes[0])
            return
        done: list[asyncio.Future[None]] = []
        for hook, own, earlier in zip(hooks, lanes, dependencies(hooks, lanes), strict=True):
            waits = [done[index] for index in earlier]
            done.append(asyncio.ensure_future(self._after(waits, flow, hook, own)))
        await asyncio.gather(*done)

    async def _after(
        self, earlier: Sequence["asyncio.Future[None]"], flow: Flow, hook: Hook, own: Collection[Group]
    ) -> None:
        if earlier:
            await asyncio.wait(earlier)
        await self._framed(flow, hook, own)

    async def _framed(self, flow: Flow, hook: Hook, own: Collection[Group]) -> None:
        """Lets the hook make something of all frames of these groups."""
        items = [item for group, lane in flow.lanes.items() if group in own for item in lane]
        if not items:
            return
        # Of several groups, too, in the order in which they were read: a state must not depend on flushes.
        items.sort(key=lambda item: item.frame.mono_ns)
        unable = await self._unable(flow, hook)
        if unable is None:
            await self._prepare(flow, hook, {item.schema.hash: item.schema for item in items}.values())
        given: list[Given] = []
        ready: list[Item] = []
        for item in items:
            derived = None if hook.outputs is None else hook.outputs.known(item.schema)
            if unable is None and derived is not None and self._knows(hook, item.schema):
                given.append(Given(item.schema, item.frame, derived))
                ready.append(item)
            else:
                flow.take(hook, item, item.schema, unable or self._unready(hook, item.schema))
        at = 0
        for part in parts(given):
            results = await self._asking.ask(
                flow, hook, self._place(hook), len(part), self._frames_of(flow, hook, part)
            )
            for one, item, result in zip(part, ready[at : at + len(part)], results, strict=True):
                assert one.derived is not None
                assert result is not None
                flow.take(hook, item, one.derived.schema, result)
            at += len(part)

    def _frames_of(self, flow: Flow, hook: Hook, part: Sequence[Given]) -> Asked:
        assert hook.runner is not None, "a hook without a runner is not able"
        runner, seconds = hook.runner, hook.seconds(self._call_seconds)
        return lambda: runner.frames(part, hook.state or b"", seconds, flow.until)

    @staticmethod
    def _knows(hook: Hook, schema: Schema) -> bool:
        runner = hook.runner
        return runner is not None and runner.link.knows(hook.name, schema)

    @staticmethod
    def _unready(hook: Hook, schema: Schema) -> Failure:
        refused = None if hook.outputs is None else hook.outputs.refusal(schema)
        return _UNPREPARED if refused is None else Failure("ScriptRefused", str(refused), blameless=True)

    async def _unable(self, flow: Flow, hook: Hook) -> Failure | None:
        """Why the hook cannot be asked in this flush. A worker that is being begun is waited for, as long as
        the call that follows has its time left."""
        if hook.is_starting:
            await self._place(hook).studied(self._left(flow, hook))
        return hook.unable()

    def _left(self, flow: Flow, hook: Hook) -> float:
        return flow.until - self._clock.monotonic() - hook.seconds(self._call_seconds)

    async def _prepare(self, flow: Flow, hook: Hook, schemas: Iterable[Schema]) -> None:
        """Waits for what the worker must know, as long as the call that follows has its time left."""
        runner, outputs = hook.runner, hook.outputs
        if runner is None or outputs is None:
            return
        if hook.script.hook_type.has_frames:
            unknown = [each for each in schemas if not runner.link.knows(hook.name, each)]
            unknown = [each for each in unknown if outputs.refusal(each) is None]
        else:
            unknown = [each for each in schemas if not runner.link.has(each)]
        if unknown:
            place = self._place(hook)
            place.study((hook, each) for each in unknown)
            await place.studied(self._left(flow, hook))

    def _place(self, hook: Hook) -> Place:
        return self._places[_key(hook.script)]

    # --- points without frames -----------------------------------------------------------------------

    async def _called(
        self, flow: Flow, point: HookPoint, calls_of: Callable[[Hook], list[dict[str, Any]]]
    ) -> None:
        await asyncio.gather(*(self._calls(flow, hook, calls_of(hook)) for hook in self._of(point)))

    async def _calls(self, flow: Flow, hook: Hook, calls: list[dict[str, Any]]) -> None:
        del calls[MAX_CALLS:]
        wanted = self._wanted_by(hook)
        unable = await self._unable(flow, hook) if calls else None
        if unable is not None:
            self._compute(flow, hook, [unable])
            return
        if not calls or wanted is None or hook.runner is None:
            return
        values = wanted.values(self._values)
        mono_ns = self._clock.mono_ns()
        frames = [frame_of(call["t"], mono_ns) for call in calls]
        told = [{**call, "v": values} for call in calls]
        runner, seconds = hook.runner, hook.seconds(self._call_seconds)
        state, place = hook.state or b"", self._place(hook)
        results = await self._asking.ask(
            flow, hook, place, len(calls), lambda: runner.calls(told, frames, state, seconds, flow.until)
        )
        self._compute(flow, hook, results)

    async def _cycle(self, flow: Flow, hook: Hook, before: Sequence[tuple[Schema, Any]]) -> None:
        wanted = self._wanted_by(hook)
        if wanted is None or hook.outputs is None:
            return
        given = cycle(hook, flow.lanes, wanted, before)
        if not any(each.derived is not None for each in given):
            self._primed.pop(hook.name, None)
            return
        if (unable := await self._unable(flow, hook)) is not None:
            self._compute(flow, hook, [unable])
            return
        await self._prepare(flow, hook, {each.schema.hash: each.schema for each in given}.values())
        runner = hook.runner
        known = [each for each in given if runner is not None and runner.link.has(each.schema)]
        for part in parts(known):
            results = await self._asking.ask(
                flow, hook, self._place(hook), len(part), self._frames_of(flow, hook, part)
            )
            self._compute(flow, hook, results)
        self._primed[hook.name] = runner

    def _compute(self, flow: Flow, hook: Hook, results: Sequence[Merged | Failure | None]) -> None:
        """Outputs of a hook without frames become frames of connection `hooks`, each that has any."""
        computed = None if hook.outputs is None else hook.outputs.computed
        if computed is None or not computed.count:
            return
        made = [each for each in results if isinstance(each, Merged) and each.computed]
        if made:
            self._silent.pop(hook.name, None)
        elif any(isinstance(each, Failure) for each in results) and self._is_to_tell(hook):
            made = [lacking(computed, self._clock)]
        if not made:
            return
        number = self._numbers.get(hook.name, 1)
        self._numbers[hook.name] = flow.compute(computed.schema, made, computed.source, number)
        group = (computed.schema.connection, computed.schema.group)
        self._note(group, flow.lanes[group][-len(made) :])

    def _is_to_tell(self, hook: Hook) -> bool:
        """Whether it is time to say that the hook computes nothing: at once, and then once a minute."""
        now = self._clock.monotonic()
        if now - self._silent.get(hook.name, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        self._silent[hook.name] = now
        return True

    def _primers(self) -> dict[str, list[tuple[Schema, Any]]]:
        """For each on_cycle hook with a new worker: the newest frames from before this flush."""
        primers: dict[str, list[tuple[Schema, Any]]] = {}
        for hook in self._of(HookPoint.ON_CYCLE):
            wanted = self._wanted_by(hook)
            is_new = hook.is_starting or self._primed.get(hook.name) is not hook.runner
            if wanted is not None and is_new:
                primers[hook.name] = [
                    (values.schema, frame)
                    for group, values in self._values.groups.items()
                    if wanted.indices(values.schema) or covers(hook.script.groups, *group)
                    for frame in values.frames
                ]
        return primers

    def _note(self, group: Group, lane: Sequence[Item]) -> None:
        """Values for those who ask for them: nobody else pays."""
        if any(not hook.script.hook_type.has_frames for hook in self._hooks):
            for item in lane:
                self._values.note(group, item.schema, item.frame)

    # --- telling -------------------------------------------------------------------------------------

    def adjusted(self) -> dict[str, tuple[int, int]]:
        """By connection, how many samples hooks of this run have computed and dropped."""
        return {connection: (sums.computed, sums.dropped) for connection, sums in self._sums.items()}

    def failed(self) -> Mapping[str, bool]:
        found: dict[str, bool] = {}
        for hook in self._hooks:
            if hook.script.hook_type.has_frames:
                for pattern in hook.script.groups:
                    found[pattern] = found.get(pattern, False) or hook.withholds
        return found

    def report(self) -> HooksReport:
        layers = next((place.layers for place in self._places.values() if place.layers), {})
        return HooksReport(hooks=[hook.report() for hook in self._hooks], layers=layers)

    def schemas(self) -> list[Schema]:
        return self._made.schemas()

    def latest_of(self, schema: Schema, wanted: Iterable[int]) -> list[LatestValue]:
        return self._made.latest_of(schema, wanted)

    async def expect(self, schemas: Sequence[Schema]) -> None:
        self._raw |= {(schema.connection, schema.group): schema for schema in schemas}
        await self._teach(self._hooks, self._places, schemas)

    async def _teach(
        self, hooks: Sequence[Hook], places: Mapping[str, Place], schemas: Iterable[Schema]
    ) -> None:
        """Each worker in the order of the hooks, since one is given what the one before makes of a schema."""
        until = self._clock.monotonic() + PREPARE_SECONDS
        ahead = list(schemas)
        for hook in [*_of(hooks, HookPoint.TRANSFORM), *_of(hooks, HookPoint.BEFORE_FORWARD)]:
            own = [each for each in ahead if covers(hook.script.groups, each.connection, each.group)]
            place = places[_key(hook.script)]
            place.study((hook, each) for each in own)
            await place.studied(until - self._clock.monotonic())
            made = {} if hook.outputs is None else {each.hash: hook.outputs.known(each) for each in own}
            ahead = [each if (known := made.get(each.hash)) is None else known.schema for each in ahead]


def _of(hooks: Sequence[Hook], point: HookPoint) -> list[Hook]:
    return [hook for hook in hooks if hook.script.hook_type is point]


def _key(script: Script) -> str:
    """Of the process that it lives in."""
    return script.worker or f"={script.name}"
