"""The commands that this device has taken, on its disk: `commands.db` beside the buffer.

Every method returns after a synchronised commit, so that what was written here before an effect or a report
survives any crash. A finished command is forgotten once the centre knows its end, after 7 days or when 1,000
others ended after it. The file is opened at the first use. A corrupt one is moved aside; since it is not
known then what ran, `suspect` stays set until the centre has offered all that it may have offered before.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
import structlog

from edge_agent.commands.entry import KEPT_RESULT_BYTES, Entry, Outcome
from edge_agent.commands.errors import JournalDamaged, JournalFailed
from edge_agent.runtime.atomic import sync_directory
from edge_agent.wire.commands import CommandOffer, CommandReport, CommandState

logger = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")

NAME: Final = "commands.db"
KEPT_FINISHED: Final = 1_000
KEPT_MS: Final = 7 * 86_400_000
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS command (
    id TEXT PRIMARY KEY,
    offer BLOB NOT NULL,
    state TEXT NOT NULL,
    boot TEXT NOT NULL,
    start_by REAL NOT NULL,
    start_by_ms INTEGER NOT NULL,
    run TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    no INTEGER NOT NULL,
    pending BLOB,
    outcome BLOB,
    log TEXT NOT NULL,
    log_base INTEGER NOT NULL,
    log_end INTEGER NOT NULL,
    done_ms INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS note (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
_COLUMNS: Final = (
    "id, offer, state, boot, start_by, start_by_ms, run, started_ms, attempts, no, pending, outcome, log, "
    "log_base, log_end"
)
_PUT: Final = f"INSERT OR REPLACE INTO command ({_COLUMNS}) VALUES ({', '.join('?' * 15)})"  # noqa: S608
_CORRUPT: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Journal:
    """All methods raise JournalFailed, and JournalDamaged where the file is to be set aside."""

    def __init__(self, path: Path) -> None:
        """path: of the database. Nothing is opened yet."""
        self.suspect = False
        self._path = path
        self._thread: ThreadPoolExecutor | None = None
        self._db: sqlite3.Connection | None = None

    @property
    def exists(self) -> bool:
        """Or did, until a damaged one was set aside."""
        return self._path.exists() or _damaged(self._path).exists()

    async def unfinished(self) -> list[Entry]:
        """What has not ended, or of which the centre does not know the end."""
        return await self._run(_unfinished)

    async def put(self, entries: Iterable[Entry]) -> None:
        """Writes these as they are now."""
        rows = [_row(entry) for entry in entries]
        await self._run(partial(_write_many, _PUT, rows))

    async def finished(self, ids: Collection[str]) -> list[Entry]:
        """Those of the ids that ended, whether the centre knew of it or not."""
        return await self._run(lambda db: _finished(db, ids))

    async def finish(self, entry: Entry, wall_ms: int) -> None:
        """The centre knows its end. Drops what is not needed any more, and what is too old."""
        await self._run(lambda db: _finish(db, entry, wall_ms))

    async def forget(self, command: str) -> None:
        await self._run(partial(_write_many, "DELETE FROM command WHERE id = ?", [(command,)]))

    async def trust(self) -> None:
        """Whatever may have been offered before the damage has been judged."""
        await self._run(partial(_write_many, "DELETE FROM note WHERE key = ?", [("suspect",)]))
        self.suspect = False

    async def replace(self, entries: Iterable[Entry], *, suspect: bool = False) -> None:
        """Begins another file instead of a damaged one, with what is known in memory. suspect: that is not
        all there was."""
        await self._in_thread(self._set_aside)
        await self.put(entries)
        if not suspect:
            await self.trust()

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._close)
            thread.shutdown(wait=False)

    # --- in the thread ---------------------------------------------------------------------------

    async def _in_thread(self, function: Callable[[], T]) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "commands")
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._in_thread(lambda: self._transact(work))

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            db = self._opened()
            db.execute("BEGIN IMMEDIATE")
            try:
                result = work(db)
                db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            if _is_corrupt(error):
                raise JournalDamaged(f"{self._path}: {error}") from error
            raise JournalFailed(f"{self._path}: {error}") from error
        except ValueError as error:  # a row that says what no version of this program writes
            raise JournalDamaged(f"{self._path}: {error}") from error
        return result

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            try:
                self._db = _open(self._path)
            except sqlite3.DatabaseError as error:
                if not _is_corrupt(error):
                    raise
                self._set_aside()
                self._db = _open(self._path)
            noted = self._db.execute("SELECT 1 FROM note WHERE key = 'suspect'").fetchone()
            self.suspect = noted is not None
        return self._db

    def _set_aside(self) -> None:
        """Keeps the newest damaged file, for whoever wants to know why."""
        self._close()
        logger.error("the journal of commands is damaged and was set aside", path=str(self._path))
        for suffix in ("", "-wal", "-shm"):
            part = self._path.with_name(f"{self._path.name}{suffix}")
            with suppress(FileNotFoundError):
                part.replace(_damaged(self._path, suffix))
        sync_directory(self._path.parent)

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()


def _damaged(path: Path, suffix: str = "") -> Path:
    return path.with_name(f"{path.name}.damaged{suffix}")


def _open(path: Path) -> sqlite3.Connection:
    """A new file in the place of one that was set aside, or of an empty one, is suspect."""
    is_first = not path.exists() and not _damaged(path).exists()
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        problems = db.execute("PRAGMA quick_check(1)").fetchall()
        if problems != [("ok",)]:
            raise _corruption(str(problems[0][0]))
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise sqlite3.OperationalError(f"written by a newer version of this program ({version})")
        db.executescript(_SCHEMA)
        if not version and not is_first:
            _suspect(db)
        db.execute(f"PRAGMA user_version = {_VERSION}")
        path.chmod(0o600)
        sync_directory(path.parent)
    except BaseException:
        db.close()
        raise
    return db


def _write_many(sql: str, rows: Sequence[tuple[Any, ...]], db: sqlite3.Connection) -> None:
    """No cursor leaves the thread: where it is dropped, its statement is, beside whatever runs here."""
    db.executemany(sql, rows).close()


def _suspect(db: sqlite3.Connection) -> None:
    db.execute("INSERT OR REPLACE INTO note VALUES ('suspect', '1')")


def _corruption(text: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _is_corrupt(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _CORRUPT


def _unfinished(db: sqlite3.Connection) -> list[Entry]:
    query = f"SELECT {_COLUMNS} FROM command WHERE done_ms IS NULL ORDER BY rowid"  # noqa: S608
    return [_entry(row) for row in db.execute(query)]


def _finished(db: sqlite3.Connection, ids: Collection[str]) -> list[Entry]:
    marks = ", ".join("?" * len(ids))
    # A disk may have refused to note that the centre knows the end.
    query = f"SELECT {_COLUMNS} FROM command WHERE outcome IS NOT NULL AND id IN ({marks})"  # noqa: S608
    return [_entry(row) for row in db.execute(query, tuple(ids))]


def _finish(db: sqlite3.Connection, entry: Entry, wall_ms: int) -> None:
    outcome = _outcome_json(entry.outcome)
    if outcome is not None and len(outcome) > KEPT_RESULT_BYTES and entry.outcome is not None:
        outcome = _outcome_json(Outcome(entry.outcome.state, entry.outcome.code, entry.outcome.message))
    db.execute(
        "UPDATE command SET done_ms = ?, pending = NULL, outcome = ?, log = '' WHERE id = ?",
        (wall_ms, outcome, entry.id),
    )
    # A clock that was set back must not keep them for ever.
    db.execute(
        "DELETE FROM command WHERE done_ms IS NOT NULL AND (abs(? - done_ms) > ? OR id NOT IN "
        "(SELECT id FROM command WHERE done_ms IS NOT NULL ORDER BY done_ms DESC, rowid DESC LIMIT ?))",
        (wall_ms, KEPT_MS, KEPT_FINISHED),
    )


def _row(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.id,
        entry.offer.model_dump_json().encode(),
        entry.state.value,
        entry.boot,
        entry.start_by,
        entry.start_by_ms,
        entry.run,
        entry.started_ms,
        entry.attempts,
        entry.no,
        None if entry.pending is None else entry.pending.model_dump_json().encode(),
        _outcome_json(entry.outcome),
        entry.log,
        entry.log_base,
        entry.log_end,
    )


def _outcome_json(outcome: Outcome | None) -> bytes | None:
    if outcome is None:
        return None
    return orjson.dumps([outcome.state.value, outcome.code, outcome.message, outcome.result])


def _entry(row: tuple[Any, ...]) -> Entry:
    pending = None if row[10] is None else CommandReport.model_validate_json(row[10])
    outcome = None
    if row[11] is not None:
        state, code, message, result = orjson.loads(row[11])
        outcome = Outcome(CommandState(state), code, message, result)
    _, offer, state, boot, start_by, start_by_ms, run, started_ms, attempts, no, _, _, log, base, end = row
    return Entry(
        CommandOffer.model_validate_json(offer),
        CommandState(state),
        boot,
        start_by,
        start_by_ms,
        run,
        started_ms,
        attempts,
        no,
        pending,
        outcome,
        log,
        base,
        end,
    )
