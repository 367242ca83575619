"""One plan's subscription at the server: made, taken up again over a new link, looked at. I/O.

What its messages bring goes to its `Inbox`. A subscription that cannot be taken up again is made anew, and
what may have been missed in between is told with its bounds.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from asyncua import ua

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.opcua import requests
from edge_agent.drivers.opcua.errors import Fault, Unanswered, status_text
from edge_agent.drivers.opcua.inbox import Inbox, Moment
from edge_agent.drivers.opcua.link import SESSION_SECONDS, Link
from edge_agent.drivers.opcua.messages import Created, Notification, read_created, read_items, read_republish
from edge_agent.drivers.opcua.nodes import node_id
from edge_agent.drivers.opcua.plan import OpcUaPlan
from edge_agent.drivers.opcua.quality import NODE_UNKNOWN

# Items that the server refused are tried again after this, and ever more rarely.
_RETRY_FIRST_SECONDS: Final = 10.0
_RETRY_MOST_SECONDS: Final = 300.0
# What a server says of a deadband that it cannot do (Part 4, 5.13.2.4).
_NO_BAND: Final = frozenset({0x80440000, 0x80450000, 0x808E0000, 0x80430000})
_NOT_AVAILABLE: Final = 0x807B0000  # BadMessageNotAvailable: that was all
# Whatever a server makes of the wish: a subscription that has died is to be noticed.
_LONGEST_KEEPALIVE_SECONDS: Final = 300.0
_MOST_REPUBLISHED: Final = 10_000


class Subscription:
    """id: the server's; None where there is none now."""

    def __init__(self, plan: OpcUaPlan, timeout: float, now: Callable[[], Moment]) -> None:
        self.plan = plan
        self.id: int | None = None
        self.inbox = Inbox(plan)
        self._timeout = timeout
        self._now = now
        self._heard = now()
        self._ever = False
        self._gap_from: str | None = None  # since when changes may be missing
        self._last_id = 0
        self._patience = 2 * timeout
        self._retry_wait = _RETRY_FIRST_SECONDS
        self._retry_at = 0.0
        self._asked_at = 0.0  # when the server was asked after silence
        self._anew_wait = _RETRY_FIRST_SECONDS
        self._anew_at = 0.0
        self._client: object = None  # whose session has it
        self._came = asyncio.Event()

    @property
    def silent(self) -> bool:
        """The server should have sent at least a keepalive by now."""
        return self._now().mono - max(self._heard.mono, self._asked_at) > self._patience

    @property
    def wants_retry(self) -> bool:
        return bool(self.inbox.bad) and self._now().mono >= self._retry_at

    @property
    def wants_anew(self) -> bool:
        """A message is missing for good, and with it the newest value of tags that may never change again."""
        return self.inbox.gap and self._now().mono >= self._anew_at

    def deliver(self, found: Notification) -> bool:
        """A message of this subscription; returns whether it is to be acknowledged."""
        self._heard = self._now()
        is_news = self.inbox.take_message(found)
        if self.inbox.ended is not None:
            self.id = None
        if self.inbox.complete:
            self._came.set()
        return is_news

    async def make(self, link: Link, namespaces: Sequence[str], chunk: int) -> None:
        """Raises NotConnected, Unanswered, Fault."""
        if self._ever and self._gap_from is None:
            self._gap_from = self._heard.wall_text
        await self._delete(link)
        why = self._why()
        created = await self._create(link)
        self._came.clear()
        self.inbox.begin()
        self._heard = self._now()
        keepalive = min(created.keepalive, _LONGEST_KEEPALIVE_SECONDS)
        self._patience = max(keepalive, created.publishing) + self._timeout
        self._retry_wait = _RETRY_FIRST_SECONDS
        # From here on messages are taken; `id` is also what they are found by.
        self.id = self._last_id = created.subscription
        self._client = link.client
        try:
            await self._create_items(link, namespaces, chunk, range(len(self.plan.items)))
        except BaseException:
            self.id = None  # half of its items are not there: nothing to take up later
            raise
        if self._gap_from is not None:
            until = self._now().wall_text
            self.inbox.lose(f"changes from {self._gap_from} to {until}: {why}")
            self._gap_from = None
        self._ever = True

    async def _create(self, link: Link) -> Created:
        """Again where the server publishes more rarely than asked for: it counts keepalives in its intervals,
        and values would pass for stale before one comes."""
        keepalive = max(self.plan.publishing, self._timeout / 2)
        created = await self._created(link, keepalive, self.plan.publishing)
        if created.keepalive <= 1.5 * max(keepalive, created.publishing):
            return created
        await link.ask(requests.delete_subscription(created.subscription))
        return await self._created(link, keepalive, created.publishing)

    async def _created(self, link: Link, keepalive: float, publishing: float) -> Created:
        request = requests.create_subscription(self.plan, keepalive, SESSION_SECONDS, publishing)
        status, created = read_created(await link.ask(request))
        if created is None:
            raise Fault(status)
        return created

    def _why(self) -> str:
        """Why there has to be another one."""
        if self.id is not None and self.inbox.gap:
            # Not at each read, where a server counts in its own way.
            now = self._now().mono
            is_again = now - self._anew_at < _RETRY_MOST_SECONDS
            self._anew_wait = (
                min(2 * self._anew_wait, _RETRY_MOST_SECONDS) if is_again else _RETRY_FIRST_SECONDS
            )
            self._anew_at = now + self._anew_wait
            return "the subscription was made anew, as messages were missing"
        ended = self.inbox.ended
        return f"the server kept no subscription{'' if ended is None else f' ({status_text(ended)})'}"

    async def _delete(self, link: Link) -> None:
        """What is left of the one before, if the server still has it."""
        last, self._last_id = self._last_id, 0
        if last and self._client is link.client:
            try:
                await link.ask(requests.delete_subscription(last))
            except Fault:
                return  # it has not

    async def retry(self, link: Link, namespaces: Sequence[str], chunk: int) -> None:
        """Asks again for what was refused. Raises as `make`."""
        self._retry_wait = min(2 * self._retry_wait, _RETRY_MOST_SECONDS)
        await self._create_items(link, namespaces, chunk, list(self.inbox.bad))

    async def _create_items(
        self, link: Link, namespaces: Sequence[str], chunk: int, tags: Sequence[int]
    ) -> None:
        self._retry_at = self._now().mono + self._retry_wait
        found: list[tuple[int, ua.NodeId]] = []
        for tag in tags:
            node = node_id(self.plan.items[tag].address, namespaces)
            if node is None:
                self.inbox.refuse(tag, NODE_UNKNOWN)
            else:
                found.append((tag, node))
        for start in range(0, len(found), chunk):
            some = found[start : start + chunk]
            again = await self._ask_for(link, some, bands=True)
            if again:
                await self._ask_for(link, again, bands=False)

    async def _ask_for(
        self, link: Link, some: Sequence[tuple[int, ua.NodeId]], *, bands: bool
    ) -> list[tuple[int, ua.NodeId]]:
        """Returns those whose deadband the server cannot do: the agent has its own."""
        if self.id is None:
            raise NotConnected("the server ended the subscription")
        status, results = read_items(
            await link.ask(requests.create_items(self.plan, self.id, some, bands=bands))
        )
        if status or len(results) != len(some):
            raise Fault(status or 0x80090000)  # BadUnknownResponse
        again: list[tuple[int, ua.NodeId]] = []
        for (tag, node), result in zip(some, results, strict=True):
            if not result >> 30:
                self.inbox.accept(tag)
            elif bands and result & 0xFFFF0000 in _NO_BAND and self.plan.items[tag].band is not None:
                again.append((tag, node))
            else:
                self.inbox.refuse(tag, result)
        return again

    async def take_up(self, link: Link) -> None:
        """Over a new link: what the server sent and nobody got is asked for again (Part 4, 5.14.6).

        All tags are told again first: whoever reads may have been told that they have no value any more.
        Where there is nothing to take up, `id` is None afterwards. Raises NotConnected, Unanswered, Garbled.
        """
        if self.id is not None:
            self.inbox.restate()
            self._retry_at = self._now().mono
        for _ in range(_MOST_REPUBLISHED):
            if not await self._republished(link):
                break
        if self.id is not None:
            self._heard = self._now()
            self._client = link.client

    async def _republished(self, link: Link) -> bool:
        """Whether there was another message."""
        if self.id is None:
            return False
        try:
            data = await link.ask(requests.republish(self.id, self.inbox.next_sequence))
        except Fault as fault:
            if fault.status != _NOT_AVAILABLE:
                self.id = None
            return False
        _, found = read_republish(data, self.id)
        if found is None:
            return False
        self.deliver(found)
        return True

    async def first_values(self) -> None:
        """Waits for the first value of each tag, as long as the time-out at most."""
        if self.inbox.complete:
            return
        try:
            async with asyncio.timeout(self._timeout):
                await self._came.wait()
        except TimeoutError:
            return

    async def look_after(self, link: Link) -> str:
        """Nothing came for too long: what to say of it; empty where it is to be waited for once more, since
        it may be this process that stood still. Raises NotConnected.

        A server that answers and then sends nothing either has lost the subscription, whatever it says of it;
        one that does not answer may go on with it over the next link.
        """
        silence = f"nothing came for this subscription within {self._patience:g} s"
        try:
            await self._republished(link)
        except Unanswered:
            return silence
        if self._asked_at < self._heard.mono:
            self._asked_at = self._now().mono
            return ""
        self.id = None
        return f"{silence}, and the server answers"
