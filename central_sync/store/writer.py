"""The one writer: a thread with the only connection that changes anything while the service runs.

Concurrent jobs share a transaction: the thread takes what waits (at most `MAX_GROUP`, for at most
`MAX_SECONDS`), runs each job in a savepoint, commits once, and only then answers. A job that raises
undoes its own work alone. Where the database itself fails nothing of the group is answered as done, and
the connection is opened anew: after a failed fsync nobody knows what is on the disk.

`after` runs in the thread after the commit and before the answer, in the order of the commits.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog

from central_sync.services.errors import Busy

logger = structlog.get_logger()

MAX_GROUP: Final = 64
MAX_SECONDS: Final = 0.010
MAX_WAITING: Final = 1_024
# Errors of SQLite that are one job's fault; all others are the database's.
_OWN_FAULT: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.NotSupportedError,
    sqlite3.ProgrammingError,
)
_T = TypeVar("_T")


@dataclass(slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    after: Callable[[Any], None] | None
    future: "asyncio.Future[Any]"
    value: Any = None
    error: BaseException | None = None


class Writer:
    """`run` is for the event loop that called `start`."""

    def __init__(self, opening: Callable[[], sqlite3.Connection], reset: Callable[[], None]) -> None:
        """`opening` opens the connection; `reset` is called whenever work that was done is undone."""
        self._opening = opening
        self._reset = reset
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._group = 0
        self._is_writing = False

    @property
    def writing(self) -> int | None:
        """The number of the group that is being written; None: nothing is."""
        return self._group if self._is_writing else None

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def load(self) -> float:
        """How full the queue is, 0 to 1."""
        return self._waiting / MAX_WAITING

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, name="central-writer", daemon=True)
        self._thread.start()

    async def run(
        self, work: Callable[[sqlite3.Connection], _T], after: Callable[[_T], None] | None = None
    ) -> _T:
        """Runs `work` in a transaction; returns after its commit. Raises what it raised, and Busy.

        A caller that is cancelled leaves the job behind: it may still be done.
        """
        if self._waiting >= MAX_WAITING or self._stopping or not self.alive:
            raise Busy("busy", "the centre cannot take more now")
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._waiting += 1
        self._jobs.put(_Job(work, after, future))
        return await future

    async def stop(self) -> None:
        """Finishes what waits, then ends the thread."""
        self._stopping = True
        if self._thread is not None and self._loop is not None:
            self._jobs.put(None)
            await self._loop.run_in_executor(None, self._thread.join)

    # --- the thread ---------------------------------------------------------------------------------

    def _serve(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            ending = False
            while not ending:
                connection = connection or self._opening()
                group, ending = self._collect()
                self._group += 1
                self._is_writing = True
                if group and not self._commit(connection, group):
                    connection.close()
                    self._reset()
                    connection = None
                self._is_writing = False
                self._answer(group)
        except sqlite3.Error as error:
            logger.critical("the database cannot be opened any more", error=str(error))
        finally:
            self._stopping = True
            if connection is not None:
                connection.close()
            self._abandon()

    def _abandon(self) -> None:
        """Whoever still waits is told to come back."""
        left: list[_Job] = []
        while not self._jobs.empty():
            job = self._jobs.get()
            if job is not None:
                job.error = Busy("stopping", "the centre stops", 5.0)
                left.append(job)
        self._answer(left)

    def _collect(self) -> tuple[list[_Job], bool]:
        """The jobs that wait, and whether the thread should end after them."""
        job = self._jobs.get()
        group: list[_Job] = []
        deadline = time.monotonic() + MAX_SECONDS
        while job is not None:
            group.append(job)
            if len(group) >= MAX_GROUP or time.monotonic() >= deadline:
                return group, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _commit(self, connection: sqlite3.Connection, group: list[_Job]) -> bool:
        """Whether the database did its part."""
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in group:
                self._attempt(connection, job)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            logger.error("commit failed", jobs=len(group), error=str(error))
            for job in group:
                job.error = Busy("storage", "the centre's storage failed; nothing was stored", 10.0)
            return False
        for job in group:
            if job.error is None and job.after is not None:
                job.after(job.value)
        return True

    def _attempt(self, connection: sqlite3.Connection, job: _Job) -> None:
        connection.execute("SAVEPOINT job")
        try:
            job.value = job.work(connection)
        except Exception as error:
            if isinstance(error, sqlite3.Error) and not isinstance(error, _OWN_FAULT):
                raise
            self._undo(connection, job, error)
        connection.execute("RELEASE job")

    def _undo(self, connection: sqlite3.Connection, job: _Job, error: Exception) -> None:
        connection.execute("ROLLBACK TO job")
        self._reset()
        job.error = error

    def _answer(self, group: list[_Job]) -> None:
        if self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._resolve, group)

    def _resolve(self, group: list[_Job]) -> None:
        self._waiting -= len(group)
        for job in group:
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.value)
