"""Values as byte planes: the bytes of equal significance stand together, because that compresses well.

A row falls into bands of one element size (`Schema.bands`). The values of a section are, for each band,
its elements in the order of the layout, split into as many planes as an element has bytes: first all
first bytes, then all second ones, and so on. A batch joins the planes of all its sections.

Every function costs time and memory in proportion to the bytes that it reads and writes, whatever a
stranger's schema says.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from edge_agent.wire import ranges
from edge_agent.wire.errors import TooLarge, WireError
from edge_agent.wire.frame import Frame
from edge_agent.wire.ranges import Range, Ranges
from edge_agent.wire.schema import Schema

# By element size in bytes, the planes of one section.
Planes: TypeAlias = dict[int, list[bytes]]
SIZES: Final = (8, 4, 2, 1)
# All rows of a section once they are unpacked: a sparse frame of few bytes may stand for a wide row.
MAX_ROWS_BYTES: Final = 16 * 1024 * 1024
_ONES: Final = re.compile("1+")


def split(block: bytes, size: int) -> list[bytes]:
    return [block] if size == 1 else [block[place::size] for place in range(size)]


def merge(planes: Sequence[bytes]) -> bytes:
    """The inverse of `split`."""
    size = len(planes)
    if size == 1:
        return planes[0]
    result = bytearray(size * len(planes[0]))
    for place, plane in enumerate(planes):
        result[place::size] = plane
    return bytes(result)


def transpose(data: bytes, rows: int, columns: int) -> bytes:
    """From row after row to column after column, in as few steps as there are rows or columns."""
    if rows == 1 or columns == 1:
        return data
    if columns <= rows:
        return b"".join([data[column::columns] for column in range(columns)])
    result = bytearray(len(data))
    for row in range(rows):
        result[row::rows] = data[row * columns : (row + 1) * columns]
    return bytes(result)


# --- dense: every frame holds a whole row --------------------------------------------------------------


def pack_dense(schema: Schema, rows: Sequence[bytes], by_columns: bool) -> Planes:
    bands = schema.bands
    result: Planes = {}
    for band in bands:
        if len(bands) == 1:
            block = rows[0] if len(rows) == 1 else b"".join(rows)
        else:
            block = b"".join([row[band.start : band.end] for row in rows])
        planes = split(block, band.element_bytes)
        if by_columns:
            width = (band.end - band.start) // band.element_bytes
            planes = [transpose(plane, len(rows), width) for plane in planes]
        result[band.element_bytes] = planes
    return result


def unpack_dense(
    schema: Schema, planes: Mapping[int, Sequence[bytes]], rows: int, by_columns: bool
) -> list[bytes]:
    """The rows. Raises WireError where the planes are not as long as the schema wants."""
    bands = schema.bands
    if len(planes) != len(bands):
        raise WireError("the values are not of the schema's sizes")
    blocks: list[bytes] = []
    for band in bands:
        own = planes.get(band.element_bytes)
        width = (band.end - band.start) // band.element_bytes
        if own is None or len(own[0]) != width * rows:
            raise WireError("the values are not as many as the schema wants")
        blocks.append(merge([transpose(plane, width, rows) for plane in own] if by_columns else own))
    if rows == 1:
        return blocks if len(blocks) == 1 else [b"".join(blocks)]
    widths = [band.end - band.start for band in bands]
    return [
        b"".join(
            [block[row * width : (row + 1) * width] for block, width in zip(blocks, widths, strict=True)]
        )
        for row in range(rows)
    ]


# --- sparse: only the values that exist -----------------------------------------------------------------


def set_bits(bitmap: bytes, tags: int) -> Ranges:
    """The tags that a presence bitmap names, as ranges. Raises WireError where it names others."""
    number = int.from_bytes(bitmap, "little")
    if len(bitmap) != (tags + 7) // 8 or number >> tags:
        raise WireError("a presence bitmap is not one of the schema's tags")
    digits = format(number, "b")[::-1]
    return [(found.start(), found.end() - 1) for found in _ONES.finditer(digits)]


def valued(schema: Schema, frame: Frame) -> Ranges:
    """Which tags of the row have a value in this frame: present and not null."""
    fixed = schema.fixed_tags
    if not fixed:
        return []
    present: Ranges = [(0, fixed - 1)]
    if frame.present is not None:
        present = ranges.intersect(set_bits(frame.present, schema.tag_count), present)
    nulls = [(run.first, run.first + run.count - 1) for run in frame.quality if run.null]
    return ranges.subtract(present, nulls) if nulls else present


def _pieces(schema: Schema, tags: Iterable[Range]) -> list[tuple[int, int, int]]:
    """The row's bytes of these tags as (element size, start, end), cut where a band ends."""
    edges = schema.edges
    result: list[tuple[int, int, int]] = []
    for first, last in tags:
        start, end = edges[first], edges[last + 1]
        for band in schema.bands:
            lo, hi = max(start, band.start), min(end, band.end)
            if lo < hi:
                result.append((band.element_bytes, lo, hi))
    return result


def pack_sparse(schema: Schema, frames: Sequence[Frame]) -> Planes:
    """Raises WireError where a frame has values and no row, or a row of the wrong length."""
    picked: dict[int, list[bytes]] = {band.element_bytes: [] for band in schema.bands}
    for frame in frames:
        pieces = _pieces(schema, valued(schema, frame))
        if len(frame.row) != schema.row_bytes and (pieces or frame.row):
            raise WireError(f"frame {frame.n} has a row of {len(frame.row)} bytes, not {schema.row_bytes}")
        for size, start, end in pieces:
            picked[size].append(frame.row[start:end])
    return {size: split(b"".join(parts), size) for size, parts in picked.items() if parts}


def unpack_sparse(schema: Schema, planes: Mapping[int, Sequence[bytes]], frames: Sequence[Frame]) -> None:
    """Gives each frame its row; a tag without a value reads as zeros there, as its quality tells."""
    blocks = {size: merge(own) for size, own in planes.items()}
    taken = dict.fromkeys(blocks, 0)
    unpacked_bytes = 0
    for frame in frames:
        pieces = _pieces(schema, valued(schema, frame))
        if not pieces:
            continue
        unpacked_bytes += schema.row_bytes
        if unpacked_bytes > MAX_ROWS_BYTES:
            raise TooLarge(f"the rows of a section are over {MAX_ROWS_BYTES} bytes")
        row = bytearray(schema.row_bytes)
        for size, start, end in pieces:
            at = taken.get(size, 0)
            value = blocks.get(size, b"")[at : at + end - start]
            if len(value) != end - start:
                raise WireError("the values are cut short")
            row[start:end] = value
            taken[size] = at + end - start
        frame.row = bytes(row)
    if any(len(block) != taken[size] for size, block in blocks.items()):
        raise WireError("there are more values than the frames hold")
