"""A SQLite connection and the thread that it lives in.

A connection is used in one thread only, and each call is one whole function in that thread: a
transaction can never be open across an await (docs/decisions/0003-sqlite3-in-a-thread.md). How a writer
comes to a sound database is in `opening`, what the file is like in `file`.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def _nothing() -> None:
    return


class Connection:
    """One SQLite connection and its thread."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, f"buffer-{name}")
        self._db: sqlite3.Connection | None = None

    async def open(self, opener: Callable[[], sqlite3.Connection]) -> None:
        """Calls `opener` in the thread; once only. Raises what it raises."""
        try:
            self._db = await asyncio.get_running_loop().run_in_executor(self._thread, opener)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Calls `function` with the connection in its thread."""
        assert self._db is not None, "the connection is not open"
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, self._db)

    async def close(self) -> None:
        """May be called twice, and before `open`."""
        if self._db is not None:
            await self.run(sqlite3.Connection.close)
            self._db = None
        self._thread.shutdown(wait=False)


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Awaits `work` to its end even where the caller is cancelled meanwhile; then the cancellation follows.

    A thread that commits cannot be called back: whoever stopped waiting for it would never learn what is
    on the disk.
    """
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()
    raise cancelled
