"""Takes over what can be read of quarantined databases: every batch under its own name.

Runs in the writer's thread. Rows are found page by page and known again by their columns, so that a
damaged page costs what stood on it and nothing else. A batch is believed where its body has its hash and
its name stands in order among its neighbours, a schema where its name is the hash of its bytes. Memory is
bounded by one row and one transaction, transactions by `_COMMIT_BYTES`.

A salvage that dies is done again from the start: rows that are there are left as they are. It ends with
a note in `state`, which `recovery.begin` turns into a new epoch and the loss records, in one transaction.
"""

import contextlib
import hashlib
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from edge_agent.buffer import disk, quarantine, rows
from edge_agent.buffer.file import connect_writer, transaction
from edge_agent.buffer.ledger import split_id
from edge_agent.buffer.pages import Cell, LogFrame, Torn, Value, View, read_log, serials, values
from edge_agent.buffer.quarantine import Quarantined, Stage
from edge_agent.buffer.recognition import body_bytes, front_of, in_order, kind_of
from edge_agent.contracts.outbox import CENTRAL_SINK
from edge_agent.wire import ranges
from edge_agent.wire.batch import content_hash
from edge_agent.wire.ranges import Ranges

logger = structlog.stdlib.get_logger(__name__)

# Keys of `state`: what a salvage left to account for; which quarantined files are accounted for.
PENDING: Final = "salvage"
DONE: Final = "salvaged"
LOST: Final = "database_lost"
_DONE_KEPT: Final = 32

_COMMIT_BYTES: Final = 8 << 20
# What stays free: the log of a commit, and what a start writes behind it.
_SPARE_BYTES: Final = 3 * _COMMIT_BYTES
_SPARE_SHARE: Final = 8
_COMMIT_ROWS: Final = 2_000
_DAMAGED_KEPT: Final = 20_000
# Of a copy that is read and thrown away: it only sets the size of its log.
_EXTRACTED_BYTES: Final = 2 << 30
# A name further than this behind all that is known of an epoch is a damaged one.
_NAMES_AHEAD: Final = 100_000
_STATE_KEYS: Final = frozenset({"device", "has_sink", "local_epochs", "written_off"})
_EPOCH_ID: Final = 32


_INSERT_BATCH: Final = (
    "INSERT OR IGNORE INTO batch(id, kind, codec, raw, samples, t0, t1, hash, body)"
    " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_SCHEMA: Final = "INSERT OR IGNORE INTO schema(hash, body) VALUES(?, ?)"
_INSERT_EPOCH: Final = (
    "INSERT OR IGNORE INTO epoch(no, id, next_seq, boot_id, machine, why) VALUES(?, ?, ?, ?, ?, ?)"
)
_INSERT_RUN: Final = "INSERT OR IGNORE INTO run(id, boot_id, started, clean) VALUES(?, ?, ?, ?)"

# (size, free bytes) of the file system that a file is on.
FileSystem = Callable[[Path], tuple[int, int]]
Room = Callable[[], tuple[int, int]]


@dataclass(slots=True)
class Found:
    """What a salvage leaves to be accounted for.

    damaged: samples of batches whose row was there and whose body cannot be believed, by primary key.
    most: samples of the largest batch. nameless: batches of epochs whose id is not known any more.
    full: the disk had no room for all of it.
    """

    names: list[str] = field(default_factory=list)
    why: str = ""
    batches: int = 0
    damaged: dict[int, int] = field(default_factory=dict)
    most: int = 0
    nameless: int = 0
    nameless_samples: int = 0
    full: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "names": self.names,
            "why": self.why,
            "batches": self.batches,
            "damaged": list(self.damaged.items()),
            "most": self.most,
            "nameless": self.nameless,
            "nameless_samples": self.nameless_samples,
            "full": self.full,
        }

    @classmethod
    def from_json(cls, text: dict[str, Any]) -> "Found":
        return cls(**{**text, "damaged": dict(text["damaged"])})


