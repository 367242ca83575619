"""Epochs in the database: what heads and losses say about them, each within its caller's transaction."""

import sqlite3
from dataclasses import dataclass

import orjson

from central_sync.services.data import accounting
from central_sync.services.data.accounting import HeadState
from central_sync.services.data.ingest import LossRecord
from central_sync.store import rows, spans
from edge_agent.wire import ranges
from edge_agent.wire.messages import Head
from edge_agent.wire.ranges import Ranges

LARGEST_SEQ = (1 << 40) - 1
LARGEST_ORDINAL = (1 << 23) - 1
_COLUMNS = "no, ordinal, has_lost, floor, next, closed, run"


@dataclass(slots=True)
class Epoch:
    """A row, and whether it differs from the table."""

    no: int
    ordinal: int
    has_lost: bool
    head: HeadState
    changed: bool = False


def open_epoch(connection: sqlite3.Connection, device_no: int, name: str, ordinal: int) -> Epoch:
    """The epoch of that name, made where it is new. An ordinal of 0 says that it is not known yet."""
    sql = f"SELECT {_COLUMNS} FROM epoch WHERE device_no = ? AND id = ?"  # noqa: S608
    row = connection.execute(sql, (device_no, name)).fetchone()
    if row is not None:
        return Epoch(row[0], row[1], bool(row[2]), rows.head_state(row[3:]))
    sql = "INSERT INTO epoch (device_no, id, ordinal) VALUES (?, ?, ?)"
    number = connection.execute(sql, (device_no, name, ordinal)).lastrowid
    return Epoch(int(number or 0), ordinal, False, HeadState())


def apply_head(connection: sqlite3.Connection, device_no: int, head: Head) -> Epoch:
    """The epoch after a head; the caller stores it with `save`."""
    epoch = open_epoch(connection, device_no, head.epoch, head.no)
    merged = accounting.merge_head(epoch.head, head)
    if merged != epoch.head or epoch.ordinal == 0:
        epoch.head, epoch.changed = merged, True
        epoch.ordinal = epoch.ordinal or head.no
    return epoch


def save(connection: sqlite3.Connection, epoch: Epoch) -> None:
    if epoch.changed:
        head = epoch.head
        connection.execute(
            "UPDATE epoch SET ordinal = ?, floor = ?, next = ?, closed = ?, run = ?, has_lost = ? "
            "WHERE no = ?",
            (epoch.ordinal, head.floor, head.next, head.closed, head.run, epoch.has_lost, epoch.no),
        )
        epoch.changed = False


def close_others(
    connection: sqlite3.Connection, device_no: int, named: set[str], now: int
) -> dict[str, HeadState]:
    """Closes the epochs that a heartbeat no longer names; what was announced and never came is a gap.

    Returns them.
    """
    gone: dict[str, HeadState] = {}
    sql = "SELECT no, id, floor, next, closed, run FROM epoch WHERE device_no = ? AND closed = 0"
    for no, name, *state in connection.execute(sql, (device_no,)).fetchall():
        if name in named:
            continue
        connection.execute("UPDATE epoch SET closed = 1 WHERE no = ?", (no,))
        head = gone[name] = rows.head_state((state[0], state[1], 1, state[3]))
        found = accounting.account(head, rows.received(connection, no), rows.lost(connection, no))
        missing = ranges.union(found.gaps, found.tail)
        if missing:
            rows.add_event(
                connection,
                device_no,
                now,
                "epoch_incomplete",
                f"epoch {name} ended and {ranges.size(missing)} of its batches never came",
                {"epoch": name, "missing": missing[: accounting.MAX_NAMED], "tail_unknown_from": head.next},
            )
    return gone


def outrank(connection: sqlite3.Connection, device_no: int, heads: list[str]) -> None:
    """Puts the epoch that a device writes to now behind all that it wrote to before, whatever its number.

    A lost database under a clock of 1970 begins with small numbers again, and its values would never move
    the latest ones. heads: names of the epochs in a heartbeat, the current one last. What it wrote to before
    are the others in there, and those that have ended and were heard of earlier.
    """
    *others, current = heads
    sql = "SELECT id, no, ordinal, closed FROM epoch WHERE device_no = ?"
    known = {
        name: (no, ordinal, closed) for name, no, ordinal, closed in connection.execute(sql, (device_no,))
    }
    own, number, _ = known[current]
    before = [
        ordinal
        for name, (no, ordinal, closed) in known.items()
        if name != current and (name in others or (closed and no < own))
    ]
    top = max(before, default=0)
    if number <= top:
        ordinal = min(top + 1, LARGEST_ORDINAL)
        connection.execute("UPDATE epoch SET ordinal = ? WHERE no = ?", (ordinal, own))


