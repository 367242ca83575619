"""The SQL of the buffer. Every function runs in a connection's thread and decides nothing."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import orjson

from edge_agent.buffer.ledger import Epoch, Ledger, WrittenOff, batch_id, split_id
from edge_agent.buffer.state import Saved, Totals
from edge_agent.contracts.outbox import CENTRAL_SINK
from edge_agent.wire.batch import EncodedBatch
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.schema import Schema
from edge_agent.wire.upload import BatchItem


def load_ledger(db: sqlite3.Connection) -> Ledger:
    ledger = Ledger()
    for no, name, next_seq, boot, machine in db.execute(
        "SELECT no, id, next_seq, boot_id, machine FROM epoch ORDER BY no"
    ):
        (newest,) = db.execute(
            "SELECT max(id) FROM batch WHERE id BETWEEN ? AND ?", (batch_id(no, 0), batch_id(no + 1, 0) - 1)
        ).fetchone()
        # Seqs are handed out with the batches; the row is brought up to date only now and then.
        following = split_id(newest)[1] + 1 if newest else 1
        ledger.epochs[no] = Epoch(no, name, max(next_seq, following), boot, machine)
    for lo, hi in db.execute("SELECT lo, hi FROM delivered WHERE sink = ? ORDER BY lo", (CENTRAL_SINK,)):
        no, first = split_id(lo)
        if no in ledger.epochs:
            ledger.epochs[no].settled.append((first, split_id(hi)[1]))
    for entry in get_state(db, "written_off") or []:
        ledger.written_off.append(
            WrittenOff(
                entry["epoch_no"], [(lo, hi) for lo, hi in entry["seqs"]],
                entry["record_epoch"], entry["record_seq"],
            )
        )  # fmt: skip
    return ledger


def load_totals(db: sqlite3.Connection) -> Totals:
    totals = Totals(**(get_state(db, "totals") or {}))
    for key, nbytes, samples in db.execute(
        "SELECT id, length(body), samples FROM batch WHERE id > ? ORDER BY id", (totals.newest,)
    ):
        totals.store(key, nbytes, samples)
    return totals


def save_settled(db: sqlite3.Connection, saved: Saved) -> None:
    """Writes what is delivered and written off, and what goes with it."""
    db.execute("DELETE FROM delivered WHERE sink = ?", (CENTRAL_SINK,))
    db.executemany(
        "INSERT INTO delivered(sink, lo, hi) VALUES(?, ?, ?)",
        [(CENTRAL_SINK, lo, hi) for lo, hi in saved.settled],
    )
    db.executemany("UPDATE epoch SET next_seq = ? WHERE no = ?", saved.next_seqs)
    put_state(db, "written_off", [asdict(entry) for entry in saved.written_off])
    put_state(db, "totals", asdict(saved.totals))


def get_state(db: sqlite3.Connection, key: str) -> Any:
    row = db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
    return None if row is None else orjson.loads(row[0])


def put_state(db: sqlite3.Connection, key: str, value: Any) -> None:
    db.execute("INSERT OR REPLACE INTO state(key, value) VALUES(?, ?)", (key, orjson.dumps(value)))


def insert_epoch(db: sqlite3.Connection, epoch: Epoch, why: str) -> None:
    db.execute(
        "INSERT INTO epoch(no, id, next_seq, boot_id, machine, why) VALUES(?, ?, ?, ?, ?, ?)",
        (epoch.no, epoch.id, epoch.next_seq, epoch.boot_id, epoch.machine, why),
    )


def insert_batch(db: sqlite3.Connection, key: int, sealed: EncodedBatch) -> None:
    db.execute(
        "INSERT INTO batch(id, kind, codec, raw, samples, t0, t1, hash, body)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            key, int(sealed.kind), int(sealed.codec), sealed.raw_bytes, sealed.samples,
            sealed.t0, sealed.t1, sealed.hash, sealed.body,
        ),
    )  # fmt: skip


def insert_schemas(db: sqlite3.Connection, schemas: Iterable[Schema]) -> None:
    db.executemany(
        "INSERT OR IGNORE INTO schema(hash, body) VALUES(?, ?)",
        [(schema.hash, schema.canonical) for schema in schemas],
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


def select_sizes(db: sqlite3.Connection, epoch_no: int, wanted: Ranges) -> dict[int, tuple[int, int]]:
    """(body bytes, samples) by seq of the stored batches among `wanted`."""
    found: dict[int, tuple[int, int]] = {}
    for lo, hi in wanted:
        for key, nbytes, samples in db.execute(
            "SELECT id, length(body), samples FROM batch WHERE id BETWEEN ? AND ?",
            (batch_id(epoch_no, lo), batch_id(epoch_no, hi)),
        ):
            found[split_id(key)[1]] = (nbytes, samples)
    return found


def rename(db: sqlite3.Connection, epoch_no: int, moved: Ranges, new_no: int) -> int:
    """Moves batches into another epoch, in their order, from seq 1. Returns the next free seq there."""
    seq = 1
    for lo, hi in moved:
        keys = db.execute(
            "SELECT id FROM batch WHERE id BETWEEN ? AND ? ORDER BY id",
            (batch_id(epoch_no, lo), batch_id(epoch_no, hi)),
        ).fetchall()
        for (key,) in keys:
            db.execute("UPDATE batch SET id = ? WHERE id = ?", (batch_id(new_no, seq), key))
            seq += 1
    return seq


def select_urgent(db: sqlite3.Connection, epoch_no: int) -> list[int]:
    """Seqs of the epoch's batches that hold losses or events."""
    rows = db.execute(
        "SELECT id FROM batch INDEXED BY batch_urgent WHERE kind & 6 AND id BETWEEN ? AND ?",
        (batch_id(epoch_no, 0), batch_id(epoch_no + 1, 0) - 1),
    )
    return [split_id(key)[1] for (key,) in rows]


