"""Commands in the database: every move is a transaction with its line of history."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from central_sync.services.audit.entries import Actor, Entry
from central_sync.services.commands.board import Change, Changes
from central_sync.services.commands.life import Life, Times, Waiting
from central_sync.services.commands.moves import Move, Now, Progress, Stored
from central_sync.services.commands.store import (
    Artifact,
    CancelCounts,
    Limits,
    OfferRow,
    Opened,
    Rule,
)
from central_sync.services.errors import Conflict, NotFound
from central_sync.store import command_lists as lists
from central_sync.store.audit import record
from central_sync.store.targets import limits_sql
from edge_agent.wire.commands import MAX_OFFERED, CommandState

# So many commands are moved in one transaction: uploads wait for the same writer.
MAX_MOVED: Final = 500
# A larger order has no live event for each of its commands: its sender has the answer.
MAX_EVENTS: Final = 50
MAX_STEPS: Final = 1 << 31
_MAX_CANCELS: Final = 1_000
_STORED: Final = (
    "SELECT command.no, command.id, device.id, command_order.type, command.state, heard, report_no, offered, "
    "late, start_by_at, timeout_seconds, running_at, cancel_at FROM command "
    "JOIN device ON device.no = command.device_no JOIN command_order ON command_order.no = order_no "
)


def _stored(row: tuple[Any, ...]) -> Stored:
    no, command, device, kind, state, heard, report, offered, late, start_by, timeout, running, cancel = row
    life = Life(
        CommandState(state),
        CommandState(heard) if heard else None,
        report,
        bool(offered),
        bool(late),
        cancel is not None,
    )
    return Stored(no, command, device, kind, life, Times(start_by, int(timeout * 1_000), running, cancel))


def _find(connection: sqlite3.Connection, where: str, *parameters: Any) -> Stored:
    row = connection.execute(f"{_STORED} WHERE {where}", parameters).fetchone()
    if row is None:
        raise unknown()
    return _stored(row)


def unknown() -> NotFound:
    return NotFound("unknown_command", "there is no such command")


def open_commands(connection: sqlite3.Connection) -> Opened:
    clock = connection.execute("SELECT at_ms, wall FROM command_clock").fetchone()
    waiting = connection.execute(
        "SELECT device.id, command.id FROM command JOIN device ON device.no = device_no WHERE waiting <> 0"
    ).fetchall()
    artifacts = connection.execute(
        "SELECT id, artifact_sha256 FROM command WHERE artifact_bytes IS NOT NULL"
    ).fetchall()
    return Opened(clock, waiting, _next_due(connection), artifacts)


def save_clock(connection: sqlite3.Connection, at_ms: int, wall: int) -> None:
    connection.execute(
        "INSERT INTO command_clock (one, at_ms, wall) VALUES (1, ?, ?) "
        "ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms, wall = excluded.wall",
        (at_ms, wall),
    )


def _next_due(connection: sqlite3.Connection) -> int | None:
    found: int | None = connection.execute(
        "SELECT min(due_at) FROM command WHERE due_at IS NOT NULL"
    ).fetchone()[0]
    return found


# --- moves ----------------------------------------------------------------------------------------------


def persist(connection: sqlite3.Connection, row: Stored, move: Move, now: Now, shown: bool = True) -> Change:
    """Writes a move; the row was read in the same transaction."""
    life, progress = move.life, move.progress
    if life != row.life or progress is not None:
        _update(connection, row, move, now)
    if progress is not None:
        _progress(connection, row, progress)
    if move.by is not None:
        add_step(connection, row.no, now.wall, move)
    if move.log is not None:
        _add_log(connection, row.no, *move.log)
    view = lists.view(connection, row.id) if shown else None
    return Change(row.device, row.id, life.waiting is not Waiting.NOTHING, move.due_at, view)


def _update(connection: sqlite3.Connection, row: Stored, move: Move, now: Now) -> None:
    life = move.life
    connection.execute(
        "UPDATE command SET state = ?, heard = ?, report_no = ?, offered = ?, late = ?, waiting = ?, "
        "running_at = ?, cancel_at = ?, due_at = ?, changed = ?, "
        "ended = CASE WHEN NOT ? THEN NULL WHEN state = ? THEN coalesce(ended, ?) ELSE ? END WHERE no = ?",
        (
            life.state, life.heard, life.no, life.offered, life.late, int(life.waiting),
            move.times.running, move.times.cancel, move.due_at, now.wall, move.has_ended, life.state,
            now.wall, now.wall, row.no,
        ),
    )  # fmt: skip
    if move.cancelled_by is not None:
        connection.execute(
            "UPDATE command SET cancel_requested = ?, cancelled_by = ? WHERE no = ?",
            (now.wall, move.cancelled_by, row.no),
        )


def _progress(connection: sqlite3.Connection, row: Stored, progress: Progress) -> None:
    """What the centre guessed says nothing of steps, and leaves them."""
    connection.execute(
        "UPDATE command SET step = iif(?1, ?2, step), steps = iif(?1, ?1, steps), message = ?3, code = ?4, "
        "result = ?5 WHERE no = ?6",
        (
            min(progress.steps, MAX_STEPS), min(progress.step, MAX_STEPS), progress.message, progress.code,
            progress.result, row.no,
        ),
    )  # fmt: skip


def add_step(connection: sqlite3.Connection, command_no: int, wall: int, move: Move) -> None:
    progress = move.progress or Progress()
    connection.execute(
        "INSERT INTO command_step (command_no, no, time, state, by, device_time, message, code) "
        "SELECT ?, 1 + coalesce(max(no), 0), ?, ?, ?, ?, ?, ? FROM command_step WHERE command_no = ?",
        (
            command_no, wall, move.life.state, move.by, move.device_time, progress.message, progress.code,
            command_no,
        ),
    )  # fmt: skip


def _add_log(connection: sqlite3.Connection, command_no: int, first: int, text: bytes) -> None:
    """What is not here yet: parts never overlap, or a device could fill the disk with one command's."""
    behind, at = first + len(text), first
    rows = connection.execute(
        "SELECT first, behind FROM command_log WHERE command_no = ? AND first < ? AND behind > ? "
        "ORDER BY first",
        (command_no, behind, first),
    ).fetchall()
    for begin, end in (*rows, (behind, behind)):
        if begin > at:
            piece = text[at - first : begin - first]
            connection.execute("INSERT INTO command_log VALUES (?, ?, ?, ?)", (command_no, at, begin, piece))
        at = max(at, end)
    connection.execute("UPDATE command SET log_bytes = max(log_bytes, ?) WHERE no = ?", (behind, command_no))


