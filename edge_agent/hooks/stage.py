"""All hooks of an agent, as a flush asks them: implements contracts.hooks.HookStage.

Order in a flush: transform → on_connect, on_alert, on_schedule → on_cycle → before_forward; hooks that share
no group run at the same time, others in the order of the config. Whatever a hook or its worker does, each
frame that came in goes out once, with its number.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.hooks import Frames, Hooked, HookSources, Records
from edge_agent.contracts.status import LatestValue
from edge_agent.hooks.asking import Asking, key_of
from edge_agent.hooks.computing import Computing
from edge_agent.hooks.derive import Derived
from edge_agent.hooks.flow import Flow, Item, Sums, concerned, covered, dependencies, given_up, is_there
from edge_agent.hooks.hook import Hook
from edge_agent.hooks.latest import Group, Made
from edge_agent.hooks.place import Place, Start
from edge_agent.hooks.process import WorkerProcess
from edge_agent.hooks.runner import Failure, Given, parts
from edge_agent.hooks.states import States
from edge_agent.wire.messages import HooksReport
from edge_agent.wire.schema import Schema
from edge_agent.wire.scripts import HookPoint, Script, covers

logger = structlog.stdlib.get_logger(__name__)

# What a connection's begin and a change of scripts wait for workers to learn the groups.
PREPARE_SECONDS: Final = 5.0
# What the first scripts of a run are waited for, and a change of those that run: nothing is polled yet, and a
# script that hangs while it is compiled would keep it so.
FIRST_SECONDS: Final = 1.5
CHANGE_SECONDS: Final = 10.0
# Of a group's schema from one hook to the next: all of them did what they do, or one of the first failed.
_MOST_WAYS: Final = 5


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
        self._states = States(states)
        self._start = start
        self._turn = asyncio.Lock()
        self._hooks: list[Hook] = []
        self._places: dict[str, Place] = {}
        self._require: tuple[str, ...] = ()
        # Of the flush that runs.
        self._flow: Flow | None = None
        self._sums: dict[str, Sums] = {}
        self._sources = sources
        # Of each group the schema that it was read with last.
        self._raw: dict[Group, Schema] = {}
        self._made = Made()
        self._asking = Asking(clock)
        self._computing = Computing(clock, sources, self._asking)

    # --- which scripts run -------------------------------------------------------------------------

    async def replace(self, scripts: Sequence[Script], require: Collection[str], call_seconds: float) -> None:
        self._look(())
        same = {(hook.name, hook.sha256): hook for hook in self._hooks}
        again = tuple(require) != self._require
        hooks = [self._hook(script, same.get((script.name, script.sha256))) for script in scripts]
        groups: dict[str, list[Hook]] = {}
        for hook in hooks:
            groups.setdefault(key_of(hook.script), []).append(hook)
        places: dict[str, Place] = {}
        fresh: list[Place] = []
        for key, own in groups.items():
            place = self._places.get(key)
            if place is None or place.hooks != own or again:
                place = Place(own, self._start, self._clock, require, self._asking.blame)
                fresh.append(place)
            places[key] = place
        seconds = CHANGE_SECONDS if self._places else FIRST_SECONDS
        await asyncio.gather(*(place.begin(seconds) for place in fresh))
        await self._teach(hooks, places, list(self._raw.values()))
        async with self._turn:
            before, self._places = self._places, places
            for gone in self._states.hand_over(self._hooks, hooks):
                self._asking.forget(gone)
            self._hooks, self._require = hooks, tuple(require)
            for hook in hooks:
                hook.is_discreet = any(each.withholds for each in hooks)
            self._asking.places, self._asking.call_seconds = places, call_seconds
            self._computing.serve(hooks)
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
            self._flow = flow
            try:
                await self._run(flow, records)
            except Exception:  # the boundary of hooks: a fault of ours must not cost the samples either
                logger.exception("hooks could not be run")
                flow = given_up(frames, flow, self._hooks)
                for hook in self._hooks:
                    hook.state = before[hook.name]
            finally:
                self._flow = None
            flow.add_sums(self._sums)
            flow.events += self._asking.take_events()
            states = {hook.name: hook.state or b"" for hook in self._hooks if hook.state != before[hook.name]}
            return flow.hooked(frames, records, self._states.surplus(self._hooks) | states)

    def hurry(self, seconds: float) -> None:
        if self._flow is not None:
            self._flow.until = min(self._flow.until, self._clock.monotonic() + seconds)
            asyncio.get_running_loop().call_later(seconds, self._cut, self._flow)

    def _cut(self, flow: Flow) -> None:
        if self._flow is flow:
            for place in self._places.values():
                place.cut()

    async def _run(self, flow: Flow, records: Records) -> None:
        for place in self._places.values():
            place.mend()
        await self._chain(flow, HookPoint.TRANSFORM)
        await self._computing.run(flow, records)
        await self._chain(flow, HookPoint.BEFORE_FORWARD)
        for group, lane in flow.lanes.items():
            for item in lane:
                self._made.note(group, item.raw, item.schema, item.frame)

    # --- points with frames ------------------------------------------------------------------------

    async def _chain(self, flow: Flow, point: HookPoint) -> None:
        hooks = _of(self._hooks, point)
        lanes = [covered(hook, flow.lanes) for hook in hooks]
        if len(hooks) == 1:
            await self._framed(flow, hooks[0], lanes[0])
            return
        done: list[asyncio.Task[None]] = []
        async with asyncio.TaskGroup() as together:
            for hook, own, earlier in zip(hooks, lanes, dependencies(hooks, lanes), strict=True):
                waits = [done[index] for index in earlier]
                done.append(together.create_task(self._after(waits, flow, hook, own)))

    async def _after(
        self, earlier: Sequence["asyncio.Task[None]"], flow: Flow, hook: Hook, own: Collection[Group]
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
        unable = await self._asking.unable(flow, hook)
        if unable is None:
            schemas = {item.schema.hash: item.schema for item in items}
            await self._asking.prepare(flow, hook, schemas.values())
        given: list[Given] = []
        ready: list[tuple[Item, Derived]] = []
        for item in items:
            derived = unable or self._asking.derived(hook, item.schema)
            if isinstance(derived, Failure):
                flow.take(hook, item, item.schema, derived)
            else:
                given.append(Given(item.schema, item.frame, derived))
                ready.append((item, derived))
        waiting = iter(ready)
        for part in parts(given):
            for result in await self._asking.frames(flow, hook, part):
                assert result is not None, "a frame that was run has a result"
                item, derived = next(waiting)
                flow.take(hook, item, derived.schema, result)

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
        self._look(schemas)
        await self._teach(self._hooks, self._places, schemas)

    def _look(self, announced: Sequence[Schema]) -> None:
        """Which groups there are. What was made of others, and of schemas that they have no more, is
        forgotten; frames that are still on their way are no worse for it."""
        schemas = (*self._sources.polled(), *announced)
        self._raw = {(schema.connection, schema.group): schema for schema in schemas}
        self._computing.keep(self._raw)
        self._made.keep([group for group in self._made.groups if is_there(group, self._raw)])
        alive = {schema.hash for schema in self._raw.values()}
        computed = [hook.outputs.computed for hook in self._hooks if hook.outputs is not None]
        alive |= {made.schema.hash for made in computed if made is not None}
        for hook in _framing(self._hooks):
            if hook.outputs is not None:
                hook.outputs.forget(alive)
                alive |= {derived.schema.hash for derived in hook.outputs.all_derived}

    async def _teach(
        self, hooks: Sequence[Hook], places: Mapping[str, Place], schemas: Iterable[Schema]
    ) -> None:
        """Each worker in the order of the hooks, since one is given what those before make of a schema; also
        what it is where one of them fails."""
        until = self._clock.monotonic() + PREPARE_SECONDS
        ways = [[schema] for schema in schemas]
        for hook in _framing(hooks):
            own = [way for way in ways if covers(hook.script.groups, way[0].connection, way[0].group)]
            place = places[key_of(hook.script)]
            # What is usual first.
            place.study((hook, way[0]) for way in own)
            place.study((hook, each) for way in own for each in way[1:])
            if place.is_ready:
                await place.studied(until - self._clock.monotonic())
            if hook.outputs is not None:
                for way in own:
                    known = [hook.outputs.known(each) for each in way]
                    made = [each if one is None else one.schema for each, one in zip(way, known, strict=True)]
                    failed = [] if made[0] is way[0] else [way[0]]
                    way[:] = [*made, *failed][:_MOST_WAYS]


def _framing(hooks: Sequence[Hook]) -> list[Hook]:
    """In the order in which frames come to them."""
    return [*_of(hooks, HookPoint.TRANSFORM), *_of(hooks, HookPoint.BEFORE_FORWARD)]


def _of(hooks: Sequence[Hook], point: HookPoint) -> list[Hook]:
    return [hook for hook in hooks if hook.script.hook_type is point]
