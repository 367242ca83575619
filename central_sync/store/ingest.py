"""One upload in the database: batches, ranges, losses, events and counters in one transaction."""

import sqlite3
from dataclasses import dataclass, field
from typing import Final

from central_sync.services.data import accounting
from central_sync.services.data.ingest import Receipt, Upload, Verified
from central_sync.services.data.readmodel import Arrival
from central_sync.store import clocks, epochs, rows, spans
from central_sync.store.epochs import Epoch
from central_sync.store.schemas import SchemaCache
from edge_agent.wire import ranges
from edge_agent.wire.ranges import Ranges

_MAX_KNOWN: Final = 200_000
_CONFLICT_QUIET_MS: Final = 60_000


@dataclass(slots=True)
class Memory:
    """What the writer's thread remembers of the database. `forget` it when work is undone.

    `used`: the numbers of the schemas that a device has sent frames of, by device number and hash.
    """

    arrival: int
    schemas: SchemaCache
    used: dict[tuple[int, str], int] = field(default_factory=dict)

    def forget(self) -> None:
        self.used.clear()

    def next_arrival(self) -> int:
        """Numbers given to work that is undone are left out for good."""
        self.arrival += 1
        return self.arrival


@dataclass(frozen=True, slots=True)
class Stored:
    receipt: Receipt
    arrivals: list[Arrival] = field(default_factory=list)


def ingest(connection: sqlite3.Connection, memory: Memory, upload: Upload) -> Stored:
    device_no = rows.serving_device(connection, upload.device, upload.arrived)
    epoch = epochs.apply_head(connection, device_no, upload.head)
    present, beside = _present(connection, epoch, upload.batches)
    by_name, conflicts, redelivered = _sort_out(connection, epoch, upload.batches, present)
    if conflicts:
        _note_conflict(connection, device_no, upload, conflicts[0])
        return Stored(Receipt(conflicts=ranges.of_numbers(conflicts)))
    receipt = Receipt()
    arrivals: list[Arrival] = []
    for verified in by_name.values():
        lacking = _lacking(connection, memory, device_no, verified)
        if lacking:
            receipt.need_schemas += [name for name in lacking if name not in receipt.need_schemas]
        else:
            arrivals.append(_store(connection, memory, device_no, epoch, upload, verified))
    new = ranges.of_numbers(arrival.seq for arrival in arrivals)
    merged = _note_received(connection, epoch, new, beside)
    epochs.save(connection, epoch)
    epochs.revive(connection, device_no, epoch, new)
    for arrival in arrivals:
        _note_records(connection, device_no, arrival, by_name[arrival.seq], upload.arrived)
    # A loss among them may have changed this epoch.
    epoch = epochs.open_epoch(connection, device_no, upload.head.epoch, upload.head.no)
    repeated = ranges.of_numbers(v.item.seq for v in upload.batches if v.item.seq not in by_name)
    receipt.acked = ranges.union(new, repeated)
    if merged is None or merged[0] != 1 or merged[1] < epoch.head.floor - 1:
        receipt.resend = epochs.to_resend(connection, epoch)
    receipt.config_etag, receipt.scripts_etag = _count(
        connection, device_no, upload, arrivals, by_name, redelivered
    )
    return Stored(receipt, arrivals)


def _present(connection: sqlite3.Connection, epoch: Epoch, batches: list[Verified]) -> tuple[Ranges, Ranges]:
    """The received ranges around an upload's names: those that matter, and all beside the whole span."""
    if not batches:
        return [], []
    seqs = [verified.item.seq for verified in batches]
    beside = spans.touching(connection, "received", epoch.no, (min(seqs), max(seqs)))
    return ranges.intersect(beside, [(min(seqs), max(seqs))]), beside


def _sort_out(
    connection: sqlite3.Connection, epoch: Epoch, batches: list[Verified], present: Ranges
) -> tuple[dict[int, Verified], list[int], int]:
    """The new batches by seq, the seqs that come with other content, the number of repeats."""
    new: dict[int, Verified] = {}
    conflicts: list[int] = []
    redelivered = 0
    sql = "SELECT hash FROM batch WHERE epoch_no = ? AND seq = ?"
    for verified in batches:
        seq = verified.item.seq
        known: bytes | None = None
        if seq in new:
            known = new[seq].item.hash
        elif present and ranges.contains(present, seq):
            row = connection.execute(sql, (epoch.no, seq)).fetchone()
            # Without its batch a name stays received: it was stored, and later removed on purpose.
            known = row[0] if row else verified.item.hash
        if known is None:
            new[seq] = verified
        elif known == verified.item.hash:
            redelivered += 1
        else:
            conflicts.append(seq)
    return new, conflicts, redelivered