def report(connection: sqlite3.Connection, device: str, command: str, rule: Rule, now: Now) -> Changes:
    row = _find(connection, "command.id = ? AND device.id = ?", command, device)
    move = rule(row)
    return Changes(() if move is None else (persist(connection, row, move, now),))


def cancel(
    connection: sqlite3.Connection, command: str, limits: Limits, rule: Rule, actor: Actor, now: Now
) -> Changes:
    sight, parameters = limits_sql(limits)
    row = _find(connection, f"command.id = ? AND {sight}", command, *parameters)
    move = rule(row)
    if move is None:
        if row.life.state is CommandState.CANCELLED or not row.life.has_ended:
            return Changes(())
        raise Conflict("ended", f"it has ended: {row.life.state}", state=row.life.state)
    record(connection, actor, now.wall, _cancel_entry(row, move))
    return Changes((persist(connection, row, move, now),))


def _cancel_entry(row: Stored, move: Move) -> Entry:
    before = {"type": row.type, "state": row.life.state}
    after = {"type": row.type, "state": move.life.state, "cancel": True}
    return Entry("command.cancel", "command", row.id, row.device, before, after)


def cancel_some(
    connection: sqlite3.Connection,
    order: str,
    limits: Limits,
    after: int,
    rule: Rule,
    actor: Actor | None,
    now: Now,
) -> tuple[CancelCounts, Changes]:
    sight, parameters = limits_sql(limits)
    rows = connection.execute(
        f"{_STORED} WHERE command_order.id = ? AND command.no > ? AND {sight} ORDER BY command.no LIMIT ?",
        (order, after, *parameters, MAX_MOVED),
    ).fetchall()
    if not rows and not after:
        raise NotFound("unknown_order", "there is no such order")
    if actor is not None:
        entry = Entry("order.cancel", "order", order, after={"cancel": True, "limits": dict(limits)})
        record(connection, actor, now.wall, entry)
    counts = CancelCounts(last=rows[-1][0] if len(rows) == MAX_MOVED else None)
    changes: list[Change] = []
    for row in map(_stored, rows):
        move = rule(row)
        if move is None:
            counts = _counted(counts, asked=not row.life.has_ended, cancelled=False)
            continue
        changes.append(persist(connection, row, move, now, len(changes) < MAX_EVENTS))
        counts = _counted(counts, asked=not move.has_ended, cancelled=move.has_ended)
    return counts, Changes(tuple(changes))


