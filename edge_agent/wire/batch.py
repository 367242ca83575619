"""The batch: one flush of all groups, encoded once, stored once, sent as those same bytes.

Raw body: u32 length of the header (little-endian), the header as JSON, then the sections' payloads in
the order of their entries. The whole is compressed with one codec; the hash is BLAKE2b-128 of the
compressed body. docs/specs/batch-v1.md has the fields.

`encode` and `Batch.open` are pure. Opening checks every length, so that the centre can take a batch
from a stranger; what a section holds is decoded only when asked for.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any, Final

import orjson

from edge_agent.wire import codecs, ranges, section
from edge_agent.wire.codecs import Codec
from edge_agent.wire.errors import TooLarge, WireError
from edge_agent.wire.frame import Frame
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.schema import Schema
from edge_agent.wire.section import Layout
from edge_agent.wire.version import BATCH_FORMAT_VERSION

MAX_COMPRESSED_BYTES: Final = 512 * 1024
MAX_RAW_BYTES: Final = 4 * 1024 * 1024
# What a reader accepts: one frame may be larger than the size at which a batch is sealed early.
RAW_LIMIT_BYTES: Final = 4 * MAX_RAW_BYTES
HASH_BYTES: Final = 16
_LENGTH: Final = struct.Struct("<I")


class Kind(IntFlag):
    """Which kinds of section a batch holds; the uplink sends losses and events in the live lane."""

    FRAMES = 1
    LOSS = 2
    EVENT = 4
    CLOCK = 8


_RECORD_KINDS: Final = {"loss": Kind.LOSS, "event": Kind.EVENT, "clock": Kind.CLOCK}


@dataclass(frozen=True, slots=True)
class Origin:
    """Who made a batch: the device, the run of the agent, the boot of the machine."""

    device: str
    run: str
    boot: str


@dataclass(frozen=True, slots=True)
class FramesPart:
    """Frames of one schema, ascending by n, at least one."""

    schema: Schema
    frames: Sequence[Frame]
    layout: Layout = Layout.ROWS


@dataclass(frozen=True, slots=True)
class RecordsPart:
    """Losses, events or clock readings: JSON objects. `kind` is exactly one of LOSS, EVENT, CLOCK."""

    kind: Kind
    records: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """A sealed batch without its name, which the buffer gives it inside the insert's transaction.

    t0, t1: the earliest and latest wall time of its frames and records, UTC milliseconds.
    """

    kind: Kind
    codec: Codec
    raw_bytes: int
    samples: int
    t0: int
    t1: int
    hash: bytes
    body: bytes


def content_hash(body: bytes | memoryview) -> bytes:
    return hashlib.blake2b(body, digest_size=HASH_BYTES).digest()


def encode(
    origin: Origin,
    parts: Sequence[FramesPart | RecordsPart],
    wall_ms: int,
    codec: Codec | None = None,
) -> EncodedBatch:
    """Seals the parts. `wall_ms` is the time of records that carry none, and of an empty batch."""
    codec = codecs.preferred() if codec is None else codec
    frames = [part for part in parts if isinstance(part, FramesPart)]
    mono_base, wall_base = (
        (frames[0].frames[0].mono_ns, frames[0].frames[0].wall_ms) if frames else (0, wall_ms)
    )
    entries: list[dict[str, Any]] = []
    payloads: list[bytes] = []
    kind = Kind(0)
    for part in parts:
        if isinstance(part, FramesPart):
            kind |= Kind.FRAMES
            entry, data = section.encode(part.schema, part.frames, mono_base, wall_base, part.layout)
            payloads += data
        else:
            kind |= part.kind
            text = orjson.dumps(part.records)
            entry = {"k": (part.kind.name or "").lower(), "z": [len(text)]}
            payloads.append(text)
        entries.append(entry)
    header = orjson.dumps(
        {
            "v": BATCH_FORMAT_VERSION,
            "device": origin.device,
            "run": origin.run,
            "boot": origin.boot,
            "m": mono_base,
            "w": wall_base,
            "sections": entries,
        }
    )
    raw = b"".join([_LENGTH.pack(len(header)), header, *payloads])
    body = codecs.compress(codec, raw)
    times = [frame.wall_ms for part in frames for frame in part.frames] or [wall_ms]
    samples = sum(frame.samples for part in frames for frame in part.frames)
    return EncodedBatch(
        kind, codec, len(raw), samples, min(times), max(times), content_hash(body), body
    )


class Batch:
    """An opened batch. `sections` are the header's entries; payloads are cut out when asked for."""

    def __init__(self, header: dict[str, Any], raw: bytes, starts: list[int]) -> None:
        self.origin = Origin(header["device"], header["run"], header["boot"])
        self.sections: list[dict[str, Any]] = header["sections"]
        self._mono_base: int = header["m"]
        self._wall_base: int = header["w"]
        self._raw = raw
        self._starts = starts

    @classmethod
    def open(cls, body: bytes | memoryview, codec: int, raw_bytes: int) -> "Batch":
        """Unpacks and checks the frame of a body. Raises WireError (or a subclass) for anything odd."""
        if raw_bytes > RAW_LIMIT_BYTES:
            raise TooLarge(f"a batch of {raw_bytes} bytes is over {RAW_LIMIT_BYTES}")
        raw = codecs.decompress(codec, body, raw_bytes)
        if len(raw) < _LENGTH.size:
            raise WireError("the batch has no header")
        start = _LENGTH.size + _LENGTH.unpack_from(raw)[0]
        if start > len(raw):
            raise WireError("the header is cut short")
        try:
            header = orjson.loads(raw[_LENGTH.size : start])
            if header["v"] != BATCH_FORMAT_VERSION:
                raise WireError(f"batch format {header['v']!r} is not known to this build")
            _check_header(header)
            starts = _section_starts(header["sections"], start)
        except (KeyError, TypeError, orjson.JSONDecodeError) as error:
            raise WireError(f"the header is not valid: {error!r}") from error
        if starts[-1] != len(raw):
            raise WireError("the sections do not fill the batch")
        return cls(header, raw, starts)

    def payload(self, index: int) -> bytes:
        return self._raw[self._starts[index] : self._starts[index + 1]]

    def frames(self, index: int, schema: Schema) -> list[Frame]:
        """The frames of the section with this index. Raises WireError where they do not fit `schema`."""
        try:
            return section.decode(
                schema, self.sections[index], self.payload(index), self._mono_base, self._wall_base
            )
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            if isinstance(error, WireError):
                raise
            raise WireError(f"section {index} is not valid: {error!r}") from error

    def records(self, kind: Kind) -> list[dict[str, Any]]:
        """All records of one kind. Raises WireError where they are not a list of objects."""
        found: list[dict[str, Any]] = []
        for index, entry in enumerate(self.sections):
            if _RECORD_KINDS.get(entry["k"]) is not kind:
                continue
            try:
                records = orjson.loads(self.payload(index))
            except orjson.JSONDecodeError as error:
                raise WireError(f"section {index} is not JSON: {error}") from error
            if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
                raise WireError(f"section {index} is not a list of objects")
            found += records
        return found

    def schema_hashes(self) -> set[str]:
        return {entry["s"] for entry in self.sections if entry["k"] == "frames"}

    def contents(self) -> dict[str, tuple[Ranges, int]]:
        """By schema hash, the frame numbers and the count of samples, without decoding a frame."""
        found: dict[str, tuple[Ranges, int]] = {}
        for entry in self.sections:
            if entry["k"] == "frames":
                numbers, samples = found.get(entry["s"], ([], 0))
                pairs = [(first, first + count - 1) for first, count in entry["n"]]
                samples += sum(frames * (read - held) for frames, read, held in entry["c"])
                found[entry["s"]] = (ranges.union(numbers, pairs), samples)
        return found

    @property
    def kind(self) -> Kind:
        kind = Kind(0)
        for entry in self.sections:
            kind |= _RECORD_KINDS.get(entry["k"], Kind.FRAMES)
        return kind


