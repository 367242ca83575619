"""The agent as its local page sees it: connects the page's server with the rooms that know the answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from edge_agent.app.compiled import Compiled, unpacked, write_out
from edge_agent.app.seen import Seen
from edge_agent.app.values import TagSearch
from edge_agent.buffer.trend import read_trend
from edge_agent.config.child import call_in_child
from edge_agent.config.secrecy import masked_data
from edge_agent.contracts.inspection import (
    LogPage,
    RetryLater,
    TrendPiece,
    TrendQuery,
    ValuePage,
    ValueQuery,
)
from edge_agent.contracts.status import AgentStatus
from edge_agent.runtime.logging import LogRing

# Questions of a kind that wait while one is answered: a page asks for one at a time.
MAX_WAITING: Final = 4


class _Turns:
    """One at a time, and not too many who wait."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = asyncio.Lock()
        self._asking = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Raises RetryLater."""
        if self._asking > MAX_WAITING:
            raise RetryLater(f"other {self._what} are being read")
        self._asking += 1
        try:
            async with self._lock:
                yield
        finally:
            self._asking -= 1


class Inspector:
    """Implements contracts.inspection.Inspection."""

    def __init__(
        self,
        status: Callable[[], AgentStatus],
        seen: Seen,
        running: Callable[[], Compiled],
        database: Path,
        ring: LogRing,
    ) -> None:
        """running: the config in force. database: the buffer's."""
        self.status = status
        self._running = running
        self._database = database
        self._ring = ring
        self._search = TagSearch(seen.schemas, seen.latest_of)
        self._trends = _Turns("trends")
        self._texts = _Turns("configs")

    async def values(self, query: ValueQuery) -> ValuePage:
        return await self._search.find(query)

    async def trend(self, query: TrendQuery) -> TrendPiece:
        async with self._trends.one():
            return await asyncio.to_thread(read_trend, self._database, query)

    async def config_text(self, *, whole: bool = False) -> AsyncIterator[str]:
        running = self._running()
        text = running.text
        if whole:
            async with self._texts.one():  # each is a process
                text = await call_in_child(write_out, (running.running,), "the config in force")
        for piece in unpacked(text):
            yield piece
            await asyncio.sleep(0)

    def log(self, after: int, level: str, limit: int) -> LogPage:
        """Nothing secret is logged; should something be all the same, it is not shown."""
        secrets = self._running().secrets
        found = self._ring.lines(after, level, limit)
        lines = [{**masked_data(line, secrets), "id": line["id"]} for line in found]
        return LogPage(lines=lines, next=self._ring.newest)
