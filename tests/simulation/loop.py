"""An event loop whose time is virtual and whose threads are its own: the same seed runs the same way.

- Time moves only where nothing is left to do, and then to the next timer. No socket is ever polled.
- `run_in_executor` runs the function on the loop's thread, after as long as the executor's `Thread` says
  and one at a time for each executor. The function sees no running loop, as in a thread.
- A real thread that answers with `call_soon_threadsafe` (the centre's writer) is waited for where nothing
  else is left to do: its answers come at one place, whatever the machine does meanwhile.
"""

import asyncio
import queue
import selectors
from asyncio import events
from collections.abc import Callable
from typing import Any, Final, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Of real time: a thread that does not answer within it hangs.
_PATIENCE_SECONDS: Final = 20.0


class Stuck(Exception):
    """Nothing will ever happen again, or a thread does not answer."""


class Thread:
    """How one executor behaves. This one is at once; others are slow, fail, or die."""

    def seconds(self) -> float:
        """How long the next call takes."""
        return 0.0

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Runs the function. Raises CancelledError where the process has died: nobody gets an answer."""
        return function(*arguments)


class _NoSockets(selectors.SelectSelector):
    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.loop.idle(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """busy: whether real threads owe an answer. thread_of: how an executor behaves; asked once for each."""

    _scheduled: list[asyncio.TimerHandle]  # the base class's own heap

    def __init__(self) -> None:
        selector = _NoSockets()
        selector.loop = self
        self._now = 1_000.0
        self._answers: queue.SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]] = queue.SimpleQueue()
        self._free: dict[object, float] = {}
        self._threads: dict[object, Thread] = {}
        self.thread_of: Callable[[object], Thread] = lambda _: Thread()
        self.busy: Callable[[], bool] = bool
        super().__init__(selector)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._now

    def idle(self, timeout: float | None) -> None:
        """Called where every ready callback has run. timeout: until the next timer; None: there is none."""
        if timeout == 0:
            return
        if self.busy():
            self.settle()
        elif timeout is None:
            raise Stuck("every task waits for another one")
        else:
            # The timer's own time, not a sum of waits: how often the loop woke on the way must not show in
            # the last bit of the time, which decides how a time is rounded. Microseconds for the same reason.
            self._now = max(self._now, round(self._scheduled[0].when(), 6))

    def settle(self) -> None:
        """Takes the answers of real threads until none is owed."""
        running = events._get_running_loop()
        events._set_running_loop(None)
        try:
            while self.busy():
                try:
                    callback, arguments = self._answers.get(timeout=_PATIENCE_SECONDS)
                except queue.Empty:
                    raise Stuck("a thread does not answer") from None
                callback(*arguments)
        finally:
            events._set_running_loop(running)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Any = None
    ) -> asyncio.Handle:
        self._answers.put((callback, args))
        return asyncio.Handle(callback, args, self)

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> "asyncio.Future[T]":
        if executor not in self._threads:
            self._threads[executor] = self.thread_of(executor)
        thread = self._threads[executor]
        future: asyncio.Future[T] = self.create_future()
        at = max(self._now, self._free.get(executor, 0.0)) + thread.seconds()
        self._free[executor] = at
        self.call_at(at, self._execute, thread, future, func, args)
        return future

    def _execute(
        self, thread: Thread, future: "asyncio.Future[Any]", function: Callable[..., Any], args: Any
    ) -> None:
        running = events._get_running_loop()
        events._set_running_loop(None)
        try:
            result = thread.call(function, args)
        except asyncio.CancelledError:
            events._set_running_loop(running)
            future.cancel()
        except Exception as error:  # noqa: BLE001 - it is the caller's
            events._set_running_loop(running)
            if not future.done():
                future.set_exception(error)
        else:
            events._set_running_loop(running)
            if not future.done():
                future.set_result(result)


class VirtualClock:
    """A `contracts.clock.Clock` on the loop's time. offset_ms: what makes the wall clock of it."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.offset_ms = 1_800_000_000_000

    def monotonic(self) -> float:
        return self._loop.time()

    def mono_ns(self) -> int:
        return round(self._loop.time() * 1e9)

    def wall_ms(self) -> int:
        return int(self._loop.time() * 1000) + self.offset_ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
