"""The frame ring: what makes a killed process lose nothing.

Each frame is appended to a file in the runtime directory, which is in memory (tmpfs) and outlives the
process. Once a batch is committed, the segments that held its frames are removed. The next start of the
same boot reads what is left (`segments.find`) and commits the frames that no batch has.

Schemas stand in the ring too until a commit has stored them, before the first frame that needs them. The
ring is bounded: what goes past `max_bytes`, or cannot be written, is in memory alone until the next
commit; it is counted, and a marker file tells the next start that the ring is not the whole truth.
"""

import contextlib
import os
import struct
from pathlib import Path
from typing import Final

import structlog

from edge_agent.buffer import segments
from edge_agent.buffer.segments import MISSED, PREFIX, Record
from edge_agent.runtime.lock import FileLock
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Schema

logger = structlog.stdlib.get_logger(__name__)

MAX_BYTES: Final = 64 << 20
# The others are a few bytes a commit, and what makes the rest readable.
_BOUNDED: Final = (Record.FRAME, Record.SCHEMA)


class FrameRing:
    """Appends this run's frames; `rotate` and `release` bracket a commit. Used on the event loop only.

    Nothing here raises after `open`: a ring that cannot be written loses its own protection and no frame.
    """

    def __init__(self, directory: Path, boot: str, run: str, max_bytes: int = MAX_BYTES) -> None:
        self._directory = directory
        self._boot = boot
        self.run = run
        self._device = ""
        self._max_bytes = max_bytes
        self._segment = 0
        self._released = 0
        self._lock: FileLock | None = None
        self._fd: int | None = None
        self._used = False
        self._sizes: dict[int, int] = {}
        self._marked: set[int] = set()
        self._total_bytes = 0
        self._failing = False
        self.missed_frames = 0

    def open(self, device: str) -> None:
        """Begins the first segment, which names the device.

        Raises InUse where another agent has this directory, OSError where it cannot be used.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self._directory / "ring.lock")
        self._device = device
        self._start_segment()

    def announce(self, schema: Schema) -> None:
        """Keeps a schema until a commit has stored it."""
        self._used = True
        if not self._put(Record.SCHEMA, schema.canonical):
            self._mark()
            self._report()

    def append(self, schema_hash: str, frame: Frame) -> int:
        """Keeps a frame until a commit has stored it. Returns its size in bytes."""
        self._used = True
        try:
            payload = segments.frame_payload(schema_hash, frame)
        except (TypeError, ValueError, struct.error):
            # Not a frame that can be written at all; sealing turns it into a loss.
            payload = b""
        if not payload or not self._put(Record.FRAME, payload):
            self.missed_frames += 1
            self._mark()
            if payload:
                self._report()
        return len(payload)

    def rotate(self) -> int:
        """Later frames go to a new segment. Returns the mark to release when the earlier are stored."""
        if self._fd is not None and not self._used:
            return self._segment - 1
        mark = self._segment
        self._start_segment()
        return mark

    def release(self, mark: int) -> None:
        """Frames up to this mark are committed: their segments go.

        One record makes them void all at once, so that a death between two of the removals leaves either
        all frames of the commit or none.
        """
        done = sorted(number for number in {*self._sizes, *self._marked} if number <= mark)
        if not done:
            return
        self._released = mark
        self._put(Record.RELEASED, segments.mark_payload(mark))
        for number in done:
            self._total_bytes -= self._sizes.pop(number, 0)
            self._remove(self._path(number))
            if number in self._marked:
                self._marked.discard(number)
                self._remove(self._marker(number))

    def close(self, *, ended: bool = True) -> None:
        """What is not released stays for the next start. May be called twice, and before `open`.

        ended: the database knows that the run is over, or never knew it. Otherwise even an empty segment
        stays: it says that nothing else was there.
        """
        if self._lock is None:
            return
        self._close_segment()
        if ended and not self._used:
            self._remove(self._path(self._segment))
        self._lock.release()
        self._lock = None

    def _put(self, kind: Record, payload: bytes) -> bool:
        parts = segments.encode(kind, payload)
        size = len(parts[0]) + len(parts[1])
        bounded = kind in _BOUNDED
        if self._fd is None or (bounded and self._total_bytes + size > self._max_bytes):
            return False
        try:
            written = os.writev(self._fd, parts)
        except OSError:
            written = 0
        if written != size:
            # A torn record would hide those behind it: cut it off again.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._sizes[self._segment])
            return False
        self._sizes[self._segment] += size
        self._total_bytes += size
        if self._failing and bounded:
            self._failing = False
            logger.info("the frame ring takes frames again", missed=self.missed_frames)
        return True

    def _mark(self) -> None:
        """Says beside the segment that it does not hold everything."""
        if self._segment not in self._marked:
            self._marked.add(self._segment)
            with contextlib.suppress(OSError):
                self._marker(self._segment).touch(mode=0o600)

    def _report(self) -> None:
        if not self._failing:
            self._failing = True
            logger.warning(
                "the frame ring cannot take a frame: until the next commit a killed process would lose it",
                directory=str(self._directory),
                size_bytes=self._total_bytes,
            )

    def _close_segment(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _start_segment(self) -> None:
        self._close_segment()
        self._segment += 1
        self._used = False
        self._sizes[self._segment] = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with contextlib.suppress(OSError):
            self._fd = os.open(self._path(self._segment), flags, 0o600)
        self._put(Record.RUN, segments.run_payload(self._device, self._boot, self.run, self._released))

    def _path(self, number: int) -> Path:
        return self._directory / f"{PREFIX}{self._boot}-{self.run}-{number:08d}"

    def _marker(self, number: int) -> Path:
        return self._directory / f"{self._path(number).name}{MISSED}"

    @staticmethod
    def _remove(path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
