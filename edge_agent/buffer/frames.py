"""Frames in memory between two commits, bounded, with the ring as their protection.

Called from the event loop only. Past the bound the newest frames are dropped and counted into a loss
record that goes with the next commit: the disk has then failed for longer than memory can bridge. What
has piled up meanwhile is handed out in parts, so that no commit needs much room at once.
"""

import asyncio
from collections.abc import Iterable, Mapping
from math import ceil
from typing import Any, Final
from weakref import WeakValueDictionary

from edge_agent.buffer.ring import FrameRing
from edge_agent.buffer.seal import Take
from edge_agent.contracts.clock import Clock
from edge_agent.contracts.hooks import Hooked
from edge_agent.runtime.waiting import wait_for_event
from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Schema

MAX_BYTES: Final = 64 << 20
MAX_RECORDS: Final = 10_000
# A batch holds 4 MiB; the rest is room for what is read while the flush gets going.
EARLY_FLUSH_BYTES: Final = 3 << 20
# The most that one commit takes, give or take a frame of each group.
TAKE_BYTES: Final = 8 << 20
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
        # Of what is fresh, what hooks have made already: a commit failed, and the next one has it first.
        self._done_frames = self._done_bytes = 0
        self._full = asyncio.Event()
        self._left = False
        self._stored_schemas: WeakValueDictionary[str, Schema] = WeakValueDictionary()
        self.dropped_samples = 0

    @property
    def frame_count(self) -> int:
        return self._fresh_frames + self._taken_frames

    @property
    def size_bytes(self) -> int:
        return self._fresh_bytes + self._taken_bytes

    @property
    def is_behind(self) -> bool:
        """Whether there is more than what the last `take` handed out, because of its bound."""
        return self._left

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

    def take(self, most_bytes: int = TAKE_BYTES) -> Take:
        """What is here, for one commit; of very much, the oldest frames of each group, and first of all what
        hooks have made already."""
        taken = self._fresh
        frames, nbytes = self._fresh_frames - self._done_frames, self._fresh_bytes - self._done_bytes
        share = max(0, most_bytes - self._done_bytes) / nbytes if nbytes else 1.0
        self._taken, self._left = taken, share < 1
        self._fresh = Take()
        self._taken_records, self._fresh_records = self._fresh_records, 0
        if self._left:
            self._fresh.frames = _newest(taken, share)
            self._fresh.since = taken.since
        left = sum(len(frames) for _, frames in self._fresh.frames.values())
        self._taken_frames = self._fresh_frames - left
        # A frame's size is not kept: what is left counts as much as an average one each.
        left_bytes = nbytes * left // frames if frames else 0
        self._taken_bytes = self._fresh_bytes - left_bytes
        self._fresh_frames, self._fresh_bytes = left, left_bytes
        self._done_frames = self._done_bytes = 0
        if self._fresh_bytes < EARLY_FLUSH_BYTES:
            self._full.clear()
        return taken

    def hooked(self, taken: Take, made: Hooked) -> None:
        """Hooks have made this of the frames and records that `taken` has."""
        for schema in made.schemas:
            if schema.hash not in self._stored_schemas:
                taken.schemas.setdefault(schema.hash, schema)
        taken.hooked(made)
        frames = [frame for _, group in taken.all_frames() for frame in group]
        self._taken_frames = len(frames)
        self._taken_bytes = sum(len(frame.row) for frame in frames) + _OVERHEAD_BYTES * len(frames)

    def stored(self, taken: Take) -> None:
        self._stored_schemas.update(taken.schemas)
        self._taken = None
        self._taken_frames = self._taken_bytes = self._taken_records = 0

    def refused(self) -> None:
        """What was taken is an account of losses now, and takes no room."""
        self._taken_frames = self._taken_bytes = self._taken_records = 0

    def forget_stored(self) -> None:
        """The database is another one: it needs the schemas in use once more."""
        schemas = list(self._stored_schemas.values())
        self._stored_schemas.clear()
        self.announce(schemas)

    def give_back(self, taken: Take) -> None:
        """The commit failed: what it had comes before what has arrived since."""
        newer, self._fresh, self._taken = self._fresh, taken, None
        for name, (schema, frames) in newer.frames.items():
            taken.frames.setdefault(name, (schema, []))[1].extend(frames)
        for kind, records in newer.records.items():
            taken.records.setdefault(kind, []).extend(records)
        taken.schemas.update(newer.schemas)
        taken.dropped.add(newer.dropped)
        taken.refused.add(newer.refused)
        taken.since = newer.since if taken.since is None else taken.since
        if taken.done is not None:
            self._done_frames, self._done_bytes = self._taken_frames, self._taken_bytes
        self._fresh_frames += self._taken_frames
        self._fresh_bytes += self._taken_bytes
        self._fresh_records += self._taken_records
        self._taken_frames = self._taken_bytes = self._taken_records = 0


def _newest(take: Take, share: float) -> dict[str, tuple[Schema, list[Frame]]]:
    """Cuts the frames of each group behind this share of them, and returns what was cut off.

    By their numbers, whatever schemas the group had: a start takes all below a committed one for committed.
    """
    rest: dict[str, tuple[Schema, list[Frame]]]
    numbers: dict[tuple[str, str], list[int]] = {}
    for schema, frames in take.frames.values():
        numbers.setdefault((schema.connection, schema.group), []).extend(frame.n for frame in frames)
    if not share:
        rest, take.frames = take.frames, {}
        return rest
    last = {group: sorted(found)[ceil(len(found) * share) - 1] for group, found in numbers.items()}
    rest = {}
    for name, (schema, frames) in list(take.frames.items()):
        end = last[schema.connection, schema.group]
        if later := [frame for frame in frames if frame.n > end]:
            rest[name] = (schema, later)
            frames[:] = [frame for frame in frames if frame.n <= end]
            if not frames:
                del take.frames[name]
    return rest
