"""A backup: one SQLite file with the centre's whole state, made while it runs.

The copy is of one moment: it reads within one transaction, in slices with pauses, and nobody waits for it.
Meanwhile the write-ahead log cannot be put away, and grows by what arrives. Beside the tables it holds the
other files of the data directory (keys, checkpoints, artifacts) and a manifest. It is written under another
name, checked, and renamed when it is whole.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from central_sync.store.database import DATABASE_NAME, migrations, open_existing, read_meta
from central_sync.store.errors import CannotOpen

# Pages of one slice, and the pause after it: about 200 MiB a second at most.
_SLICE_PAGES: Final = 512
_PAUSE_SECONDS: Final = 0.01
# What is written is synced in parts: one sync of it all would make the centre's own commits wait.
_SYNC_PAGES: Final = 4_096
_MAX_FILE_BYTES: Final = 64 << 20
_SQLITE: Final = b"SQLite format 3\x00"
# Aside from the database, its log, the lock, and what earlier restores have put aside.
_LEFT_OUT: Final = (DATABASE_NAME, "central.lock", "before-restore-", ".")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. time: UTC milliseconds."""

    centre: str
    version: int
    time: int
    devices: int
    batches: int
    entries: int
    files: int


def other_files(directory: Path) -> Iterator[tuple[str, Path]]:
    """Names relative to the data directory, at most one folder deep; no databases among them."""
    found = [path for path in sorted(directory.glob("*")) if not path.name.startswith(_LEFT_OUT)]
    inner = [path for folder in found if folder.is_dir() for path in sorted(folder.glob("*"))]
    for path in (*found, *inner):
        if (
            path.suffix == ".part"
            or not path.is_file()
            or path.is_symlink()
            or path.stat().st_size > _MAX_FILE_BYTES
        ):
            continue
        with path.open("rb") as file:
            if file.read(len(_SQLITE)) != _SQLITE:
                yield str(path.relative_to(directory)), path


def make(directory: Path, target: Path, replace: bool, now: int, progress: Progress) -> Manifest:
    """Raises CannotOpen: there are no data, or the target cannot be written, is there, or is the data."""
    if target.name.startswith("central.") and target.resolve().parent == directory.resolve():
        raise CannotOpen(f"{target} is the centre's own: choose another name")
    if target.exists() and not replace:
        raise CannotOpen(f"{target} is there; choose another name, or replace it with --force")
    draft = target.with_name(target.name + ".partial")
    with contextlib.closing(open_existing(directory)) as source:
        try:
            draft.unlink(missing_ok=True)
            os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            _copy(source, draft, progress)
            manifest = _complete(directory, draft, now)
            check(draft)
            _settle(draft, target)
        except (OSError, sqlite3.Error) as error:
            raise CannotOpen(f"{target}: {error}") from error
        finally:
            draft.unlink(missing_ok=True)
    return manifest


def _copy(source: sqlite3.Connection, draft: Path, progress: Progress) -> None:
    with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as copy, draft.open("rb") as file:
        copy.execute("PRAGMA synchronous = OFF")
        since = 0

        def step(_: int, remaining: int, total: int) -> None:
            nonlocal since
            done = total - remaining
            if done - since >= _SYNC_PAGES:
                since = done
                os.fdatasync(file.fileno())
            progress(done, total)
            # `backup` itself pauses only where it cannot go on.
            time.sleep(_PAUSE_SECONDS)

        # With a transaction open the source stays the same from the first slice to the last.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM meta").fetchone()
        source.backup(copy, pages=_SLICE_PAGES, progress=step)
        source.execute("ROLLBACK")


def _complete(directory: Path, draft: Path, now: int) -> Manifest:
    with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as copy:
        # One file, without a log beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.execute("CREATE TABLE backup_file (name TEXT PRIMARY KEY, mode INTEGER, body BLOB)")
        copy.execute("CREATE TABLE backup (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID")
        copy.execute("BEGIN IMMEDIATE")
        for name, path in other_files(directory):
            # Artifacts come and go while the centre runs.
            with contextlib.suppress(FileNotFoundError):
                row = (name, path.stat().st_mode & 0o777, path.read_bytes())
                copy.execute("INSERT INTO backup_file VALUES (?, ?, ?)", row)
        manifest = Manifest(
            str(read_meta(copy, "centre")),
            int(read_meta(copy, "version") or 0),
            now,
            _count(copy, "device"),
            _count(copy, "batch"),
            _count(copy, "audit"),
            _count(copy, "backup_file"),
        )
        fields = {name: getattr(manifest, name) for name in Manifest.__slots__}
        copy.executemany("INSERT INTO backup VALUES (?, ?)", list(fields.items()))
        copy.execute("COMMIT")
    return manifest


def _count(connection: sqlite3.Connection, table: str) -> int:
    found: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
    return found


def check(path: Path) -> Manifest:
    """Reads all of a backup. Raises CannotOpen where it is none, is damaged, or is of a newer version."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True)) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
            if "backup" not in tables:
                raise CannotOpen(f"{path} was not made by `central-sync backup`")
            manifest = Manifest(**dict(connection.execute("SELECT key, value FROM backup").fetchall()))
            faults = connection.execute("PRAGMA quick_check(1)").fetchall()
            broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    except (OSError, TypeError, sqlite3.Error) as error:
        raise CannotOpen(f"{path}: no backup that can be read: {error}") from error
    if faults != [("ok",)] or broken is not None:
        raise CannotOpen(f"{path} is damaged: {faults[0][0] if faults != [('ok',)] else broken}")
    if manifest.version > migrations()[-1][0]:
        raise CannotOpen(f"{path} is of version {manifest.version}, which this build does not know")
    return manifest


def _quoted(path: Path) -> str:
    return str(path.resolve()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _settle(draft: Path, target: Path) -> None:
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(target)
    sync_directory(target.parent)


def sync_directory(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
