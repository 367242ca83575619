"""The SQLite file: opening, its schema, and the thread that a connection lives in.

Constraints that the settings below serve:
- WAL with synchronous=FULL: a commit is on the medium when it returns. With NORMAL a power cut takes
  commits that were already acknowledged.
- page_size 4096 and auto_vacuum=INCREMENTAL are fixed at creation; secure_delete=OFF because some
  distributions compile it on, which doubles the bytes written to flash.
- wal_autocheckpoint is a passive checkpoint after the commit that fills it: min(4 MiB, quota / 8).

A connection is used in one thread only, and each call is one whole function in that thread: a
transaction can never be open across an await (docs/decisions/0003-sqlite3-in-a-thread.md).
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from edge_agent.buffer.errors import NewerDatabase, NotABuffer
from edge_agent.runtime.atomic import sync_directory

T = TypeVar("T")

USER_VERSION: Final = 1
PAGE_BYTES: Final = 4096
WAL_BYTES: Final = 4 << 20
APPLICATION_ID: Final = 0x48464231  # "HFB1"
_BUSY_SECONDS: Final = 10.0

_DDL: Final = """
CREATE TABLE epoch(
    no INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, next_seq INTEGER NOT NULL,
    boot_id TEXT NOT NULL, machine TEXT NOT NULL, why TEXT NOT NULL
) STRICT;
CREATE TABLE batch(
    id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, codec INTEGER NOT NULL, raw INTEGER NOT NULL,
    samples INTEGER NOT NULL, t0 INTEGER NOT NULL, t1 INTEGER NOT NULL, hash BLOB NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE INDEX batch_urgent ON batch(id) WHERE kind & 6;
CREATE TABLE delivered(
    sink INTEGER, lo INTEGER, hi INTEGER NOT NULL, PRIMARY KEY(sink, lo)
) STRICT, WITHOUT ROWID;
CREATE TABLE schema(hash TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE run(
    id TEXT PRIMARY KEY, boot_id TEXT NOT NULL, started INTEGER NOT NULL, clean INTEGER NOT NULL
) STRICT;
CREATE TABLE state(key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
"""


class Connection:
    """One SQLite connection and its thread."""

    def __init__(self, path: Path, *, writer: bool, max_bytes: int) -> None:
        self._path = path
        self._writer = writer
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(1, "buffer-writer" if writer else "buffer-reader")
        self._db: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Opens, and as writer creates the tables. Raises BufferFault, sqlite3.Error, OSError."""
        opener = partial(_open_writer, max_bytes=self._max_bytes) if self._writer else _open_reader
        try:
            self._db = await asyncio.get_running_loop().run_in_executor(self._thread, opener, self._path)
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


def transaction(db: sqlite3.Connection, body: Callable[[], T]) -> T:
    """Runs `body` between BEGIN IMMEDIATE and COMMIT; any error rolls back and is raised on."""
    db.execute("BEGIN IMMEDIATE")
    try:
        result = body()
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return result


def _open_writer(path: Path, max_bytes: int) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
    try:
        if not _is_buffer(db, path):
            # Of use before the first page is written alone. A creation that died is begun anew.
            db.execute(f"PRAGMA page_size={PAGE_BYTES}")
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA secure_delete=OFF")
        db.execute(f"PRAGMA wal_autocheckpoint={max(16, min(WAL_BYTES, max_bytes // 8) // PAGE_BYTES)}")
        db.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
        if _version(db) == 0:
            transaction(db, partial(_create, db))
            sync_directory(path.parent)
    except BaseException as error:
        db.close()
        if isinstance(error, sqlite3.DatabaseError) and error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise NotABuffer(f"{path}: is not a database; move it away or set buffer.path") from error
        raise
    return db


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def _is_buffer(db: sqlite3.Connection, path: Path) -> bool:
    """False for a file in which nothing is yet."""
    version = _version(db)
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != APPLICATION_ID:
        raise NotABuffer(f"{path}: is the database of another program; set buffer.path to a file of its own")
    if version > USER_VERSION:
        raise NewerDatabase(
            f"{path}: was written by a newer version (format {version}, this one knows {USER_VERSION}); "
            "install that version again, or set buffer.path to a new file"
        )
    return bool(tables)


def _create(db: sqlite3.Connection) -> None:
    for statement in _DDL.split(";"):
        if statement.strip():
            db.execute(statement)
    db.execute(f"PRAGMA application_id={APPLICATION_ID}")
    db.execute(f"PRAGMA user_version={USER_VERSION}")


def _open_reader(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
    db.execute("PRAGMA query_only=ON")
    return db
