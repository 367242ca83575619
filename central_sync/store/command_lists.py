"""Questions about commands and orders: what people see, within the limits of their sight."""

import json
import sqlite3
from typing import Any, Final

import orjson

from central_sync.services.commands.store import Artifact, CommandFilter, Limits
from central_sync.services.commands.views import (
    ArtifactView,
    CommandDetail,
    CommandPage,
    CommandView,
    LogView,
    OrderView,
    StepView,
)
from central_sync.services.errors import NotFound
from central_sync.services.pages import encode_cursor
from central_sync.store.targets import limits_sql
from edge_agent.wire.commands import FINAL, CommandState

_COLUMNS: Final = (
    "command.id, command_order.id, device.id, type, command.state, command_order.created, expires, "
    "timeout_seconds, author, note, changed, ended, cancel_requested, cancelled_by, step, steps, message, "
    "code, log_bytes, artifact_name, artifact_bytes, artifact_sha256"
)
_FIELDS: Final = (
    "id", "order", "device_id", "type", "state", "created", "expires", "timeout_seconds", "author", "note",
    "changed", "ended", "cancel_requested", "cancelled_by", "step", "steps", "message", "code", "log_bytes",
)  # fmt: skip
_FROM: Final = (
    "FROM command JOIN device ON device.no = command.device_no "
    "JOIN command_order ON command_order.no = command.order_no"
)
_FINALS: Final = ", ".join(f"'{state}'" for state in sorted(FINAL))


def _fields(row: tuple[Any, ...]) -> dict[str, Any]:
    fields = dict(zip(_FIELDS, row, strict=False))
    name, size, sha256 = row[len(_FIELDS) : len(_FIELDS) + 3]
    if sha256 is not None:
        fields["artifact"] = ArtifactView(name=name, size_bytes=size, sha256=sha256)
    return fields


def view(connection: sqlite3.Connection, command: str) -> CommandView:
    row = connection.execute(f"SELECT {_COLUMNS} {_FROM} WHERE command.id = ?", (command,)).fetchone()
    return CommandView(**_fields(row))


def get(connection: sqlite3.Connection, command: str, limits: Limits) -> CommandDetail | None:
    sight, parameters = limits_sql(limits)
    row = connection.execute(
        f"SELECT {_COLUMNS}, params, result, command.no {_FROM} WHERE command.id = ? AND {sight}",
        (command, *parameters),
    ).fetchone()
    if row is None:
        return None
    params, result, no = row[-3:]
    steps = connection.execute(
        "SELECT no, time, state, by, device_time, message, code FROM command_step WHERE command_no = ? "
        "ORDER BY no",
        (no,),
    ).fetchall()
    names = ("no", "time", "state", "by", "device_time", "message", "code")
    return CommandDetail(
        **_fields(row),
        params=orjson.loads(params),
        # The device's own JSON: integers may be longer than orjson takes.
        result=None if result is None else json.loads(result),
        history=[StepView(**dict(zip(names, step, strict=True))) for step in steps],
    )


def page(connection: sqlite3.Connection, wanted: CommandFilter) -> CommandPage:
    """Newest first."""
    sight, parameters = limits_sql(wanted.limits)
    conditions, arguments = [sight], [*parameters]
    for sql, argument in _conditions(wanted):
        conditions.append(sql)
        if argument is not None:
            arguments.append(argument)
    rows = connection.execute(
        f"SELECT {_COLUMNS}, command.no {_FROM} WHERE {' AND '.join(conditions)} "
        "ORDER BY command.no DESC LIMIT ?",
        (*arguments, wanted.limit + 1),
    ).fetchall()
    shown = rows[: wanted.limit]
    more = encode_cursor([shown[-1][-1]]) if len(rows) > wanted.limit else None
    return CommandPage(items=[CommandView(**_fields(row)) for row in shown], next=more)


