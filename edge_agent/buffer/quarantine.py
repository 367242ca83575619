"""Damaged database files, moved aside: what a start cannot read must neither stop it nor be lost.

A quarantined database is a directory `NAME.quarantine/UTC-TIME-N` beside the database, with the files
under their own names and a `note.json` that says why and how far the salvage is. The note is written
before the first file is moved and names a move that is not finished; the next start finishes it. A move
is a rename and changes no byte; names and notes are synchronised to the medium.

What is kept counts towards the buffer's quota and is at most a quarter of it: the oldest goes first, and
never one that is still to be salvaged.
"""

import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from edge_agent.buffer import pages
from edge_agent.buffer.disk import allocated
from edge_agent.runtime.atomic import sync_directory, write_atomic

logger = structlog.stdlib.get_logger(__name__)

SUFFIX: Final = ".quarantine"
NOTE: Final = "note.json"
# Of the quota.
SHARE: Final = 4
# In this order: a log without its database is salvaged as well, a database without its log looks whole.
_PARTS: Final = ("-wal", "-shm", "")
_COPY_BYTES: Final = 1 << 20


class Stage(StrEnum):
    MOVING = "moving"
    KEPT = "kept"
    SALVAGED = "salvaged"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One damaged database. log_only: a copy of its log alone, the database itself is in use."""

    directory: Path
    database_name: str
    time_ms: int
    why: str
    stage: Stage
    log_only: bool = False
    salvaged: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def database(self) -> Path:
        return self.directory / self.database_name

    @property
    def log(self) -> Path:
        return self.directory / f"{self.database_name}-wal"


def directory_of(path: Path) -> Path:
    return path.with_name(f"{path.name}{SUFFIX}")


def set_aside(path: Path, why: str) -> Quarantined:
    """Moves a database with its log away. Open connections to it stay usable, and write to the moved files.

    Raises OSError; the next start then finishes what was begun.
    """
    found = _begin(path, why, Stage.MOVING, log_only=False)
    logger.error(
        "the buffer's database is damaged: moved aside, what can be read is taken over",
        database=str(path), reason=why, quarantine=str(found.directory),
    )  # fmt: skip
    return _move(path, found)


def copy_log(path: Path, why: str) -> Quarantined:
    """Keeps a copy of a log with commits that SQLite cannot see. Raises OSError."""
    found = _begin(path, why, Stage.MOVING, log_only=True)
    logger.error(
        "the buffer's write-ahead log is damaged: what can be read of it is taken over",
        database=str(path), reason=why, quarantine=str(found.directory),
    )  # fmt: skip
    with path.with_name(f"{path.name}-wal").open("rb") as source, found.log.open("wb") as target:
        shutil.copyfileobj(source, target, _COPY_BYTES)
        target.flush()
        os.fsync(target.fileno())
    return note(found, Stage.KEPT)


def resume(path: Path) -> None:
    """Finishes moves that died half way. Call it before the database is opened. Raises OSError."""
    for found in listed(path):
        if found.stage is Stage.MOVING and found.log_only:
            # The database with its log is where it was, and says the same again.
            shutil.rmtree(found.directory)
        elif found.stage is Stage.MOVING:
            _move(path, found)


def listed(path: Path) -> list[Quarantined]:
    """What is kept of this database, the oldest first. Directories without a note are none of ours."""
    found: list[Quarantined] = []
    for directory in sorted(directory_of(path).glob("*")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            text = orjson.loads((directory / NOTE).read_bytes())
            found.append(
                Quarantined(
                    directory, str(text["database"]), int(text["time_ms"]), str(text["why"]),
                    Stage(text["stage"]), bool(text["log_only"]), text.get("salvaged"),
                )
            )  # fmt: skip
    return found


def note(found: Quarantined, stage: Stage, salvaged: dict[str, Any] | None = None) -> Quarantined:
    """Writes down how far it is. Raises OSError."""
    text = {
        "database": found.database_name,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.time_ms / 1000)),
        "time_ms": found.time_ms,
        "why": found.why,
        "stage": stage,
        "log_only": found.log_only,
        "salvaged": salvaged,
    }
    write_atomic(found.directory / NOTE, orjson.dumps(text, option=orjson.OPT_INDENT_2) + b"\n")
    return Quarantined(
        found.directory, found.database_name, found.time_ms, found.why, stage, found.log_only, salvaged
    )


def quarantine_bytes(path: Path) -> int:
    """Bytes on the disk that are kept aside of the database `path`. Raises OSError."""
    return sum(size_bytes(directory) for directory in directory_of(path).glob("*"))


def size_bytes(directory: Path) -> int:
    return sum(allocated(file) for file in directory.glob("*"))


def trim(path: Path, max_bytes: int) -> None:
    """Removes what was salvaged, the oldest first, until at most a quarter of `max_bytes` is kept.

    Never raises: what cannot be removed now is tried again at the next start.
    """
    with contextlib.suppress(OSError):
        excess = quarantine_bytes(path) - max_bytes // SHARE
        for found in listed(path):
            if excess <= 0:
                return
            if found.stage is Stage.SALVAGED:
                freed = size_bytes(found.directory)
                shutil.rmtree(found.directory)
                excess -= freed
                logger.info(
                    "removed a quarantined database to keep within the quota",
                    quarantine=str(found.directory), size_bytes=freed,
                )  # fmt: skip


def _begin(path: Path, why: str, stage: Stage, *, log_only: bool) -> Quarantined:
    now_ms = time.time_ns() // 1_000_000
    parent = directory_of(path)
    parent.mkdir(mode=0o700, exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ms / 1000))
    number = 1
    while (directory := parent / f"{stamp}-{number:02d}").exists():
        number += 1
    directory.mkdir(mode=0o700)
    found = note(Quarantined(directory, path.name, now_ms, why[:500], stage, log_only), stage)
    sync_directory(parent)
    sync_directory(path.parent)
    return found


def _move(path: Path, found: Quarantined) -> Quarantined:
    for suffix in _PARTS:
        source, target = path.with_name(path.name + suffix), found.directory / f"{path.name}{suffix}"
        if source.exists() and not target.exists():
            source.rename(target)
            sync_directory(found.directory)
            sync_directory(path.parent)
    return note(found, Stage.KEPT)


# --- whose file it is ----------------------------------------------------------------------------------

_APPLICATION_AT: Final = 68
_LOOKED_AT: Final = 16 * pages.PAGE_BYTES
# A database that is created with auto_vacuum has its first map of pages here: a table's root comes first.
_FIRST_MAP_ENTRY: Final = b"\x01\x00\x00\x00\x00"
_HEADER: Final = b"SQLite format 3\x00"
_OUR_TABLE: Final = b"CREATE TABLE batch(\n    id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, codec"


def was_ours(path: Path, application_id: int, signs: tuple[str, ...]) -> bool:
    """Whether a file that is no readable database once was the buffer's.

    A path that was set to somebody's notes, or to another program's database, must not be moved away.
    Any of these is taken for a proof: the application id, the text of our tables or our map of pages in
    the file; a file of zeros, which a power cut leaves; a write-ahead log or a file whose name ends in one
    of `signs` beside it. Raises OSError.
    """
    with path.open("rb") as file:
        data = file.read(_LOOKED_AT)
    application = int.from_bytes(data[_APPLICATION_AT : _APPLICATION_AT + 4], "big")
    if _OUR_TABLE in data:
        return True
    if data.startswith(_HEADER) and application not in (0, application_id):
        return False
    return (
        application == application_id
        or not data.strip(b"\x00")
        or data[pages.PAGE_BYTES : pages.PAGE_BYTES + 5] == _FIRST_MAP_ENTRY
        or any(path.with_name(path.name + sign).exists() for sign in signs)
        or _has_log(path)
    )


def _has_log(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    with contextlib.suppress(OSError):
        return log.stat().st_size > pages.WAL_HEAD.size
    return False
