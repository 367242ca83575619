"""The connection that writes: opened as often as it takes, and what its errors mean.

After an error that leaves open what is on the disk (anything but «full» and «busy») it has a `fault`, and
is opened afresh before the next write.
"""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from edge_agent.buffer import disk
from edge_agent.buffer.database import Connection
from edge_agent.buffer.errors import DiskFull, NotABuffer, NotStored
from edge_agent.buffer.file import is_corruption
from edge_agent.buffer.opening import open_writer

T = TypeVar("T")

# What SQLite takes for the files beside the database. With less room the ballast goes at once.
_OPENING_BYTES: Final = 256 << 10
_NOT_STORED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Writer:
    """Used under the store's lock; `suspect` by anybody."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._connection: Connection | None = None
        self._file: tuple[int, int] | None = None
        self.fault: Exception | None = None
        self._tried = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that can be trusted."""
        return self._connection is not None and self.fault is None

    def suspect(self, error: Exception) -> None:
        """Somebody met something that does not look like a sound file."""
        if _primary_code(error) not in _NOT_STORED:
            self.fault = self.fault or error

    async def open(self, begin: Callable[[sqlite3.Connection], T]) -> T:
        """Opens the file, again if need be, and calls `begin` in the thread before anything else.

        Raises NotStored where the disk fails, and what `opening.open_writer` and `begin` raise.
        """
        device = None if self._file is None else self._file[0]
        await self.close()
        # The first time is a start's, and polling begins behind it.
        first, self._tried = not self._tried, True
        connection = Connection("writer")
        try:
            await connection.open(partial(self._open_file, device, self.fault, first))
            result = await connection.run(partial(self._begin, begin))
        except BaseException as error:
            with suppress(sqlite3.Error):
                await connection.close()
            if isinstance(error, sqlite3.Error | OSError):
                if is_corruption(error):
                    # The first look found nothing: the next one is at every page.
                    self.fault = error
                raise NotStored(f"{self._path}: {error}") from error
            raise
        self._connection, self.fault = connection, None
        return result

    def _open_file(self, device: int | None, fault: Exception | None, first: bool) -> sqlite3.Connection:
        """device: of the file system that the file was on. Where that is not mounted, there is a directory
        without a database in its place."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.is_dir():
            raise NotABuffer(f"{self._path} is a directory: set buffer.path to a file in it")
        there = disk.identity(self._path) is not None
        if device is not None and not there and self._path.parent.stat().st_dev != device:
            raise OSError(f"the file system of {self._path.parent} is not mounted")
        total, free = disk.file_system(self._path)
        if free < _OPENING_BYTES:
            disk.drop_ballast(self._path)
        suspect = fault is not None and is_corruption(fault)
        return open_writer(self._path, min(self._max_bytes, total), suspect=suspect, postpone=first)

    def _begin(self, begin: Callable[[sqlite3.Connection], T], db: sqlite3.Connection) -> T:
        self._file = disk.identity(self._path)
        return begin(db)

    async def close(self) -> None:
        """May be called twice, and before `open`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # What it may complain about is why it is closed.
            with suppress(sqlite3.Error):
                await connection.close()

    async def write(self, body: Callable[[sqlite3.Connection], T]) -> T:
        """Calls `body` in the thread. Raises DiskFull and NotStored where nothing of it is stored; NotStored
        with a `fault` where that is open."""
        assert self._connection is not None, "the writer is not open"
        try:
            return await self._connection.run(partial(self._guarded, body))
        except sqlite3.Error as error:
            text = f"{self._path}: {error}"
            if _primary_code(error) == sqlite3.SQLITE_FULL:
                raise DiskFull(text) from error
            self.suspect(error)
            raise NotStored(text) from error
        except OSError as error:
            self.suspect(error)
            raise NotStored(f"{self._path}: {error}") from error

    def _guarded(self, body: Callable[[sqlite3.Connection], T], db: sqlite3.Connection) -> T:
        """What is written to a file that has no name any more is lost as soon as it is closed."""
        result = body(db)
        if disk.identity(self._path) != self._file:
            raise FileNotFoundError("the database is not at its place any more")
        return result


def _primary_code(error: Exception) -> int:
    return error.sqlite_errorcode & 0xFF if isinstance(error, sqlite3.Error) else 0
