"""Frames in memory between two commits, bounded, with the ring as their protection.

Called from the event loop only. Past the bound the newest frames are dropped and counted into a loss
record that goes with the next commit: the disk has then failed for longer than memory can bridge.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from edge_agent.buffer.ring import FrameRing
from edge_agent.buffer.seal import Take
from edge_agent.contracts.clock import Clock
from edge_agent.runtime.waiting import wait_for_event
from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Schema

MAX_BYTES: Final = 64 << 20
MAX_RECORDS: Final = 10_000
# A batch holds 4 MiB; the rest is room for what is read while the flush gets going.
EARLY_FLUSH_BYTES: Final = 3 << 20
# What a frame costs beside its bytes.
_OVERHEAD_BYTES: Final = 300


class FrameMemory:
    """What no commit has stored yet. `take` hands it to a commit, `stored` or `give_back` must follow."""

    def __init__(self, frame_ring: FrameRing, clock: Clock, max_bytes: int = MAX_BYTES) -> None:
        self._ring = frame_ring
        self._clock = clock
        self._max_bytes = max_bytes
        self._fresh = Take()
        self._fresh_frames = self._fresh_bytes = self._fresh_records = 0
        self._taken: Take | None = None
        self._taken_frames = self._taken_bytes = self._taken_records = 0
        self._full = asyncio.Event()
        self._stored_schemas: set[str] = set()
        self.dropped_samples = 0

    @property
    def frame_count(self) -> int:
        return self._fresh_frames + self._taken_frames

    @property
    def age_seconds(self) -> float:
        """Age of the oldest frame that no commit has stored."""
        since = self._fresh.since if self._taken is None or self._taken.since is None else self._taken.since
        return 0.0 if since is None else self._clock.monotonic() - since

    def announce(self, schemas: Iterable[Schema]) -> None:
        """Takes schemas over for the next commit; what an earlier commit stored is not written again."""
        for schema in schemas:
            if schema.hash not in self._stored_schemas and schema.hash not in self._fresh.schemas:
                self._fresh.schemas[schema.hash] = schema
                self._ring.announce(schema)

    def append(self, schema: Schema, frame: Frame) -> None:
        """Never raises. At the bound the frame is dropped and counted."""
        if self._fresh_bytes + self._taken_bytes >= self._max_bytes:
            self._fresh.dropped.add_frame(schema, frame)
            self.dropped_samples += frame.samples
            return
        cost = self._ring.append(schema.hash, frame) + _OVERHEAD_BYTES
        entry = self._fresh.frames.get(schema.hash)
        if entry is None:
            self._fresh.frames[schema.hash] = (schema, [frame])
        else:
            entry[1].append(frame)
        self._fresh_frames += 1
        self._fresh_bytes += cost
        if self._fresh.since is None:
            self._fresh.since = self._clock.monotonic()
        if self._fresh_bytes >= EARLY_FLUSH_BYTES:
            self._full.set()

    def record(self, kind: Kind, record: Mapping[str, Any]) -> None:
        """Never raises. At the bound the record is dropped and counted."""
        if self._fresh_records + self._taken_records >= MAX_RECORDS:
            self._fresh.dropped.add_record(self._clock.wall_ms())
            return
        self._fresh.records.setdefault(kind, []).append(record)
        self._fresh_records += 1

    async def wait(self, seconds: float) -> None:
        """Returns after `seconds`, or as soon as there is enough for a whole batch."""
        await wait_for_event(self._full, seconds, self._clock)

    def take(self) -> Take:
        """All that is here, for one commit."""
        taken = self._taken = self._fresh
        self._taken_frames, self._taken_bytes = self._fresh_frames, self._fresh_bytes
        self._taken_records = self._fresh_records
        self._fresh = Take()
        self._fresh_frames = self._fresh_bytes = self._fresh_records = 0
        self._full.clear()
        return taken

    def stored(self, taken: Take) -> None:
        self._stored_schemas.update(taken.schemas)
        self._taken = None
        self._taken_frames = self._taken_bytes = self._taken_records = 0

    def give_back(self, taken: Take) -> None:
        """The commit failed: what it had comes before what has arrived since."""
        newer, self._fresh, self._taken = self._fresh, taken, None
        for name, (schema, frames) in newer.frames.items():
            taken.frames.setdefault(name, (schema, []))[1].extend(frames)
        for kind, records in newer.records.items():
            taken.records.setdefault(kind, []).extend(records)
        taken.schemas.update(newer.schemas)
        taken.dropped.add(newer.dropped)
        taken.since = newer.since if taken.since is None else taken.since
        self._fresh_frames += self._taken_frames
        self._fresh_bytes += self._taken_bytes
        self._fresh_records += self._taken_records
        self._taken_frames = self._taken_bytes = self._taken_records = 0
