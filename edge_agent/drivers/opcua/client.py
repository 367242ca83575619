"""Reads plans from a server: the I/O of the driver. What it decides stands in plan, inbox and messages."""

import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Final
from weakref import WeakKeyDictionary

from edge_agent.contracts.driver import Browsed, Reading
from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.opcua import requests
from edge_agent.drivers.opcua.binary import Garbled
from edge_agent.drivers.opcua.browsing import Browser
from edge_agent.drivers.opcua.errors import Fault, Unanswered
from edge_agent.drivers.opcua.inbox import Moment
from edge_agent.drivers.opcua.learning import Learned
from edge_agent.drivers.opcua.link import Link
from edge_agent.drivers.opcua.messages import Notification, read_transfers, read_values
from edge_agent.drivers.opcua.plan import OpcUaPlan
from edge_agent.drivers.opcua.polling import Polled
from edge_agent.drivers.opcua.publisher import Publisher
from edge_agent.drivers.opcua.settings import Mode, OpcUaConnection
from edge_agent.drivers.opcua.subscription import Subscription
from edge_agent.drivers.opcua.target import Target
from edge_agent.drivers.opcua.writing import Writer
from edge_agent.wire.frame import JsonValue

_MOST_AT_ONCE: Final = 10_000


class OpcUaDriver:
    """Implements contracts.driver.Driver, Writing and Browsing."""

    def __init__(
        self,
        settings: OpcUaConnection,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._timeout = settings.transport.timeout
        self._monotonic = monotonic
        self._wall = wall
        self._link = Link(settings.transport, monotonic)
        self._publisher = Publisher(self._link, self._deliver)
        self._subscriptions: WeakKeyDictionary[OpcUaPlan, Subscription] = WeakKeyDictionary()
        self._polled: WeakKeyDictionary[OpcUaPlan, Polled] = WeakKeyDictionary()
        self._learned = Learned()
        self._namespaces: list[str] = []
        self._started: Any = None  # when the server was, as it says; None where it does not
        self._per_read = self._per_call = _MOST_AT_ONCE

    # --- link --------------------------------------------------------------------------------------

    async def connect(self) -> None:
        await self._publisher.stop()
        try:
            await self._link.open()
            if not self._link.resumed:
                before = self._started
                await self._look()
                if self._started is None or self._started != before:
                    self._forget_subscriptions()
            await self._take_up()
        except (Unanswered, Fault, Garbled) as error:
            self._link.drop(str(error))
            raise NotConnected(f"the server does not tell about itself: {error}") from error

    async def close(self) -> None:
        await self._publisher.stop()
        await self._link.close()
        self._forget_subscriptions()

    def _forget_subscriptions(self) -> None:
        """A server that was started anew gives their numbers to other clients: taking one of those over would
        bring their values under our tags."""
        for each in self._subscriptions.values():
            each.id = None

    async def _look(self) -> None:
        """What is different at each start of a server: its namespaces and what it takes at once."""
        nodes = (
            requests.NAMESPACES, requests.START_TIME, requests.MAX_NODES_PER_READ,
            requests.MAX_ITEMS_PER_CALL,
        )  # fmt: skip
        status, found, _ = read_values(await self._link.ask(requests.read_values(nodes)))
        if status:
            raise Fault(status)
        if len(found) != len(nodes):
            raise Garbled("the server answers another question")
        names = found[0].value
        self._namespaces = [str(name) for name in names] if isinstance(names, list) else []
        self._started = found[1].value
        self._per_read, self._per_call = (_limit(each.value) for each in found[2:])
        self._learned = Learned()
        self._polled.clear()

    async def _take_up(self) -> None:
        """Goes on with the subscriptions that the server still has."""
        some = [each for each in self._subscriptions.values() if each.id is not None]
        if some and not self._link.resumed:
            await self._transfer(some)
        for each in some:
            await each.take_up(self._link)
        self._publisher.start(self._alive)

    async def _transfer(self, some: list[Subscription]) -> None:
        """From a session that is over to this one (Part 4, 5.14.7)."""
        ids = [each.id for each in some if each.id is not None]
        try:
            status, results = read_transfers(await self._link.ask(requests.transfer(ids)))
        except Fault as fault:
            status, results = fault.status, []
        for place, each in enumerate(some):
            if status or place >= len(results) or results[place] >> 30:
                each.id = None

    @property
    def _alive(self) -> int:
        return sum(each.id is not None for each in self._subscriptions.values())

    def _deliver(self, found: Notification) -> bool:
        for each in self._subscriptions.values():
            if each.id == found.subscription:
                return each.deliver(found)
        return False

    # --- reading -----------------------------------------------------------------------------------

    async def read(self, plan: OpcUaPlan) -> Reading:
        if not self._link.is_open:
            raise NotConnected(self._link.why)
        await self._link.keep()
        if plan.mode is Mode.POLL:
            return await self._poll(plan)
        try:
            return await self._drain(plan)
        except Unanswered as error:
            return Reading(b"", unanswered=True, errors={"subscription": str(error)}, news=(), alive=False)
        except Fault as fault:
            self._link.drop(f"the server refuses the subscription: {fault}")
            raise NotConnected(f"the server refuses the subscription: {fault}") from fault
        except Garbled as error:
            self._link.drop(f"an answer cannot be read: {error}")
            raise NotConnected(f"an answer cannot be read: {error}") from error

    async def _drain(self, plan: OpcUaPlan) -> Reading:
        found = self._subscriptions.get(plan)
        if found is None:
            moment = self._moment
            found = self._subscriptions[plan] = Subscription(plan, self._timeout, moment)
        chunk = min(plan.chunk, self._per_call)
        if found.id is None or found.wants_anew:
            await found.make(self._link, self._namespaces, chunk)
            self._publisher.start(self._alive)
            await found.first_values()
        else:
            self._publisher.start(self._alive)
            if found.wants_retry:
                await found.retry(self._link, self._namespaces, chunk)
        if found.silent and (silence := await found.look_after(self._link)):
            self._link.drop(silence)
            raise Unanswered(silence)
        if unread := found.inbox.unread:
            await self._learned.learn(self._link, unread)
        return found.inbox.take(self._learned.definitions)

    def left_over(self, plan: OpcUaPlan) -> Reading | None:
        found = self._subscriptions.get(plan)
        return None if found is None else found.inbox.take(self._learned.definitions)

    async def _poll(self, plan: OpcUaPlan) -> Reading:
        polled = self._polled.get(plan)
        if polled is None:
            polled = self._polled[plan] = Polled(plan, self._namespaces, min(plan.chunk, self._per_read))
        return await polled.read(self._link, self._learned)

    def _moment(self) -> Moment:
        at = datetime.fromtimestamp(self._wall(), UTC)
        return Moment(self._monotonic(), at.isoformat(timespec="milliseconds").replace("+00:00", "Z"))

    # --- writing -----------------------------------------------------------------------------------

    async def write(self, target: Target, value: JsonValue) -> None:
        await Writer(self._link, self._namespaces).write(target, value)

    async def read_target(self, target: Target) -> JsonValue:
        return await Writer(self._link, self._namespaces).read(target, self._learned)

    def browse(self, start: str, depth: int) -> AsyncIterator[Browsed]:
        return Browser(self._link.ask, self._namespaces).walk(start, depth)


def _limit(value: Any) -> int:
    """0 is none at all (Part 5, 6.3.11)."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return min(value, _MOST_AT_ONCE)
    return _MOST_AT_ONCE