def select_newest(db: sqlite3.Connection, count: int) -> list[tuple[int, int, bytes, int, int, int]]:
    """(codec, raw, body, samples, t0, t1) of the newest batches, newest first."""
    return db.execute(
        "SELECT codec, raw, body, samples, t0, t1 FROM batch ORDER BY id DESC LIMIT ?", (count,)
    ).fetchall()


def select_t0(db: sqlite3.Connection, key: int) -> int | None:
    row = db.execute("SELECT t0 FROM batch WHERE id >= ? ORDER BY id LIMIT 1", (key,)).fetchone()
    return None if row is None else int(row[0])


def begin_run(db: sqlite3.Connection, run: str, boot: str, wall_ms: int, keep: int) -> None:
    db.execute("INSERT INTO run(id, boot_id, started, clean) VALUES(?, ?, ?, 0)", (run, boot, wall_ms))
    db.execute(
        "DELETE FROM run WHERE rowid NOT IN (SELECT rowid FROM run ORDER BY rowid DESC LIMIT ?)", (keep,)
    )


def end_run(db: sqlite3.Connection, run: str) -> None:
    db.execute("UPDATE run SET clean = 1 WHERE id = ?", (run,))


def prune(
    db: sqlite3.Connection, settled: Sequence[tuple[int, int]], before_ms: int, excess: int, keep: int
) -> tuple[int, int]:
    """Deletes settled batches that are old, or any oldest ones until `excess` bytes are gone.

    settled: ranges of primary keys, ascending. keep: the newest key, which always stays, so that no seq
    is ever handed out twice. Returns how many batches and bytes went; at most a few thousand a call.
    """
    gone = freed = 0
    for lo, hi in settled:
        rows = db.execute(
            "SELECT id, t1, length(body) FROM batch WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 2000",
            (lo, min(hi, keep - 1)),
        ).fetchall()
        last = None
        for key, t1, nbytes in rows:
            if t1 >= before_ms and freed >= excess:
                break
            last, gone, freed = key, gone + 1, freed + nbytes
        if last is not None:
            db.execute("DELETE FROM batch WHERE id BETWEEN ? AND ?", (lo, last))
        if rows and last != rows[-1][0]:
            break
    return gone, freed
