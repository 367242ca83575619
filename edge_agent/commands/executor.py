"""Runs handlers: so many at once, each under its time-out, and each able to be stopped.

A handler that swallows its cancellation cannot be ended: it is left behind, counted, and its slot is free.
That is why handlers run in tasks of their own and in no TaskGroup, which would wait for them.
"""

import asyncio
from typing import Any, Final

import orjson
import structlog

from edge_agent.commands.context import Context
from edge_agent.commands.entry import Outcome
from edge_agent.commands.errors import Failed, NotKnown
from edge_agent.commands.registry import Order
from edge_agent.contracts.clock import Clock
from edge_agent.wire.commands import MAX_RESULT_BYTES, CommandState
from edge_agent.wire.messages import Message

logger = structlog.stdlib.get_logger(__name__)

# How long a handler may take to end once it was cancelled: as long as killing a process group takes.
GRACE_SECONDS: Final = 5.0
_TEXT: Final = 2_000


class Slots:
    """At most `most` at once, in the order in which they asked."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._free = asyncio.Semaphore(most)
        self._clock = clock

    async def enter(self, seconds: float, cancel: asyncio.Event) -> bool:
        """Waits for a slot, at most so long. False: there was none in time, or it was cancelled."""
        entering = asyncio.ensure_future(self._free.acquire())
        try:
            await first_of(entering, seconds, cancel, self._clock)
        except BaseException:
            if not entering.cancel() and not entering.cancelled():
                self._free.release()
            raise
        if entering.done():
            return True
        entering.cancel()
        await asyncio.gather(entering, return_exceptions=True)
        return False

    def leave(self) -> None:
        self._free.release()


class Executor:
    """left_behind: how many handlers did not end when they were cancelled, in all."""

    def __init__(self, clock: Clock) -> None:
        self.left_behind = 0
        self._clock = clock

    async def run(self, order: Order, context: Context, cancel: asyncio.Event) -> Outcome:
        """Runs the handler until it ends, `context.deadline` is over or `cancel` is set. Raises nothing but
        CancelledError, where whoever runs it is cancelled."""
        task = asyncio.ensure_future(order.handler(context, order.params))
        try:
            await first_of(task, context.seconds_left, cancel, self._clock)
        finally:
            was_done = task.done()
            if not was_done:
                await self._end(task, context.id)
        if was_done:
            return _outcome(task, context.id)
        if cancel.is_set():
            # However it ended before the cancellation came through.
            return _outcome(task, context.id) if _tells(task) else cancelled()
        if _tells(task):
            return _outcome(task, context.id)
        return Outcome(CommandState.TIMED_OUT, "timed_out", "it did not end in time and was stopped")

    async def _end(self, task: "asyncio.Future[Message]", command: str) -> None:
        task.cancel()
        await first_of(task, GRACE_SECONDS, None, self._clock)
        if not task.done():
            self.left_behind += 1
            logger.error("a command does not end and is left behind", command_id=command)
        task.add_done_callback(_looked_at)


async def first_of(
    task: "asyncio.Future[Any]", seconds: float, event: asyncio.Event | None, clock: Clock
) -> None:
    """Returns when the task is done, the time is over or the event is set."""
    others: list[asyncio.Future[Any]] = [asyncio.ensure_future(clock.sleep(seconds))]
    if event is not None:
        others.append(asyncio.ensure_future(event.wait()))
    try:
        await asyncio.wait({task, *others}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _tells(task: "asyncio.Future[Message]") -> bool:
    """Whether it ended by itself while it was being stopped: well, or saying that it cannot know."""
    if not task.done() or task.cancelled():
        return False
    return task.exception() is None or isinstance(task.exception(), NotKnown)


def cancelled() -> Outcome:
    return Outcome(CommandState.CANCELLED, "cancelled", "it was stopped as asked")


def _outcome(task: "asyncio.Future[Message]", command: str) -> Outcome:
    if task.cancelled():
        return Outcome(CommandState.FAILED, "internal", "ended by a cancellation that nobody asked for")
    error = task.exception()
    if error is None:
        result = task.result().model_dump(mode="json")
        if len(orjson.dumps(result)) > MAX_RESULT_BYTES:
            text = f"it succeeded, but its result is longer than {MAX_RESULT_BYTES} bytes"
            return Outcome(CommandState.FAILED, "result_too_large", text)
        return Outcome(CommandState.SUCCEEDED, result=result)
    text = str(error)[:_TEXT]
    if isinstance(error, NotKnown):
        return Outcome(CommandState.UNKNOWN, error.code, text)
    if isinstance(error, Failed):
        return Outcome(CommandState.FAILED, error.code, text)
    logger.error("a command failed in an unexpected way", command_id=command, exc_info=error)
    return Outcome(CommandState.FAILED, "internal", f"{type(error).__name__}: {text}"[:_TEXT])


def _looked_at(task: "asyncio.Future[Message]") -> None:
    if not task.cancelled():
        task.exception()
