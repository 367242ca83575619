"""The SQL of the buffer. Every function runs in a connection's thread and decides nothing."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, NamedTuple

import orjson

from edge_agent.buffer import pace
from edge_agent.buffer.ledger import Epoch, Ledger, WrittenOff, batch_id, split_id
from edge_agent.buffer.state import Saved, Totals
from edge_agent.contracts.errors import InvariantBroken
from edge_agent.contracts.outbox import CENTRAL_SINK
from edge_agent.wire import ranges
from edge_agent.wire.batch import EncodedBatch, content_hash
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.upload import BatchItem

# `run.clean` of a run: still going or killed; ended in order; killed, and accounted for by a later start.
UNCLEAN: Final = 0
CLEAN: Final = 1
ACCOUNTED: Final = 2

_KEPT_RUNS: Final = 100
# Before a hook's name, in `state`.
_HOOK_STATE: Final = "hook:"
# A prune deletes at most this much in one transaction: the flush that it rides with has to go on.
_PRUNED_BATCHES: Final = 2_000
_PRUNED_BYTES: Final = 8 << 20

# --- what a start reads --------------------------------------------------------------------------------


def load_ledger(db: sqlite3.Connection) -> Ledger:
    ledger = Ledger()
    for no, name, boot, machine in db.execute("SELECT no, id, boot_id, machine FROM epoch ORDER BY no"):
        ledger.epochs[no] = Epoch(no, name, next_seq(db, no), boot, machine)
    for lo, hi in db.execute("SELECT lo, hi FROM delivered WHERE sink = ? ORDER BY lo", (CENTRAL_SINK,)):
        no, first = split_id(lo)
        if no in ledger.epochs:
            ledger.epochs[no].settled.append((first, split_id(hi)[1]))
    for entry in get_state(db, "written_off") or []:
        seqs = [(lo, hi) for lo, hi in entry["seqs"]]
        ledger.written_off.append(
            WrittenOff(entry["epoch_no"], seqs, entry["record_epoch"], entry["record_seq"])
        )
    return ledger


def next_seq(db: sqlite3.Connection, epoch_no: int) -> int:
    """The seq that the epoch's next batch gets. The epoch's own row is brought up to date now and then."""
    (saved,) = db.execute("SELECT next_seq FROM epoch WHERE no = ?", (epoch_no,)).fetchone()
    (newest,) = db.execute("SELECT max(id) FROM batch WHERE id BETWEEN ? AND ?", _span(epoch_no)).fetchone()
    return max(int(saved), split_id(newest)[1] + 1 if newest else 1)


def _span(epoch_no: int) -> tuple[int, int]:
    return batch_id(epoch_no, 0), batch_id(epoch_no + 1, 0) - 1


def first_stored(db: sqlite3.Connection, epoch_no: int) -> int | None:
    """The lowest seq of the epoch that is in the database; None where it has no batch any more."""
    (lowest,) = db.execute("SELECT min(id) FROM batch WHERE id BETWEEN ? AND ?", _span(epoch_no)).fetchone()
    return None if lowest is None else split_id(lowest)[1]


def load_totals(db: sqlite3.Connection, *, pending: bool) -> Totals:
    """The saved sums and the batches behind them, which are pending or not: no later one was settled."""
    saved = get_state(db, "totals") or {}
    known = {each.name for each in fields(Totals)}
    totals = Totals(**{name: value for name, value in saved.items() if name in known})
    for key, nbytes, samples in db.execute(
        "SELECT id, length(body), samples FROM batch WHERE id > ? ORDER BY id", (totals.newest,)
    ):
        totals.store(key, nbytes)
        if pending:
            totals.hold(nbytes, samples)
    return totals


class Run(NamedTuple):
    id: str
    boot: str
    started_ms: int


def unclean_run(db: sqlite3.Connection) -> Run | None:
    """The last run, if it neither ended in order nor was accounted for."""
    row = db.execute(
        "SELECT id, boot_id, started FROM run WHERE clean = ? ORDER BY rowid DESC LIMIT 1", (UNCLEAN,)
    ).fetchone()
    return None if row is None else Run(*row)


def finished_runs(db: sqlite3.Connection, runs: Collection[str]) -> set[str]:
    """Those of `runs` whose frames are all committed."""
    found = db.execute("SELECT id FROM run WHERE clean <> ?", (UNCLEAN,))
    return {name for (name,) in found if name in runs}


class Newest(NamedTuple):
    codec: int
    raw: int
    body: bytes
    samples: int
    t0: int
    t1: int


def newest_batches(db: sqlite3.Connection) -> Iterator[Newest]:
    """Batches, newest first, read one by one."""
    rows = db.execute("SELECT codec, raw, body, samples, t0, t1 FROM batch ORDER BY id DESC")
    return map(Newest._make, rows)


def newest_sizes(db: sqlite3.Connection, count: int) -> list[pace.Stored]:
    """Samples and times of the newest batches, oldest first."""
    found = db.execute("SELECT samples, t0, t1 FROM batch ORDER BY id DESC LIMIT ?", (count,))
    return [pace.Stored(*row) for row in found][::-1]


# --- state ---------------------------------------------------------------------------------------------


def get_state(db: sqlite3.Connection, key: str) -> Any:
    row = db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
    return None if row is None else orjson.loads(row[0])


def put_state(db: sqlite3.Connection, key: str, value: Any) -> None:
    db.execute("INSERT OR REPLACE INTO state(key, value) VALUES(?, ?)", (key, orjson.dumps(value)))


def load_hook_states(db: sqlite3.Connection) -> dict[str, bytes]:
    found = db.execute("SELECT key, value FROM state WHERE key GLOB ?", (f"{_HOOK_STATE}*",))
    return {key.removeprefix(_HOOK_STATE): bytes(value) for key, value in found}


def put_hook_states(db: sqlite3.Connection, states: Mapping[str, bytes]) -> None:
    """An empty state is none any more."""
    for name, state in states.items():
        db.execute("DELETE FROM state WHERE key = ?", (_HOOK_STATE + name,))
        if state:
            db.execute("INSERT INTO state(key, value) VALUES(?, ?)", (_HOOK_STATE + name, state))


def sizes(db: sqlite3.Connection, keys: Ranges) -> tuple[int, int]:
    """The bodies' bytes and the samples of all batches with these primary keys."""
    nbytes = samples = 0
    for lo, hi in keys:
        row = db.execute(
            "SELECT coalesce(sum(length(body)), 0), coalesce(sum(samples), 0)"
            " FROM batch WHERE id BETWEEN ? AND ?",
            (lo, hi),
        ).fetchone()
        nbytes, samples = nbytes + row[0], samples + row[1]
    return nbytes, samples


