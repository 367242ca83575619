"""Which file system a directory is on, and who has a file locked: from /proc. Parsers are pure."""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")
LOCKS: Final = Path("/proc/locks")
NETWORK_TYPES: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs",
     "ncpfs", "lustre", "fuse.s3fs", "fuse.rclone"}
)  # fmt: skip
MEMORY_TYPES: Final = frozenset({"tmpfs", "ramfs"})
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """options: those of the mount, then those of its file system."""

    point: str
    type: str
    source: str
    options: tuple[str, ...]

    @property
    def is_read_only(self) -> bool:
        return "ro" in self.options


def parse_mounts(text: str) -> list[Mount]:
    """/proc/self/mountinfo (proc(5)): id parent device root POINT OPTIONS [fields] - TYPE SOURCE OPTIONS."""
    found = []
    for line in text.splitlines():
        head, separator, tail = line.partition(" - ")
        before, after = head.split(), tail.split()
        if not separator or len(before) < 6 or len(after) < 2:
            continue
        options = before[5].split(",") + (after[2].split(",") if len(after) > 2 else [])
        point, source = _plain(before[4]), _plain(after[1])
        found.append(Mount(point, after[0], source, tuple(dict.fromkeys(options))))
    return found


def mount_of(path: PurePath, mounts: list[Mount]) -> Mount | None:
    """The one that an absolute path is on: the longest point, and of two at one point the later."""
    best: Mount | None = None
    for mount in mounts:
        point = PurePath(mount.point)
        if (path == point or point in path.parents) and (
            best is None or len(point.parts) >= len(PurePath(best.point).parts)
        ):
            best = mount
    return best


def lock_holder(text: str, inode: int) -> int | None:
    """The process that holds an flock on the inode, by /proc/locks; None: nobody."""
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
            return int(words[4]) if words[4].lstrip("-").isdigit() else None
    return None


def find_mount(path: Path) -> Mount | None:
    """That of an existing path. None where it cannot be known."""
    try:
        return mount_of(Path(os.path.realpath(path)), parse_mounts(MOUNTS.read_text(errors="replace")))
    except OSError:
        return None


def find_lock_holder(path: Path) -> int | None:
    """The process that holds the lock file. None: nobody, or it cannot be known."""
    try:
        return lock_holder(LOCKS.read_text(), path.stat().st_ino)
    except OSError:
        return None


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
