"""Asking a hook one thing, and what is held against whom when there is no answer."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.hooks.derive import Derived
from edge_agent.hooks.errors import OutOfTime, WorkerGone
from edge_agent.hooks.flow import Flow, befell
from edge_agent.hooks.hook import Hook
from edge_agent.hooks.merge import Merged
from edge_agent.hooks.place import Place
from edge_agent.hooks.runner import Alert, Failure, Given, Ran, Runner
from edge_agent.runtime.logging import OutageLog
from edge_agent.wire.schema import Schema
from edge_agent.wire.scripts import Script

logger = structlog.stdlib.get_logger(__name__)

# What hooks may make of one flush: a script must not fill the memory of the gateway with outputs.
MAX_MADE_BYTES: Final = 32 << 20
_TOO_MUCH: Final = Failure("TooMuch", "hooks have made more of this flush than fits", blameless=True)

_UNPREPARED: Final = Failure("NotReady", "its worker is still being told of this group", blameless=True)

Results = Sequence[Merged | Failure | None]
Call = Callable[[Runner, bytes, float], Awaitable[Ran]]


def key_of(script: Script) -> str:
    """Of the process that a script lives in."""
    return script.worker or f"={script.name}"


class Asking:
    """One log line and one record when a hook is off, one when it is on again.

    places: by `key_of`. call_seconds: what a call may take where its script does not say.
    """

    def __init__(self, clock: Clock) -> None:
        self.places: dict[str, Place] = {}
        self.call_seconds = 0.0
        self._clock = clock
        self._outages = OutageLog(logger, clock)
        # Of what befell hooks, to be told with the next flush.
        self._events: list[dict[str, Any]] = []

    def take_events(self) -> list[dict[str, Any]]:
        events, self._events = self._events, []
        return events

    def forget(self, hook: str) -> None:
        """There is none of this name any more."""
        self._outages.forget(hook)

    # --- before a call ---------------------------------------------------------------------------

    async def unable(self, flow: Flow, hook: Hook) -> Failure | None:
        """Why the hook cannot be asked in this flush. A worker that is being begun is waited for, as long as
        the call that follows has its time left."""
        if hook.is_starting:
            await self._place(hook).studied(self._left(flow, hook))
        return hook.unable()

    async def prepare(self, flow: Flow, hook: Hook, schemas: Iterable[Schema]) -> None:
        """Waits in the same way for what the worker must know."""
        runner, outputs = hook.runner, hook.outputs
        if runner is None or outputs is None:
            return
        if hook.script.hook_type.has_frames:
            unknown = [each for each in schemas if isinstance(self.derived(hook, each), Failure)]
            unknown = [each for each in unknown if outputs.refusal(each) is None]
        else:
            unknown = [each for each in schemas if not runner.link.has(each)]
        if unknown:
            place = self._place(hook)
            place.study((hook, each) for each in unknown)
            await place.studied(self._left(flow, hook))

    def derived(self, hook: Hook, schema: Schema) -> Derived | Failure:
        """What the hook makes of frames of a schema, or why it can make nothing of them yet."""
        known = None if hook.outputs is None else hook.outputs.known(schema)
        if known is not None and hook.runner is not None and hook.runner.link.knows(hook.name, schema):
            return known
        refused = None if hook.outputs is None else hook.outputs.refusal(schema)
        return _UNPREPARED if refused is None else Failure("ScriptRefused", str(refused), blameless=True)

    def _left(self, flow: Flow, hook: Hook) -> float:
        return flow.until - self._clock.monotonic() - hook.seconds(self.call_seconds)

    def _place(self, hook: Hook) -> Place:
        return self.places[key_of(hook.script)]

    # --- a call ----------------------------------------------------------------------------------

    async def frames(self, flow: Flow, hook: Hook, part: Sequence[Given]) -> Results:
        """What the hook makes of frames that fit into one request."""
        return await self.ask(
            flow, hook, len(part), lambda runner, state, most: runner.frames(part, state, most, flow.until)
        )

    async def ask(self, flow: Flow, hook: Hook, size: int, call: Call) -> Results:
        """The results of one call, of `size` frames or calls. `call` is given who runs the hook, its state
        and the seconds that it may take."""
        unable, runner, place = hook.unable(), hook.runner, self._place(hook)
        if flow.made_bytes > MAX_MADE_BYTES:
            unable = unable or _TOO_MUCH
        if unable is not None or runner is None:
            return [unable] * size
        try:
            with place.calling():
                ran = await call(runner, hook.state or b"", hook.seconds(self.call_seconds))
        except OutOfTime as error:
            place.mend()
            return [Failure("OutOfTime", str(error), blameless=True)] * size
        except WorkerGone as gone:
            failure = Failure(type(gone).__name__, str(gone))
            hook.killed(failure)
            self.blame(hook)
            place.mend()
            return [failure] * size
        hook.state = ran.state
        failures = [result for result in ran.results if isinstance(result, Failure)]
        hook.called(ran.seconds, ran.prints, failures)
        if len(failures) < sum(1 for result in ran.results if result is not None):
            self._praise(hook)
        elif failures:
            self.blame(hook)
        self._alert(flow, hook, ran.alerts)
        return ran.results

    def _alert(self, flow: Flow, hook: Hook, alerts: Sequence[Alert]) -> None:
        now, now_ms = self._clock.monotonic(), self._clock.wall_ms()
        for alert in alerts:
            if hook.allowance.take(now):
                flow.raised(hook, alert, now_ms, None)
        if left_out := hook.allowance.untold(now):
            message = f"{hook.name} raises too many alerts: {left_out} were left out"
            self._events.append(befell(hook, "hook_alerts_left_out", message, now_ms))

    def blame(self, hook: Hook) -> None:
        if hook.failed():
            self._outages.down(hook.name, "a hook is off", hook=hook.name, error=hook.error[:500])
            message = f"{hook.name} is off: {hook.error}"
            self._events.append(befell(hook, "hook_off", message, self._clock.wall_ms()))

    def _praise(self, hook: Hook) -> None:
        if hook.succeeded():
            self._outages.back(hook.name, "a hook is on again", hook=hook.name)
            message = f"{hook.name} is on again"
            self._events.append(befell(hook, "hook_on", message, self._clock.wall_ms()))