def _check_header(header: dict[str, Any]) -> None:
    texts = (header["device"], header["run"], header["boot"])
    numbers = (header["m"], header["w"])
    if not all(isinstance(text, str) for text in texts):
        raise WireError("device, run and boot must be texts")
    if not all(isinstance(number, int) for number in numbers):
        raise WireError("the time bases must be whole numbers")


def _section_starts(entries: list[dict[str, Any]], start: int) -> list[int]:
    """Where each section begins, and behind them the end of the last."""
    starts = [start]
    for entry in entries:
        if entry["k"] == "frames":
            _check_frames_entry(entry)
        elif entry["k"] not in _RECORD_KINDS:
            raise WireError(f"section kind {entry['k']!r} is not known to this build")
        lengths = entry["z"]
        if not all(isinstance(length, int) and length >= 0 for length in lengths):
            raise WireError("a section's length is not a whole number")
        starts.append(starts[-1] + sum(lengths))
    return starts


def _check_frames_entry(entry: dict[str, Any]) -> None:
    runs: list[Any] = [*entry["n"], *entry["c"]]
    if not all(isinstance(number, int) and number >= 0 for run in runs for number in run):
        raise WireError("frame numbers and counts must be whole numbers")
    if not 0 < section.frame_count(entry) <= section.MAX_FRAMES:
        raise WireError(f"a section holds 1 to {section.MAX_FRAMES} frames")
    if sum(run[0] for run in entry["c"]) != section.frame_count(entry):
        raise WireError("the counts are not those of the frames")
    if not isinstance(entry["s"], str):
        raise WireError("a schema's name must be a text")
