"""Asking a hook one thing, and what is held against whom when there is no answer."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.hooks.errors import OutOfTime, WorkerGone
from edge_agent.hooks.flow import Flow, befell
from edge_agent.hooks.hook import Hook
from edge_agent.hooks.merge import Merged
from edge_agent.hooks.place import Place
from edge_agent.hooks.runner import Failure, Ran
from edge_agent.runtime.logging import OutageLog

logger = structlog.stdlib.get_logger(__name__)

# What hooks may make of one flush: a script must not fill the memory of the gateway with outputs.
MAX_MADE_BYTES: Final = 32 << 20
_TOO_MUCH: Final = Failure("TooMuch", "hooks have made more of this flush than fits", blameless=True)

Asked = Callable[[], Awaitable[Ran]]


class Asking:
    """One log line and one record when a hook is off, one when it is on again."""

    def __init__(self, clock: Clock) -> None:
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

    async def ask(
        self, flow: Flow, hook: Hook, place: Place, size: int, ask: Asked
    ) -> Sequence[Merged | Failure | None]:
        """The results of one call, of `size` frames or calls."""
        unable = hook.unable()
        if unable is None and flow.made_bytes > MAX_MADE_BYTES:
            unable = _TOO_MUCH
        if unable is not None:
            return [unable] * size
        try:
            with place.calling():
                ran = await ask()
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
        now_ms = self._clock.wall_ms()
        for alert in ran.alerts:
            flow.raised(hook, alert, now_ms, None)
        return ran.results

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