def sum_batches(db: sqlite3.Connection) -> tuple[int, int, int]:
    """How many batches there are, the bytes of their bodies, and the newest primary key (0 for none)."""
    count, nbytes, newest = db.execute(
        "SELECT count(*), coalesce(sum(length(body)), 0), coalesce(max(id), 0) FROM batch"
    ).fetchone()
    return count, nbytes, newest


def save(db: sqlite3.Connection, saved: Saved) -> None:
    """Writes what is delivered and written off, and the sums."""
    db.execute("DELETE FROM delivered WHERE sink = ?", (CENTRAL_SINK,))
    db.executemany(
        "INSERT INTO delivered(sink, lo, hi) VALUES(?, ?, ?)",
        [(CENTRAL_SINK, lo, hi) for lo, hi in saved.settled],
    )
    db.executemany("UPDATE epoch SET next_seq = ? WHERE no = ?", saved.next_seqs)
    put_state(db, "written_off", [asdict(entry) for entry in saved.written_off])
    put_state(db, "totals", asdict(saved.totals))


def begin_run(db: sqlite3.Connection, run: str, boot: str, wall_ms: int, replayed: Iterable[str]) -> None:
    """A new run; all before it are accounted for. replayed: runs of which the ring had something."""
    db.execute("UPDATE run SET clean = ? WHERE clean = ?", (ACCOUNTED, UNCLEAN))
    insert = "INSERT OR IGNORE INTO run(id, boot_id, started, clean) VALUES(?, ?, ?, ?)"
    db.executemany(insert, [(name, boot, wall_ms, ACCOUNTED) for name in replayed])
    db.execute(insert, (run, boot, wall_ms, UNCLEAN))
    # It may have begun before, in a file that was opened again since.
    db.execute("UPDATE run SET clean = ? WHERE id = ?", (UNCLEAN, run))
    db.execute(
        "DELETE FROM run WHERE rowid NOT IN (SELECT rowid FROM run ORDER BY rowid DESC LIMIT ?)",
        (_KEPT_RUNS,),
    )


