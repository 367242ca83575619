"""The frames section: many frames of one schema as bytes that compress well, and back.

Layouts of the values: `rows` (frame after frame), `columns` (tag after tag) and `sparse` (where some
frames hold not every tag: a bitmap a frame, then the values that exist). In each, the bytes of equal
significance stand together (byte shuffle), run by run. See docs/specs/batch-v1.md.

The parts of a section, in order: times, values, presence, quality, source times, text. Their lengths
stand in the batch's header; an empty part is absent.
"""

from array import array
from collections.abc import Sequence
from enum import StrEnum
from itertools import compress
from typing import Any, Final

import orjson

from edge_agent.wire import varint
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import Frame, selection
from edge_agent.wire.quality import NULL_BIT, Quality, QualityRun, SourceRun
from edge_agent.wire.schema import Run, Schema

MAX_FRAMES: Final = 1 << 20
_TYPECODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Layout(StrEnum):
    ROWS = "rows"
    COLUMNS = "columns"
    SPARSE = "sparse"


def shuffle(data: bytes, size: int) -> bytes:
    """First all first bytes of the elements, then all second ones, and so on."""
    return data if size == 1 else b"".join([data[place::size] for place in range(size)])


def unshuffle(data: bytes, size: int) -> bytes:
    if size == 1:
        return data
    count = len(data) // size
    result = bytearray(len(data))
    for place in range(size):
        result[place::size] = data[place * count : (place + 1) * count]
    return bytes(result)


def is_dense(schema: Schema, frames: Sequence[Frame]) -> bool:
    """Whether every frame holds a whole row and every tag."""
    nbytes = schema.row_bytes
    return all(frame.present is None and len(frame.row) == nbytes for frame in frames)


# --- values ---------------------------------------------------------------------------------------


def pack_rows(schema: Schema, rows: Sequence[bytes]) -> bytes:
    runs = schema.runs
    if len(runs) == 1:
        return shuffle(rows[0] if len(rows) == 1 else b"".join(rows), runs[0].element_bytes)
    return b"".join(
        [
            shuffle(b"".join([row[r.offset : r.offset + r.nbytes] for row in rows]), r.element_bytes)
            for r in runs
        ]
    )


def pack_columns(schema: Schema, rows: Sequence[bytes]) -> bytes:
    parts: list[bytes] = []
    for run in schema.runs:
        block = b"".join([row[run.offset : run.offset + run.nbytes] for row in rows])
        for place in range(run.element_bytes):
            plane = block[place :: run.element_bytes]
            width = run.nbytes // run.element_bytes
            parts += [plane[column::width] for column in range(width)]
    return b"".join(parts)


def unpack_rows(schema: Schema, data: bytes, frames: int, layout: Layout) -> list[bytes]:
    """The rows of a dense section, in either dense layout."""
    if len(data) != schema.row_bytes * frames:
        raise WireError(f"{len(data)} bytes of values, expected {schema.row_bytes * frames}")
    blocks: list[tuple[Run, bytes]] = []
    at = 0
    for run in schema.runs:
        block = data[at : at + run.nbytes * frames]
        at += len(block)
        if layout is Layout.COLUMNS:
            block = _transpose_planes(block, run, frames)
        blocks.append((run, unshuffle(block, run.element_bytes)))
    return [
        b"".join([block[run.nbytes * row : run.nbytes * (row + 1)] for run, block in blocks])
        for row in range(frames)
    ]


def _transpose_planes(block: bytes, run: Run, frames: int) -> bytes:
    """From tag after tag to frame after frame, in each byte plane."""
    plane_bytes = len(block) // run.element_bytes
    return b"".join(
        block[start : start + plane_bytes][row::frames]
        for start in range(0, len(block), plane_bytes)
        for row in range(frames)
    )


def _valued(schema: Schema, frame: Frame) -> list[int]:
    """Which fixed-size tags of the frame have a value: present and not null."""
    chosen = selection(frame.present, len(schema.tags))
    for run in frame.quality:
        if run.null:
            chosen[run.first : run.first + run.count] = [0] * run.count
    return chosen[: schema.fixed_tags]


def _pick(run: Run, row: bytes, chosen: Sequence[int]) -> bytes:
    data = row[run.offset : run.offset + run.nbytes]
    if run.item_bytes == run.element_bytes:
        code = _TYPECODES[run.element_bytes]
        return array(code, compress(array(code, data), chosen)).tobytes()
    items = [data[at : at + run.item_bytes] for at in range(0, run.nbytes, run.item_bytes)]
    return b"".join(compress(items, chosen))


