"""The frame ring: what makes a killed process lose nothing.

Each frame is appended to a file in the runtime directory, which is in memory (tmpfs) and outlives the
process. Once a batch is committed, the segments that held its frames are removed. The next start of the
same boot reads what is left and keeps the frames that no committed batch has.

The file name carries boot and run, so that a directory that outlived its boot is not believed. A record
is u32 length (of what follows), 32 bytes schema hash, the fixed fields, row, presence, and JSON for what
few frames have. A record that was being written when the process died is shorter than its length says.
The ring is bounded: past `max_bytes` frames are only in memory until the next commit, and counted.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from edge_agent.wire.frame import Frame
from edge_agent.wire.quality import Quality, QualityRun, SourceRun

_FIXED: Final = struct.Struct("<I32sqqqIIII")
_LENGTH: Final = struct.Struct("<I")
MAX_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class RingFrame:
    """A frame found in the ring, with the run that made it and its schema's name."""

    run: str
    schema_hash: str
    frame: Frame


class FrameRing:
    """Appends this run's frames; `rotate` and `release` bracket a commit."""

    def __init__(self, directory: Path, boot: str, run: str, max_bytes: int = MAX_BYTES) -> None:
        self._directory = directory
        self.run = run
        self._prefix = f"ring-{boot}-{run}-"
        self._max_bytes = max_bytes
        self._segment = 0
        self._fd: int | None = None
        self._sizes: dict[int, int] = {}
        self._total_bytes = 0
        self.missed_frames = 0

    def open(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._start_segment()

    def append(self, schema_hash: str, frame: Frame) -> None:
        """Never raises: a ring that cannot be written loses only its own protection, and counts it."""
        data = _encode(schema_hash, frame)
        if self._fd is None or self._total_bytes + len(data) > self._max_bytes:
            self.missed_frames += 1
            return
        try:
            written = os.write(self._fd, data)
        except OSError:
            written = 0
        if written != len(data):
            # A torn record would hide those behind it: cut it off again.
            self.missed_frames += 1
            os.ftruncate(self._fd, self._sizes[self._segment])
            return
        self._sizes[self._segment] += written
        self._total_bytes += written

    def rotate(self) -> int:
        """Later frames go to a new segment. Returns the mark to release when the earlier are stored."""
        mark = self._segment
        self._start_segment()
        return mark

    def release(self, mark: int) -> None:
        """Frames up to this mark are committed: their segments go."""
        for segment in [number for number in self._sizes if number <= mark]:
            self._total_bytes -= self._sizes.pop(segment)
            self._path(segment).unlink(missing_ok=True)

    def close(self) -> None:
        """What is not released stays for the next start."""
        self._close_segment()
        if not self._sizes.get(self._segment):
            self._path(self._segment).unlink(missing_ok=True)

    def _close_segment(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _start_segment(self) -> None:
        self._close_segment()
        self._segment += 1
        try:
            self._fd = os.open(
                self._path(self._segment), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            self._sizes[self._segment] = 0
        except OSError:
            self._fd = None

    def _path(self, segment: int) -> Path:
        return self._directory / f"{self._prefix}{segment:08d}"


def leftovers(directory: Path, boot: str) -> list[Path]:
    """Segments of earlier runs of this boot, oldest first within each run. Those of other boots go."""
    found: list[Path] = []
    for path in sorted(directory.glob("ring-*")):
        if path.name.startswith(f"ring-{boot}-"):
            found.append(path)
        else:
            path.unlink(missing_ok=True)
    return found


def read_segment(path: Path) -> Iterator[RingFrame]:
    """The whole frames of a segment, in the order they were appended."""
    run = path.name.split("-")[2]
    data = path.read_bytes()
    at = 0
    while at + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        end = at + _LENGTH.size + length
        if end > len(data) or _LENGTH.size + length < _FIXED.size:
            return
        yield _decode(run, data[at:end])
        at = end


def _encode(schema_hash: str, frame: Frame) -> bytes:
    present = frame.present or b""
    rest = b""
    if frame.text is not None or frame.quality or frame.source:
        rest = orjson.dumps(
            [frame.text, [tuple(run) for run in frame.quality], [tuple(run) for run in frame.source]]
        )
    length = _FIXED.size - _LENGTH.size + len(frame.row) + len(present) + len(rest)
    head = _FIXED.pack(
        length, bytes.fromhex(schema_hash), frame.n, frame.mono_ns, frame.wall_ms,
        frame.read, frame.suppressed, len(frame.row), len(present),
    )  # fmt: skip
    return b"".join((head, frame.row, present, rest))


def _decode(run: str, record: bytes) -> RingFrame:
    _, digest, n, mono_ns, wall_ms, read, suppressed, row_bytes, present_bytes = _FIXED.unpack_from(record)
    row_end = _FIXED.size + row_bytes
    present_end = row_end + present_bytes
    frame = Frame(
        n, mono_ns, wall_ms, record[_FIXED.size : row_end], read, suppressed,
        record[row_end:present_end] or None,
    )  # fmt: skip
    if len(record) > present_end:
        text, quality, source = orjson.loads(record[present_end:])
        frame.text = None if text is None else tuple(text)
        frame.quality = tuple(QualityRun(f, c, Quality(q), null, status) for f, c, q, null, status in quality)
        frame.source = tuple(SourceRun(*run_) for run_ in source)
    return RingFrame(run, digest.hex(), frame)
