"""Files that are there whole or not at all, also after a power cut."""

import contextlib
import os
import tempfile
from pathlib import Path


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replaces the file at `path` by one with `data` and exactly the permissions `mode`.

    When it returns, the new content survives a power cut; when it raises OSError, the old one is
    untouched. A symbolic link at `path` is replaced, not followed. Blocks on the disk.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def give_to_owner_of(like: Path, path: Path) -> None:
    """Root makes files for whom the directory `like` is: a service's user has to read them."""
    if os.geteuid() == 0:
        owner = like.stat()
        with contextlib.suppress(PermissionError):
            os.chown(path, owner.st_uid, owner.st_gid)


def make_private_directory(path: Path) -> None:
    """0700, with those above it that are missing, for whom the directory is that there was."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        give_to_owner_of(each.parent, each)


def sync_directory(path: Path) -> None:
    """Makes what was created, renamed or removed in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
