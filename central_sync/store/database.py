"""The database file: where it is, how it is opened, which version its tables have.

WAL, `synchronous=FULL`: a commit that returned survives a power cut. Connections run in autocommit
mode, so that every transaction in this package is written out as BEGIN … COMMIT.
"""

import contextlib
import fcntl
import os
import re
import sqlite3
import uuid
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Final

from central_sync.store import series
from central_sync.store.errors import CannotOpen

DATABASE_NAME: Final = "central.db"
BUSY_SECONDS: Final = 10.0
_WAL_PAGES: Final = 4_000
_CACHE_KIB: Final = 32_768
_NUMBER: Final = re.compile(r"(\d{4})_\w+\.sql")


def prepare(directory: Path) -> Path:
    """Makes the data directory and the database where they are missing, and brings the tables up to date.

    Both are readable by their owner alone. Raises CannotOpen.
    """
    path = directory / DATABASE_NAME
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not where it is there: closing a descriptor of the file drops the locks that SQLite holds on it in
        # this process, and another program that closes its own would take the log away beneath a service.
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with contextlib.closing(connect(path)) as connection, _alone(connection, directory):
            migrate(connection)
    except (OSError, sqlite3.Error) as error:
        raise CannotOpen(f"{path}: {error}") from error
    return path


@contextlib.contextmanager
def _alone(connection: sqlite3.Connection, directory: Path) -> Iterator[None]:
    """An earlier version's tables are not changed beneath a service that runs on them. Raises CannotOpen."""
    if not _is_earlier(connection):
        yield
        return
    lock = DirectoryLock(directory)
    try:
        yield
    finally:
        lock.release()


def _is_earlier(connection: sqlite3.Connection) -> bool:
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").fetchone() is None:
        return False
    version = int(read_meta(connection, "version") or 0)
    return 0 < version < migrations()[-1][0]


def connect(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """A connection for one thread at a time."""
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    # Both count only while the file is still empty.
    connection.execute("PRAGMA page_size = 4096")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    series.register(connection)
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def open_existing(directory: Path) -> sqlite3.Connection:
    """To read beside a running centre. Raises CannotOpen where there is no database of this version: a
    mistyped directory must not become one."""
    path = directory / DATABASE_NAME
    if not path.exists():
        raise CannotOpen(f"{directory}: there is no {DATABASE_NAME} here; name the directory with --data")
    try:
        connection = connect(path, read_only=True)
        version, known = int(read_meta(connection, "version") or 0), migrations()[-1][0]
    except sqlite3.Error as error:
        raise CannotOpen(f"{path}: {error}") from error
    if version != known:
        connection.close()
        raise CannotOpen(f"{path} is of version {version} and this build works with {known}")
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK where the block raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def migrations() -> list[tuple[int, str]]:
    """Number and SQL of each migration, ascending."""
    found: list[tuple[int, str]] = []
    for entry in resources.files("central_sync.store.migrations").iterdir():
        match = _NUMBER.fullmatch(entry.name)
        if match:
            found.append((int(match[1]), entry.read_text(encoding="utf-8")))
    return sorted(found)


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the tables up to date in one transaction: all of it or nothing. Raises CannotOpen."""
    with transaction(connection):
        connection.execute(
            "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID"
        )
        version = int(read_meta(connection, "version") or 0)
        known = migrations()
        if version > known[-1][0]:
            raise CannotOpen(f"the database is of version {version} and this build knows {known[-1][0]}")
        for number, sql in known:
            if number > version:
                for statement in statements(sql):
                    connection.execute(statement)
                write_meta(connection, "version", number)
        if read_meta(connection, "centre") is None:
            write_meta(connection, "centre", str(uuid.uuid4()))


def statements(sql: str) -> Iterator[str]:
    """One statement after the other: `executescript` would commit the transaction."""
    part = ""
    for line in sql.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            yield part
            part = ""


def read_meta(connection: sqlite3.Connection, key: str) -> str | int | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def write_meta(connection: sqlite3.Connection, key: str, value: str | int) -> None:
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        (key, value),
    )


def check(directory: Path) -> list[str]:
    """What is wrong with the database of a data directory; empty: nothing, or there is none yet."""
    path = directory / DATABASE_NAME
    if not path.exists():
        return []
    try:
        with contextlib.closing(connect(path, read_only=True)) as connection:
            rows = connection.execute("PRAGMA quick_check").fetchall()
    except sqlite3.Error as error:
        return [f"{path}: {error}"]
    return [f"{path}: {row[0]}" for row in rows if row[0] != "ok"]


class DirectoryLock:
    """One service a data directory: arrival numbers and read models belong to a single process."""

    def __init__(self, directory: Path) -> None:
        """Raises CannotOpen where another process holds it."""
        self._file = (directory / "central.lock").open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise CannotOpen(f"{directory}: another central-sync runs on this data") from error

    def release(self) -> None:
        self._file.close()
