"""From frames in memory to sealed batches. Pure: runs in the writer's thread.

A batch is sealed at a flush; one that would be too large is split by frames until every part fits or is
a single frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_agent.wire import batch, codecs, section
from edge_agent.wire.batch import EncodedBatch, FramesPart, Kind, Origin, RecordsPart
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Schema
from edge_agent.wire.section import Layout

# Above this a trial of both layouts costs more than it can save.
_TRIAL_BYTES = 256 * 1024


@dataclass(slots=True)
class Take:
    """What one flush takes: frames by schema in the order of their first frame, and records by kind."""

    frames: dict[str, tuple[Schema, list[Frame]]] = field(default_factory=dict)
    records: dict[Kind, list[Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not self.frames and not self.records

    @property
    def frame_count(self) -> int:
        return sum(len(frames) for _, frames in self.frames.values())


def choose_layout(schema: Schema, frames: Sequence[Frame]) -> Layout:
    """The dense layout that compresses better, found by trying both."""
    if len(frames) < 2 or schema.row_bytes * len(frames) > _TRIAL_BYTES:
        return Layout.ROWS
    if not section.is_dense(schema, frames):
        return Layout.ROWS
    rows = [frame.row for frame in frames]
    codec = codecs.preferred()
    by_rows = len(codecs.compress(codec, section.pack_rows(schema, rows)))
    by_columns = len(codecs.compress(codec, section.pack_columns(schema, rows)))
    return Layout.COLUMNS if by_columns < by_rows else Layout.ROWS


def seal(origin: Origin, take: Take, wall_ms: int) -> list[EncodedBatch]:
    """All of `take` as batches within the size limits, in order. Empty takes give none."""
    parts: list[FramesPart | RecordsPart] = [
        RecordsPart(kind, records) for kind, records in take.records.items() if records
    ]
    parts += [
        FramesPart(schema, frames, choose_layout(schema, frames)) for schema, frames in take.frames.values()
    ]
    return _seal_parts(origin, parts, wall_ms) if parts else []


def _seal_parts(
    origin: Origin, parts: Sequence[FramesPart | RecordsPart], wall_ms: int
) -> list[EncodedBatch]:
    halves = _halves(parts)
    if halves and _row_bytes(parts) > batch.MAX_RAW_BYTES:
        return [sealed for half in halves for sealed in _seal_parts(origin, half, wall_ms)]
    sealed = batch.encode(origin, parts, wall_ms)
    too_large = len(sealed.body) > batch.MAX_COMPRESSED_BYTES or sealed.raw_bytes > batch.MAX_RAW_BYTES
    if too_large and halves:
        return [sealed for half in halves for sealed in _seal_parts(origin, half, wall_ms)]
    return [sealed]


def _row_bytes(parts: Sequence[FramesPart | RecordsPart]) -> int:
    return sum(len(frame.row) for part in parts if isinstance(part, FramesPart) for frame in part.frames)


def _halves(
    parts: Sequence[FramesPart | RecordsPart],
) -> list[list[FramesPart | RecordsPart]] | None:
    """Two lists that hold the same, in order; None where nothing is left to divide."""
    if len(parts) > 1:
        middle = len(parts) // 2
        return [list(parts[:middle]), list(parts[middle:])]
    part = parts[0]
    if isinstance(part, FramesPart) and len(part.frames) > 1:
        middle = len(part.frames) // 2
        return [
            [FramesPart(part.schema, part.frames[:middle], part.layout)],
            [FramesPart(part.schema, part.frames[middle:], part.layout)],
        ]
    if isinstance(part, RecordsPart) and len(part.records) > 1:
        middle = len(part.records) // 2
        return [
            [RecordsPart(part.kind, part.records[:middle])],
            [RecordsPart(part.kind, part.records[middle:])],
        ]
    return None