def pack_sparse(schema: Schema, frames: Sequence[Frame]) -> bytes:
    chosen = [_valued(schema, frame) if frame.row else None for frame in frames]
    parts: list[bytes] = []
    for run in schema.runs:
        picked = [
            _pick(run, frame.row, which[run.first : run.first + run.tags])
            for frame, which in zip(frames, chosen, strict=True)
            if which is not None
        ]
        parts.append(shuffle(b"".join(picked), run.element_bytes))
    return b"".join(parts)


def unpack_sparse(schema: Schema, data: bytes, frames: Sequence[Frame]) -> None:
    """Gives each frame its row; a tag without a value reads as zeros there, as its quality tells."""
    chosen = [_valued(schema, frame) for frame in frames]
    rows = [bytearray(schema.row_bytes) for _ in frames]
    at = 0
    for run in schema.runs:
        counts = [sum(which[run.first : run.first + run.tags]) for which in chosen]
        block = unshuffle(data[at : at + sum(counts) * run.item_bytes], run.element_bytes)
        if len(block) != sum(counts) * run.item_bytes:
            raise WireError("the values are cut short")
        at += len(block)
        taken = 0
        for row, which in zip(rows, chosen, strict=True):
            for tag in range(run.tags):
                if which[run.first + tag]:
                    start = run.offset + tag * run.item_bytes
                    row[start : start + run.item_bytes] = block[taken : taken + run.item_bytes]
                    taken += run.item_bytes
    if at != len(data):
        raise WireError("bytes follow the values")
    for frame, row, which in zip(frames, rows, chosen, strict=True):
        frame.row = bytes(row) if any(which) else b""


# --- the parts beside the values --------------------------------------------------------------------


def _pack_times(frames: Sequence[Frame], mono_base: int, wall_base: int) -> bytes:
    numbers: list[int] = []
    for frame in frames:
        numbers.append(varint.zigzag(frame.mono_ns - mono_base))
        numbers.append(varint.zigzag(frame.wall_ms - wall_base))
        mono_base, wall_base = frame.mono_ns, frame.wall_ms
    return varint.encode(numbers)


def _pack_quality(frames: Sequence[Frame]) -> bytes:
    numbers: list[int] = []
    for index, frame in enumerate(frames):
        for run in frame.quality:
            mark = run.quality | (NULL_BIT if run.null else 0)
            numbers += (index, run.first, run.count, mark, run.status)
    return varint.encode(numbers)


def _pack_source(frames: Sequence[Frame]) -> bytes:
    numbers: list[int] = []
    for index, frame in enumerate(frames):
        for run in frame.source:
            numbers += (index, run.first, run.count, varint.zigzag(run.time_ms - frame.wall_ms))
    return varint.encode(numbers)


def _pack_text(frames: Sequence[Frame]) -> bytes:
    if all(frame.text is None for frame in frames):
        return b""
    return orjson.dumps([frame.text for frame in frames])


