"""Reading: threads, each with its own connection that cannot write.

Every question sees one state of the database, and no transaction outlives its question.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from central_sync.store.database import connect

_T = TypeVar("_T")


class Readers:
    """One pool: its questions wait for one another, and for those of no other pool."""

    def __init__(self, path: Path, threads: int, name: str) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"central-{name}")
        self._own = threading.local()
        self._connections: list[sqlite3.Connection] = []

    async def run(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._ask, question)

    def _ask(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = connect(self._path, read_only=True)
            self._connections.append(connection)
        connection.execute("BEGIN")
        try:
            return question(connection)
        finally:
            connection.execute("ROLLBACK")

    async def stop(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._stop)

    def _stop(self) -> None:
        self._pool.shutdown(wait=True)
        for connection in self._connections:
            connection.close()
