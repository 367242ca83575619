"""Checks all that a buffer's file holds: pages, hashes, batches, frame numbers, and the account."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_agent.buffer import rows
from edge_agent.buffer.ledger import Ledger, split_id
from edge_agent.buffer.survey import Damaged, Row, Schemas, batches, connect, held_keys
from edge_agent.contracts.stored import Fault, Progress
from edge_agent.wire import ranges
from edge_agent.wire.batch import Batch, Kind, content_hash
from edge_agent.wire.errors import WireError
from edge_agent.wire.messages import Loss
from edge_agent.wire.ranges import Ranges

_MOST_PAGES: Final = 20
_RESTART: Final = (
    "restart the agent: it moves the damaged file aside, takes over what can be read, and records the rest"
)
_NEVER_SENT: Final = "nothing to do: it is never sent; the agent records its loss when its turn comes"
_REPORT: Final = "report it with `edge-agent support-bundle`: the agent should not be able to write this"

Group = tuple[str, str, str]  # run, connection, group


@dataclass(slots=True)
class _Numbers:
    """Frame numbers of one group in one run. gaps: (lowest, highest, key before, key behind)."""

    seen: Ranges = field(default_factory=list)
    key: int = 0
    gaps: list[tuple[int, int, int, int]] = field(default_factory=list)


def verify(path: Path, progress: Progress) -> Iterator[Fault]:
    """What is wrong, as it is found. Raises Unavailable, ConfigError."""
    try:
        db = connect(path)
    except Damaged as error:
        yield Fault(error.what, str(path), _RESTART)
        return
    with closing(db):
        try:
            progress(0, 0)
            for (text,) in db.execute(f"PRAGMA integrity_check({_MOST_PAGES})"):
                if text != "ok":
                    yield Fault(text.replace("\n", " "), str(path), _RESTART)
            yield from _Check(db).run(progress)
        except sqlite3.DatabaseError as error:
            yield Fault(str(error), str(path), _RESTART)


class _Check:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._schemas = Schemas(db)
        self._numbers: dict[Group, _Numbers] = {}
        self._lost: dict[Group, Ranges] = {}
        self._stored: dict[int, Ranges] = {}
        self._epochs: dict[str, int] = {}

    def run(self, progress: Progress) -> Iterator[Fault]:
        (total,) = self._db.execute("SELECT count(*) FROM batch").fetchone()
        for done, row in enumerate(batches(self._db)):
            progress(done, total)
            no, seq = split_id(row.id)
            self._stored[no] = ranges.union(self._stored.get(no, ()), [(seq, seq)])
            yield from self._batch(row, f"batch {seq} of epoch {no}")
        # Read last: what was acknowledged and pruned meanwhile is not missing.
        ledger = rows.load_ledger(self._db)
        yield from self._account(ledger)
        yield from self._gaps()

    def _batch(self, row: Row, where: str) -> Iterator[Fault]:
        if content_hash(row.body) != row.hash:
            yield Fault("its body is not what was stored", where, _NEVER_SENT)
            return
        try:
            batch = Batch.open(row.body, row.codec, row.raw)
            for index, entry in enumerate(batch.sections):
                if entry["k"] != "frames":
                    continue
                schema = self._schemas.get(entry["s"])
                if schema is None:
                    text = f"its schema {entry['s'][:12]}… is missing or damaged"
                    yield Fault(text, where, "restart the agent: it writes the schemas of its groups again")
                    continue
                batch.frames(index, schema)
                numbers = [(first, first + count - 1) for first, count in entry["n"]]
                group = (batch.origin.run, schema.connection, schema.group)
                yield from self._take(group, ranges.coalesce(numbers), row.id, where)
            if row.samples != sum(samples for _, samples in batch.contents().values()):
                yield Fault("its row counts other samples than its body", where, _REPORT)
            for record in batch.records(Kind.LOSS):
                self._loss(Loss.model_validate(record))
        except (WireError, ValueError) as error:
            yield Fault(f"cannot be decoded: {error}", where, _REPORT)

    def _take(self, group: Group, found: Ranges, key: int, where: str) -> Iterator[Fault]:
        numbers = self._numbers.setdefault(group, _Numbers())
        twice = ranges.intersect(numbers.seen, found)
        if twice:
            text = f"frames {_text(twice)} of {'.'.join(group[1:])} in run {group[0]} are stored twice"
            yield Fault(text, where, _REPORT)
        before = numbers.seen[-1][1] if numbers.seen else found[0][0] - 1
        if found[0][0] > before + 1:
            numbers.gaps.append((before + 1, found[0][0] - 1, numbers.key, key))
        numbers.seen = ranges.union(numbers.seen, found)
        numbers.key = key

    def _loss(self, loss: Loss) -> None:
        for each in loss.connections:
            group = (each.run, each.name, each.group)
            self._lost[group] = ranges.union(self._lost.get(group, ()), each.n)

    def _account(self, ledger: Ledger) -> Iterator[Fault]:
        for lo, hi in held_keys(ledger):
            no, first = split_id(lo)
            last = split_id(hi)[1]
            stored = self._stored.get(no, [])
            # Behind the last that was read the agent has gone on.
            known = min(last, stored[-1][1]) if stored and no == ledger.current.no else last
            missing = ranges.subtract([(first, known)], stored)
            if missing:
                text = f"batches {_text(missing)} are to be sent and are not there"
                yield Fault(text, f"epoch {no}", _NEVER_SENT)
        for entry in ledger.written_off:
            where = f"batch {entry.record_seq} of epoch {entry.record_epoch}"
            epoch = ledger.epochs.get(entry.record_epoch)
            if epoch is None or entry.record_seq >= epoch.next_seq:
                yield Fault("a loss names a record that was never written", where, _REPORT)

    def _gaps(self) -> Iterator[Fault]:
        for group, numbers in self._numbers.items():
            for lo, hi, before, behind in numbers.gaps:
                missing = ranges.subtract([(lo, hi)], [*self._lost.get(group, []), *numbers.seen])
                if missing and self._is_whole(before, behind):
                    text = f"frames {_text(missing)} of {'.'.join(group[1:])} in run {group[0]} are missing"
                    yield Fault(text, f"before batch {split_id(behind)[1]}", _REPORT)

    def _is_whole(self, before: int, behind: int) -> bool:
        """Whether every batch between two is there: else the frames were in one that was pruned or lost."""
        (no, first), (last_no, last) = split_id(before), split_id(behind)
        return no == last_no and not ranges.subtract([(first, last)], self._stored.get(no, []))


def _text(numbers: Ranges) -> str:
    shown = ", ".join(str(lo) if lo == hi else f"{lo}–{hi}" for lo, hi in numbers[:5])
    return shown if len(numbers) <= 5 else f"{shown} and more"
