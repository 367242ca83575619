"""The read models that live in memory: latest values, and the frames that were seen.

Fed in the writer's thread, after the commit, in the order of arrival numbers; what came since the last
checkpoint is replayed at the start. Both are caches in front of the checkpoint, bounded, so that a
device nobody hears of costs nothing. A batch that cannot be read here is counted and skipped: it is
stored, acknowledged and accounted for all the same.

One lock guards all: the writer's thread changes, the readers' threads copy.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import structlog

from central_sync.services.data import latest, seen
from central_sync.services.data.latest import Key, Slot
from edge_agent.wire.batch import Batch
from edge_agent.wire.errors import WireError
from edge_agent.wire.schema import Schema

logger = structlog.get_logger()

MAX_TAGS_KEPT: Final = 2_000_000
MAX_GROUPS_KEPT: Final = 200_000


class Arrival(NamedTuple):
    """A stored batch on its way into the read models. Its epoch: the agent's number, then the order in
    which the centre met it, for an agent that lost its database may give a number twice."""

    arrival: int
    device_no: int
    term: int
    ordinal: int
    opened: int
    seq: int
    batch: Batch


class SeenKey(NamedTuple):
    device_no: int
    run: str
    connection: str
    group: str


SlotKey = tuple[int, str]


class ModelSource(Protocol):
    """What the models read where memory has nothing. Called in the writer's thread."""

    def schema(self, name: str) -> Schema | None: ...

    def load_slot(self, device_no: int, schema: str) -> bytes | None: ...

    def load_seen(self, key: SeenKey) -> seen.Pairs: ...


@dataclass(slots=True)
class Checkpoint:
    """Everything that changed since the last one, and the last arrival it includes."""

    arrival: int
    slots: dict[SlotKey, bytes] = field(default_factory=dict)
    frames: dict[SeenKey, seen.Pairs] = field(default_factory=dict)
    duplicates: dict[int, int] = field(default_factory=dict)


