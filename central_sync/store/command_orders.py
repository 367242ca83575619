"""New orders in the database: one transaction for an order, its commands and its audit entries."""

import sqlite3

import orjson

from central_sync.services.audit.entries import Actor, Entry
from central_sync.services.commands.board import Change, Changes
from central_sync.services.commands.life import Life, Times, Waiting
from central_sync.services.commands.moves import Move, Now
from central_sync.services.commands.store import NewOrder
from central_sync.services.errors import Conflict, NotFound
from central_sync.store import command_lists as lists
from central_sync.store.audit import record
from central_sync.store.command_moves import MAX_EVENTS, add_step, save_clock
from edge_agent.wire.commands import CommandState


def create(connection: sqlite3.Connection, order: NewOrder, actor: Actor, now: Now) -> Changes:
    numbers = _room(connection, order)
    params = orjson.dumps(order.params)
    cursor = connection.execute(
        "INSERT INTO command_order (id, type, params, targets, author, note, created, expires, "
        "timeout_seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            order.id, order.type, params, orjson.dumps(order.targets), order.author, order.note, now.wall,
            now.wall + order.expires_ms, order.timeout_seconds,
        ),
    )  # fmt: skip
    order_no = int(cursor.lastrowid or 0)
    start_by = now.at_ms + order.expires_ms
    queued = Move(Life(), Times(start_by, int(order.timeout_seconds * 1_000)), order.author)
    changes: list[Change] = []
    shown = len(order.commands) <= MAX_EVENTS
    for (device, command), device_no in zip(order.commands, numbers, strict=True):
        cursor = connection.execute(
            "INSERT INTO command (id, order_no, device_no, state, waiting, start_by_at, due_at, changed) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                command, order_no, device_no, CommandState.QUEUED, int(Waiting.OFFER), start_by, start_by,
                now.wall,
            ),
        )  # fmt: skip
        add_step(connection, int(cursor.lastrowid or 0), now.wall, queued)
        view = lists.view(connection, command) if shown else None
        changes.append(Change(device, command, True, start_by, view))
    _audit_order(connection, order, actor, now.wall)
    save_clock(connection, now.at_ms, now.wall)
    return Changes(tuple(changes))


def _room(connection: sqlite3.Connection, order: NewOrder) -> list[int]:
    """The devices' numbers. Raises Conflict where one has too much to do, NotFound."""
    numbers: list[int] = []
    full: list[str] = []
    for device, _ in order.commands:
        row = connection.execute(
            "SELECT no, (SELECT count(*) FROM command WHERE device_no = device.no AND ended IS NULL) "
            "FROM device WHERE id = ?",
            (device,),
        ).fetchone()
        if row is None:
            raise NotFound("unknown_device", f"there is no device {device}")
        numbers.append(row[0])
        if row[1] >= order.max_open:
            full.append(device)
    if full:
        named = ", ".join(full[:10])
        raise Conflict(
            "queue_full", f"{order.max_open} commands are open already: {named}", devices=full[:100]
        )
    return numbers


def _audit_order(connection: sqlite3.Connection, order: NewOrder, actor: Actor, wall: int) -> None:
    devices = [device for device, _ in order.commands]
    what = {"type": order.type, "params": order.params}
    whole = {**what, "targets": order.targets, "devices": len(devices), "note": order.note}
    single = devices[0] if len(devices) == 1 else None
    record(connection, actor, wall, Entry("command.order", "order", order.id, single, after=whole))
    if order.each and single is None:
        for device, command in order.commands:
            entry = Entry("command.send", "command", command, device, after={**what, "order": order.id})
            record(connection, actor, wall, entry)
