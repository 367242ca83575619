"""The audit trail for the command line: walking it, checkpoints, the key. All of it works beside a running
centre, and `verify` changes nothing."""

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from central_sync.services.audit.chain import (
    Place,
    Statement,
    Verdict,
    Walk,
    Wrong,
    check_statement,
    forgotten,
    read_statements,
    sign,
    start_of,
)
from central_sync.services.clock import SystemClock
from central_sync.services.errors import Invalid
from central_sync.store import trail
from central_sync.store.database import open_existing, read_meta
from central_sync.store.statements import AuditKey, known_key, verifies

# Rows that are read at once: no longer is the database's log kept from being put away.
_SLICE: Final = 2_000
_TRIES: Final = 3
# Entries walked and entries in all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class AuditQuestion:
    """checkpoints: files of statements; keys: public ones that are trusted beside the centre's own;
    since: walk from the newest checkpoint on instead of from the start."""

    checkpoints: Sequence[Path] = ()
    keys: Sequence[str] = ()
    since: bool = False


def verify_audit(data: Path, asked: AuditQuestion, progress: Progress) -> Verdict:
    """Raises CannotOpen, and Invalid for a checkpoint that is none or not of this centre."""
    with contextlib.closing(open_existing(data)) as connection:
        own = known_key(data)
        keys = frozenset([*([own] if own else []), *asked.keys])
        centre = str(read_meta(connection, "centre"))
        statements = _statements(asked.checkpoints, centre, keys)
        for _ in range(_TRIES):
            first = trail.anchor(connection)
            verdict = _attempt(connection, _Start(centre, keys, first, statements, asked.since), progress)
            # Retention may have removed what stood ahead of the walk.
            if verdict.wrong is None or trail.anchor(connection) == first:
                break
        return verdict


@dataclass(frozen=True, slots=True)
class _Start:
    centre: str
    keys: frozenset[str]
    anchor: Statement | None
    statements: list[Statement]
    since: bool


def _attempt(connection: sqlite3.Connection, start: _Start, progress: Progress) -> Verdict:
    place = Place()
    if start.anchor is not None:
        place = start_of(start.anchor)
        fault = check_statement(start.anchor, start.centre, start.keys, verifies)
        if fault is not None:
            return Verdict(0, place, Wrong(place.no, "anchor", f"the anchor of entry {place.no}: {fault}"))
    newest = max(start.statements, key=lambda statement: statement.no, default=None)
    if start.since and newest is not None and newest.no >= place.no:
        return forgotten(_walk(connection, start_of(newest), [newest], progress), len(start.statements) - 1)
    return _walk(connection, place, start.statements, progress)


def _walk(
    connection: sqlite3.Connection, place: Place, statements: list[Statement], progress: Progress
) -> Verdict:
    walk = Walk(place, statements)
    total = trail.last_place(connection).no - place.no
    if walk.place.no and walk.wrong is None:
        walk.wrong = _changed_start(connection, place)
    while walk.wrong is None and (rows := trail.rows_after(connection, walk.place.no, _SLICE)):
        walk.take(rows)
        progress(walk.entries, max(total, walk.entries))
    return walk.verdict()


def _changed_start(connection: sqlite3.Connection, place: Place) -> Wrong | None:
    """The entry that a checkpoint names stands there as it was, or retention has removed it."""
    rows = trail.rows_after(connection, place.no - 1, 1)
    if rows and rows[0].no == place.no and rows[0].hash != place.hash:
        return Wrong(place.no, "rewritten", f"the checkpoint of entry {place.no} names another hash")
    return None


def _statements(files: Sequence[Path], centre: str, keys: frozenset[str]) -> list[Statement]:
    found: list[Statement] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid("bad_checkpoint", f"{file}: cannot be read: {error}") from error
        for statement in read_statements(text, str(file)):
            fault = check_statement(statement, centre, keys, verifies)
            if fault is not None:
                raise Invalid("bad_checkpoint", f"{file}: the checkpoint of entry {statement.no}: {fault}")
            found.append(statement)
    return found


def make_checkpoint(data: Path) -> Statement:
    """Raises CannotOpen."""
    with contextlib.closing(open_existing(data)) as connection:
        place = trail.last_place(connection)
        centre = str(read_meta(connection, "centre"))
    return sign(AuditKey(data), "checkpoint", centre, place.no, place.hash, SystemClock().wall_ms())


def audit_key(data: Path) -> str:
    """The public key. Raises CannotOpen."""
    with contextlib.closing(open_existing(data)):
        return AuditKey(data).public
