"""Keeps long-running parts alive: one that fails runs again after a back-off, one that cannot is seen.

A part of the root TaskGroup that may fail runs inside `supervise`, so that its failure does not cancel
its siblings. `Components` is the tree that the status shows of all of them.

An optional part never ends the process: after `MAX_FAILURES` failures in a row its breaker opens, and it
is tried at a slow pace for as long as that takes. An essential one gives up then, which does end the
process. What keeps data may fail for as long as it likes (`StorageFailed`): it heals by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.errors import InvariantBroken, NotConnected, StorageFailed
from edge_agent.contracts.status import ComponentReport
from edge_agent.runtime.backoff import Backoff
from edge_agent.runtime.errors import EssentialFailed
from edge_agent.runtime.progress import Pulse

logger = structlog.stdlib.get_logger(__name__)

HEALTHY_SECONDS: Final = 60.0
MAX_FAILURES: Final = 5
# The pace at which a part with an open breaker is tried.
BROKEN_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Role:
    """What a part is to the process. parent: its place in the tree, from the root on with slashes.

    essential: the process is useless without it. pulse: beats while the part runs, rests while it waits;
    quiet_seconds, together: how `runtime.progress` judges it.
    """

    parent: str = "agent"
    essential: bool = False
    pulse: Pulse | None = None
    quiet_seconds: float = 60.0
    together: str = ""


@dataclass(slots=True)
class Component:
    """One supervised part. `state`: running, waiting (back-off), broken (breaker open), stopped.

    failures: in a row. since_ms, next_try_ms: UTC milliseconds, for people.
    """

    name: str
    role: Role
    state: str = "running"
    restarts: int = 0
    error: str = ""
    failures: int = 0
    since_ms: int = 0
    next_try_ms: int | None = field(default=None)

    def change(self, state: str, now_ms: int, wait_seconds: float | None = None) -> None:
        self.next_try_ms = None if wait_seconds is None else now_ms + round(wait_seconds * 1000)
        if state != self.state or not self.since_ms:
            self.state, self.since_ms = state, now_ms
        if self.role.pulse is not None:
            self.role.pulse.beat() if state == "running" else self.role.pulse.rest()

    def report(self) -> ComponentReport:
        return ComponentReport(
            name=self.name,
            state=self.state,
            restarts=self.restarts,
            error=self.error,
            parent=self.role.parent,
            essential=self.role.essential,
            failures=self.failures,
            since=self.since_ms or None,
            next_try=self.next_try_ms,
        )


class Components:
    """The supervised parts by name, in the order in which they were started. Belongs to one event loop."""

    def __init__(self) -> None:
        self._parts: dict[str, Component] = {}

    def add(self, name: str, role: Role) -> Component:
        """A part that starts now. It replaces an earlier one of that name."""
        part = self._parts[name] = Component(name, role)
        return part

    def remove(self, part: Component) -> None:
        """Forgets a part, unless its name belongs to a newer one already."""
        if self._parts.get(part.name) is part:
            del self._parts[part.name]

    def reports(self) -> list[ComponentReport]:
        return [part.report() for part in self._parts.values()]


@dataclass(slots=True)
class _Pace:
    """When a part runs again. broken: its breaker is open."""

    backoff: Backoff
    slow: Backoff
    max_failures: int

    def is_broken(self, part: Component) -> bool:
        return part.failures >= self.max_failures

    def next(self, part: Component) -> float:
        return self.slow.next() if self.is_broken(part) else self.backoff.next()


async def supervise(
    name: str,
    factory: Callable[[], Awaitable[None]],
    *,
    clock: Clock,
    backoff: Backoff,
    registry: Components,
    role: Role | None = None,
    healthy_seconds: float = HEALTHY_SECONDS,
    max_failures: int = MAX_FAILURES,
    slow: Backoff | None = None,
) -> None:
    """Runs `await factory()`, and again after each failure, until it returns or is cancelled.

    A run of `healthy_seconds` ends the outage: the back-off and the count of failures begin anew. After
    `max_failures` failures in a row an optional part is tried at the pace of `slow`, and an essential one
    raises EssentialFailed. InvariantBroken raises that at once, from any part and from inside an
    ExceptionGroup too. StorageFailed counts as no failure, and is tried again at the pace of `backoff`.
    What is cancelled leaves the registry; what has returned or given up stays there as `stopped`.

    A CancelledError that nobody asked this task for (the factory awaited somebody else's cancelled task)
    is a failure like any other: passed on, it would end the part without a word.
    """
    part = registry.add(name, role or Role())
    log = logger.bind(component=name)
    pace = _Pace(backoff, slow or Backoff(BROKEN_SECONDS, BROKEN_SECONDS), max_failures)
    try:
        while (error := await _attempt(part, factory, clock, healthy_seconds, backoff, log)) is not None:
            await clock.sleep(_failed(part, error, pace, clock, log))
            part.restarts += 1
        part.error = ""
        part.change("stopped", clock.wall_ms())
    except asyncio.CancelledError:
        registry.remove(part)
        raise


def _failed(
    part: Component, error: Exception, pace: _Pace, clock: Clock, log: structlog.stdlib.BoundLogger
) -> float:
    """Notes a failure; the seconds until the next attempt. Raises EssentialFailed."""
    first, was_broken = not part.error, pace.is_broken(part)
    part.error = describe(error)
    if not _is(error, StorageFailed):
        part.failures += 1
    broken = pace.is_broken(part)
    if _is(error, InvariantBroken) or (part.role.essential and broken):
        part.change("stopped", clock.wall_ms())
        raise EssentialFailed(part.name, part.error) from error
    wait = pace.next(part)
    if first:
        trace = None if _is(error, NotConnected) or _is(error, StorageFailed) else error
        log.warning("component failed and will run again", error=part.error, exc_info=trace)
    if broken and not was_broken:
        log.warning("component keeps failing and is tried rarely", error=part.error, next_seconds=round(wait))
    part.change("broken" if broken else "waiting", clock.wall_ms(), wait)
    return wait


async def _attempt(
    part: Component,
    factory: Callable[[], Awaitable[None]],
    clock: Clock,
    healthy_seconds: float,
    backoff: Backoff,
    log: structlog.stdlib.BoundLogger,
) -> Exception | None:
    """One run. The error that ended it, or None where it returned."""
    async with asyncio.TaskGroup() as group:
        recovery = group.create_task(
            _recover(part, clock, healthy_seconds, backoff, log), name=f"{part.name}: recovery"
        )
        part.change("running", clock.wall_ms())
        try:
            return await _run(factory)
        finally:
            recovery.cancel()


async def _run(factory: Callable[[], Awaitable[None]]) -> Exception | None:
    try:
        await factory()
    except asyncio.CancelledError as error:
        if asked_to_stop():
            raise
        unasked = RuntimeError("ended by a cancellation that nobody asked for")
        unasked.__cause__ = error
        return unasked
    except Exception as error:  # noqa: BLE001 - the supervisor is where failures of any kind end up
        return error
    return None


def asked_to_stop() -> bool:
    """Whether somebody cancelled the current task, which is more than that it met a CancelledError."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _recover(
    part: Component,
    clock: Clock,
    healthy_seconds: float,
    backoff: Backoff,
    log: structlog.stdlib.BoundLogger,
) -> None:
    await clock.sleep(healthy_seconds)
    backoff.reset()
    if part.error:
        log.info("component is back", failures=part.failures)
    part.failures, part.error = 0, ""


def describe(error: BaseException) -> str:
    """An error in one line for people; of a group, its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = " ".join(str(error).split())
    return text or type(error).__name__


def _is(error: Exception, kind: type[Exception]) -> bool:
    """Whether it is of this kind, or a group in which one is."""
    if isinstance(error, ExceptionGroup):
        return error.subgroup(kind) is not None
    return isinstance(error, kind)
