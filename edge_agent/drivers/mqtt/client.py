"""The I/O of the driver: one link, and an inbox for each plan. What it decides stands in inbox and below.

Messages are taken as they come, in the callback of the link; `read` hands over what is there. With a session
that goes on, the broker gets their acknowledgement once they are in frames (`taken`), so that a killed agent
gets again what no frame had. Nothing is published, but for the rebirths of Sparkplug B where they are
allowed.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

from edge_agent.contracts.driver import Reading
from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.mqtt.acknowledgements import Acknowledgements
from edge_agent.drivers.mqtt.inbox import Inbox, Message
from edge_agent.drivers.mqtt.link import MOST_UNACKNOWLEDGED, Arrived, Link, Unanswered, open_link
from edge_agent.drivers.mqtt.metric import Edge
from edge_agent.drivers.mqtt.plan import MqttPlan, batches
from edge_agent.drivers.mqtt.settings import MqttConnection
from edge_agent.drivers.mqtt.sparkplug import encode_rebirth
from edge_agent.drivers.mqtt.transport import Session
from edge_agent.wire.quality import Quality, whole

# A broker sends what a session missed before any group has asked for its tags: so much of it is kept.
_HELD_MESSAGES: Final = 20_000
_HELD_BYTES: Final = 16 << 20
# Retained messages follow the confirmation of a subscription at once.
_FIRST_VALUES_SECONDS: Final = 0.1
_HOLD: Final = 0  # holds for inboxes that are still to come; no id of an object
_REBIRTH_SECONDS: Final = 30.0
_TELL_AGAIN_SECONDS: Final = 600.0
# What came last: the next link may bring again what has not been acknowledged by its end.
_REMEMBERED: Final = 2 * MOST_UNACKNOWLEDGED


@dataclass(slots=True)
class _Held:
    message: Message
    was_taken: bool


class MqttDriver:
    """Implements contracts.driver.Driver. monotonic: seconds; wall_ms: for the time in a rebirth request."""

    def __init__(
        self,
        settings: MqttConnection,
        monotonic: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._wall_ms = wall_ms
        self._link: Link | None = None
        self.inboxes: WeakKeyDictionary[MqttPlan, Inbox] = WeakKeyDictionary()
        self._subscribed: set[int] = set()  # ids of inboxes, over this link
        self._held: deque[_Held] = deque()
        self._held_bytes = self._held_lost = 0
        self._asked_at: dict[Edge, float] = {}
        self._told_at: float | None = None
        # By its number what came over this link, the last at the end; and over earlier ones of the session.
        self._last: dict[int, tuple[str, int]] = {}
        self._before: dict[int, tuple[str, int]] = {}
        self._acknowledgements = Acknowledgements()
        self._hurry: Callable[[], None] = _nothing
        self._came = asyncio.Event()
        self.repeated = 0

    async def connect(self) -> None:
        await self.close()
        came = [*{**self._before, **self._last}.items()]
        self._before, self._last = dict(came[-_REMEMBERED:]), {}
        self._acknowledgements = Acknowledgements()
        self._link = await open_link(self._settings.transport, self._arrived)
        if not self._link.resumed:
            self._before = {}

    async def close(self) -> None:
        link, self._link = self._link, None
        self._end()
        if link is not None:
            await link.give_up()

    async def read(self, plan: MqttPlan) -> Reading:
        link = self._link
        if link is None:
            raise NotConnected("not connected")
        inbox = self._inbox(plan)
        if link.lost:
            self._end()
            if link.was_taken_over:
                self._tell_of_the_other(inbox)
            if len(inbox):
                return self._take(inbox)
            raise NotConnected(link.lost)
        if id(inbox) not in self._subscribed:
            try:
                await self._subscribe(link, inbox)
            except Unanswered as error:
                return _unanswered(plan, str(error))
        if self._settings.rebirth:
            await self._ask_for_births(link, inbox)
        return self._take(inbox)

    def left_over(self, plan: MqttPlan) -> Reading | None:
        """Without a link, what a session keeps comes again: nobody told the broker that it was taken."""
        inbox = self.inboxes.get(plan)
        is_gone = self._link is None or bool(self._link.lost)
        if inbox is None or not len(inbox) or (is_gone and self._is_kept):
            return None
        return self._take(inbox)

    def taken(self, plan: MqttPlan) -> None:
        inbox = self.inboxes.get(plan)
        if inbox is not None:
            self._acknowledgements.taken(id(inbox))
            self._acknowledge()

    def when_full(self, hurry: Callable[[], None]) -> None:
        self._hurry = hurry

    @property
    def _is_kept(self) -> bool:
        return self._settings.transport.session is Session.PERSISTENT

    def _take(self, inbox: Inbox) -> Reading:
        self._acknowledgements.handed(id(inbox))
        return inbox.take(self._monotonic())

    def _acknowledge(self) -> None:
        if self._link is not None:
            self._link.acknowledge(self._acknowledgements.due())

    def _tell_of_the_other(self, inbox: Inbox) -> None:
        """Two of one id throw each other out for ever, and each gets a part of the messages."""
        now = self._monotonic()
        if self._told_at is None or now - self._told_at >= _TELL_AGAIN_SECONDS:
            self._told_at = now
            inbox.lose(
                f"messages while another client had the client_id {self._settings.transport.client_id!r}: "
                "give each its own"
            )

    async def _subscribe(self, link: Link, inbox: Inbox) -> None:
        refused: list[str] = []
        for batch in batches(inbox.plan.filters):
            refused += await link.subscribe_to(batch, inbox.plan.qos)
        if link is not self._link:
            raise NotConnected("closed")
        self._subscribed.add(id(inbox))
        inbox.subscribed(self._monotonic(), refused)
        await self._first_values(inbox)

    async def _first_values(self, inbox: Inbox) -> None:
        try:
            async with asyncio.timeout(min(_FIRST_VALUES_SECONDS, float(self._settings.transport.timeout))):
                while not inbox.is_complete:
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            return

    async def _ask_for_births(self, link: Link, inbox: Inbox) -> None:
        now = self._monotonic()
        for edge in sorted(inbox.unborn):
            if now - self._asked_at.get(edge, now - _REBIRTH_SECONDS) >= _REBIRTH_SECONDS:
                self._asked_at[edge] = now
                await link.send(edge.topic("NCMD"), encode_rebirth(self._wall_ms()))

    def _end(self) -> None:
        """What waits to be taken is the past from now on. Harmless a second time for one link."""
        self._subscribed.clear()
        self._asked_at.clear()
        for inbox in self.inboxes.values():
            inbox.ended()

    # --- messages ----------------------------------------------------------------------------------

    def _inbox(self, plan: MqttPlan) -> Inbox:
        """A plan is known from its first read on; what came before is looked through for it."""
        inbox = self.inboxes.get(plan)
        if inbox is not None:
            return inbox
        inbox = self.inboxes[plan] = Inbox(plan, self._settings.max_payload)
        now = self._monotonic()
        for held in self._held:
            if inbox.put(held.message, now):
                held.was_taken = True
                self._acknowledgements.moved(_HOLD, id(inbox))
        if self._held_lost:
            inbox.lose(f"{self._held_lost} messages: more waited at the broker than could be kept")
        if self._all_known:
            for held in self._held:
                if not held.was_taken:
                    inbox.stranger(held.message.topic)
            self._held.clear()
            self._acknowledgements.dropped(_HOLD)
            self._held_bytes = self._held_lost = 0
        return inbox

    @property
    def _all_known(self) -> bool:
        return len(self.inboxes) >= self._settings.group_count

    def _arrived(self, arrived: Arrived) -> None:
        """From the link, in the loop, before the message is acknowledged. Never raises."""
        if arrived.mid and self._came_before(arrived):
            self.repeated += 1
            holders = [id(inbox) for inbox in self.inboxes.values() if len(inbox)]  # may have the first of it
        else:
            holders = self._put(Message(arrived.topic, arrived.payload, arrived.retained))
        if arrived.waits:
            self._acknowledgements.came(arrived.mid, holders)
            self._acknowledge()  # what nobody holds
            if self._acknowledgements.is_pressing:
                self._hurry()

    def _put(self, message: Message) -> list[int]:
        """Who has it now, and has not handed it over."""
        now = self._monotonic()
        holders = [id(inbox) for inbox in list(self.inboxes.values()) if inbox.put(message, now)]
        if not self._all_known:
            self._hold(_Held(message, bool(holders)))
            holders.append(_HOLD)
        elif not holders:
            for inbox in list(self.inboxes.values())[:1]:
                inbox.stranger(message.topic)
        self._came.set()
        return holders

    def _came_before(self, arrived: Arrived) -> bool:
        """Whether it came over an earlier link, and the broker did not get to know that."""
        name = (arrived.topic, hash(arrived.payload))
        self._last.pop(arrived.mid, None)
        self._last[arrived.mid] = name
        if len(self._last) > _REMEMBERED:
            del self._last[next(iter(self._last))]
        # A number that comes once more is another message: the broker knows of the one before.
        return self._before.pop(arrived.mid, None) == name and arrived.is_repeat

    def _hold(self, held: _Held) -> None:
        self._held.append(held)
        self._held_bytes += len(held.message.payload)
        while len(self._held) > _HELD_MESSAGES or self._held_bytes > _HELD_BYTES:
            gone = self._held.popleft()
            self._held_bytes -= len(gone.message.payload)
            self._held_lost += not gone.was_taken


def _nothing() -> None:
    return


def _unanswered(plan: MqttPlan, text: str) -> Reading:
    schema = plan.schema
    texts = schema.tag_count - schema.fixed_tags
    return Reading(
        b"", (None,) * texts if texts else None, whole(schema.tag_count, Quality.BAD_COMM),
        unanswered=True, errors={"subscription": text},
    )  # fmt: skip
