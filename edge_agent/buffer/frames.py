"""Frames in memory between two commits, bounded, with the ring as their protection.

Called from the event loop only. Past the bound the newest frames are dropped and counted into a loss
record that goes with the next commit: the disk has then failed for longer than memory can bridge.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from edge_agent.buffer.ring import FrameRing
from edge_agent.buffer.seal import Take
from edge_agent.contracts.clock import Clock
from edge_agent.runtime.waiting import wait_for_event
from edge_agent.wire import ranges
from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import Loss, LossConnection, LossReason
from edge_agent.wire.schema import Schema

MAX_BYTES: Final = 64 << 20
# A batch holds 4 MiB; the rest is room for what is read while the flush gets going.
EARLY_FLUSH_BYTES: Final = 3 << 20
# What a frame costs beside its row.
_OVERHEAD_BYTES: Final = 300


class FrameMemory:
    def __init__(self, frame_ring: FrameRing, clock: Clock, max_bytes: int = MAX_BYTES) -> None:
        self._ring = frame_ring
        self._clock = clock
        self._max_bytes = max_bytes
        self._take = Take()
        self._bytes = 0  # of all frames that no commit has stored, taken ones included
        self._fresh_bytes = 0  # of those since the last take
        self._frames = 0
        self._since: float | None = None
        self._full = asyncio.Event()
        self._dropped: dict[tuple[str, str], list[Frame]] = {}
        self.dropped_samples = 0

    @property
    def frame_count(self) -> int:
        return self._frames

    @property
    def age_seconds(self) -> float:
        """Age of the oldest frame that no commit has stored."""
        return 0.0 if self._since is None else self._clock.monotonic() - self._since

    def append(self, schema: Schema, frame: Frame) -> None:
        cost = len(frame.row) + _OVERHEAD_BYTES
        if self._bytes + cost > self._max_bytes:
            self._drop(schema, frame)
            return
        self._ring.append(schema.hash, frame)
        entry = self._take.frames.get(schema.hash)
        if entry is None:
            self._take.frames[schema.hash] = (schema, [frame])
        else:
            entry[1].append(frame)
        self._frames += 1
        self._bytes += cost
        self._fresh_bytes += cost
        if self._since is None:
            self._since = self._clock.monotonic()
        if self._fresh_bytes >= EARLY_FLUSH_BYTES:
            self._full.set()

    def record(self, kind: Kind, record: Mapping[str, Any]) -> None:
        self._take.records.setdefault(kind, []).append(record)

    async def wait(self, seconds: float) -> None:
        """Returns after `seconds`, or as soon as there is enough for a whole batch."""
        await wait_for_event(self._full, seconds, self._clock)

    def take(self) -> Take:
        """All that is here, for one commit: `stored` or `give_back` must follow."""
        for loss in self._losses():
            self._take.records.setdefault(Kind.LOSS, []).append(loss.model_dump(mode="json"))
        taken, self._take = self._take, Take()
        self._fresh_bytes = 0
        self._full.clear()
        return taken

    def stored(self, taken: Take) -> None:
        for _, frames in taken.frames.values():
            self._frames -= len(frames)
            self._bytes -= sum(len(frame.row) + _OVERHEAD_BYTES for frame in frames)
        self._since = self._clock.monotonic() if self._frames else None

    def give_back(self, taken: Take) -> None:
        """The commit failed: what it had comes before what has arrived since."""
        newer, self._take = self._take, taken
        for name, (schema, frames) in newer.frames.items():
            self._take.frames.setdefault(name, (schema, []))[1].extend(frames)
        for kind, records in newer.records.items():
            self._take.records.setdefault(kind, []).extend(records)

    def _drop(self, schema: Schema, frame: Frame) -> None:
        self._dropped.setdefault((schema.connection, schema.group), []).append(
            Frame(frame.n, 0, frame.wall_ms, b"", frame.read, frame.suppressed)
        )
        self.dropped_samples += frame.samples

    def _losses(self) -> list[Loss]:
        if not self._dropped:
            return []
        frames = [frame for group in self._dropped.values() for frame in group]
        loss = Loss(
            reason=LossReason.OVERRUN,
            connections=[
                LossConnection(
                    name=connection,
                    group=group,
                    run=self._ring.run,
                    n=ranges.of_numbers(frame.n for frame in lost),
                    samples=sum(frame.samples for frame in lost),
                )
                for (connection, group), lost in self._dropped.items()
            ],
            t0=min(frame.wall_ms for frame in frames),
            t1=max(frame.wall_ms for frame in frames),
            detail="the database could not be written for longer than memory could bridge",
        )
        self._dropped = {}
        return [loss]
