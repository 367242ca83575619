"""New orders in the database: one transaction for an order, its commands and its audit entries."""

import sqlite3

import orjson

from central_sync.services.audit.entries import Actor, Entry
from central_sync.services.commands.board import Change, Changes
from central_sync.services.commands.life import Waiting
from central_sync.services.commands.moves import Now
from central_sync.services.commands.store import NewOrder
from central_sync.services.errors import Conflict, NotFound
from central_sync.store import command_lists as lists
from central_sync.store.audit import record
from central_sync.store.command_moves import MAX_EVENTS, save_clock
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
    # Uploads wait for the same writer: ten thousand commands take a few statements.
    connection.executemany(
        "INSERT INTO command (id, order_no, device_no, state, waiting, start_by_at, due_at, changed) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                command,
                order_no,
                device_no,
                CommandState.QUEUED,
                int(Waiting.OFFER),
                start_by,
                start_by,
                now.wall,
            )
            for (_, command), device_no in zip(order.commands, numbers, strict=True)
        ],
    )
    connection.execute(
        "INSERT INTO command_step (command_no, no, time, state, by) "
        "SELECT no, 1, ?, state, ? FROM command WHERE order_no = ?",
        (now.wall, order.author, order_no),
    )
    _audit_order(connection, order, actor, now.wall)
    save_clock(connection, now.at_ms, now.wall)
    shown = len(order.commands) <= MAX_EVENTS
    return Changes(
        tuple(
            Change(device, command, True, start_by, lists.view(connection, command) if shown else None)
            for device, command in order.commands
        )
    )


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
        sent = {**what, "order": order.id}
        each = [
            Entry("command.send", "command", command, device, after=sent)
            for device, command in order.commands
        ]
        record(connection, actor, wall, *each)
