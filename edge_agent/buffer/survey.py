"""Looks into a buffer's file from beside the agent: what it holds, and whether all of it is sound.

Reads on a connection of its own that changes no byte, while an agent runs or not. Batches are read some
at a time and no transaction is held in between, so that the agent's log does not grow meanwhile; the
check of all pages is the exception.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from edge_agent.buffer import disk, quarantine, rows
from edge_agent.buffer.file import APPLICATION_ID, connect_untouched, is_corruption
from edge_agent.buffer.ledger import Ledger, batch_id, split_id
from edge_agent.contracts.errors import ConfigError, Unavailable
from edge_agent.contracts.stored import Progress
from edge_agent.wire import ranges
from edge_agent.wire.batch import Batch, Kind
from edge_agent.wire.errors import WireError
from edge_agent.wire.messages import Loss, LossReason
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.schema import Schema

_CHUNK: Final = 64


class Damaged(Unavailable):
    """The file cannot be read as far as it was asked."""

    def __init__(self, path: Path, what: str) -> None:
        remedy = (
            "restart the agent: it moves the damaged file aside and takes over what can be read; "
            "`edge-agent buffer export --from FILE` reads what there is in a damaged file"
        )
        super().__init__(f"{path}: {what}; {remedy}")
        self.what = what


class Row(NamedTuple):
    id: int
    kind: int
    codec: int
    raw: int
    samples: int
    t0: int
    t1: int
    hash: bytes
    body: bytes


class Schemas:
    """Schemas of the file by name, each read once; None for one that is not there or not valid."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[str, Schema | None] = {}

    def get(self, name: str) -> Schema | None:
        if name not in self._known:
            self._known[name] = None
            body = rows.select_schema(self._db, name)
            with suppress(WireError):
                found = None if body is None else Schema.from_bytes(body)
                self._known[name] = found if found is not None and found.hash == name else None
        return self._known[name]


def connect(path: Path) -> sqlite3.Connection:
    """Raises Unavailable where there is no file, ConfigError where it is not a buffer, Damaged."""
    if not path.exists():
        raise Unavailable(f"{path}: there is no such file; an agent writes it when it runs")
    try:
        db = connect_untouched(path)
        (application,) = db.execute("PRAGMA application_id").fetchone()
        db.execute("SELECT count(*) FROM epoch").fetchone()
    except sqlite3.Error as error:
        if is_corruption(error):
            raise Damaged(path, str(error)) from error
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR:
            raise ConfigError(f"{path}: is not an agent's buffer") from error
        raise Unavailable(f"{path}: cannot be opened: {error}") from error
    if application != APPLICATION_ID:
        db.close()
        raise ConfigError(f"{path}: is not an agent's buffer")
    return db


def batches(db: sqlite3.Connection, *, where: str = "1", parameters: tuple[Any, ...] = ()) -> Iterator[Row]:
    """Batches in the order of their names, some at a time. where: a condition of this module's own."""
    last = 0
    while True:
        found = db.execute(
            "SELECT id, kind, codec, raw, samples, t0, t1, hash, body FROM batch"  # noqa: S608
            f" WHERE id > ? AND {where} ORDER BY id LIMIT ?",
            (last, *parameters, _CHUNK),
        ).fetchall()
        yield from map(Row._make, found)
        if not found:
            return
        last = found[-1][0]


STATES: Final[tuple[str, ...]] = ("held", "delivered", "written_off")

# --- what it holds -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Sums:
    """Samples of one connection in one run. read = suppressed + framed, framed = held + delivered + lost,
    as far as the file still has the batches and the records of losses."""

    suppressed: int = 0
    held: int = 0
    delivered: int = 0
    lost: int = 0

    def as_json(self) -> dict[str, int]:
        framed = self.held + self.delivered + self.lost
        return {
            "read": self.suppressed + framed,
            "suppressed": self.suppressed,
            "framed": framed,
            "held": self.held,
            "delivered": self.delivered,
            "lost": self.lost,
        }


@dataclass(slots=True)
class _Counts:
    batches: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    samples: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    sums: dict[tuple[str, str], Sums] = field(default_factory=dict)
    # By reason: records, samples that were counted, and the most that others can be.
    losses: dict[str, dict[str, int]] = field(default_factory=dict)
    unreadable: int = 0
    oldest_held_ms: int | None = None


