"""Runs a driver's calls in a task of their own, so that a call that never ends stops nobody but itself.

A driver that swallows its cancellation cannot be ended. Its task is then left behind: it is counted, what
it still brings is thrown away, and a fresh driver takes over. That is why these tasks are in no TaskGroup,
which would wait for them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.errors import NotConnected

# How long a call may take to end once it was cancelled.
GRACE_SECONDS: Final = 2.0
CLOSE_SECONDS: Final = 5.0
# A driver that hangs for ever in each of its calls must not fill the memory with them.
MOST_LEFT_BEHIND: Final = 8


class Interrupted(NotConnected):
    """What ran was ended from outside. left_behind: it did not end; its driver is not to be used again."""

    def __init__(self, why: str, *, left_behind: bool) -> None:
        super().__init__(f"{why}; the call did not end when it was cancelled" if left_behind else why)
        self.left_behind = left_behind


class Session:
    """left_behind: how many calls were, in all."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.left_behind = 0
        self._name = name
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._interruption: asyncio.Future[str] | None = None
        self._lost: set[asyncio.Task[None]] = set()

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs `work` until it ends or is interrupted. Raises what it raises, Interrupted, and NotConnected
        where too much was left behind already."""
        if len(self._lost) >= MOST_LEFT_BEHIND:
            raise NotConnected(f"{len(self._lost)} calls of the driver never ended: restart the agent")
        interruption = self._interruption = asyncio.get_running_loop().create_future()
        task = self._task = asyncio.create_task(_run(work), name=f"{self._name}: session")
        try:
            await asyncio.wait((task, interruption), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._task = self._interruption = None
            ended = await self._end(task)
        if interruption.done():
            raise Interrupted(interruption.result(), left_behind=not ended)
        await task

    async def close(self, close: Callable[[], Awaitable[None]]) -> bool:
        """Runs a driver's `close`, for so long as may be. Raises what it must not raise. False: it did not
        end."""
        task = asyncio.create_task(_run(close), name=f"{self._name}: close")
        try:
            await self._wait(task, CLOSE_SECONDS)
        finally:
            ended = await self._end(task)
        if ended and not task.cancelled():
            await task
        return ended

    def interrupt(self, why: str) -> bool:
        """Ends what runs, from outside of it. False: nothing does, or it is being ended already."""
        if self._interruption is None or self._interruption.done():
            return False
        self._interruption.set_result(why)
        return True

    def check(self) -> None:
        """Called by what `run` runs, after each call of the driver: ends what was left behind meanwhile."""
        if asyncio.current_task() is not self._task:
            raise asyncio.CancelledError

    async def _end(self, task: "asyncio.Task[None]") -> bool:
        """False: it did not end."""
        if task.done():
            return True
        task.cancel()
        try:
            await self._wait(task, GRACE_SECONDS)
        finally:
            if not task.done():
                self.left_behind += 1
                self._lost.add(task)
            task.add_done_callback(self._forget)
        return task.done()

    async def _wait(self, task: "asyncio.Task[None]", seconds: float) -> None:
        await asyncio.sleep(0)  # most calls end at once, and need no timer for it
        if task.done():
            return
        sleeper = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait((task, sleeper), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            await asyncio.gather(sleeper, return_exceptions=True)

    def _forget(self, task: "asyncio.Task[None]") -> None:
        self._lost.discard(task)
        if not task.cancelled():
            task.exception()  # nobody waits for it any more


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()