def end_run(db: sqlite3.Connection, run: str) -> None:
    db.execute("UPDATE run SET clean = ? WHERE id = ?", (CLEAN, run))


def insert_epoch(db: sqlite3.Connection, epoch: Epoch, why: str) -> None:
    db.execute(
        "INSERT INTO epoch(no, id, next_seq, boot_id, machine, why) VALUES(?, ?, ?, ?, ?, ?)",
        (epoch.no, epoch.id, epoch.next_seq, epoch.boot_id, epoch.machine, why),
    )


def delete_epochs(db: sqlite3.Connection, numbers: Iterable[int]) -> None:
    db.executemany("DELETE FROM epoch WHERE no = ?", [(no,) for no in numbers])


# --- batches and schemas -------------------------------------------------------------------------------


def insert_batches(
    db: sqlite3.Connection, epoch_no: int, first_seq: int, batches: Iterable[EncodedBatch]
) -> list[tuple[int, EncodedBatch]]:
    """Stores batches under the epoch's next names. Returns them with their seqs.

    Raises InvariantBroken where these are not the names that memory expects.
    """
    following = next_seq(db, epoch_no)
    if following != first_seq:
        raise InvariantBroken(f"the next batch of epoch {epoch_no} is {following} on disk, not {first_seq}")
    named = list(enumerate(batches, first_seq))
    db.executemany(
        "INSERT INTO batch(id, kind, codec, raw, samples, t0, t1, hash, body)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                batch_id(epoch_no, seq), int(sealed.kind), int(sealed.codec), sealed.raw_bytes,
                sealed.samples, sealed.t0, sealed.t1, sealed.hash, sealed.body,
            )
            for seq, sealed in named
        ],
    )  # fmt: skip
    return named


def insert_schemas(db: sqlite3.Connection, schemas: Iterable[tuple[str, bytes]]) -> None:
    """schemas: names and canonical bytes. One that is there and damaged is replaced."""
    db.executemany(
        "INSERT INTO schema(hash, body) VALUES(?, ?)"
        " ON CONFLICT(hash) DO UPDATE SET body = excluded.body WHERE body <> excluded.body",
        schemas,
    )


def select_schema(db: sqlite3.Connection, name: str) -> bytes | None:
    row = db.execute("SELECT body FROM schema WHERE hash = ?", (name,)).fetchone()
    return None if row is None else bytes(row[0])


def select_items(db: sqlite3.Connection, epoch_no: int, wanted: Ranges, max_bytes: int) -> list[BatchItem]:
    """The first stored batches of `wanted`, as many as fit `max_bytes`, but at least one."""
    items: list[BatchItem] = []
    total = 0
    for lo, hi in wanted:
        for key, kind, codec, raw, samples, t0, t1, digest, body in db.execute(
            "SELECT id, kind, codec, raw, samples, t0, t1, hash, body FROM batch"
            " WHERE id BETWEEN ? AND ? ORDER BY id",
            (batch_id(epoch_no, lo), batch_id(epoch_no, hi)),
        ):
            total += len(body)
            if items and total > max_bytes:
                return items
            items.append(BatchItem(split_id(key)[1], kind, codec, raw, samples, t0, t1, digest, body))
    return items


@dataclass(slots=True)
class Stored:
    """Which of some seqs are in the database, and the sums over them."""

    seqs: Ranges
    nbytes: int = 0
    samples: int = 0


def select_stored(db: sqlite3.Connection, epoch_no: int, wanted: Ranges) -> Stored:
    found = Stored([])
    for lo, hi in wanted:
        for key, nbytes, samples in db.execute(
            "SELECT id, length(body), samples FROM batch WHERE id BETWEEN ? AND ? ORDER BY id",
            (batch_id(epoch_no, lo), batch_id(epoch_no, hi)),
        ):
            seq = split_id(key)[1]
            if found.seqs and found.seqs[-1][1] == seq - 1:
                found.seqs[-1] = (found.seqs[-1][0], seq)
            else:
                found.seqs.append((seq, seq))
            found.nbytes += nbytes
            found.samples += samples
    return found


