"""The ordered stop: stages, each under a deadline of its own, and people who may lose patience.

A stage that overruns is named in the log and cut off, and the later ones still run: a driver that hangs
must not keep the buffer from committing. The first signal asks for the stop; the second (`hurry`)
shortens every stage, the running one too, and leaves out what may be left out; the third ends the process
where it stands, which costs no more than a kill: uncommitted frames are in the ring.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.exit_codes import ExitCode

logger = structlog.stdlib.get_logger(__name__)

# How long what was begun may take to be undone. A thread that opens a database is not waited for.
UNDO_SECONDS: Final = 1.0
# How long a stage that was cut off may take to notice.
GRACE_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the stop. hurried_seconds: its bound in a hurry; 0: it is left out then."""

    name: str
    seconds: float
    hurried_seconds: float
    work: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a stage. `how`: done, failed, cut off, left out.

    is_stuck: its task took no notice of being cancelled, so that nothing can wait for it any more.
    """

    name: str
    how: str
    seconds: float
    is_stuck: bool = False


class StopSignals:
    """Counts SIGTERM and SIGINT. `wanted`: the process shall end; `hurry`: soon."""

    def __init__(self, leave: Callable[[int], object]) -> None:
        """leave: ends the process at once with an exit code."""
        self.wanted = asyncio.Event()
        self.hurry = asyncio.Event()
        self._leave = leave

    async def unless_wanted(self, work: Coroutine[Any, Any, None]) -> bool:
        """Awaits `work`, unless the stop is wanted before it is done: then it is cancelled, and False."""
        task = asyncio.ensure_future(work)
        wanted = asyncio.ensure_future(self.wanted.wait())
        try:
            await asyncio.wait((task, wanted), return_when=asyncio.FIRST_COMPLETED)
        finally:
            wanted.cancel()
            task.cancel()
        if task.done():
            await task
            return True
        await asyncio.wait((task,), timeout=UNDO_SECONDS)
        if task.done() and not task.cancelled() and task.exception() is not None:
            logger.warning("the start failed while it was stopped", error=str(task.exception()))
        return False

    def note(self) -> None:
        """One more signal."""
        if not self.wanted.is_set():
            self.wanted.set()
        elif not self.hurry.is_set():
            logger.warning("stopping in a hurry: a second signal came")
            self.hurry.set()
        else:
            logger.warning("ending at once: a third signal came")
            self._leave(ExitCode.INTERRUPTED)


async def run_stages(stages: Sequence[Stage], hurry: asyncio.Event, clock: Clock) -> list[Ended]:
    """Runs one after the other, each to its end or its bound. Raises nothing; the log has what failed."""
    ended = [await _run_stage(stage, hurry, clock) for stage in stages]
    taken = {each.name.replace(" ", "_"): round(each.seconds, 3) for each in ended}
    logger.info("stages of the stop in seconds", **taken)
    return ended


async def _run_stage(stage: Stage, hurry: asyncio.Event, clock: Clock) -> Ended:
    if hurry.is_set() and not stage.hurried_seconds:
        return Ended(stage.name, "left out", 0.0)
    began = clock.monotonic()
    task = asyncio.ensure_future(stage.work())
    await _until_done(task, stage.seconds, clock, hurry)
    if not task.done() and hurry.is_set():
        # What was left out costs nothing from the moment on at which somebody lost patience.
        await _until_done(task, stage.hurried_seconds, clock)
    taken = clock.monotonic() - began
    if not task.done():
        task.cancel()
        await _until_done(task, GRACE_SECONDS, clock)
        if stage.hurried_seconds or not hurry.is_set():
            logger.error("a stage of the stop was cut off", stage=stage.name, after_seconds=round(taken, 3))
        return Ended(stage.name, "cut off", taken, is_stuck=not task.done())
    error = None if task.cancelled() else task.exception()
    if error is not None or task.cancelled():
        logger.error("a stage of the stop failed", stage=stage.name, error=str(error or "cancelled"))
        return Ended(stage.name, "failed", taken)
    return Ended(stage.name, "done", taken)


async def _until_done(
    task: "asyncio.Future[None]", seconds: float, clock: Clock, hurry: asyncio.Event | None = None
) -> None:
    """Returns when the task is done, the time is over, or somebody is in a hurry."""
    extra = [asyncio.ensure_future(clock.sleep(seconds))]
    if hurry is not None:
        extra.append(asyncio.ensure_future(_set(hurry)))
    try:
        await asyncio.wait({task, *extra}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in extra:
            each.cancel()
        await asyncio.gather(*extra, return_exceptions=True)


async def _set(event: asyncio.Event) -> None:
    await event.wait()


def leave(code: int) -> NoReturn:
    """Ends the process now. What hangs in a thread (a name looked up, a disk) keeps nobody waiting."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