def stats(path: Path, quota_bytes: int | None, progress: Progress) -> dict[str, Any]:
    """What the file holds. Raises Unavailable, ConfigError, Damaged."""
    with closing(connect(path)) as db:
        try:
            ledger = rows.load_ledger(db)
            counts = _count(db, ledger, progress)
            whys = dict(db.execute("SELECT no, why FROM epoch").fetchall())
        except sqlite3.DatabaseError as error:
            raise Damaged(path, str(error)) from error
    return {
        "path": str(path),
        "bytes": _sizes(path),
        "quota_bytes": quota_bytes,
        "batches": {**counts.batches, "all": sum(counts.batches.values())},
        "samples": counts.samples,
        "unreadable_batches": counts.unreadable,
        "oldest_held": counts.oldest_held_ms,
        "epochs": [_epoch(ledger, no, whys[no]) for no in sorted(ledger.epochs)],
        "sums": [
            {"run": run, "connection": connection, **sums.as_json()}
            for (run, connection), sums in counts.sums.items()
        ],
        "losses": [{"reason": reason, **found} for reason, found in sorted(counts.losses.items())],
        "quarantine": quarantined(path),
    }


def _count(db: sqlite3.Connection, ledger: Ledger, progress: Progress) -> _Counts:
    counts, schemas = _Counts(), Schemas(db)
    (total,) = db.execute("SELECT count(*) FROM batch").fetchone()
    states = {no: (epoch.settled, ledger.off(no)) for no, epoch in ledger.epochs.items()}
    for done, row in enumerate(batches(db)):
        progress(done, total)
        no, seq = split_id(row.id)
        settled, off = states.get(no, ([], []))
        state = "written_off" if _has(off, seq) else "delivered" if _has(settled, seq) else "held"
        counts.batches[state] += 1
        counts.samples[state] += row.samples
        if state == "held" and counts.oldest_held_ms is None:
            counts.oldest_held_ms = row.t0
        try:
            _add(counts, Batch.open(row.body, row.codec, row.raw), state, schemas)
        except (WireError, ValueError):
            counts.unreadable += 1
    return counts


def _has(seqs: Ranges, seq: int) -> bool:
    return ranges.contains(seqs, seq)


def _add(counts: _Counts, batch: Batch, state: str, schemas: Schemas) -> None:
    for entry in batch.sections:
        if entry["k"] != "frames":
            continue
        schema = schemas.get(entry["s"])
        name = "?" if schema is None else schema.connection
        sums = counts.sums.setdefault((batch.origin.run, name), Sums())
        samples = sum(frames * (read - suppressed) for frames, read, suppressed in entry["c"])
        sums.suppressed += sum(frames * suppressed for frames, _, suppressed in entry["c"])
        if state == "delivered":
            sums.delivered += samples
        elif state == "held":
            sums.held += samples
    for record in batch.records(Kind.LOSS):
        _add_loss(counts, Loss.model_validate(record))


def _add_loss(counts: _Counts, loss: Loss) -> None:
    if loss.reason is LossReason.RENAMED:
        return
    found = counts.losses.setdefault(loss.reason.value, {"records": 0, "samples": 0, "at_most": 0})
    found["records"] += 1
    found["at_most"] += 0 if loss.exact else loss.max or 0
    for each in loss.connections:
        found["samples"] += each.samples
        counts.sums.setdefault((each.run, each.name), Sums()).lost += each.samples


def _epoch(ledger: Ledger, no: int, why: str) -> dict[str, Any]:
    epoch = ledger.epochs[no]
    return {
        "no": no,
        "id": epoch.id,
        "why": why,
        "floor": ledger.floor(no),
        "next": epoch.next_seq,
        "held": ranges.size(ledger.held(no)),
        "current": no == ledger.current.no,
    }


def _sizes(path: Path) -> dict[str, int]:
    found = {
        "database": disk.allocated(path),
        "wal": disk.allocated(path.with_name(f"{path.name}-wal")),
        "quarantine": quarantine.quarantine_bytes(path),
        "ballast": disk.allocated(disk.ballast_path(path)),
    }
    return {**found, "all": sum(found.values())}


def quarantined(path: Path) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "database": str(each.database),
            "time": each.time_ms,
            "why": each.why,
            "stage": each.stage.value,
            "log_only": each.log_only,
            "bytes": quarantine.size_bytes(each.directory),
        }
        for each in quarantine.listed(path)
    ]


def held_keys(ledger: Ledger) -> Ranges:
    return [(batch_id(no, lo), batch_id(no, hi)) for no in ledger.epochs for lo, hi in ledger.held(no)]
