"""How full file systems are: what is mounted, and what statvfs(3) says of it. Pure."""

import re
from typing import Final

from edge_agent.drivers.host.figures import Bad, Figures, Glance, numbers, percent
from edge_agent.wire.quality import Quality

MOUNTS: Final = "proc/self/mounts"
# What `statvfs_text` makes of statvfs(3), so that it can be parsed like a file.
STATVFS: Final = "statvfs"
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_NO_DISKS: Final = frozenset(
    (
        "autofs", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs",
        "fuse.lxcfs", "fusectl", "hugetlbfs", "mqueue", "nsfs", "overlay", "proc", "pstore", "ramfs",
        "rpc_pipefs", "securityfs", "squashfs", "sysfs", "tmpfs", "tracefs",
    )
)  # fmt: skip


def usage(mount: str, now: Glance) -> Figures:
    """`disk:MOUNT:*` in bytes and percent. What is reserved for root is not free, as `df` has it."""
    if mount not in mounted(now.texts.get(MOUNTS, "")):
        why = Bad(Quality.BAD_CONFIG, f"nothing is mounted at {mount}")
        return {
            f"disk:{mount}:{field}": why
            for field in ("total", "free", "used", "used_percent", "inodes_used_percent")
        }
    fields = numbers(now.texts.get(STATVFS, "").split())
    if fields is None or len(fields) != 6:
        return {}
    block, blocks, free, available, inodes, inodes_free = fields
    used = blocks - free
    return {
        f"disk:{mount}:total": block * blocks,
        f"disk:{mount}:free": block * available,
        f"disk:{mount}:used": block * used,
        f"disk:{mount}:used_percent": percent(used, used + available),
        f"disk:{mount}:inodes_used_percent": percent(inodes - inodes_free, inodes),
    }


def mounted(text: str) -> dict[str, str]:
    """By mount point, the type of its file system: the last one that was mounted there."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) >= 3:
            found[_OCTAL.sub(lambda match: chr(int(match[1], 8)), words[1])] = words[2]
    return found


def disks(text: str) -> list[str]:
    """The mount points that are worth offering; files that are mounted on files are not."""
    return sorted(point for point, kind in mounted(text).items() if kind not in _NO_DISKS or point == "/")
