"""Keeps long-running parts alive: one that fails runs again after a back-off, one that cannot is seen.

A part of the root TaskGroup that may fail runs inside `supervise`, so that its failure does not cancel
its siblings. `Components` is what the status page shows of all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.errors import InvariantBroken, NotConnected
from edge_agent.contracts.status import ComponentReport
from edge_agent.runtime.backoff import Backoff

logger = structlog.stdlib.get_logger(__name__)

HEALTHY_SECONDS: Final = 60.0
MAX_FAILURES: Final = 5


@dataclass(slots=True)
class Component:
    """One supervised part. `state`: running, waiting (back-off), stopped."""

    name: str
    state: str = "running"
    restarts: int = 0
    error: str = ""
    failures: int = field(default=0, repr=False)

    def report(self) -> ComponentReport:
        return ComponentReport(name=self.name, state=self.state, restarts=self.restarts, error=self.error)


class Components:
    """The supervised parts by name, in the order in which they were started. Belongs to one event loop."""

    def __init__(self) -> None:
        self._parts: dict[str, Component] = {}

    def add(self, name: str) -> Component:
        """A part that starts now. It replaces an earlier one of that name."""
        part = self._parts[name] = Component(name)
        return part

    def remove(self, part: Component) -> None:
        """Forgets a part, unless its name belongs to a newer one already."""
        if self._parts.get(part.name) is part:
            del self._parts[part.name]

    def reports(self) -> list[ComponentReport]:
        return [part.report() for part in self._parts.values()]


async def supervise(
    name: str,
    factory: Callable[[], Awaitable[None]],
    *,
    clock: Clock,
    backoff: Backoff,
    registry: Components,
    essential: bool = False,
    healthy_seconds: float = HEALTHY_SECONDS,
    max_failures: int = MAX_FAILURES,
) -> None:
    """Runs `await factory()`, and again after each failure, until it returns or is cancelled.

    A run of `healthy_seconds` ends the outage: the back-off and the count of failures begin anew. An
    `essential` part raises its error after `max_failures` failures in a row, which ends the process;
    InvariantBroken ends it at once, from any part and from inside an ExceptionGroup too. What is
    cancelled leaves the registry; what has returned or given up stays there as `stopped`.

    A CancelledError that nobody asked this task for (the factory awaited somebody else's cancelled task)
    is a failure like any other: passed on, it would end the part without a word.
    """
    part = registry.add(name)
    log = logger.bind(component=name)
    try:
        while (error := await _attempt(part, factory, clock, healthy_seconds, backoff, log)) is not None:
            part.failures += 1
            part.error = describe(error)
            if _breaks_invariant(error) or (essential and part.failures >= max_failures):
                part.state = "stopped"
                log.error("component gave up", failures=part.failures, error=part.error)
                raise error
            if part.failures == 1:
                trace = None if isinstance(error, NotConnected) else error
                log.warning("component failed and will run again", error=part.error, exc_info=trace)
            part.state = "waiting"
            await clock.sleep(backoff.next())
            part.restarts += 1
        part.state, part.error = "stopped", ""
    except asyncio.CancelledError:
        registry.remove(part)
        raise


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
        part.state = "running"
        try:
            return await _run(factory)
        finally:
            recovery.cancel()


async def _run(factory: Callable[[], Awaitable[None]]) -> Exception | None:
    try:
        await factory()
    except asyncio.CancelledError as error:
        if _asked_to_stop():
            raise
        unasked = RuntimeError("ended by a cancellation that nobody asked for")
        unasked.__cause__ = error
        return unasked
    except Exception as error:  # noqa: BLE001 - the supervisor is where failures of any kind end up
        return error
    return None


def _asked_to_stop() -> bool:
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
    if part.failures:
        log.info("component is back", failures=part.failures)
    part.failures, part.error = 0, ""


def describe(error: BaseException) -> str:
    """An error in one line for people; of a group, its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = " ".join(str(error).split())
    return text or type(error).__name__


def _breaks_invariant(error: Exception) -> bool:
    if isinstance(error, ExceptionGroup):
        return error.subgroup(InvariantBroken) is not None
    return isinstance(error, InvariantBroken)
