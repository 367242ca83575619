"""Backup and restore for the command line."""

import getpass
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from central_sync.services.audit.entries import Actor
from central_sync.services.clock import SystemClock
from central_sync.store import backup as copies
from central_sync.store import restore as returning
from central_sync.store.backup import Progress


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made and checked."""

    file: Path
    size_bytes: int
    seconds: float
    manifest: copies.Manifest

    @property
    def devices(self) -> int:
        return self.manifest.devices

    @property
    def batches(self) -> int:
        return self.manifest.batches

    @property
    def entries(self) -> int:
        return self.manifest.entries

    def as_json(self) -> dict[str, Any]:
        taken = {"size_bytes": self.size_bytes, "seconds": round(self.seconds, 3)}
        return {"file": str(self.file), **taken, **asdict(self.manifest)}


@dataclass(frozen=True, slots=True)
class Restored:
    """time: of the backup, UTC milliseconds; aside: where the old data are."""

    data: Path
    time: int
    aside: Path | None

    def as_json(self) -> dict[str, Any]:
        return {
            "data": str(self.data),
            "time": self.time,
            "aside": None if self.aside is None else str(self.aside),
        }


def backup(data: Path, file: Path, force: bool, progress: Progress) -> Backup:
    """Raises CannotOpen."""
    began = time.monotonic()
    manifest = copies.make(data, file, force, SystemClock().wall_ms(), progress)
    return Backup(file, file.stat().st_size, time.monotonic() - began, manifest)


def restore(file: Path, data: Path, force: bool, progress: Progress) -> Restored:
    """Raises CannotOpen."""
    actor = Actor("cli", _user())
    manifest, aside = returning.restore(file, data, force, SystemClock().wall_ms(), actor, progress)
    return Restored(data, manifest.time, aside)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
