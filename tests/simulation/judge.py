"""The account of every frame that was ever appended. It reads both databases and believes no counter.

A frame is at the centre exactly once, or on the edge's disk, or in its memory, or in a loss record; or it
was in memory when the power was cut, or on a disk that was taken away (`excuse`). What a name stands for
never changes, the order within an epoch is that in which frames were made, and heads keep their promise.
"""

import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_agent.buffer.ledger import split_id
from edge_agent.wire import ranges
from edge_agent.wire.batch import Batch, Kind
from edge_agent.wire.messages import Head, Loss, LossReason, UploadAnswer
from edge_agent.wire.ranges import Ranges
from tests.simulation.machine import SCHEMAS, FrameName

Name = tuple[str, int]  # (epoch id, seq)
Group = tuple[str, str, str]  # (run, connection, group)

_SCHEMAS: Final = {schema.hash: schema for schema in SCHEMAS}


class Violated(AssertionError):
    """An invariant does not hold."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is in a batch, whatever its name."""

    frames: dict[FrameName, tuple[int, int]]
    groups: dict[Group, tuple[int, int]]  # first and last number
    losses: tuple[Loss, ...]


@dataclass(slots=True)
class Shelf:
    """One database: what its batches are, by name; and, of the centre, what it has been told."""

    batches: dict[Name, bytes] = field(default_factory=dict)
    received: dict[str, Ranges] = field(default_factory=dict)
    lost: dict[str, Ranges] = field(default_factory=dict)
    epochs: set[str] = field(default_factory=set)


def open_batch(body: bytes, codec: int, raw: int) -> Content:
    batch = Batch.open(body, codec, raw)
    frames: dict[FrameName, tuple[int, int]] = {}
    groups: dict[Group, tuple[int, int]] = {}
    for index, entry in enumerate(batch.sections):
        if entry["k"] == "frames":
            described = _SCHEMAS[entry["s"]]
            group = (batch.origin.run, described.connection, described.group)
            found = batch.frames(index, described)
            numbers = [each.n for each in found]
            if numbers != sorted(numbers):
                raise Violated(f"frames of {group} are out of order in a batch: {numbers}")
            for each in found:
                if (*group, each.n) in frames:
                    raise Violated(f"{(*group, each.n)} is twice in one batch")
                frames[*group, each.n] = (each.read, each.suppressed)
            lo, hi = groups.get(group, (numbers[0], 0))
            groups[group] = (min(lo, numbers[0]), max(hi, numbers[-1]))
    losses = tuple(Loss.model_validate(record) for record in batch.records(Kind.LOSS))
    return Content(frames, groups, losses)


