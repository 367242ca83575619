"""The SQLite file itself: its tables, its settings, transactions, and which errors mean damage.

Constraints that the settings serve:
- WAL with synchronous=FULL: a commit is on the medium when it returns. With NORMAL a power cut takes
  commits that were already acknowledged.
- page_size 4096 and auto_vacuum=INCREMENTAL are fixed at creation; secure_delete=OFF because some
  distributions compile it on, which doubles the bytes written to flash.
- wal_autocheckpoint is a passive checkpoint after the commit that fills it: min(4 MiB, quota / 8).
"""

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from edge_agent.buffer.pages import PAGE_BYTES
from edge_agent.buffer.quota import Quota
from edge_agent.runtime.atomic import sync_directory

T = TypeVar("T")

USER_VERSION: Final = 1
APPLICATION_ID: Final = 0x48464231  # "HFB1"
TABLES: Final = frozenset({"epoch", "batch", "delivered", "schema", "run", "state"})
_BUSY_SECONDS: Final = 10.0
# Batches are written once and read once: a larger cache would only hold their pages.
_CACHE_KIB: Final = 512
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

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


def is_corruption(error: BaseException) -> bool:
    """Whether an error of SQLite says that the file is damaged: no retry mends that, a salvage does."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


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


def connect_writer(path: Path, max_bytes: int) -> tuple[sqlite3.Connection, bool]:
    """The connection that writes, and whether the file is new. Creates what is not there.

    Raises sqlite3.Error, OSError.
    """
    path.touch(mode=0o600)
    db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
    try:
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            # Of use before the first page is written alone. A creation that died is begun anew.
            db.execute(f"PRAGMA page_size={PAGE_BYTES}")
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA secure_delete=OFF")
        db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        log_bytes = Quota(max_bytes).wal_bytes
        db.execute(f"PRAGMA wal_autocheckpoint={log_bytes // PAGE_BYTES}")
        db.execute(f"PRAGMA journal_size_limit={log_bytes}")
        if not tables:
            transaction(db, partial(_create, db))
            sync_directory(path.parent)
    except BaseException:
        db.close()
        raise
    return db, not tables


def _create(db: sqlite3.Connection) -> None:
    for statement in _DDL.split(";"):
        if statement.strip():
            db.execute(statement)
    db.execute(f"PRAGMA application_id={APPLICATION_ID}")
    db.execute(f"PRAGMA user_version={USER_VERSION}")


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection beside the writer's; creates nothing. Raises sqlite3.Error."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
    db.execute("PRAGMA query_only=ON")
    db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    return db


def connect_untouched(path: Path) -> sqlite3.Connection:
    """A connection that changes no byte of the database and its log, not even when it is closed.

    Raises sqlite3.Error.
    """
    # Without a log there is nothing to lock either; SQLite would leave an empty one behind.
    log = path.with_name(f"{path.name}-wal")
    alone = "" if log.exists() else "&immutable=1"
    uri = f"{path.absolute().as_uri()}?mode=ro{alone}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
