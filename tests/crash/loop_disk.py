"""An ext4 in an image file, for cutting its power: a copy of the image is what a disk has after the cut.

What a program wrote and did not sync is in the page cache of the mounted file system; the image has what
was handed to the loop device: what was synced, and what ext4 wrote back by itself. `commit=300` keeps its
journal from doing that every 5 s, and dirty pages are written back after 30 s: a cut that comes earlier
finds what was synced, and little more. test_power_cut proves it. Needs root.

What this cannot do: a disk that reorders or forgets what it was handed before the next flush. A cut falls
between two system calls of the program, since it is stopped for the copy.
"""

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

JOURNALS: Final = ("ordered", "writeback", "journal")
_STOP_SECONDS: Final = 10.0
# linux/loop.h: struct loop_info64.
_LOOP_SET_STATUS64: Final = 0x4C04
_LOOP_GET_STATUS64: Final = 0x4C05
_LOOP_INFO_BYTES: Final = 232
_SIZE_LIMIT_AT: Final = 32


class LoopDisk:
    """Mounted at `path` while it is entered; its image lies in memory."""

    def __init__(self, size_mib: int = 48, journal: str = "ordered", journal_mib: int = 4) -> None:
        """journal: ext4's `data=` mode. journal_mib: size of ext4's journal."""
        self._place = Path(tempfile.mkdtemp(prefix="holdfast-disk-", dir="/dev/shm"))
        self._image = self._place / "image"
        self._journal = journal
        self._mounted = False
        self.path = self._place / "mounted"
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(size_mib << 20)
        options = ["-J", f"size={journal_mib}", "-E", "lazy_itable_init=0,lazy_journal_init=0"]
        _run("mkfs.ext4", "-q", "-F", "-b", "4096" if journal_mib > 1 else "1024", *options, str(self._image))

    def __enter__(self) -> Self:
        self._mount()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mounted:
            self.vanish()
        shutil.rmtree(self._place, ignore_errors=True)

    def _mount(self) -> None:
        options = f"loop,commit=300,noatime,data={self._journal}"
        _run("mount", "-t", "ext4", "-o", options, str(self._image), str(self.path))
        self._mounted = True

    def copy(self) -> Path:
        """The image as it is now; whoever writes has been stopped."""
        found = self._place / "copy"
        while True:
            before = self._image.stat().st_mtime_ns
            shutil.copyfile(self._image, found)
            # The kernel writes back when it likes: a copy of two moments would be of no disk.
            if self._image.stat().st_mtime_ns == before:
                return found

    def cut_to(self, copy: Path) -> None:
        """The power is back, and the disk has what the copy has. Nobody may use it meanwhile."""
        _run("umount", str(self.path))
        copy.replace(self._image)
        self._mount()

    def limit(self, nbytes: int) -> None:
        """The device ends there for the file system that is mounted: what lies behind gives EIO. 0: whole."""
        device = _run("losetup", "--associated", str(self._image), "--noheadings", "--output", "NAME").strip()
        with open(device, "rb+", buffering=0) as loop:  # noqa: PTH123 - ioctl wants a descriptor
            info = bytearray(_LOOP_INFO_BYTES)
            fcntl.ioctl(loop, _LOOP_GET_STATUS64, info)
            struct.pack_into("<Q", info, _SIZE_LIMIT_AT, nbytes)
            fcntl.ioctl(loop, _LOOP_SET_STATUS64, bytes(info))

    def vanish(self) -> None:
        """The mount is gone; who has files open keeps them."""
        self._mounted = False
        _run("umount", "--lazy", str(self.path))

    def come_back(self) -> None:
        """Mounted again."""
        self._mount()

    def come_back_repaired(self) -> None:
        """Mounted again after a repair: as another disk, since somebody may have files of the old mount."""
        repaired = self._place / "repaired"
        shutil.copyfile(self._image, repaired)
        self._image = repaired
        # 1: errors were corrected.
        _run("e2fsck", "-fy", str(repaired), good=(0, 1))
        self._mount()


def stop(pid: int) -> None:
    """SIGSTOP; returns when no thread of the process runs any more, those in a system call included."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + _STOP_SECONDS
    while not all(_is_stopped(task) for task in Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < deadline, f"process {pid} cannot be stopped"
        time.sleep(0.001)


def _is_stopped(task: Path) -> bool:
    return (task / "stat").read_text().rpartition(") ")[2].startswith("T")


def _run(*command: str, good: Sequence[int] = (0,)) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in good, f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}"
    return done.stdout
