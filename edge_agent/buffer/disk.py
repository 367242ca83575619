"""What the buffer sees of its disk, and the ballast. Used in the writer's thread only."""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

from edge_agent.buffer.pages import PAGE_BYTES
from edge_agent.buffer.quota import Space

BALLAST_SUFFIX: Final = ".ballast"
_BLOCK_BYTES: Final = 512


def measure(db: sqlite3.Connection, path: Path, aside_bytes: int = 0) -> Space:
    """Raises sqlite3.Error, OSError. aside_bytes: what damaged files take."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (reusable,) = db.execute("PRAGMA freelist_count").fetchone()
    system = os.statvfs(path.parent)
    return Space(
        database=pages * PAGE_BYTES,
        reusable=reusable * PAGE_BYTES,
        wal=allocated(path.with_name(f"{path.name}-wal")),
        aside=aside_bytes,
        ballast=allocated(ballast_path(path)),
        free=system.f_bavail * system.f_frsize,
        total=system.f_blocks * system.f_frsize,
    )


def file_system(path: Path) -> tuple[int, int]:
    """(size, free bytes) of the file system that a file's directory is on. Raises OSError."""
    system = os.statvfs(path.parent)
    return system.f_blocks * system.f_frsize, system.f_bavail * system.f_frsize


def identity(path: Path) -> tuple[int, int] | None:
    """What tells one file from another of the same name; None where there is none. Raises OSError."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def ballast_path(database: Path) -> Path:
    return database.with_name(f"{database.name}{BALLAST_SUFFIX}")


def fill_ballast(database: Path, nbytes: int) -> None:
    """Takes room that can be given back. Never raises: without it a full disk only heals later."""
    path = ballast_path(database)
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, nbytes)
            os.ftruncate(descriptor, nbytes)
        except OSError:
            # What was taken in part would only be missed elsewhere.
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)


def drop_ballast(database: Path) -> None:
    """Gives its room back. Never raises."""
    with contextlib.suppress(OSError):
        os.truncate(ballast_path(database), 0)


def allocated(path: Path) -> int:
    """Bytes that a file takes on its disk; 0 where there is none. Raises OSError."""
    try:
        return path.stat().st_blocks * _BLOCK_BYTES
    except FileNotFoundError:
        return 0
