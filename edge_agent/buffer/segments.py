"""What a ring segment is made of, and what a start finds of those that earlier runs left.

A segment is a file `ring-BOOT-RUN-NUMBER` of records: u32 length of the payload, u32 CRC-32 of it, u8
kind, payload. The first names the device, boot and run that wrote it. A record that was being written
when the process died is shorter than its length says; anything else that does not fit is damage, and
costs only what stands behind it in that file. `ring-….missed` says that the ring could not take
everything that was appended while the segment of that name was current.

A segment whose boot is not this one is not believed: nothing in it was ever synchronised to a disk.
"""

import contextlib
import hashlib
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Final

import orjson

from edge_agent.wire.frame import Frame
from edge_agent.wire.quality import Quality, QualityRun, SourceRun

PREFIX: Final = "ring-"
MISSED: Final = ".missed"
ASIDE: Final = "aside-"
# Damaged segments that are kept to be looked at.
KEPT_ASIDE: Final = 4

_HEAD: Final = struct.Struct("<IIB")
_FRAME: Final = struct.Struct("<32sqqqIIII")
_MARK: Final = struct.Struct("<Q")
_NAME: Final = re.compile(rf"{PREFIX}(?P<boot>[^-]+)-(?P<run>.+)-(?P<number>[0-9]+)(?P<missed>{MISSED})?")


class Record(IntEnum):
    RUN = 1
    SCHEMA = 2
    FRAME = 3
    # Segments up to a number are committed: should they still be there, they are void.
    RELEASED = 4


class Damaged(Exception):
    """The bytes of a segment are not what was written."""


@dataclass(frozen=True, slots=True)
class RingFrame:
    """A frame found in the ring, with its schema's name."""

    schema_hash: str
    frame: Frame


@dataclass(slots=True)
class Leftovers:
    """What the earlier runs of this boot and device left in a ring directory.

    runs: all that have a segment here, also if it is empty. frames: by run, in the order they were made.
    schemas: canonical bytes by name.
    incomplete: by run, why the ring may not hold all that was appended. finished: files that are of no
    use once the frames are committed. damaged: files to keep aside. failing: groups whose
    frames hooks would have changed.
    """

    runs: set[str] = field(default_factory=set)
    frames: dict[str, list[RingFrame]] = field(default_factory=dict)
    schemas: dict[str, bytes] = field(default_factory=dict)
    incomplete: dict[str, str] = field(default_factory=dict)
    finished: list[Path] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)
    failing: dict[str, bool] = field(default_factory=dict)


# --- records -------------------------------------------------------------------------------------------


def encode(kind: Record, payload: bytes) -> tuple[bytes, bytes]:
    """The two parts of a record, in order."""
    return _HEAD.pack(len(payload), zlib.crc32(payload), kind), payload


def run_payload(device: str, boot: str, run: str, released: int) -> bytes:
    return orjson.dumps({"device": device, "boot": boot, "run": run, "released": released})


def mark_payload(mark: int) -> bytes:
    return _MARK.pack(mark)


def frame_payload(schema_hash: str, frame: Frame) -> bytes:
    """Raises TypeError, ValueError or struct.error for a frame that is not what its type says."""
    present = frame.present or b""
    rest = b""
    if frame.text is not None or frame.quality or frame.source:
        rest = orjson.dumps(
            [frame.text, [tuple(run) for run in frame.quality], [tuple(run) for run in frame.source]]
        )
    head = _FRAME.pack(
        bytes.fromhex(schema_hash), frame.n, frame.mono_ns, frame.wall_ms,
        frame.read, frame.suppressed, len(frame.row), len(present),
    )  # fmt: skip
    return b"".join((head, frame.row, present, rest))


def decode_frame(payload: bytes) -> RingFrame:
    """Raises struct.error, ValueError or TypeError where this is no frame."""
    digest, n, mono_ns, wall_ms, read, suppressed, row_bytes, present_bytes = _FRAME.unpack_from(payload)
    row_end = _FRAME.size + row_bytes
    present_end = row_end + present_bytes
    if present_end > len(payload):
        raise ValueError("the row is cut short")
    frame = Frame(
        n, mono_ns, wall_ms, payload[_FRAME.size : row_end], read, suppressed,
        payload[row_end:present_end] or None,
    )  # fmt: skip
    if len(payload) > present_end:
        text, quality, source = orjson.loads(payload[present_end:])
        frame.text = None if text is None else tuple(text)
        frame.quality = tuple(
            QualityRun(first, count, Quality(mark), null, status)
            for first, count, mark, null, status in quality
        )
        frame.source = tuple(SourceRun(*run) for run in source)
    return RingFrame(digest.hex(), frame)