def _pack_counts(frames: Sequence[Frame]) -> list[list[int]]:
    """What each frame read and suppressed, as runs of `[frames, read, suppressed]`."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and runs[-1][1] == frame.read and runs[-1][2] == frame.suppressed:
            runs[-1][0] += 1
        else:
            runs.append([1, frame.read, frame.suppressed])
    return runs


def _number_runs(frames: Sequence[Frame]) -> list[list[int]]:
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame.n == runs[-1][0] + runs[-1][1]:
            runs[-1][1] += 1
        else:
            runs.append([frame.n, 1])
    return runs


def encode(
    schema: Schema, frames: Sequence[Frame], mono_base: int, wall_base: int, layout: Layout
) -> tuple[dict[str, Any], list[bytes]]:
    """The section's entry for the batch's header, and its parts.

    `layout` chooses between the dense ones; a section that is not dense is always sparse.
    """
    dense = is_dense(schema, frames)
    if dense:
        pack = pack_columns if layout is Layout.COLUMNS else pack_rows
        values = pack(schema, [frame.row for frame in frames])
        presence = b""
    else:
        layout = Layout.SPARSE
        values = pack_sparse(schema, frames)
        presence = _pack_presence(schema, frames)
    parts = [
        _pack_times(frames, mono_base, wall_base),
        values,
        presence,
        _pack_quality(frames),
        _pack_source(frames),
        _pack_text(frames),
    ]
    entry = {
        "k": "frames",
        "s": schema.hash,
        "n": _number_runs(frames),
        "l": str(layout),
        "c": _pack_counts(frames),
        "z": [len(part) for part in parts],
    }
    return entry, parts


def _pack_presence(schema: Schema, frames: Sequence[Frame]) -> bytes:
    if all(frame.present is None for frame in frames):
        return b""
    whole = ((1 << len(schema.tags)) - 1).to_bytes((len(schema.tags) + 7) // 8, "little")
    return b"".join([whole if frame.present is None else frame.present for frame in frames])


def frame_count(entry: dict[str, Any]) -> int:
    return sum(count for _, count in entry["n"])


def decode(
    schema: Schema, entry: dict[str, Any], payload: bytes, mono_base: int, wall_base: int
) -> list[Frame]:
    """The frames of a section. Raises WireError where the bytes and the entry do not fit each other."""
    times, values, presence, quality, source, text = _split(payload, entry["z"])
    frames = _bare_frames(entry, times, mono_base, wall_base)
    tags = len(schema.tags)
    _read_presence(frames, presence, tags)
    _read_quality(frames, quality, tags)
    _read_source(frames, source, tags)
    _read_text(frames, text)
    layout = Layout(entry["l"])
    if layout is Layout.SPARSE:
        unpack_sparse(schema, values, frames)
    else:
        rows = unpack_rows(schema, values, len(frames), layout)
        for frame, row in zip(frames, rows, strict=True):
            frame.row = row
    return frames


def _split(payload: bytes, lengths: Sequence[int]) -> list[bytes]:
    if len(lengths) != 6 or min(lengths) < 0 or sum(lengths) != len(payload):
        raise WireError("the section's parts do not fill it")
    parts: list[bytes] = []
    at = 0
    for length in lengths:
        parts.append(payload[at : at + length])
        at += length
    return parts


def _bare_frames(
    entry: dict[str, Any], times: bytes, mono_base: int, wall_base: int
) -> list[Frame]:
    numbers = varint.decode(times)
    counts = [(read, held) for frames, read, held in entry["c"] for _ in range(frames)]
    names = [first + step for first, count in entry["n"] for step in range(count)]
    if len(names) != len(counts) or len(numbers) != 2 * len(names):
        raise WireError("the section's frame numbers, counts and times differ in number")
    frames: list[Frame] = []
    for index, (n, (read, suppressed)) in enumerate(zip(names, counts, strict=True)):
        mono_base += varint.unzigzag(numbers[2 * index])
        wall_base += varint.unzigzag(numbers[2 * index + 1])
        frames.append(Frame(n, mono_base, wall_base, b"", read, suppressed))
    return frames


def _read_presence(frames: list[Frame], data: bytes, tags: int) -> None:
    if not data:
        return
    width = (tags + 7) // 8
    if len(data) != width * len(frames):
        raise WireError("the presence bitmaps do not match the frames")
    whole = ((1 << tags) - 1).to_bytes(width, "little")
    for index, frame in enumerate(frames):
        present = data[index * width : (index + 1) * width]
        if int.from_bytes(present, "little") >> tags:
            raise WireError("a presence bitmap names tags that the schema does not have")
        frame.present = None if present == whole else present


def _records(data: bytes, width: int, frames: int, tags: int) -> list[list[int]]:
    numbers = varint.decode(data)
    if len(numbers) % width:
        raise WireError("a run is cut short")
    records = [numbers[at : at + width] for at in range(0, len(numbers), width)]
    for frame, first, count, *_ in records:
        if frame >= frames or first + count > tags:
            raise WireError("a run lies outside its frame")
    return records


def _read_quality(frames: list[Frame], data: bytes, tags: int) -> None:
    for index, first, count, mark, status in _records(data, 5, len(frames), tags):
        try:
            quality = Quality(mark & ~NULL_BIT)
        except ValueError as error:
            raise WireError(f"quality {mark} is not known") from error
        run = QualityRun(first, count, quality, bool(mark & NULL_BIT), status)
        frames[index].quality += (run,)


def _read_source(frames: list[Frame], data: bytes, tags: int) -> None:
    for index, first, count, delta in _records(data, 4, len(frames), tags):
        frame = frames[index]
        frame.source += (SourceRun(first, count, frame.wall_ms + varint.unzigzag(delta)),)


def _read_text(frames: list[Frame], data: bytes) -> None:
    if not data:
        return
    rows = orjson.loads(data)
    if not isinstance(rows, list) or len(rows) != len(frames):
        raise WireError("the texts do not match the frames")
    for frame, row in zip(frames, rows, strict=True):
        frame.text = None if row is None else tuple(row)