def _note_conflict(connection: sqlite3.Connection, device_no: int, upload: Upload, seq: int) -> None:
    rows.add_event(
        connection,
        device_no,
        upload.arrived,
        "seq_conflict",
        f"batch {seq} of epoch {upload.head.epoch} came with other content than is stored",
        {"epoch": upload.head.epoch, "seq": seq, "run": upload.head.run},
        quiet_ms=_CONFLICT_QUIET_MS,
    )


def _lacking(connection: sqlite3.Connection, memory: Memory, device_no: int, verified: Verified) -> list[str]:
    """The schemas of a batch that are not stored. Those that are, are noted as used by the device."""
    names = verified.batch.schema_hashes()
    if len(memory.used) > _MAX_KNOWN:
        memory.used.clear()
    unknown = [name for name in names if (device_no, name) not in memory.used]
    lacking = sorted(name for name in unknown if memory.schemas.get(connection, name) is None)
    if not lacking:
        for name in unknown:
            row = connection.execute(
                "INSERT INTO device_schema (device_no, schema_no, used) "
                "SELECT ?, no, 1 FROM schema WHERE hash = ? ON CONFLICT DO UPDATE SET used = 1 "
                "RETURNING schema_no",
                (device_no, name),
            ).fetchone()
            memory.used[device_no, name] = row[0]
    return lacking


def _store(
    connection: sqlite3.Connection,
    memory: Memory,
    device_no: int,
    epoch: Epoch,
    upload: Upload,
    verified: Verified,
) -> Arrival:
    item = verified.item
    number = memory.next_arrival()
    term = rows.whole(upload.head.term) or 0
    t0, t1 = min(item.t0, item.t1), max(item.t0, item.t1)
    connection.execute(
        "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            number, epoch.no, item.seq, device_no, term, int(verified.batch.kind), item.codec,
            item.raw_bytes, verified.samples, t0, t1, upload.arrived,
            item.hash, item.body,
        ),
    )  # fmt: skip
    schemas = {memory.used[device_no, name] for name in verified.batch.schema_hashes()}
    connection.executemany(
        "INSERT INTO batch_schema (device_no, schema_no, t1, arrival, t0) VALUES (?, ?, ?, ?, ?)",
        [(device_no, schema_no, t1, number, t0) for schema_no in schemas],
    )
    return Arrival(number, device_no, term, epoch.ordinal, epoch.no, item.seq, verified.batch)


def _note_received(
    connection: sqlite3.Connection, epoch: Epoch, new: Ranges, beside: Ranges
) -> ranges.Range | None:
    """Joins the new names with what was received; returns the last range they are part of."""
    merged: ranges.Range | None = None
    for index, span in enumerate(new):
        if index or len(new) > 1:
            beside = spans.touching(connection, "received", epoch.no, span)
        merged = spans.add_received(connection, epoch.no, span, _next_to(beside, span))
        if span[1] >= epoch.head.next:
            epoch.head, epoch.changed = accounting.through(epoch.head, span[1]), True
    return merged


def _next_to(pairs: Ranges, span: ranges.Range) -> Ranges:
    return [pair for pair in pairs if pair[0] <= span[1] + 1 and pair[1] >= span[0] - 1]


def _note_records(
    connection: sqlite3.Connection, device_no: int, arrival: Arrival, verified: Verified, now: int
) -> None:
    for loss in verified.losses:
        epochs.apply_loss(connection, device_no, arrival.arrival, loss, now)
    if verified.clocks:
        clocks.note(connection, device_no, verified.batch.origin.boot, verified.clocks)
    for event in verified.events:
        rows.add_event(
            connection, device_no, event.time or now, event.code, event.message, event.data,
            source=event.connection,
        )  # fmt: skip


def _count(
    connection: sqlite3.Connection,
    device_no: int,
    upload: Upload,
    arrivals: list[Arrival],
    new: dict[int, Verified],
    redelivered: int,
) -> tuple[str | None, str | None]:
    """Adds up, and returns the ETags of the config and the scripts that the centre wants."""
    stored = [new[arrival.seq] for arrival in arrivals]
    longest = max((abs(v.item.t1 - v.item.t0) for v in stored), default=0)
    row = connection.execute(
        "UPDATE device SET batches = batches + ?, samples = samples + ?, redelivered = redelivered + ?, "
        "longest_span = max(longest_span, ?), last_upload = ? WHERE no = ? "
        "RETURNING config_etag, scripts_etag",
        (
            len(stored), sum(v.samples for v in stored), redelivered, rows.whole(longest), upload.arrived,
            device_no,
        ),
    ).fetchone()  # fmt: skip
    return row or (None, None)
