"""The frames section: many frames of one schema as bytes that compress well, and back.

Layouts of the values: `rows` (frame after frame), `columns` (tag after tag) and `sparse` (where some
frames hold not every tag: a bitmap a frame, then the values that exist). Module `planes` has the values,
`sides` what stands beside them; docs/specs/batch-v1.md has the bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypedDict

from edge_agent.wire import planes as planes_
from edge_agent.wire import sides
from edge_agent.wire.errors import TooLarge, WireError
from edge_agent.wire.frame import Frame
from edge_agent.wire.planes import Planes
from edge_agent.wire.schema import MAX_TAGS, Schema

MAX_FRAMES: Final = 65_536
MAX_N: Final = (1 << 62) - 1
MAX_SUPPRESSED: Final = 1 << 48


class Layout(StrEnum):
    ROWS = "rows"
    COLUMNS = "columns"
    SPARSE = "sparse"


class Entry(TypedDict):
    """What the batch's header says of one section; a section of records has `k` and `sides` only.

    k: the kind, `frames`, `loss`, `event` or `clock`. s: the schema's hash.
    n: runs of frame numbers `[first, count]`, ascending. c: runs of frames with equal counts, as
    `[frames, read, suppressed]`. sides: lengths of times, presence, quality, source times and texts; of
    records, of their JSON. elements: by element size, largest first, how many values the section has.
    """

    k: str
    s: str
    layout: Layout
    n: list[list[int]]
    c: list[list[int]]
    sides: list[int]
    elements: dict[int, int]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A section's entry, the bytes of its sides in order, and its values."""

    entry: Entry
    sides: list[bytes]
    planes: Planes


def records_entry(kind: str, nbytes: int) -> Entry:
    return Entry(k=kind, s="", layout=Layout.ROWS, n=[], c=[], sides=[nbytes], elements={})


def frame_count(entry: Entry) -> int:
    return sum(count for _, count in entry["n"])


def is_dense(schema: Schema, frames: Sequence[Frame]) -> bool:
    """Whether every frame holds a whole row and every tag."""
    nbytes = schema.row_bytes
    return all(frame.present is None and len(frame.row) == nbytes for frame in frames)


def pack_rows(schema: Schema, rows: Sequence[bytes]) -> bytes:
    """The values of dense frames in layout `rows`, to try how well that compresses."""
    return _joined(planes_.pack_dense(schema, rows, by_columns=False))


def pack_columns(schema: Schema, rows: Sequence[bytes]) -> bytes:
    return _joined(planes_.pack_dense(schema, rows, by_columns=True))


def _joined(planes: Planes) -> bytes:
    return b"".join([plane for own in planes.values() for plane in own])


def encode(
    schema: Schema, frames: Sequence[Frame], mono_base: int, wall_base: int, layout: Layout
) -> Encoded:
    """One section of these frames, which are ascending by n and at least one.

    `layout` chooses between the dense ones; frames that are not dense are always sparse. Raises TooLarge
    where fewer frames might fit a section, WireError where a frame contradicts itself or its schema.
    """
    _check_size(frames)
    if is_dense(schema, frames):
        by_columns = layout is Layout.COLUMNS
        layout = Layout.COLUMNS if by_columns else Layout.ROWS
        planes = planes_.pack_dense(schema, [frame.row for frame in frames], by_columns)
    else:
        layout = Layout.SPARSE
        planes = planes_.pack_sparse(schema, frames)
    parts = [sides.pack_times(frames, mono_base, wall_base), *_pack_exceptions(schema, frames)]
    entry: Entry = {
        "k": "frames",
        "s": schema.hash,
        "layout": layout,
        "n": _number_runs(frames),
        "c": _count_runs(frames),
        "sides": list(map(len, parts)),
        "elements": {size: len(own[0]) for size, own in planes.items()},
    }
    return Encoded(entry, parts, planes)


def _pack_exceptions(schema: Schema, frames: Sequence[Frame]) -> list[bytes]:
    """Presence, quality, source times and texts: of most sections, none."""
    for frame in frames:
        if frame.present is not None or frame.quality or frame.source or frame.text is not None:
            break
    else:
        return [b"", b"", b"", b""]
    tags = schema.tag_count
    return [
        sides.pack_presence(frames, tags),
        sides.pack_quality(frames, tags),
        sides.pack_source(frames, tags),
        sides.pack_texts(frames, tags - schema.fixed_tags),
    ]


