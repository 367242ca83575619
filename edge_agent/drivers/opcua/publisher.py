"""Keeps Publish requests waiting at the server, and hands out what they bring (Part 4, 5.14.5).

Some requests wait at once, so that the server can send while an answer is on its way to us. The tasks end by
themselves when the link breaks, which the next read finds out; `stop` ends them at once.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.opcua import requests
from edge_agent.drivers.opcua.binary import Garbled
from edge_agent.drivers.opcua.errors import Fault, Unanswered
from edge_agent.drivers.opcua.link import Link
from edge_agent.drivers.opcua.messages import Notification, read_publish

_AT_ONCE: Final = 3
_TOO_MANY: Final = 0x80780000  # BadTooManyPublishRequests
_BAD_TIMEOUT: Final = 0x800A0000
_MOST_ACKNOWLEDGED: Final = 1_000


class Publisher:
    """deliver: takes a message, and tells whether it is to be acknowledged."""

    def __init__(self, link: Link, deliver: Callable[[Notification], bool]) -> None:
        self._link = link
        self._deliver = deliver
        self._tasks: set[asyncio.Task[None]] = set()
        self._acknowledged: list[tuple[int, int]] = []
        self._most = _MOST_ACKNOWLEDGED  # requests at once, as the server has said

    def start(self, subscriptions: int) -> None:
        """Lets enough requests wait for so many subscriptions."""
        wanted = subscriptions + _AT_ONCE - 1 if subscriptions else 0
        while len(self._tasks) < min(wanted, self._most):
            task = asyncio.create_task(self._publish(), name="opcua: publish")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._acknowledged.clear()

    async def _publish(self) -> None:
        """Ends with the link, and where the server wants no more requests at once."""
        while True:
            some, self._acknowledged = self._acknowledged, []
            try:
                status, found = read_publish(await self._link.publish(requests.publish(some)))
            except Fault as fault:
                if fault.status == _TOO_MANY:
                    self._most = max(1, len(self._tasks) - 1)
                if fault.status != _BAD_TIMEOUT:
                    return  # no subscription, or too many requests: a read starts what is needed
                continue
            except Garbled as error:
                self._link.drop(f"a notification cannot be read: {error}")
                return
            except (NotConnected, Unanswered):
                return
            if found is None:
                if status != _BAD_TIMEOUT:
                    return
            elif self._deliver(found) and len(self._acknowledged) < _MOST_ACKNOWLEDGED:
                self._acknowledged.append((found.subscription, found.sequence))