def _conditions(wanted: CommandFilter) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [
        (sql, argument)
        for sql, argument in (
            ("command.device_no = (SELECT no FROM device WHERE id = ?)", wanted.device),
            ("command.order_no = (SELECT no FROM command_order WHERE id = ?)", wanted.order),
            ("type = ?", wanted.type),
            ("command.state = ?", wanted.state),
            ("author = ?", wanted.author),
            ("command_order.created >= ?", wanted.start),
            ("command_order.created <= ?", wanted.end),
            ("command.no < ?", wanted.before),
        )
        if argument is not None
    ]
    if wanted.open is not None:
        found.append((f"command.ended IS {'' if wanted.open else 'NOT '}NULL", None))
    return found


def order_view(connection: sqlite3.Connection, order: str, limits: Limits) -> OrderView | None:
    """Of the commands in sight; None where there is none of them."""
    sight, parameters = limits_sql(limits)
    states = dict(
        connection.execute(
            f"SELECT command.state, count(*) {_FROM} WHERE command_order.id = ? AND {sight} "
            "GROUP BY command.state",
            (order, *parameters),
        ).fetchall()
    )
    if not states:
        return None
    row = connection.execute(
        "SELECT type, params, author, note, created, expires, timeout_seconds FROM command_order "
        "WHERE id = ?",
        (order,),
    ).fetchone()
    kind, params, author, note, created, expires, timeout = row
    return OrderView(
        id=order, type=kind, params=orjson.loads(params), author=author, note=note, created=created,
        expires=expires, timeout_seconds=timeout, total=sum(states.values()), states=states,
        finished=all(CommandState(state) in FINAL for state in states),
    )  # fmt: skip


def log(
    connection: sqlite3.Connection, command: str, limits: Limits, offset: int, size: int
) -> LogView | None:
    """From the first byte at or behind `offset` that there is, as one text."""
    sight, parameters = limits_sql(limits)
    row = connection.execute(
        f"SELECT command.no, command.state {_FROM} WHERE command.id = ? AND {sight}",
        (command, *parameters),
    ).fetchone()
    if row is None:
        return None
    no, state = row
    parts = connection.execute(
        "SELECT first, text FROM command_log WHERE command_no = ? AND behind > ? ORDER BY first", (no, offset)
    ).fetchall()
    ended = CommandState(state) in FINAL
    begin, text, rest = _joined(parts, offset, ended, size)
    return LogView(
        offset=begin,
        text=text.decode(errors="replace"),
        next=begin + len(text),
        complete=ended and not rest,
    )


def _joined(parts: list[tuple[int, bytes]], offset: int, jump: bool, size: int) -> tuple[int, bytes, bool]:
    """Where the text begins, the text, and whether there is more. jump: what is missing will not come."""
    if parts and parts[0][0] > offset:
        if not jump:
            return offset, b"", True
        offset = parts[0][0]
    text = bytearray()
    for first, part in parts:
        at = offset + len(text)
        if first > at:
            return offset, bytes(text), True
        text += part[at - first :]
        if len(text) > size:
            return offset, _whole(bytes(text[:size])), True
    return offset, bytes(text), False


def _whole(text: bytes) -> bytes:
    """Without the beginning of a character at its end."""
    for back in range(1, min(4, len(text)) + 1):
        if text[-back] & 0xC0 != 0x80:
            lead = text[-back]
            length = 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2 if lead >= 0xC0 else 1
            return text[:-back] if length > back else text
    return text


def artifact_of(
    connection: sqlite3.Connection, command: str, device: str | None, limits: Limits
) -> Artifact | None:
    sight, parameters = limits_sql(limits)
    own = "1" if device is None else "device.id = ?"
    row = connection.execute(
        f"SELECT artifact_name, artifact_bytes, artifact_sha256 {_FROM} "
        f"WHERE command.id = ? AND {sight} AND {own}",
        (command, *parameters, *(() if device is None else (device,))),
    ).fetchone()
    if row is None:
        raise NotFound("unknown_command", "there is no such command")
    return None if row[2] is None else Artifact(*row)