def records(data: bytes) -> Iterator[tuple[Record, bytes]]:
    """The whole records of a segment, in order. Raises Damaged behind the last that is sound."""
    at = 0
    while at + _HEAD.size <= len(data):
        length, checksum, kind = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        if end > len(data):
            return
        payload = data[at + _HEAD.size : end]
        if zlib.crc32(payload) != checksum:
            raise Damaged(f"the record at byte {at} does not have its checksum")
        try:
            known = Record(kind)
        except ValueError as error:
            raise Damaged(f"the record at byte {at} is of a kind {kind} that is not known") from error
        yield known, payload
        at = end


# --- a directory ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Segment:
    path: Path
    number: int
    released: int = 0
    frames: list[RingFrame] = field(default_factory=list)
    schemas: dict[str, bytes] = field(default_factory=dict)
    damage: str = ""
    device: str | None = None


def find(directory: Path, device: str, boot: str, own_run: str) -> Leftovers:
    """Reads what earlier runs left here. Changes nothing, and raises nothing for what it finds.

    Segments of another device in this boot are none of ours and stay where they are.
    """
    found = Leftovers()
    by_run: dict[str, list[_Segment]] = {}
    missed: set[tuple[str, int]] = set()
    for path in sorted(directory.glob(f"{PREFIX}*")):
        match = _NAME.fullmatch(path.name)
        if match is None or match["run"] == own_run:
            continue
        if match["boot"] != boot:
            found.finished.append(path)
        elif match["missed"]:
            missed.add((match["run"], int(match["number"])))
            found.finished.append(path)
        else:
            segment = _read(path, int(match["number"]))
            if segment.device in (device, None):
                by_run.setdefault(match["run"], []).append(segment)
    for run, segments in by_run.items():
        _collect(found, run, segments, {number for name, number in missed if name == run})
    return found


def _read(path: Path, number: int) -> _Segment:
    segment = _Segment(path, number)
    try:
        for kind, payload in records(path.read_bytes()):
            match kind:
                case Record.RUN:
                    head = orjson.loads(payload)
                    segment.device, segment.released = str(head["device"]), int(head["released"])
                case Record.SCHEMA:
                    segment.schemas[hashlib.sha256(payload).hexdigest()] = payload
                case Record.FRAME:
                    segment.frames.append(decode_frame(payload))
                case Record.RELEASED:
                    segment.released = max(segment.released, _MARK.unpack(payload)[0])
    except (Damaged, OSError, KeyError, TypeError, ValueError, struct.error) as error:
        segment.damage = f"{path.name}: {error}"
    return segment


def _collect(found: Leftovers, run: str, segments: list[_Segment], missed: set[int]) -> None:
    released = max(segment.released for segment in segments)
    found.runs.add(run)
    for segment in sorted(segments, key=lambda each: each.number):
        if segment.number <= released:
            found.finished.append(segment.path)
            continue
        found.schemas.update(segment.schemas)
        if segment.frames:
            found.frames.setdefault(run, []).extend(segment.frames)
        if segment.damage:
            found.damaged.append(segment.path)
            found.incomplete[run] = segment.damage
        else:
            found.finished.append(segment.path)
    if any(number > released for number in missed):
        found.incomplete.setdefault(run, "the ring was full or could not be written")


def clear(found: Leftovers) -> None:
    """Removes what is committed and keeps damaged segments aside, the newest few. Never raises."""
    for path in found.finished:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    for path in found.damaged:
        with contextlib.suppress(OSError):
            path.replace(path.with_name(f"{ASIDE}{path.name}"))
            aside = sorted(path.parent.glob(f"{ASIDE}*"), key=lambda each: each.stat().st_mtime)
            for old in aside[:-KEPT_ASIDE]:
                old.unlink()