class Judge:
    """appended: the machine's record of frames, read and suppressed samples by name."""

    def __init__(self, appended: dict[FrameName, tuple[int, int]]) -> None:
        self._appended = appended
        self._opened: dict[bytes, Content] = {}
        self._hashes: dict[Name, bytes] = {}
        self._names: dict[FrameName, set[Name]] = defaultdict(set)
        self._excused: set[FrameName] = set()
        self._acked: dict[str, Ranges] = {}
        # Epochs of which names were given out twice, to other content; and those of them of which a copy came
        # back once more: what it holds under such names was renamed meanwhile, and is again (decision 0021).
        self.reused: set[str] = set()
        self._returned_again: set[str] = set()
        # The centre lacks what it once had, until it says that nothing is missing any more.
        self.regressed = False

    # --- reading -----------------------------------------------------------------------------------------

    def edge(self, path: Path) -> Shelf:
        shelf = Shelf()
        if not path.exists():
            return shelf
        with closing(sqlite3.connect(path)) as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'batch'").fetchone():
                return shelf
            epochs: dict[int, str] = dict(db.execute("SELECT no, id FROM epoch"))
            shelf.epochs = set(epochs.values())
            for key, digest in db.execute("SELECT id, hash FROM batch ORDER BY id").fetchall():
                no, seq = split_id(key)
                sql = "SELECT body, codec, raw FROM batch WHERE id = ?"
                self._put(shelf, (epochs[no], seq), digest, db, sql, key)
        return shelf

    def centre(self, path: Path) -> Shelf:
        shelf = Shelf()
        if not path.exists():
            return shelf
        with closing(sqlite3.connect(path)) as db:
            epochs: dict[int, str] = dict(db.execute("SELECT no, id FROM epoch"))
            shelf.epochs = set(epochs.values())
            rows = db.execute("SELECT arrival, epoch_no, seq, hash FROM batch ORDER BY arrival").fetchall()
            for arrival, no, seq, digest in rows:
                sql = "SELECT body, codec, raw FROM batch WHERE arrival = ?"
                self._put(shelf, (epochs[no], seq), digest, db, sql, arrival)
            for no, lo, hi in db.execute("SELECT epoch_no, lo, hi FROM received ORDER BY lo"):
                shelf.received.setdefault(epochs[no], []).append((lo, hi))
            for no, lo, hi in db.execute(
                "SELECT epoch_no, lo, hi FROM lost WHERE reason <> 'renamed' ORDER BY lo"
            ):
                shelf.lost.setdefault(epochs[no], []).append((lo, hi))
        return shelf

    def _put(self, shelf: Shelf, name: Name, digest: bytes, db: Any, sql: str, key: int) -> None:
        shelf.batches[name] = digest
        if self._hashes.setdefault(name, digest) != digest and name[0] not in self.reused:
            raise Violated(f"seq {name[1]} names two batches")
        if digest not in self._opened:
            content = self._opened[digest] = open_batch(*db.execute(sql, (key,)).fetchone())
            self._are_as_appended(content)
        for frame in self._opened[digest].frames:
            self._names[frame].add(name)

    def _are_as_appended(self, content: Content) -> None:
        for name, counts in content.frames.items():
            if self._appended.get(name) != counts:
                raise Violated(f"{name} has {counts} samples read and suppressed, not as it was appended")
        for loss in content.losses:
            for part in loss.connections if loss.exact else ():
                group = (part.run, part.name, part.group)
                named = [(*group, n) for lo, hi in part.n for n in range(lo, hi + 1)]
                samples = sum(self._appended[each][0] - self._appended[each][1] for each in named)
                if samples != part.samples:
                    raise Violated(f"a loss of {part.samples} samples names frames with {samples}")

    # --- what is excused ---------------------------------------------------------------------------------

    def excuse(self, edge: Path, centre: Path) -> int:
        """What is in neither database now may be missing for ever. Returns how many frames."""
        there = self._frames(self.edge(edge)).keys() | self._frames(self.centre(centre)).keys()
        gone = self._appended.keys() - there - self._excused
        self._excused |= gone
        return len(gone)

    def names_may_be_reused(self, edge: Path) -> None:
        """An older copy of the database goes on in the same boot: its last epoch is given out twice."""
        self.copy_comes_back(edge)
        self.reused |= self.edge(edge).epochs

    def copy_comes_back(self, edge: Path) -> None:
        """edge: the database that the copy replaces."""
        self._returned_again |= self.edge(edge).epochs & self.reused

    @property
    def may_count_twice(self) -> bool:
        return bool(self._returned_again)

    # --- promises on the wire ----------------------------------------------------------------------------

    def answered(self, answer: UploadAnswer) -> None:
        """What the centre really acknowledged, whether or not that arrived."""
        self._acked[answer.epoch] = ranges.union(self._acked.get(answer.epoch, []), answer.acked)

    def promise(self, head: Head, edge: Path, centre: Path) -> str:
        """What is wrong with a head that was sent: below its floor all was acknowledged, or told as lost."""
        below = [(1, head.floor - 1)]
        if ranges.intersect(head.held, below):
            return f"{head.held} are held, and the floor is {head.floor}"
        broken = ranges.subtract(below, self._acked.get(head.epoch, []))
        if broken:
            for shelf in (self.edge(edge), self.centre(centre)):
                broken = ranges.subtract(broken, self._told(head.epoch, shelf))
            if broken:
                return f"{broken} are below the floor {head.floor}, and were never acknowledged"
        return ""

    # --- judging -----------------------------------------------------------------------------------------

    def check(
        self, edge: Path, centre: Path, heads: list[Head], in_memory: int, *, in_doubt: bool, final: bool
    ) -> None:
        """in_doubt: a commit failed, and what memory still has of it may be on the disk."""
        at_edge, at_centre = self.edge(edge), self.centre(centre)
        self._no_frame_is_twice(at_centre)
        self._order_is_kept(at_edge)
        self._order_is_kept(at_centre)
        if not self.regressed or final:
            self._heads_keep_their_promise(heads, at_centre)
            self._every_frame_is_somewhere(at_edge, at_centre, heads, in_memory, in_doubt=in_doubt)

    def _frames(self, shelf: Shelf) -> Counter[FrameName]:
        return Counter(frame for digest in shelf.batches.values() for frame in self._opened[digest].frames)

    def _no_frame_is_twice(self, centre: Shelf) -> None:
        twice = sorted(
            frame
            for frame, times in self._frames(centre).items()
            if times > 1 and not self._returned_again & {epoch for epoch, _ in self._names[frame]}
        )
        if twice:
            raise Violated(f"{len(twice)} frames are at the centre twice, such as {twice[0]}")

    def _order_is_kept(self, shelf: Shelf) -> None:
        """From batch to batch; within one, its sections are each in order (`open_batch`)."""
        last: dict[tuple[str, Group], int] = {}
        for (epoch, seq), digest in sorted(shelf.batches.items()):
            for group, numbers in self._opened[digest].groups.items():
                if numbers[0] <= last.get((epoch, group), 0):
                    raise Violated(
                        f"frame {numbers[0]} of {group} stands behind {last[epoch, group]}, in batch {seq}"
                    )
                last[epoch, group] = numbers[1]

    def _heads_keep_their_promise(self, heads: list[Head], centre: Shelf) -> None:
        for head in heads:
            told = ranges.union(centre.received.get(head.epoch, []), self._told(head.epoch, centre))
            broken = ranges.subtract([(1, head.floor - 1)], told)
            if broken:
                raise Violated(f"{broken} are below the floor {head.floor}, and neither received nor lost")

    def _told(self, epoch: str, shelf: Shelf) -> Ranges:
        """Seqs of the epoch that loss records in a database name, those of renamed ones too."""
        found: Ranges = []
        for digest in shelf.batches.values():
            for loss in self._opened[digest].losses:
                if loss.epoch == epoch:
                    found = ranges.union(found, loss.seqs)
        return found

    def _every_frame_is_somewhere(
        self, edge: Shelf, centre: Shelf, heads: list[Head], in_memory: int, *, in_doubt: bool
    ) -> None:
        there = self._frames(edge).keys() | self._frames(centre).keys()
        open_frames = self._appended.keys() - there - self._excused
        if self.regressed:
            # An epoch that both sides have forgotten is asked for by nobody (decision 0010).
            known = {head.epoch for head in heads}
            open_frames -= {
                frame for frame in open_frames if not {epoch for epoch, _ in self._names[frame]} & known
            }
        names, frames = self._lost(edge, centre)
        missing = sorted(
            frame
            for frame in open_frames
            if not ranges.contains(frames.get(frame[:3], []), frame[3])
            and not any(ranges.contains(names.get(epoch, []), seq) for epoch, seq in self._names[frame])
        )
        if len(missing) > in_memory or (len(missing) < in_memory and not in_doubt):
            known_names = sorted(seq for frame in missing for _, seq in self._names[frame])
            raise Violated(
                f"{len(missing)} frames are in no database and no loss record, and {in_memory} in memory; "
                f"the first is {missing[:1]}; seqs that held them: {known_names[:10]}"
            )

    def _lost(self, edge: Shelf, centre: Shelf) -> tuple[dict[str, Ranges], dict[Group, Ranges]]:
        names = {epoch: list(seqs) for epoch, seqs in centre.lost.items()}
        frames: dict[Group, Ranges] = {}
        for digest in {*edge.batches.values(), *centre.batches.values()}:
            for loss in self._opened[digest].losses:
                if loss.reason is not LossReason.RENAMED and loss.epoch:
                    names[loss.epoch] = ranges.union(names.get(loss.epoch, []), loss.seqs)
                for part in loss.connections:
                    group = (part.run, part.name, part.group)
                    frames[group] = ranges.union(frames.get(group, []), part.n)
        return names, frames
