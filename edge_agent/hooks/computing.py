"""Points without frames of their own: links, alerts, times and cycles, and what they compute.

Their outputs are frames of connection `hooks`, one group a hook, numbered in this run of the agent.
"""

import asyncio
from collections.abc import Callable, Container, Sequence
from typing import Any, Final

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.hooks import HookSources, Records
from edge_agent.hooks.asking import Asking, Results
from edge_agent.hooks.flow import (
    MAX_CALLS,
    Flow,
    Item,
    Wanted,
    alert_calls,
    cycle,
    is_there,
    lacking,
    link_calls,
    tick_calls,
)
from edge_agent.hooks.hook import Hook
from edge_agent.hooks.latest import Group, Values
from edge_agent.hooks.merge import Merged
from edge_agent.hooks.runner import Failure, frame_of, parts
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Schema
from edge_agent.wire.scripts import HookPoint, covers

# Computed tags of a hook that fails are told as bad so often: the first frame alone could be overlooked.
REPEAT_SECONDS: Final = 60.0

Primers = dict[str, list[tuple[Schema, Frame]]]


class Computing:
    """Keeps the newest values for those that ask for them; without such hooks it keeps nothing."""

    def __init__(self, clock: Clock, sources: HookSources, asking: Asking) -> None:
        self._clock = clock
        self._sources = sources
        self._asking = asking
        self._hooks: list[Hook] = []
        self._values = Values()
        self._wanted: dict[str, Wanted] = {}
        # Which worker a cycle's hook had when it was told of the newest values.
        self._primed: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}
        # Since when hooks were told of as computing nothing.
        self._silent: dict[str, float] = {}

    def serve(self, hooks: Sequence[Hook]) -> None:
        """From now on these, among others that are given frames."""
        self._hooks = [hook for hook in hooks if not hook.script.hook_type.has_frames]
        self._wanted = {}

    def keep(self, polled: Container[Group]) -> None:
        """Of other groups no value is known any more. A worker cannot forget them: its hook begins anew."""
        known = self._values.groups
        gone = {group: known[group].schema for group in known if not is_there(group, polled)}
        for hook in self._of(HookPoint.ON_CYCLE):
            wanted = self._wanted_by(hook)
            if wanted is not None and any(wanted.indices(schema) for schema in gone.values()):
                hook.runner = None
        self._values.forget(gone)

    async def run(self, flow: Flow, records: Records) -> None:
        """All of a flush, whose frames went through their transforms."""
        for hook in self._hooks:
            await self._knowing(flow, hook)
        primers = self._primers()
        for group, lane in flow.lanes.items():
            self._note(group, lane)
        links, ticks = self._sources.links(), self._sources.ticks()
        now_ms = self._clock.wall_ms()
        await self._called(flow, HookPoint.ON_CONNECT, lambda _: link_calls(links))
        await self._called(flow, HookPoint.ON_ALERT, lambda _: alert_calls(records, flow.events, links))
        await self._called(flow, HookPoint.ON_SCHEDULE, lambda hook: tick_calls(hook, ticks, now_ms))
        cycles = self._of(HookPoint.ON_CYCLE)
        await asyncio.gather(*(self._cycle(flow, hook, primers.get(hook.name, [])) for hook in cycles))

    def _of(self, point: HookPoint) -> list[Hook]:
        return [hook for hook in self._hooks if hook.script.hook_type is point]

    def _wanted_by(self, hook: Hook) -> Wanted | None:
        """What its INPUTS name; None before its worker has told."""
        if hook.name not in self._wanted and hook.outputs is not None:
            self._wanted[hook.name] = Wanted(hook.outputs.inputs)
        return self._wanted.get(hook.name)

    async def _knowing(self, flow: Flow, hook: Hook) -> Wanted | None:
        """What its INPUTS name, found in all that there is."""
        wanted = self._wanted_by(hook)
        if wanted is not None:
            schemas = {item.schema.hash: item.schema for lane in flow.lanes.values() for item in lane}
            schemas |= {each.schema.hash: each.schema for each in self._values.groups.values()}
            if unknown := wanted.unknown(schemas.values()):
                await asyncio.to_thread(wanted.learn, unknown)
        return wanted

    async def _called(
        self, flow: Flow, point: HookPoint, calls_of: Callable[[Hook], list[dict[str, Any]]]
    ) -> None:
        await asyncio.gather(*(self._calls(flow, hook, calls_of(hook)) for hook in self._of(point)))

    async def _calls(self, flow: Flow, hook: Hook, calls: list[dict[str, Any]]) -> None:
        del calls[MAX_CALLS:]
        if not calls:
            return
        unable, wanted = await self._asking.unable(flow, hook), await self._knowing(flow, hook)
        if unable is not None or wanted is None:
            self._compute(flow, hook, [unable])
            return
        values = wanted.values(self._values)
        mono_ns = self._clock.mono_ns()
        frames = [frame_of(call["t"], mono_ns) for call in calls]
        # Once for all: of many tags, and in a shower of alarms, they would be written for seconds.
        told = [{**calls[0], "v": values}, *calls[1:]]
        results = await self._asking.ask(
            flow, hook, len(calls),
            lambda runner, state, most: runner.calls(told, frames, state, most, flow.until),
        )  # fmt: skip
        self._compute(flow, hook, results)

    async def _cycle(self, flow: Flow, hook: Hook, before: Sequence[tuple[Schema, Frame]]) -> None:
        wanted = await self._knowing(flow, hook)
        if wanted is None or hook.outputs is None:
            return
        given = cycle(hook, flow.lanes, wanted, before)
        if not any(each.derived is not None for each in given):
            self._primed.pop(hook.name, None)
            return
        if (unable := await self._asking.unable(flow, hook)) is not None:
            self._compute(flow, hook, [unable])
            return
        await self._asking.prepare(flow, hook, {each.schema.hash: each.schema for each in given}.values())
        runner = hook.runner
        known = [each for each in given if runner is not None and runner.link.has(each.schema)]
        for part in parts(known):
            self._compute(flow, hook, await self._asking.frames(flow, hook, part))
        self._primed[hook.name] = runner

    def _compute(self, flow: Flow, hook: Hook, results: Results) -> None:
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

    def _primers(self) -> Primers:
        """For each on_cycle hook with a new worker: the newest frames from before this flush."""
        primers: Primers = {}
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
        if self._hooks:
            for item in lane:
                self._values.note(group, item.schema, item.frame)