def take_over(
    db: sqlite3.Connection, path: Path, *, lost: bool, file_system: FileSystem = disk.file_system
) -> None:
    """Takes over what is quarantined and not yet salvaged. lost: the database is new, and once was another.

    What was to be sent comes first. Where the disk has no room for all of it the rest is left out.

    Raises sqlite3.Error, OSError; called again it goes on.
    """
    pending = [each for each in quarantine.listed(path) if each.stage is Stage.KEPT]
    done = set(rows.get_state(db, DONE) or ())
    pending = [each for each in pending if each.name not in done]
    if not pending:
        if lost:
            rows.put_state(db, LOST, True)
        return
    noted = rows.get_state(db, PENDING)
    if noted is not None and set(noted["names"]) >= {each.name for each in pending}:
        return
    found = Found()
    # A salvage that a power cut undid in part is done again: what follows it is synchronised with it.
    db.execute("PRAGMA synchronous=NORMAL")
    for each in pending:
        _Salvage(db, each, found, partial(file_system, path)).run()
        logger.info(
            "took over what can be read of a damaged database",
            quarantine=str(each.directory),
            batches=found.batches,
            damaged=len(found.damaged),
            full=found.full,
        )
        found.names.append(each.name)
        found.why = each.why
    db.execute("PRAGMA synchronous=FULL")
    rows.put_state(db, PENDING, found.as_json())


def pending_bytes(path: Path) -> int:
    """How much is quarantined and still to be taken over. Raises OSError."""
    found = quarantine.listed(path)
    return sum(quarantine.size_bytes(each.directory) for each in found if each.stage is Stage.KEPT)


def finish(db: sqlite3.Connection, path: Path, max_bytes: int) -> int:
    """After the commit that accounts for a salvage: notes it beside the files, and trims what is kept.

    Returns the bytes that are kept. Never raises: what fails is done by the next start.
    """
    with contextlib.suppress(OSError):
        kept = quarantine.listed(path)
        if not kept:
            return 0
        done = set(rows.get_state(db, DONE) or ())
        for each in kept:
            if each.stage is Stage.KEPT and each.name in done:
                quarantine.note(each, Stage.SALVAGED)
        quarantine.trim(path, max_bytes)
        return quarantine.quarantine_bytes(path)
    return 0


def extract(source: Path, target: Path) -> sqlite3.Connection:
    """What can be read of a damaged file with its log, in a new database. The file does not change.

    Raises sqlite3.Error, OSError.
    """
    db, _ = connect_writer(target, _EXTRACTED_BYTES)
    try:
        # Nothing that has to outlive this process.
        db.execute("PRAGMA synchronous=OFF")
        _Salvage(db, Quarantined(source.parent, source.name, 0, "", Stage.KEPT), Found()).run()
    except BaseException:
        db.close()
        raise
    return db


def accounted(db: sqlite3.Connection, found: Found) -> None:
    """Part of the transaction that accounts for `found`."""
    rows.put_state(db, DONE, [*(rows.get_state(db, DONE) or ()), *found.names][-_DONE_KEPT:])
    db.execute("DELETE FROM state WHERE key = ?", (PENDING,))


@dataclass(slots=True)
class _Small:
    """The rows of the small tables; of a key that is found twice the first counts.

    epoch_ids: by number, what the index of the ids says. numbers: of the epochs that batches name.
    """

    epochs: dict[int, list[Value]] = field(default_factory=dict)
    epoch_ids: dict[int, set[str]] = field(default_factory=dict)
    numbers: set[int] = field(default_factory=set)
    delivered: Ranges = field(default_factory=list)
    runs: dict[str, tuple[int, list[Value]]] = field(default_factory=dict)
    state: dict[str, bytes] = field(default_factory=dict)


