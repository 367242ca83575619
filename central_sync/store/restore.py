"""Putting a backup in the place of a centre's data.

The restored database is whole and synced before anything of the old one is touched, and takes its place by
one rename: a crash leaves the old data or the restored ones. What was there before is kept beside them.
"""

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from central_sync.services.audit.entries import Actor, Entry
from central_sync.store import backup
from central_sync.store.audit import record
from central_sync.store.backup import Manifest, Progress, sync_directory
from central_sync.store.database import DATABASE_NAME, DirectoryLock, connect, migrate, transaction
from central_sync.store.errors import CannotOpen

_DRAFT: Final = f"{DATABASE_NAME}.restoring"
# The log of one that was killed would be taken for the next one's.
_DRAFTS: Final = (_DRAFT, f"{_DRAFT}-wal", f"{_DRAFT}-shm")
_LOGS: Final = (f"{DATABASE_NAME}-wal", f"{DATABASE_NAME}-shm")
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_CHUNK: Final = 2 << 20


def restore(
    source: Path, directory: Path, replace: bool, now: int, actor: Actor, progress: Progress
) -> tuple[Manifest, Path | None]:
    """What the backup says, and where the old data are kept; None: there were none. Raises CannotOpen where
    a centre runs on the directory, it is not empty and not to be replaced, or the backup is not sound."""
    manifest = backup.check(source)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = DirectoryLock(directory)
        try:
            _drop_drafts(directory)
            old = sorted(path for path in directory.iterdir() if path.name != "central.lock")
            if old and not replace:
                raise CannotOpen(f"{directory} is not empty: restore elsewhere, or give --force")
            files = _prepare(source, directory, manifest, now, actor, progress)
            aside = _keep_old(directory, now) if old else None
            _put_files(directory, files, aside)
            (directory / _DRAFT).replace(directory / DATABASE_NAME)
            sync_directory(directory)
        finally:
            _drop_drafts(directory)
            lock.release()
    except (OSError, sqlite3.Error) as error:
        raise CannotOpen(f"{directory}: cannot be restored: {error}") from error
    return manifest, aside


def _drop_drafts(directory: Path) -> None:
    for name in _DRAFTS:
        (directory / name).unlink(missing_ok=True)


File = tuple[str, int, bytes]


def _prepare(
    source: Path, directory: Path, manifest: Manifest, now: int, actor: Actor, progress: Progress
) -> list[File]:
    """Makes the database complete under another name; returns the other files."""
    draft = directory / _DRAFT
    opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    total, done = source.stat().st_size, 0
    with source.open("rb") as reading, open(opened, "wb") as writing:  # noqa: PTH123
        while chunk := reading.read(_CHUNK):
            writing.write(chunk)
            done += len(chunk)
            progress(done // 4096, total // 4096)
    with contextlib.closing(connect(draft)) as connection:
        files: list[File] = connection.execute("SELECT name, mode, body FROM backup_file").fetchall()
        migrate(connection)
        with transaction(connection):
            connection.execute("DROP TABLE backup_file")
            connection.execute("DROP TABLE backup")
            told = {"backup_of": manifest.time, "audit_entries": manifest.entries}
            record(connection, actor, now, Entry("centre.restore", "centre", manifest.centre, after=told))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    return list(_sound(files))


def _keep_old(directory: Path, now: int) -> Path:
    """Links what is there into a directory beside it."""
    when = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%dT%H%M%S%fZ")
    aside = directory / f"before-restore-{when}"
    aside.mkdir(mode=0o700)
    old = directory / DATABASE_NAME
    # A log that stayed would be taken for the restored database's. One that can be read is put away first.
    with contextlib.suppress(sqlite3.Error), contextlib.closing(connect(old)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if old.exists():
        os.link(old, aside / DATABASE_NAME)
    for name, path in backup.other_files(directory):
        (aside / name).parent.mkdir(mode=0o700, exist_ok=True)
        os.link(path, aside / name)
    for log in _LOGS:
        if (directory / log).exists():
            (directory / log).replace(aside / log)
    sync_directory(aside)
    return aside


def _put_files(directory: Path, files: list[File], aside: Path | None) -> None:
    """Replaces the other files by the backup's; what it does not have is aside alone."""
    wanted = {name for name, _, _ in files}
    if aside is not None:
        for name, path in list(backup.other_files(directory)):
            if name not in wanted:
                path.unlink()
    for name, mode, body in files:
        path = directory / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        draft = path.with_name(f".{path.name}.restoring")
        draft.unlink(missing_ok=True)
        opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode & 0o700)
        with open(opened, "wb") as file:  # noqa: PTH123
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_directory(path.parent)


def _sound(files: list[File]) -> Iterator[File]:
    for name, mode, body in files:
        if not _NAME.fullmatch(name):
            raise CannotOpen(f"the backup holds a file with the name {name!r}, which no centre writes")
        yield name, mode, body