def select_damaged(db: sqlite3.Connection, epoch_no: int, wanted: Ranges) -> Stored:
    """Those of `wanted` that are there with a body that is not what was stored."""
    found = Stored([])
    for lo, hi in wanted:
        for key, samples, digest, body in db.execute(
            "SELECT id, samples, hash, body FROM batch WHERE id BETWEEN ? AND ? ORDER BY id",
            (batch_id(epoch_no, lo), batch_id(epoch_no, hi)),
        ):
            if content_hash(body) != digest:
                found.seqs.append((split_id(key)[1], split_id(key)[1]))
                found.nbytes += len(body)
                found.samples += samples
    return found


def select_sizes(
    db: sqlite3.Connection, keys: Ranges, kind: int | None = None
) -> Iterator[tuple[int, int, int, int]]:
    """(primary key, kind, body bytes, samples) of the batches with these keys, ascending."""
    for lo, hi in keys:
        yield from db.execute(
            "SELECT id, kind, length(body), samples FROM batch"
            " WHERE id BETWEEN ? AND ? AND kind = coalesce(?, kind) ORDER BY id",
            (lo, hi, kind),
        )


def select_hash(db: sqlite3.Connection, key: int) -> bytes | None:
    row = db.execute("SELECT hash FROM batch WHERE id = ?", (key,)).fetchone()
    return None if row is None else bytes(row[0])


def delete_batches(db: sqlite3.Connection, epoch_no: int, seqs: Ranges) -> None:
    db.executemany(
        "DELETE FROM batch WHERE id BETWEEN ? AND ?",
        [(batch_id(epoch_no, lo), batch_id(epoch_no, hi)) for lo, hi in seqs],
    )


def rename(
    db: sqlite3.Connection, epoch_no: int, moved: Ranges, new_no: int, watched: Collection[int]
) -> tuple[Ranges, dict[int, int]]:
    """Moves batches into a new epoch, in their order, from seq 1.

    Returns the old seqs that were there to be moved, and the new ones of those that are `watched`.
    """
    stored = select_stored(db, epoch_no, moved).seqs
    places: dict[int, int] = {}
    seq = 1
    for lo, hi in stored:
        for old in range(lo, hi + 1):
            names = batch_id(new_no, seq), batch_id(epoch_no, old)
            db.execute("UPDATE batch SET id = ? WHERE id = ?", names)
            if old in watched:
                places[old] = seq
            seq += 1
    return ranges.coalesce(stored), places


def select_urgent(db: sqlite3.Connection, epoch_no: int) -> list[int]:
    """Seqs of the epoch's batches that hold losses or events."""
    rows = db.execute(
        "SELECT id FROM batch INDEXED BY batch_urgent WHERE kind & 6 AND id BETWEEN ? AND ?", _span(epoch_no)
    )
    return [split_id(key)[1] for (key,) in rows]


def select_t0(db: sqlite3.Connection, key: int) -> int | None:
    row = db.execute("SELECT t0 FROM batch WHERE id >= ? ORDER BY id LIMIT 1", (key,)).fetchone()
    return None if row is None else int(row[0])


class Pruned(NamedTuple):
    """more: the bound of one call was reached."""

    batches: int = 0
    nbytes: int = 0
    more: bool = False


def prune(
    db: sqlite3.Connection, settled: Sequence[tuple[int, int]], old: int, excess: int, keep: int
) -> Pruned:
    """Deletes settled batches that are old, or any oldest ones until `excess` bytes are gone.

    settled: ranges of primary keys, ascending. old: the highest key that is. keep: the newest key, which
    always stays.
    """
    gone = freed = 0
    for lo, hi in settled:
        last: int | None = None
        full = young = False
        for key, nbytes in db.execute(
            "SELECT id, length(body) FROM batch WHERE id BETWEEN ? AND ? ORDER BY id",
            (lo, min(hi, keep - 1)),
        ):
            young = key > old and freed >= excess
            full = gone >= _PRUNED_BATCHES or freed >= _PRUNED_BYTES
            if young or full:
                break
            last, gone, freed = key, gone + 1, freed + nbytes
        if last is not None:
            db.execute("DELETE FROM batch WHERE id BETWEEN ? AND ?", (lo, last))
        if young or full:
            return Pruned(gone, freed, full and not young)
    return Pruned(gone, freed)