class ReadModel:
    def __init__(
        self,
        source: ModelSource,
        arrival: int,
        duplicates: dict[int, int],
        *,
        max_tags: int = MAX_TAGS_KEPT,
        max_groups: int = MAX_GROUPS_KEPT,
    ) -> None:
        """`arrival` and `duplicates` are those of the last checkpoint, the bounds are kept after each."""
        self._source = source
        self._max_tags = max_tags
        self._max_groups = max_groups
        self._lock = threading.Lock()
        self._slots: OrderedDict[SlotKey, Slot] = OrderedDict()
        self._seen: OrderedDict[SeenKey, seen.Pairs] = OrderedDict()
        self._dirty_slots: set[SlotKey] = set()
        self._dirty_seen: set[SeenKey] = set()
        self._saving: tuple[set[SlotKey], set[SeenKey]] = (set(), set())
        self._changed: dict[int, set[str]] = {}
        self._duplicates = duplicates
        self._tags = 0
        self.arrival = arrival
        self.unreadable = 0

    # --- the writer's thread ------------------------------------------------------------------------

    def apply(self, item: Arrival) -> None:
        """Never raises for what a batch holds."""
        try:
            with self._lock:
                self._apply(item)
        except (WireError, ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
            self.unreadable += 1
            logger.warning("batch not readable", seq=item.seq, arrival=item.arrival, error=str(error))
        self.arrival = item.arrival

    def _apply(self, item: Arrival) -> None:
        for index, entry in enumerate(item.batch.sections):
            if entry["k"] != "frames":
                continue
            slot = self._slot(item.device_no, entry["s"])
            self._count(item, slot.schema, entry["n"])
            frames = item.batch.frames(index, slot.schema)
            slot.move(Key(item.term, item.ordinal, item.opened, item.seq, 0), frames)
            self._dirty_slots.add((item.device_no, entry["s"]))
            self._changed.setdefault(item.device_no, set()).add(entry["s"])

    def _slot(self, device_no: int, name: str) -> Slot:
        key = (device_no, name)
        slot = self._slots.get(key)
        if slot is None:
            schema = self._source.schema(name)
            if schema is None:
                raise WireError(f"schema {name} is not stored")
            saved = self._source.load_slot(device_no, name)
            slot = latest.load(schema, saved) if saved else Slot(schema)
            self._slots[key] = slot
            self._tags += len(schema.tags)
        self._slots.move_to_end(key)
        return slot

    def _count(self, item: Arrival, schema: Schema, numbers: list[list[int]]) -> None:
        key = SeenKey(item.device_no, item.batch.origin.run, schema.connection, schema.group)
        pairs = self._seen.get(key)
        if pairs is None:
            pairs = self._seen[key] = self._source.load_seen(key)
        self._seen.move_to_end(key)
        self._dirty_seen.add(key)
        for first, count in numbers:
            twice = seen.add(pairs, first, first + count - 1) if count else 0
            if twice:
                self._duplicates[item.device_no] = self._duplicates.get(item.device_no, 0) + twice

    def checkpoint(self) -> Checkpoint:
        """What the next checkpoint holds. Call `settled` once it is committed; without it, it is held
        again. What is applied between the two belongs to the one after."""
        with self._lock:
            slots, pairs = self._saving
            slots |= self._dirty_slots
            pairs |= self._dirty_seen
            self._dirty_slots, self._dirty_seen = set(), set()
            return Checkpoint(
                self.arrival,
                {key: latest.dump(self._slots[key]) for key in slots},
                {key: [list(pair) for pair in self._seen[key]] for key in pairs},
                dict(self._duplicates),
            )

    def settled(self) -> None:
        """The checkpoint is on disk: forget what is over the bounds, oldest use first."""
        with self._lock:
            self._saving = (set(), set())
            while (
                self._slots
                and self._tags > self._max_tags
                and next(iter(self._slots)) not in self._dirty_slots
            ):
                _, slot = self._slots.popitem(last=False)
                self._tags -= len(slot.schema.tags)
            while len(self._seen) > self._max_groups and next(iter(self._seen)) not in self._dirty_seen:
                self._seen.popitem(last=False)

    def forget(self, device_no: int) -> None:
        """The device's data is deleted: nothing of it is shown or saved again."""
        with self._lock:
            for key in [key for key in self._slots if key[0] == device_no]:
                self._tags -= len(self._slots.pop(key).schema.tags)
            for place in [place for place in self._seen if place.device_no == device_no]:
                del self._seen[place]
            for slots in (self._dirty_slots, self._saving[0]):
                slots.difference_update([key for key in slots if key[0] == device_no])
            for pairs in (self._dirty_seen, self._saving[1]):
                pairs.difference_update([place for place in pairs if place.device_no == device_no])
            self._changed.pop(device_no, None)
            self._duplicates.pop(device_no, None)

    # --- any thread but the event loop's ------------------------------------------------------------

    def slots(self, device_no: int, names: list[str]) -> dict[str, Slot]:
        """Copies of the slots in memory; the others are in the last checkpoint."""
        with self._lock:
            held = {name: self._slots.get((device_no, name)) for name in names}
            return {name: slot.copy() for name, slot in held.items() if slot is not None}

    def duplicates(self) -> dict[int, int]:
        """Frames stored twice, by device; devices without any are absent."""
        with self._lock:
            return dict(self._duplicates)

    def take_changes(self) -> dict[int, list[Slot]]:
        """Slots that moved since the last call; `published` is what was shown before."""
        with self._lock:
            changed, self._changed = self._changed, {}
            taken: dict[int, list[Slot]] = {}
            for device_no, names in changed.items():
                for name in names:
                    slot = self._slots.get((device_no, name))
                    if slot is not None:
                        taken.setdefault(device_no, []).append(slot.copy())
                        slot.published = slot.key
            return taken