def to_resend(connection: sqlite3.Connection, epoch: Epoch) -> Ranges:
    """What of the epoch was promised and is not here: the agent is asked for it again."""
    floor = epoch.head.floor
    if floor <= 1:
        return []
    here = rows.received(connection, epoch.no, 1)
    if here and here[0][0] == 1 and here[0][1] >= floor - 1:
        return []
    here = rows.received(connection, epoch.no, accounting.MAX_NAMED)
    gone = rows.lost(connection, epoch.no, accounting.MAX_NAMED) if epoch.has_lost else []
    whole = [found[-1][1] for found in (here, gone) if len(found) >= accounting.MAX_NAMED]
    return accounting.to_resend(floor, here, gone, min(whole) if whole else None)


def apply_loss(
    connection: sqlite3.Connection, device_no: int, arrival: int, record: LossRecord, now: int
) -> None:
    """Stores a loss that a batch brought. One that names nothing new is void and counts nothing."""
    loss = record.loss
    epoch_no: int | None = None
    new = own = pairs = ranges.intersect(loss.seqs, [(1, LARGEST_SEQ)])
    concerns_us = loss.sink in ("", "central")
    if loss.epoch and concerns_us:
        epoch = open_epoch(connection, device_no, loss.epoch, 0)
        epoch_no = epoch.no
        own, new = _declare(connection, epoch, pairs, record.reason)
    void = not concerns_us or bool(pairs and not new)
    share = _share(record.samples, own, pairs)
    counted = 0 if void else _counted(connection, epoch_no, share, own)
    connection.execute(
        "INSERT INTO loss (device_no, epoch_no, arrival, reason, sink, samples, own, counted, void, t0, t1, "
        "record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            device_no, epoch_no, arrival, record.reason, loss.sink, share, orjson.dumps(own), counted, void,
            loss.t0, loss.t1, orjson.dumps(loss.model_dump(mode="json")),
        ),
    )  # fmt: skip
    if void:
        return
    _add_total(connection, device_no, record.reason, counted)
    connection.execute("UPDATE device SET last_loss = ? WHERE no = ?", (now, device_no))
    rows.add_event(
        connection,
        device_no,
        now,
        "loss",
        f"{counted} samples were lost: {record.reason} {loss.detail}".rstrip(),
        {"reason": record.reason, "epoch": loss.epoch, "seqs": new[: accounting.MAX_NAMED]},
    )


def _declare(
    connection: sqlite3.Connection, epoch: Epoch, pairs: Ranges, reason: str
) -> tuple[Ranges, Ranges]:
    """Notes the ranges that are neither received nor lost yet. Returns those that no earlier loss names,
    and of them those that are noted now."""
    own: Ranges = []
    declared: Ranges = []
    for span in pairs:
        unnamed = ranges.subtract([span], spans.touching(connection, "lost", epoch.no, span))
        own += unnamed
        declared += ranges.subtract(unnamed, spans.touching(connection, "received", epoch.no, span))
    for new in declared:
        spans.add_lost(connection, epoch.no, new, reason)
    if pairs:
        epoch.head = accounting.through(epoch.head, pairs[-1][1])
        epoch.has_lost = epoch.changed = True
        save(connection, epoch)
    return own, declared


def _share(samples: int, own: Ranges, pairs: Ranges) -> int:
    """The samples of a record's own ranges: nobody knows how they lie in it, so by number of batches."""
    return samples * ranges.size(own) // ranges.size(pairs) if pairs else samples


def _counted(connection: sqlite3.Connection, epoch_no: int | None, share: int, own: Ranges) -> int:
    """What remains lost of `share` samples: without those of the batches that are here after all."""
    sql = "SELECT coalesce(sum(samples), 0) FROM batch WHERE epoch_no = ? AND seq BETWEEN ? AND ?"
    here = 0
    if epoch_no is not None:
        here = sum(connection.execute(sql, (epoch_no, *span)).fetchone()[0] for span in own)
    return max(0, share - here)


def revive(connection: sqlite3.Connection, device_no: int, epoch: Epoch, arrived: Ranges) -> None:
    """Batches came that were declared lost: their samples are not, and a loss without any left is void.

    Counts down by what came now: batches that came earlier may have been deleted since. Call it before the
    losses that came with them are applied, which leave those out themselves.
    """
    if not epoch.has_lost or not any(
        ranges.intersect(spans.touching(connection, "lost", epoch.no, span), [span]) for span in arrived
    ):
        return
    here = rows.received(connection, epoch.no)
    sql = "SELECT no, reason, counted, own FROM loss WHERE epoch_no = ? AND void = 0"
    for no, reason, before, stored in connection.execute(sql, (epoch.no,)).fetchall():
        own: Ranges = orjson.loads(stored)
        if not ranges.intersect(own, arrived):
            continue
        void = not ranges.subtract(own, here)
        counted = 0 if void else _counted(connection, epoch.no, before, ranges.intersect(own, arrived))
        connection.execute("UPDATE loss SET void = ?, counted = ? WHERE no = ?", (void, counted, no))
        _add_total(connection, device_no, reason, counted - before)


def _add_total(connection: sqlite3.Connection, device_no: int, reason: str, samples: int) -> None:
    connection.execute(
        "INSERT INTO loss_total (device_no, reason, samples) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET samples = samples + excluded.samples",
        (device_no, reason, samples),
    )