def _counted(counts: CancelCounts, asked: bool, cancelled: bool) -> CancelCounts:
    if asked:
        return replace(counts, asked=counts.asked + 1)
    if cancelled:
        return replace(counts, cancelled=counts.cancelled + 1)
    return replace(counts, ended=counts.ended + 1)


def overdue(connection: sqlite3.Connection, rule: Rule, now: Now) -> Changes:
    rows = connection.execute(
        f"{_STORED} WHERE due_at <= ? ORDER BY due_at LIMIT ?",
        (now.at_ms, MAX_MOVED),
    ).fetchall()
    changes: list[Change] = []
    for row in map(_stored, rows):
        move = rule(row)
        if move is not None:
            changes.append(persist(connection, row, move, now, len(changes) < MAX_EVENTS))
    return Changes(tuple(changes), _next_due(connection), is_whole=True)


# --- what devices fetch ---------------------------------------------------------------------------------


def offers(connection: sqlite3.Connection, device: str) -> tuple[list[OfferRow], list[str]]:
    rows = connection.execute(
        "SELECT command.id, type, params, command_order.created, start_by_at, timeout_seconds, author, "
        "offered FROM command JOIN command_order ON command_order.no = order_no "
        "WHERE device_no = (SELECT no FROM device WHERE id = ?) AND waiting = 1 ORDER BY command.no LIMIT ?",
        (device, MAX_OFFERED),
    ).fetchall()
    found = [
        OfferRow(command, kind, orjson.loads(params), created, start_by, timeout, author, bool(offered))
        for command, kind, params, created, start_by, timeout, author, offered in rows
    ]
    cancels = connection.execute(
        "SELECT id FROM command WHERE device_no = (SELECT no FROM device WHERE id = ?) AND waiting = 2 "
        "ORDER BY no LIMIT ?",
        (device, _MAX_CANCELS),
    ).fetchall()
    return found, [row[0] for row in cancels]


def mark_offered(
    connection: sqlite3.Connection, device: str, commands: Sequence[str], rule: Rule, now: Now
) -> set[str]:
    good: set[str] = set()
    for command in commands:
        row = _find(connection, "command.id = ? AND device.id = ?", command, device)
        move = rule(row)
        if move is not None:
            _update(connection, row, move, now)
            good.add(command)
    return good


# --- files ----------------------------------------------------------------------------------------------


def add_artifact(
    connection: sqlite3.Connection, device: str, command: str, artifact: Artifact, quota: int, now: Now
) -> tuple[tuple[bool, str | None], Changes]:
    row = _find(connection, "command.id = ? AND device.id = ?", command, device)
    sql = "SELECT artifact_sha256, coalesce(artifact_bytes, 0) FROM command WHERE no = ?"
    known, held = connection.execute(sql, (row.no,)).fetchone()
    if known == artifact.sha256:
        return (False, None), Changes(())
    if row.life.has_ended:
        raise Conflict("ended", f"the command has ended: {row.life.state}")
    total = connection.execute(
        "SELECT coalesce(sum(artifact_bytes), 0) FROM command WHERE artifact_bytes IS NOT NULL"
    ).fetchone()[0]
    if total - held + artifact.size_bytes > quota:
        raise Conflict("artifact_quota", f"files of commands may take {quota} bytes at the centre")
    connection.execute(
        "UPDATE command SET artifact_name = ?, artifact_bytes = ?, artifact_sha256 = ?, changed = ? "
        "WHERE no = ?",
        (artifact.name, artifact.size_bytes, artifact.sha256, now.wall, row.no),
    )
    move = Move(row.life, row.times)
    return (True, known), Changes((persist(connection, row, move, now),))


def forget(connection: sqlite3.Connection, before: int, limit: int) -> tuple[list[str], Changes]:
    rows = connection.execute(
        "SELECT command.no, command.id, order_no, device.id FROM command "
        "JOIN device ON device.no = device_no WHERE ended < ? ORDER BY ended LIMIT ?",
        (before, limit),
    ).fetchall()
    for no, *_ in rows:
        connection.execute("DELETE FROM command_step WHERE command_no = ?", (no,))
        connection.execute("DELETE FROM command_log WHERE command_no = ?", (no,))
        connection.execute("DELETE FROM command WHERE no = ?", (no,))
    for order_no in {row[2] for row in rows}:
        connection.execute(
            "DELETE FROM command_order WHERE no = ? AND NOT EXISTS "
            "(SELECT 1 FROM command WHERE order_no = command_order.no)",
            (order_no,),
        )
    gone = tuple(Change(device, command, waits=False) for _, command, _, device in rows)
    return [change.command for change in gone], Changes(gone)