def _check_size(frames: Sequence[Frame]) -> None:
    if len(frames) == 1 and not (frames[0].quality or frames[0].source):
        return
    if len(frames) > MAX_FRAMES:
        raise TooLarge(f"a section holds at most {MAX_FRAMES} frames")
    if sum(len(frame.row) for frame in frames) > planes_.MAX_ROWS_BYTES:
        raise TooLarge(f"the rows of a section are over {planes_.MAX_ROWS_BYTES} bytes")
    if sum(max(len(frame.quality), len(frame.source)) for frame in frames) > sides.MAX_RUNS:
        raise TooLarge(f"a section holds at most {sides.MAX_RUNS} runs of quality or source times")


def _number_runs(frames: Sequence[Frame]) -> list[list[int]]:
    runs: list[list[int]] = []
    following = 1
    for frame in frames:
        if frame.n < following or frame.n > MAX_N:
            raise WireError(f"frame {frame.n} is out of order: frames ascend from 1")
        if runs and frame.n == following:
            runs[-1][1] += 1
        else:
            runs.append([frame.n, 1])
        following = frame.n + 1
    return runs


def _count_runs(frames: Sequence[Frame]) -> list[list[int]]:
    """What each frame read and suppressed, as runs of `[frames, read, suppressed]`."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and runs[-1][1] == frame.read and runs[-1][2] == frame.suppressed:
            runs[-1][0] += 1
            continue
        if not (0 <= frame.suppressed <= MAX_SUPPRESSED and 0 <= frame.samples <= MAX_TAGS):
            raise WireError(f"frame {frame.n} counts {frame.read} read, {frame.suppressed} suppressed")
        runs.append([1, frame.read, frame.suppressed])
    return runs


def decode(
    schema: Schema,
    entry: Entry,
    data: bytes,
    planes: Mapping[int, Sequence[bytes]],
    mono_base: int,
    wall_base: int,
) -> list[Frame]:
    """The frames of a section, from its sides `data` and its values.

    Raises WireError where these and the entry do not fit each other or the schema.
    """
    if schema.hash != entry["s"]:
        raise WireError("the section is of another schema")
    parts = _cut(data, entry["sides"])
    frames = _bare_frames(entry, parts[0], mono_base, wall_base)
    tags = schema.tag_count
    if len(data) > len(parts[0]):
        sides.read_presence(parts[1], frames, tags)
        sides.read_quality(parts[2], frames, tags)
        sides.read_source(parts[3], frames, tags)
        sides.read_texts(parts[4], frames, tags - schema.fixed_tags)
    if entry["layout"] is Layout.SPARSE:
        planes_.unpack_sparse(schema, planes, frames)
        return frames
    if parts[1]:
        raise WireError("a dense section has presence bitmaps")
    by_columns = entry["layout"] is Layout.COLUMNS
    rows = planes_.unpack_dense(schema, planes, len(frames), by_columns)
    for frame, row in zip(frames, rows, strict=True):
        frame.row = row
    return frames


def _cut(data: bytes, lengths: Sequence[int]) -> list[bytes]:
    parts: list[bytes] = []
    at = 0
    for length in lengths:
        parts.append(data[at : at + length])
        at += length
    return parts


def _bare_frames(entry: Entry, times: bytes, mono_base: int, wall_base: int) -> list[Frame]:
    (first, frames), *gaps = entry["n"]
    (_, read, suppressed), *differing = entry["c"]
    if not gaps and not differing:
        at = sides.read_times(times, frames, mono_base, wall_base)
        return [Frame(n, mono, wall, b"", read, suppressed) for n, (mono, wall) in enumerate(at, first)]
    at = sides.read_times(times, frame_count(entry), mono_base, wall_base)
    numbers = [first + step for first, count in entry["n"] for step in range(count)]
    counts = [(read, suppressed) for same, read, suppressed in entry["c"] for _ in range(same)]
    return [
        Frame(n, mono, wall, b"", read, suppressed)
        for n, (mono, wall), (read, suppressed) in zip(numbers, at, counts, strict=True)
    ]
