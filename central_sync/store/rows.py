"""From rows to what the services work with, and the few look-ups that several modules need."""

import sqlite3
from typing import Final

import orjson

from central_sync.services.data.accounting import HeadState
from central_sync.services.devices.health import DeviceState
from central_sync.services.devices.service import DeviceRow
from central_sync.services.errors import Forbidden
from edge_agent.wire.messages import Heartbeat
from edge_agent.wire.ranges import Ranges

DEVICE_COLUMNS: Final = (
    "no, id, created, state, state_since, last_seen, last_upload, last_loss, clock_offset, config_version, "
    "config_etag, heartbeat, batches, samples, redelivered, name, decommissioned, "
    "(SELECT json_group_object(key, value) FROM device_label WHERE device_no = no AND registry = 1), "
    "conflict, conflict_at, scripts_etag"
)
# Events that are kept of a device, the newest; the oldest go some at a time.
MAX_EVENTS: Final = 10_000
_EVENTS_SLACK: Final = 500
# What SQLite holds in one number; a stranger's JSON may hold more.
_LARGEST: Final = (1 << 63) - 1


def whole(number: float | None) -> int | None:
    """A number of a message, within SQLite's bounds."""
    return None if number is None else max(-_LARGEST, min(int(number), _LARGEST))


def device_row(row: tuple[object, ...]) -> DeviceRow:
    """From the columns `DEVICE_COLUMNS`."""
    values = list(row)
    values[3] = DeviceState(str(values[3]))
    beat = values[11]
    values[11] = Heartbeat.model_validate_json(beat) if isinstance(beat, bytes) else None
    values[17] = orjson.loads(str(values[17]))
    return DeviceRow(*values)  # type: ignore[arg-type]


def find_device(connection: sqlite3.Connection, device: str) -> DeviceRow | None:
    sql = f"SELECT {DEVICE_COLUMNS} FROM device WHERE id = ?"  # noqa: S608
    row = connection.execute(sql, (device,)).fetchone()
    return device_row(row) if row else None


def device_number(connection: sqlite3.Connection, device: str) -> int | None:
    row = connection.execute("SELECT no FROM device WHERE id = ?", (device,)).fetchone()
    return int(row[0]) if row else None


def serving_device(connection: sqlite3.Connection, device: str, now: int) -> int:
    """As `require_device`, for what a device sends. Raises Forbidden where it went out of service after its
    request had begun: what is purged stays gone."""
    row = connection.execute("SELECT no, decommissioned FROM device WHERE id = ?", (device,)).fetchone()
    if row is None:
        return require_device(connection, device, now)
    if row[1] is not None:
        raise Forbidden("decommissioned", f"the device {device} is out of service")
    return int(row[0])


def require_device(connection: sqlite3.Connection, device: str, now: int) -> int:
    """The number of a device, which is made where it is new."""
    number = device_number(connection, device)
    if number is not None:
        return number
    cursor = connection.execute(
        "INSERT INTO device (id, created, state_since) VALUES (?, ?, ?)", (device, now, now)
    )
    connection.execute(
        "INSERT INTO device_state_change (device_no, time, state) VALUES (?, ?, 'never_seen')",
        (cursor.lastrowid, now),
    )
    return int(cursor.lastrowid or 0)


def received(connection: sqlite3.Connection, epoch_no: int, limit: int = -1) -> Ranges:
    sql = "SELECT lo, hi FROM received WHERE epoch_no = ? ORDER BY lo LIMIT ?"
    return connection.execute(sql, (epoch_no, limit)).fetchall()


def lost(connection: sqlite3.Connection, epoch_no: int, limit: int = -1) -> Ranges:
    sql = "SELECT lo, hi FROM lost WHERE epoch_no = ? ORDER BY lo LIMIT ?"
    return connection.execute(sql, (epoch_no, limit)).fetchall()


def head_state(row: tuple[int, int, int, str]) -> HeadState:
    """From the columns `floor, next, closed, run`."""
    floor, next_, closed, run = row
    return HeadState(floor, next_, bool(closed), run)


def add_event(
    connection: sqlite3.Connection,
    device_no: int,
    time: int,
    code: str,
    message: str,
    data: dict[str, object] | None = None,
    *,
    source: str | None = None,
    quiet_ms: int = 0,
) -> None:
    """An event in a device's history, unless one of this code is younger than `quiet_ms`.

    `source` is the connection it concerns.
    """
    if quiet_ms:
        sql = "SELECT time FROM event WHERE device_no = ? AND code = ? ORDER BY no DESC LIMIT 1"
        last = connection.execute(sql, (device_no, code)).fetchone()
        if last and 0 <= time - last[0] < quiet_ms:
            return
    connection.execute(
        "INSERT INTO event (device_no, time, code, message, connection, data) VALUES (?, ?, ?, ?, ?, ?)",
        (device_no, time, code, message, source, orjson.dumps(data or {})),
    )
    sql = "UPDATE device SET events = events + 1 WHERE no = ? RETURNING events"
    if connection.execute(sql, (device_no,)).fetchone()[0] >= MAX_EVENTS + _EVENTS_SLACK:
        _forget_events(connection, device_no)


def _forget_events(connection: sqlite3.Connection, device_no: int) -> None:
    connection.execute(
        "DELETE FROM event WHERE device_no = ? AND no <= "
        "(SELECT no FROM event WHERE device_no = ? ORDER BY no DESC LIMIT 1 OFFSET ?)",
        (device_no, device_no, MAX_EVENTS),
    )
    connection.execute("UPDATE device SET events = ? WHERE no = ?", (MAX_EVENTS, device_no))