class _Salvage:
    """One quarantined database into the one that is open."""

    def __init__(
        self, db: sqlite3.Connection, source: Quarantined, found: Found, room: Room | None = None
    ) -> None:
        self._db = db
        self._source = source
        self._found = found
        self._room = room
        self._looks_for_room = False
        # Ranges of primary keys, ascending.
        self._delivered: Ranges = []
        self._small = _Small()
        self._waiting: list[tuple[str, tuple[Value, ...]]] = []
        self._waiting_bytes = 0
        # By epoch number: names from here on are damaged ones.
        self._ceilings: dict[int, int] = {}

    def run(self) -> None:
        log = read_log(self._source.log)
        for view, numbers in self._views(log.sound, log.behind):
            for number in numbers:
                for cell in view.cells(number):
                    self._take_small(view, cell)
        self._commit()
        transaction(self._db, self._put_small)
        self._looks_for_room = True
        try:
            for delivered in (False, True):
                for view, numbers in self._views(log.sound, log.behind):
                    for number in numbers:
                        self._take_batches(view, view.cells(number), delivered=delivered)
                self._commit()
        except _NoRoom:
            self._found.full = True

    def _views(self, sound: list[LogFrame], behind: list[LogFrame]) -> Iterator[tuple[View, Iterator[int]]]:
        """The file as SQLite would see it, and then the pages behind a tear of its log."""
        with View(self._source.database, self._source.log, sound) as view:
            free = view.free_pages()
            yield view, (number for number in range(1, view.page_count + 1) if number not in free)
        if behind:
            with View(self._source.database, self._source.log, [*sound, *behind]) as view:
                yield view, iter(sorted({frame.page for frame in behind}))

    # --- small tables ------------------------------------------------------------------------------

    def _take_small(self, view: View, cell: Cell) -> None:
        try:
            kind = kind_of(cell, serials(cell))
            if kind == "batch":
                self._small.numbers.add(split_id(cell.rowid)[0])
            elif kind is not None:
                self._take_row(kind, cell.rowid, values(view.payload(cell)))
        except ValueError:
            # Torn, or not what such a row holds.
            return

    def _take_row(self, kind: str, rowid: int, columns: list[Value]) -> None:
        small = self._small
        match kind, columns:
            case "epoch", [None, str(name), int(), str(), str(), str()] if len(name) == _EPOCH_ID:
                small.epochs.setdefault(rowid, columns)
            case "name", [str(name), int(number)] if len(name) == _EPOCH_ID:
                small.epoch_ids.setdefault(number, set()).add(name)
            case "delivered", [int(sink), int(lo), int(hi)]:
                if sink == CENTRAL_SINK and 0 < lo <= hi and split_id(lo)[0] == split_id(hi)[0]:
                    small.delivered.append((lo, hi))
            case "pair", [str(name), bytes(body)] if name in _STATE_KEYS:
                orjson.loads(body)
                small.state.setdefault(name, body)
            case "pair", [str(name), bytes(body)] if hashlib.sha256(body).hexdigest() == name:
                self._queue(_INSERT_SCHEMA, (name, body), len(body))
            case "run", [str(name), str(), int(), int()]:
                small.runs.setdefault(name, (rowid, columns))

    def _put_small(self) -> None:
        small, log_only = self._small, self._source.log_only
        # A file of which half the epochs are unreadable has them in the index of their ids as well.
        for number in small.numbers - small.epochs.keys():
            names = small.epoch_ids.get(number, set()) - small.runs.keys()
            if len(names) == 1:
                small.epochs[number] = [None, names.pop(), 1, "", "", "unknown"]
        for number, columns in sorted(small.epochs.items()):
            self._db.execute(_INSERT_EPOCH, (number, *columns[1:]))
        self._put_delivered()
        if log_only:
            return
        for key, value in small.state.items():
            self._db.execute("INSERT OR IGNORE INTO state(key, value) VALUES(?, ?)", (key, value))
        for _, columns in sorted(small.runs.values(), key=lambda run: run[0]):
            self._db.execute(_INSERT_RUN, columns)

    def _put_delivered(self) -> None:
        """Joins what is delivered to what is known, and bounds what names may be."""
        stored = self._db.execute("SELECT lo, hi FROM delivered WHERE sink = ?", (CENTRAL_SINK,))
        known: dict[int, Ranges] = {}
        for lo, hi in [*stored.fetchall(), *self._small.delivered]:
            known.setdefault(split_id(lo)[0], []).append((lo, hi))
        self._db.execute("DELETE FROM delivered WHERE sink = ?", (CENTRAL_SINK,))
        for number, next_seq in self._db.execute("SELECT no, next_seq FROM epoch").fetchall():
            own = ranges.coalesce(known.get(number, ()))
            own = [(lo, hi) for lo, hi in own if split_id(hi)[1] < next_seq + _NAMES_AHEAD]
            self._db.executemany(
                "INSERT INTO delivered(sink, lo, hi) VALUES(?, ?, ?)", [(CENTRAL_SINK, *pair) for pair in own]
            )
            self._delivered += own
            last = split_id(own[-1][1])[1] + 1 if own else 1
            self._db.execute("UPDATE epoch SET next_seq = max(next_seq, ?) WHERE no = ?", (last, number))
            self._ceilings[number] = max(next_seq, last) + _NAMES_AHEAD
        self._delivered.sort()

    # --- batches -----------------------------------------------------------------------------------

    def _take_batches(self, view: View, cells: Sequence[Cell], *, delivered: bool) -> None:
        for index, cell in enumerate(cells):
            try:
                if (
                    kind_of(cell, serials(cell)) == "batch"
                    and in_order(cells, index)
                    and self._is_delivered(cell.rowid) == delivered
                ):
                    self._take_batch(view, cell)
            except ValueError:
                continue

    def _is_delivered(self, key: int) -> bool:
        place = bisect_right(self._delivered, (key, 1 << 63)) - 1
        return place >= 0 and key <= self._delivered[place][1]

    def _take_batch(self, view: View, cell: Cell) -> None:
        number, seq = split_id(cell.rowid)
        ceiling = self._ceilings.get(number)
        if ceiling is not None and not 0 < seq < ceiling:
            return
        *columns, digest = front_of(cell)
        samples = columns[3]
        try:
            body = view.payload(cell)[-body_bytes(cell) :]
        except Torn:
            body = b""
        if content_hash(body) != digest:
            if ceiling is not None and len(self._found.damaged) < _DAMAGED_KEPT:
                self._found.damaged[cell.rowid] = samples
        elif ceiling is None:
            self._found.nameless += 1
            self._found.nameless_samples += samples
        else:
            self._found.most = max(self._found.most, samples)
            self._queue(_INSERT_BATCH, (cell.rowid, *columns, digest, body), len(body))

    # --- writing -----------------------------------------------------------------------------------

    def _queue(self, statement: str, row: tuple[Value, ...], nbytes: int) -> None:
        self._waiting.append((statement, row))
        self._waiting_bytes += nbytes
        if self._waiting_bytes >= _COMMIT_BYTES or len(self._waiting) >= _COMMIT_ROWS:
            self._commit()

    def _commit(self) -> None:
        """Raises _NoRoom where that would leave too little for what else a start has to write."""
        if self._waiting:
            if self._room is not None and self._looks_for_room:
                total, free = self._room()
                if free < self._waiting_bytes + min(_SPARE_BYTES, total // _SPARE_SHARE):
                    raise _NoRoom
            transaction(self._db, self._insert)
        self._waiting = []
        self._waiting_bytes = 0

    def _insert(self) -> None:
        for statement, row in self._waiting:
            added = self._db.execute(statement, row).rowcount
            if statement is _INSERT_BATCH:
                self._found.batches += added


class _NoRoom(Exception):
    """The disk has no room for more."""
