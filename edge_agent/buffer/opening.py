"""How the writer comes to a database that works, whatever it finds. Runs in the writer's thread.

Before anything is written the file is looked at: one that belongs to others or to a newer version is
refused and no byte of it changes; a damaged one is moved aside, a new one begun, and what can be read is
taken over (docs/decisions/0018-quarantine-and-salvage.md). The look costs a few reads however large the
file is: it finds what would stop a start. What it does not find shows itself while running, and then the
database is opened anew with `suspect`.
"""

import contextlib
import sqlite3
import sys
from pathlib import Path
from typing import Final

import orjson

from edge_agent.buffer import file, pages, quarantine, salvage
from edge_agent.buffer.disk import BALLAST_SUFFIX
from edge_agent.buffer.errors import NewerDatabase, NotABuffer, NotStored

# Beside the file of a path that was ever a buffer's.
_SIGNS: Final = (BALLAST_SUFFIX, quarantine.SUFFIX)
_MX_FRAME_AT: Final = 16
_SMALL: Final = tuple(
    f"PRAGMA integrity_check('{table}')" for table in ("epoch", "delivered", "run", "state")
)
_PROBED_BATCHES: Final = 3
# About a second: a minute for each GiB.
_AT_ONCE_BYTES: Final = 16 << 20


def open_writer(
    path: Path, max_bytes: int, *, suspect: bool = False, postpone: bool = False
) -> sqlite3.Connection:
    """A connection to a sound database that holds what could be read of a damaged one.

    suspect: an error of this file said that it is damaged: every page is checked first. postpone: a start
    waits for this; raises NotStored where it would take long, and the next call is meant to do it.
    Raises NotABuffer, NewerDatabase, sqlite3.Error, OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    quarantine.resume(path)
    known = any(path.with_name(path.name + sign).exists() for sign in _SIGNS)
    if _size(path) > 0:
        _look(path, suspect=suspect)
    elif _size(_log(path)) > pages.WAL_HEAD.size:
        # SQLite would delete the log.
        quarantine.set_aside(path, "the database is empty or gone, and its log is not")
    if postpone and (waiting := salvage.pending_bytes(path)) > _AT_ONCE_BYTES:
        text = f"{waiting >> 20} MiB of a damaged database are taken over before anything is stored"
        raise NotStored(f"{path}: {text}")
    db, created = file.connect_writer(path, max_bytes)
    try:
        salvage.take_over(db, path, lost=created and known)
    except BaseException:
        db.close()
        raise
    return db


def _look(path: Path, *, suspect: bool) -> None:
    """Refuses a file that is not ours, and moves one that is damaged aside."""
    db = file.connect_untouched(path)
    try:
        try:
            why = _damage(db, path, suspect=suspect)
        except sqlite3.DatabaseError as error:
            if not file.is_corruption(error):
                raise
            why = str(error)
        if why:
            if not quarantine.was_ours(path, file.APPLICATION_ID, _SIGNS):
                raise NotABuffer(f"{path}: is not a database; move it away or set buffer.path")
            quarantine.set_aside(path, why)
        elif pages.has_frames_behind(_log(path), _frames_taken(path)):
            quarantine.copy_log(path, "the write-ahead log is torn before its last commit")
    finally:
        db.close()


def _damage(db: sqlite3.Connection, path: Path, *, suspect: bool) -> str:
    """What is wrong with the file; empty where nothing is seen. Raises NotABuffer, NewerDatabase and
    sqlite3.DatabaseError, which may say that it is damaged too."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    found = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if application != file.APPLICATION_ID and (found or application):
        if file.TABLES - found:
            raise NotABuffer(
                f"{path}: is the database of another program; set buffer.path to a file of its own"
            )
        return "the application id is overwritten"
    if version > file.USER_VERSION:
        raise NewerDatabase(
            f"{path}: was written by a newer version (format {version}, this one knows {file.USER_VERSION}); "
            "install that version again, or set buffer.path to a new file"
        )
    if not found and not application:
        # A creation that died before its commit.
        return ""
    if file.TABLES - found:
        return f"tables are missing: {', '.join(sorted(file.TABLES - found))}"
    return _short(db, path) or (_thorough(db) if suspect else "") or _probe(db)


def _short(db: sqlite3.Connection, path: Path) -> str:
    (count,) = db.execute("PRAGMA page_count").fetchone()
    if _size(_log(path)) > 0 or _size(path) >= count * pages.PAGE_BYTES:
        return ""
    return f"the file is cut off: it has {_size(path)} bytes of {count * pages.PAGE_BYTES}"


def _thorough(db: sqlite3.Connection) -> str:
    (answer,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    return "" if answer == "ok" else str(answer)


def _probe(db: sqlite3.Connection) -> str:
    """Reads what a start needs: the small tables whole, of the batches the ends."""
    try:
        for statement in _SMALL:
            (answer,) = db.execute(statement).fetchone()
            if answer != "ok":
                return str(answer)
        for (value,) in db.execute("SELECT value FROM state"):
            orjson.loads(value)
        db.execute("SELECT count(*) FROM schema").fetchone()
        # One by one: asked for both, SQLite reads every row.
        db.execute("SELECT min(id) FROM batch").fetchone()
        db.execute("SELECT max(id) FROM batch").fetchone()
        db.execute("SELECT count(*) FROM batch INDEXED BY batch_urgent WHERE kind & 6").fetchone()
        db.execute("SELECT body FROM batch ORDER BY id DESC LIMIT ?", (_PROBED_BATCHES,)).fetchall()
    except (sqlite3.OperationalError, ValueError) as error:
        return f"a table cannot be read: {error}"
    return ""


def _frames_taken(path: Path) -> int:
    """How many frames of its log SQLite found sound when it was opened; the index of the log says it."""
    with contextlib.suppress(FileNotFoundError):
        with path.with_name(f"{path.name}-shm").open("rb") as index:
            head = index.read(_MX_FRAME_AT + 4)
        if len(head) == _MX_FRAME_AT + 4:
            return int.from_bytes(head[_MX_FRAME_AT:], sys.byteorder)
    return 0


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
