"""What others want done over a connection's link between its polls: writes, and reading them back.

One at a time, in the order in which they came, and before reads that are due; how many before one of them is
the poller's. Nothing outlives a link: what has not begun when it ends is refused, and what had begun is
unknown. Nothing is ever done twice.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.driver import Acknowledging, Driver, Writing
from edge_agent.contracts.errors import NotConnected, Unsupported, WriteRefused, WriteUnknown
from edge_agent.pipeline.breaker import BreakerState
from edge_agent.pipeline.link import LinkState
from edge_agent.pipeline.unit import Unit
from edge_agent.wire.frame import JsonValue

MOST_WAITING: Final = 16
# Where nobody is awaited a pause has no second task that could end it: so soon it is seen that somebody is.
_UNAWARE_SECONDS: Final = 2.0


class Hung(NotConnected):
    """A driver did not come back from a call: where its link stands nobody knows."""


@dataclass(slots=True, eq=False)
class Errand:
    """call: one call of the driver. writes: its failure in the middle leaves something unknown."""

    call: Callable[[Writing], Awaitable[JsonValue]]
    writes: bool
    begun: bool = False
    done: "asyncio.Future[JsonValue]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def give_up(self, why: str) -> None:
        if self.done.done():
            return
        failed = WriteUnknown(why) if self.writes and self.begun else NotConnected(why)
        self.done.set_exception(failed)
        self.done.exception()  # whoever waited may be gone

    async def carry_out(self, driver: Driver, cap_seconds: float) -> None:
        """Raises Hung. What else the driver says is for whoever waits."""
        self.begun = True
        if not isinstance(driver, Writing):
            self._fail(Unsupported("this driver does not write"))
            return
        try:
            async with asyncio.timeout(cap_seconds):
                value = await self.call(driver)
        except TimeoutError as error:
            text = f"the driver did not come back within {cap_seconds:g} s"
            self.give_up(text)
            raise Hung(text) from error
        except (NotConnected, WriteRefused, WriteUnknown, Unsupported) as error:
            self._fail(error)
        except BaseException:
            self.give_up("the call was ended in the middle of it")
            raise
        else:
            if not self.done.done():
                self.done.set_result(value)

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()


class Errands:
    """awaited: somebody may come at any time, so that pauses between polls must be able to end early."""

    def __init__(self, clock: Clock) -> None:
        self.awaited = False
        self._clock = clock
        self._waiting: deque[Errand] = deque()
        self._current: Errand | None = None
        self._closed: str = "the connection is not open yet"
        self._wake: asyncio.Future[None] | None = None
        self._may_hurry = False
        self.is_hurried = False  # a poll is wanted before any is due

    async def submit(self, errand: Errand, seconds: float) -> JsonValue:
        """Raises NotConnected at once where there is no link, and where the turn does not come in time."""
        if self._closed:
            raise NotConnected(self._closed)
        if len(self._waiting) >= MOST_WAITING:
            raise NotConnected(f"{MOST_WAITING} others are waiting for this connection already")
        self.awaited = True
        self._waiting.append(errand)
        self._rouse()
        timer = asyncio.ensure_future(self._clock.sleep(max(0.0, seconds)))
        try:
            await asyncio.wait((errand.done, timer), return_when=asyncio.FIRST_COMPLETED)
            if not errand.begun and not errand.done.done():
                errand.give_up(f"its turn did not come within {seconds:.3g} s")
            return await errand.done
        finally:
            if errand in self._waiting:
                self._waiting.remove(errand)
            timer.cancel()
            await asyncio.gather(timer, return_exceptions=True)

    def served_by(self, driver: Driver) -> Driver:
        """The driver, which may hurry from now on."""
        if isinstance(driver, Acknowledging):
            self._may_hurry = True
            driver.when_full(self.hurry)
        return driver

    def hurry(self) -> None:
        """For the driver; harmless at any time."""
        if not self.is_hurried:
            self.is_hurried = True
            self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # --- the poller's side -----------------------------------------------------------------------------

    def open(self) -> None:
        self._closed = ""

    def close(self, why: str) -> None:
        """The link is gone, or about to be."""
        self._closed = why
        if self._current is not None:
            self._current.give_up(why)
        while self._waiting:
            self._waiting.popleft().give_up(why)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def next(self, driver: Driver, cap_seconds: float) -> None:
        """Carries the next one out. Raises Hung."""
        errand = self._current = self._waiting.popleft()
        try:
            await errand.carry_out(driver, cap_seconds)
        finally:
            if self._current is errand:  # else this was left behind, and another link has its own
                self._current = None

    async def pause(self, seconds: float) -> bool:
        """Waits so long, or until somebody comes or hurries. True: somebody did."""
        end = self._clock.monotonic() + seconds
        while not (self.awaited or self._may_hurry) and seconds > _UNAWARE_SECONDS:
            await self._clock.sleep(_UNAWARE_SECONDS)
            seconds = end - self._clock.monotonic()
        if not (self.awaited or self._may_hurry) or seconds <= 0:
            await self._clock.sleep(seconds)
            return bool(self)
        if self or self.is_hurried:
            return True
        wake = self._wake = asyncio.get_running_loop().create_future()
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait((wake, timer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._wake = None
            timer.cancel()
            await asyncio.gather(timer, return_exceptions=True)
        return bool(self) or self.is_hurried


class ErrandLink:
    """Implements contracts.writing.WriteLink over a connection that is polled."""

    def __init__(self, errands: Errands, link: LinkState, units: Sequence[Unit]) -> None:
        self._errands = errands
        self._link = link
        self._units = units

    async def write(self, unit_id: int | None, target: Any, value: JsonValue, seconds: float) -> None:
        async def call(driver: Writing) -> JsonValue:
            await driver.write(target, value)
            return None

        await self._submit(Errand(call, writes=True), unit_id, seconds)

    async def read_target(self, unit_id: int | None, target: Any, seconds: float) -> JsonValue:
        errand = Errand(lambda driver: driver.read_target(target), writes=False)
        return await self._submit(errand, unit_id, seconds)

    async def _submit(self, errand: Errand, unit_id: int | None, seconds: float) -> JsonValue:
        """Raises NotConnected at once where the link is down or the unit does not answer."""
        if self._link.state == "down":
            raise NotConnected(f"the connection is down: {self._link.error}")
        for unit in self._units:
            if unit.unit_id == unit_id and unit.breaker.state is BreakerState.OPEN:
                raise NotConnected(f"the unit does not answer: {unit.error}")
        return await self._errands.submit(errand, seconds)
