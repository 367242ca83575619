"""The batch: one flush of all groups, encoded once, stored once, sent as those same bytes.

Raw body: the head, the sides of all sections (or the JSON of records) in their order, then the values of
all sections as byte planes. The whole is compressed with one codec; the hash is BLAKE2b-128 of the
compressed body. docs/specs/batch-v1.md has the fields.

`encode` and `Batch.open` are pure. Opening checks every length, so that the centre can take a batch
from a stranger; what a section holds is decoded only when asked for.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any, Final

import orjson

from edge_agent.wire import codecs, header, ranges, section, sides
from edge_agent.wire.codecs import Codec
from edge_agent.wire.errors import TooLarge, WireError
from edge_agent.wire.frame import Frame, check_depth
from edge_agent.wire.header import Header
from edge_agent.wire.planes import SIZES
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.schema import Schema
from edge_agent.wire.section import Encoded, Entry, Layout

# At which a batch is sealed early.
MAX_COMPRESSED_BYTES: Final = 512 * 1024
MAX_RAW_BYTES: Final = 4 * 1024 * 1024
# What a reader accepts: one frame may be larger than the size at which a batch is sealed early.
RAW_LIMIT_BYTES: Final = 4 * MAX_RAW_BYTES
HASH_BYTES: Final = 16


class Kind(IntFlag):
    """Which kinds of section a batch holds; the uplink sends losses and events in the live lane."""

    FRAMES = 1
    LOSS = 2
    EVENT = 4
    CLOCK = 8


_KINDS: Final = {"frames": Kind.FRAMES, "loss": Kind.LOSS, "event": Kind.EVENT, "clock": Kind.CLOCK}
_RECORD_NAMES: Final = {Kind.LOSS: "loss", Kind.EVENT: "event", Kind.CLOCK: "clock"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Who made a batch: the device, the run of the agent, the boot of the machine.

    Each up to 254 bytes of UTF-8; run and boot cost half of it as 32 hexadecimal digits.
    """

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

    t0, t1: the earliest and latest wall time of its frames, UTC milliseconds; of a batch without frames
    the time it was sealed.
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


# --- writing -------------------------------------------------------------------------------------------


def encode(
    origin: Origin,
    parts: Sequence[FramesPart | RecordsPart],
    wall_ms: int,
    codec: Codec | None = None,
) -> EncodedBatch:
    """Seals the parts. `wall_ms` is the time of a batch without frames.

    A part that is too large for one section becomes several. Raises TooLarge where the batch is over what
    a reader accepts, WireError where a frame or record contradicts itself or cannot be written.
    """
    codec = codecs.preferred() if codec is None else codec
    frames = [frame for part in parts if isinstance(part, FramesPart) for frame in part.frames]
    mono_base, wall_base = (frames[0].mono_ns, frames[0].wall_ms) if frames else (0, wall_ms)
    kind = Kind(0)
    sections: list[Encoded] = []
    for part in parts:
        if isinstance(part, FramesPart):
            kind |= Kind.FRAMES
            sections += _encode_frames(part, mono_base, wall_base)
        else:
            kind |= part.kind
            sections += _encode_records(part)
    entries = [encoded.entry for encoded in sections]
    head = header.encode(Header(origin.device, origin.run, origin.boot, mono_base, wall_base, entries))
    chunks = [b"".join([head, *[side for encoded in sections for side in encoded.sides]])]
    for size in SIZES:
        own = [encoded.planes[size] for encoded in sections if size in encoded.planes]
        chunks += [b"".join([planes[place] for planes in own]) for place in range(size if own else 0)]
    raw_bytes = sum(map(len, chunks))
    if raw_bytes > RAW_LIMIT_BYTES:
        raise TooLarge(f"a batch of {raw_bytes} bytes is over {RAW_LIMIT_BYTES}")
    body = codecs.compress_chunks(codec, chunks)
    times = [frame.wall_ms for frame in frames] or [wall_ms]
    samples = sum([frame.read - frame.suppressed for frame in frames])
    return EncodedBatch(kind, codec, raw_bytes, samples, min(times), max(times), content_hash(body), body)


