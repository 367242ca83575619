"""What wakes an idle lane: a commit, the other lane, or the time."""

import asyncio
from typing import Any

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.outbox import Outbox


class Bell:
    """One lane's; rung by whoever changed what that lane may do."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._rung = asyncio.Event()
        self._seen = -1

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, until: float) -> bool:
        """Returns on a commit since the last call, when rung, or at `until` (monotonic seconds), which
        alone is False."""
        commit = asyncio.ensure_future(self._outbox.wait_for_commit(self._seen))
        left = max(0.0, until - self._clock.monotonic())
        time = asyncio.ensure_future(self._clock.sleep(left + 0.001))
        waiting: list[asyncio.Future[Any]] = [commit, asyncio.ensure_future(self._rung.wait()), time]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if commit.done():
                self._seen = commit.result()
            rung = commit.done() or self._rung.is_set()
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        self._rung.clear()
        return rung
