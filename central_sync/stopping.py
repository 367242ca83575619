"""The ordered stop: each step under a bound, a shorter one once a second signal came.

A step that overruns is named in the log and cut off, and the later ones still run. The third signal ends
the process where it stands: what was acknowledged was committed before.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NoReturn

import structlog

from central_sync.exit_codes import ExitCode

logger = structlog.get_logger()

_GRACE_SECONDS: Final = 0.1


class Stopping:
    """`wanted`: the process shall end; `hurry`: soon. has_started: requests are answered. has_left: something
    hangs and was left behind."""

    def __init__(self) -> None:
        self.wanted = asyncio.Event()
        self.hurry = asyncio.Event()
        self.has_started = False
        self.has_left = False

    def note(self) -> None:
        """One more signal."""
        if not self.wanted.is_set():
            self.wanted.set()
        elif not self.hurry.is_set():
            logger.warning("stopping in a hurry: a second signal came")
            self.hurry.set()
        else:
            leave(ExitCode.INTERRUPTED)

    async def step(
        self, name: str, work: Callable[[], Awaitable[None]], seconds: float, hurried_seconds: float
    ) -> None:
        """Runs one step to its end or its bound. Raises nothing: the log has what failed."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        task = asyncio.ensure_future(work())
        hurry = asyncio.ensure_future(self.hurry.wait())
        try:
            await asyncio.wait((task, hurry), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and self.hurry.is_set():
                await asyncio.wait((task,), timeout=hurried_seconds)
        finally:
            hurry.cancel()
        taken = round(loop.time() - began, 3)
        if not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=_GRACE_SECONDS)
            self.has_left = True
            logger.error("a step of the stop was cut off", step=name, after_seconds=taken)
        elif not task.cancelled() and task.exception() is not None:
            logger.error("a step of the stop failed", step=name, error=repr(task.exception()))
        else:
            logger.info("a step of the stop is done", step=name, seconds=taken)


def leave(code: int) -> NoReturn:
    """Ends the process now: what hangs in a thread keeps nobody waiting."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