def _encode_frames(part: FramesPart, mono_base: int, wall_base: int) -> list[Encoded]:
    if not part.frames:
        return []
    try:
        return [section.encode(part.schema, part.frames, mono_base, wall_base, part.layout)]
    except TooLarge:
        if len(part.frames) == 1:
            raise
    middle = len(part.frames) // 2
    halves = part.frames[:middle], part.frames[middle:]
    return [
        encoded
        for half in halves
        for encoded in _encode_frames(FramesPart(part.schema, half, part.layout), mono_base, wall_base)
    ]


def _encode_records(part: RecordsPart) -> list[Encoded]:
    if part.kind not in _RECORD_NAMES:
        raise WireError(f"{part.kind!r} is not one kind of records")
    records = list(part.records)
    check_depth(records)
    try:
        text = orjson.dumps(records)
    except orjson.JSONEncodeError as error:
        raise WireError(f"a record cannot be written as JSON: {error}") from error
    if len(text) <= sides.MAX_TEXT_BYTES:
        return [Encoded(section.records_entry(_RECORD_NAMES[part.kind], len(text)), [text], {})]
    if len(records) == 1:
        raise TooLarge(f"a record is over {sides.MAX_TEXT_BYTES} bytes")
    middle = len(records) // 2
    halves = records[:middle], records[middle:]
    return [encoded for half in halves for encoded in _encode_records(RecordsPart(part.kind, half))]


# --- reading -------------------------------------------------------------------------------------------


class Batch:
    """An opened batch. `sections` are the header's entries; what they hold is cut out when asked for."""

    def __init__(self, head: Header, raw: bytes, start: int) -> None:
        """`start`: where the sides begin. Raises WireError where the sections do not fill `raw`."""
        self.origin = Origin(head.device, head.run, head.boot)
        self.sections: list[Entry] = head.entries
        self._mono_base = head.mono_base
        self._wall_base = head.wall_base
        self._raw = raw
        self._starts: list[int] = []
        # By element size: the values of all sections, and for each section how many stand before its own.
        self._totals = dict.fromkeys(SIZES, 0)
        self._before: list[dict[int, int]] = []
        for entry in self.sections:
            self._starts.append(start)
            start += sum(entry["sides"])
            self._before.append({})
            for size, elements in entry["elements"].items():
                self._before[-1][size] = self._totals[size]
                self._totals[size] += elements
        self._bases: dict[int, int] = {}
        for size in SIZES:
            self._bases[size] = start
            start += size * self._totals[size]
        if start != len(raw):
            raise WireError("the sections do not fill the batch")

    @classmethod
    def open(cls, body: bytes | memoryview, codec: int, raw_bytes: int) -> "Batch":
        """Unpacks and checks the frame of a body. Raises WireError (or a subclass) for anything odd."""
        if not 0 <= raw_bytes <= RAW_LIMIT_BYTES:
            raise TooLarge(f"a batch of {raw_bytes} bytes is over {RAW_LIMIT_BYTES}")
        raw = codecs.decompress(codec, body, raw_bytes)
        head, start = header.decode(raw)
        return cls(head, raw, start)

    def payload(self, index: int) -> bytes:
        """The sides of a frames section, or the JSON of a section of records."""
        start = self._starts[index]
        return self._raw[start : start + sum(self.sections[index]["sides"])]

    def frames(self, index: int, schema: Schema) -> list[Frame]:
        """The frames of the section with this index. Raises WireError where they do not fit `schema`."""
        entry = self.sections[index]
        if entry["k"] != "frames":
            raise WireError(f"section {index} holds no frames")
        planes = {size: self._planes(index, size, count) for size, count in entry["elements"].items()}
        return section.decode(schema, entry, self.payload(index), planes, self._mono_base, self._wall_base)

    def _planes(self, index: int, size: int, elements: int) -> list[bytes]:
        total = self._totals[size]
        first = self._bases[size] + self._before[index][size]
        starts = range(first, first + size * total, total)
        return [self._raw[start : start + elements] for start in starts]

    def records(self, kind: Kind) -> list[dict[str, Any]]:
        """All records of one kind. Raises WireError where they are not a list of objects."""
        found: list[dict[str, Any]] = []
        for index, entry in enumerate(self.sections):
            if _KINDS[entry["k"]] is not kind or kind is Kind.FRAMES:
                continue
            records = sides.load_json(self.payload(index))
            if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
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
            kind |= _KINDS[entry["k"]]
        return kind
