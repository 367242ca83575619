"""What a start finds: the run before it, frames that were never committed, and which epoch goes on.

Runs in the writer's thread, inside the transaction that begins the new run.
"""

import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.buffer import ring, rows
from edge_agent.buffer.ledger import Epoch, Ledger
from edge_agent.buffer.ring import RingFrame
from edge_agent.buffer.seal import Take, seal
from edge_agent.wire.batch import Batch, EncodedBatch, Kind, Origin, RecordsPart, encode
from edge_agent.wire.errors import WireError
from edge_agent.wire.messages import Loss, LossReason
from edge_agent.wire.schema import Schema

# A commit holds at most as many batches as the bounded memory before it; the ring holds no more.
_LOOK_BACK: Final = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """Who runs: what names batches and tells one boot of one machine from another."""

    device: str
    run: str
    boot: str
    machine: str


def next_epoch(ledger: Ledger, identity: Identity) -> Epoch:
    """A new epoch behind all others; not yet part of the ledger."""
    number = max(ledger.epochs, default=0) + 1
    return Epoch(number, uuid.uuid4().hex, 1, identity.boot, identity.machine)


def reason_for_new_epoch(ledger: Ledger, identity: Identity) -> str | None:
    """Why the last epoch cannot go on; None where it can.

    After another boot the disk may have lost commits that it had confirmed, and on another machine the
    database is a copy: either would give used names to other content.
    """
    if not ledger.epochs:
        return "new database"
    current = ledger.current
    if current.machine != identity.machine:
        return "machine changed"
    if current.boot_id != identity.boot:
        return "boot changed"
    return None


def unclean_stop(db: sqlite3.Connection, identity: Identity, wall_ms: int) -> Loss | None:
    """The loss of a run that ended with its boot: bounded by the rate before it, since nobody counted.

    A run that ended without a clean mark in this same boot was killed; the ring has its frames.
    """
    last = db.execute("SELECT id, boot_id, clean FROM run ORDER BY rowid DESC LIMIT 1").fetchone()
    if last is None or last[2] or last[1] == identity.boot:
        return None
    newest = rows.select_newest(db, 60)
    if not newest:
        return None
    last_ms = newest[0][5]
    span = max(newest[0][5] - newest[-1][4], 1000)
    per_ms = sum(row[3] for row in newest) / span
    until = max(wall_ms, last_ms)
    return Loss(
        reason=LossReason.UNCLEAN_STOP,
        t0=last_ms,
        t1=until,
        exact=False,
        max=int(per_ms * (until - last_ms)) + 1,
        detail=f"run {last[0]} ended without a clean stop; frames since its last commit may be missing",
    )


def uncommitted_frames(db: sqlite3.Connection, paths: Sequence[Path]) -> dict[str, list[RingFrame]]:
    """By run, the frames of the ring that no committed batch holds, in the order they were made."""
    found: dict[str, list[RingFrame]] = {}
    for path in paths:
        for entry in ring.read_segment(path):
            found.setdefault(entry.run, []).append(entry)
    if not found:
        return {}
    committed = _committed_progress(db, set(found))
    result: dict[str, list[RingFrame]] = {}
    for run, entries in found.items():
        names = {entry.schema_hash: _group(db, entry.schema_hash) for entry in entries}
        fresh = [
            entry for entry in entries if entry.frame.n > committed.get((run, *names[entry.schema_hash]), 0)
        ]
        if fresh:
            result[run] = fresh
    return result


def seal_leftovers(
    db: sqlite3.Connection, identity: Identity, leftovers: dict[str, list[RingFrame]], wall_ms: int
) -> list[EncodedBatch]:
    """Batches of the frames that earlier runs left, each under the run that made them."""
    sealed: list[EncodedBatch] = []
    schemas: dict[str, Schema] = {}
    for run, entries in leftovers.items():
        take = Take()
        for entry in entries:
            if entry.schema_hash not in schemas:
                body = rows.select_schema(db, entry.schema_hash)
                assert body is not None, "a schema is stored before its first frame"
                schemas[entry.schema_hash] = Schema.from_bytes(body)
            schema = schemas[entry.schema_hash]
            take.frames.setdefault(schema.hash, (schema, []))[1].append(entry.frame)
        sealed += seal(Origin(identity.device, run, identity.boot), take, wall_ms)
    return sealed


def seal_loss(identity: Identity, loss: Loss, wall_ms: int) -> EncodedBatch:
    origin = Origin(identity.device, identity.run, identity.boot)
    return encode(origin, [RecordsPart(Kind.LOSS, [loss.model_dump(mode="json")])], wall_ms)


def _group(db: sqlite3.Connection, schema_hash: str) -> tuple[str, str]:
    body = rows.select_schema(db, schema_hash)
    assert body is not None, "a schema is stored before its first frame"
    schema = Schema.from_bytes(body)
    return schema.connection, schema.group


def _committed_progress(db: sqlite3.Connection, runs: set[str]) -> dict[tuple[str, str, str], int]:
    """Highest committed n by (run, connection, group), from the newest batches."""
    progress: dict[tuple[str, str, str], int] = {}
    for codec, raw, body, *_ in rows.select_newest(db, _LOOK_BACK):
        try:
            opened = Batch.open(body, codec, raw)
        except WireError:
            continue
        if opened.origin.run not in runs:
            continue
        for name, (numbers, _) in opened.contents().items():
            key = (opened.origin.run, *_group(db, name))
            progress[key] = max(progress.get(key, 0), numbers[-1][1])
    return progress
