"""From frames in memory to sealed batches. Pure: runs in the writer's thread.

A batch is sealed at a flush; one that would be too large is split by frames until every part fits or is
a single frame. A frame or record that cannot be encoded at all must not keep the others from the disk: it
becomes a loss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

from edge_agent.buffer.losses import Dropped
from edge_agent.contracts.hooks import Hooked
from edge_agent.wire import batch, codecs, section
from edge_agent.wire.batch import EncodedBatch, FramesPart, Kind, Origin, RecordsPart
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import Loss, LossReason
from edge_agent.wire.schema import Schema
from edge_agent.wire.section import Layout
from edge_agent.wire.sides import MAX_WALL_MS

Part = FramesPart | RecordsPart

# Above this a trial of both layouts costs more than it can save.
_TRIAL_BYTES: Final = 256 * 1024


@dataclass(slots=True)
class Take:
    """What one flush takes: frames by schema in the order of their first frame, records by kind, schemas
    that no commit has stored yet, what was dropped for want of memory, and what was refused for want of
    disk.

    done: what hooks made of frames and records, here or in a commit that failed. They are older than
    `frames` and `records`, and no hook sees them again.
    since: when its first frame came (monotonic seconds).
    """

    frames: dict[str, tuple[Schema, list[Frame]]] = field(default_factory=dict)
    records: dict[Kind, list[Mapping[str, Any]]] = field(default_factory=dict)
    schemas: dict[str, Schema] = field(default_factory=dict)
    dropped: Dropped = field(default_factory=Dropped)
    refused: Dropped = field(default_factory=Dropped)
    done: Hooked | None = None
    since: float | None = None

    @property
    def empty(self) -> bool:
        nothing_lost = self.dropped.empty and self.refused.empty
        done = self.done
        nothing_done = done is None or not (done.frames or done.records or done.states)
        return not self.frames and not self.records and not self.schemas and nothing_lost and nothing_done

    @property
    def states(self) -> dict[str, bytes]:
        """Of hooks, to be kept with the frames."""
        return {} if self.done is None else self.done.states

    def hooked(self, made: Hooked) -> None:
        """Hooks have seen its frames and records: `made` takes their place."""
        self.frames, self.records = {}, {}
        if self.done is None:
            self.done = made
            return
        for name, (schema, frames) in made.frames.items():
            self.done.frames.setdefault(name, (schema, []))[1].extend(frames)
        for kind, records in made.records.items():
            self.done.records.setdefault(kind, []).extend(records)
        self.done.states |= made.states

    def all_frames(self) -> list[tuple[Schema, list[Frame]]]:
        older = [] if self.done is None else list(self.done.frames.values())
        return [*older, *self.frames.values()]

    def all_records(self) -> dict[Kind, list[Mapping[str, Any]]]:
        if self.done is None:
            return self.records
        kinds = self.done.records.keys() | self.records.keys()
        return {kind: [*self.done.records.get(kind, []), *self.records.get(kind, [])] for kind in kinds}

    def refuse(self, wall_ms: int) -> int:
        """Turns its frames and records into an account of them. Returns how many samples that loses."""
        every = [(frame.n, schema, frame) for schema, frames in self.all_frames() for frame in frames]
        for _, schema, frame in sorted(every, key=itemgetter(0)):
            self.refused.add_frame(schema, frame)
        for records in self.all_records().values():
            for _ in records:
                self.refused.add_record(wall_ms)
        self.frames, self.records = {}, {}
        if self.done is not None:
            self.done = Hooked({}, {}, states=self.done.states)
        return sum(frame.samples for _, _, frame in every)


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


def seal(
    origin: Origin, take: Take, wall_ms: int, most_bytes: int = batch.MAX_COMPRESSED_BYTES
) -> list[EncodedBatch]:
    """All of `take` as batches within the size limits, in order. Empty takes give none.

    most_bytes: of a batch; one that holds a single frame may have more.
    Never fails for what the clock says: a frame from outside of the years 1970 to 9999 becomes a loss.
    """
    wall_ms = min(max(wall_ms, 0), MAX_WALL_MS)
    parts: list[Part] = [
        RecordsPart(kind, records) for kind, records in take.all_records().items() if records
    ]
    losses = []
    if not take.dropped.empty:
        detail = "the database could not be written for longer than memory could bridge"
        losses.append(take.dropped.loss(LossReason.OVERRUN, origin.run, detail))
    if not take.refused.empty:
        detail = "the buffer was full, and on_full is drop_newest"
        losses.append(take.refused.loss(LossReason.QUOTA, origin.run, detail))
    if losses:
        parts.append(loss_part(losses))
    parts += [
        FramesPart(schema, frames, choose_layout(schema, frames)) for schema, frames in take.all_frames()
    ]
    failed = Dropped()
    sealed = _seal(origin, parts, wall_ms, failed, most_bytes) if parts else []
    if not failed.empty:
        detail = "could not be encoded"
        sealed.append(seal_losses(origin, [failed.loss(LossReason.UNREADABLE, origin.run, detail)], wall_ms))
    return sealed


def seal_losses(origin: Origin, losses: Sequence[Loss | Mapping[str, Any]], wall_ms: int) -> EncodedBatch:
    return batch.encode(origin, [loss_part(losses)], wall_ms)


def loss_part(losses: Sequence[Loss | Mapping[str, Any]]) -> RecordsPart:
    """Records that were read back from a batch go on as they are, unknown fields included."""
    return RecordsPart(
        Kind.LOSS, [loss.model_dump(mode="json") if isinstance(loss, Loss) else loss for loss in losses]
    )


def _seal(
    origin: Origin, parts: Sequence[Part], wall_ms: int, failed: Dropped, most_bytes: int
) -> list[EncodedBatch]:
    halves = _halves(parts)
    if not halves or _row_bytes(parts) <= batch.MAX_RAW_BYTES:
        try:
            sealed = batch.encode(origin, parts, wall_ms)
        except WireError:
            if not halves:
                _give_up(parts[0], wall_ms, failed)
                return []
        else:
            fits = len(sealed.body) <= most_bytes and sealed.raw_bytes <= batch.MAX_RAW_BYTES
            if fits or not halves:
                return [sealed]
    return [sealed for half in halves for sealed in _seal(origin, half, wall_ms, failed, most_bytes)]


def _give_up(part: Part, wall_ms: int, failed: Dropped) -> None:
    """`part` is a single frame or record."""
    if isinstance(part, FramesPart):
        for frame in part.frames:
            failed.add_frame(part.schema, frame)
    else:
        failed.add_record(wall_ms)


def _row_bytes(parts: Sequence[Part]) -> int:
    return sum(len(frame.row) for part in parts if isinstance(part, FramesPart) for frame in part.frames)


def _halves(parts: Sequence[Part]) -> list[list[Part]]:
    """Two lists that hold the same, in order; none where nothing is left to divide."""
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
    return []
