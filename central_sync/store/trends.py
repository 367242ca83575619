"""The series of a device in the database: heartbeats and changes of state."""

import sqlite3

import orjson

from central_sync.services.database import Database
from central_sync.services.devices.trends import Beat, Changes
from central_sync.store import rows, series


def beats(connection: sqlite3.Connection, device_no: int, start: int, end: int) -> list[Beat]:
    first = device_no << series.HOUR_BITS
    last_hour = (1 << series.HOUR_BITS) - 1
    sql = "SELECT no, points, packed, version FROM heartbeat_hour WHERE no BETWEEN ? AND ? ORDER BY no"
    span = (first | min(start // series.HOUR_MS, last_hour), first | min(end // series.HOUR_MS, last_hour))
    found: list[Beat] = []
    for no, body, packed, version in connection.execute(sql, span):
        points = orjson.loads(series.points_json(no & last_hour, body, packed))
        for at, cpu, memory, free, uptime, batches, size, offset, good, total in points:
            if start <= at <= end:
                found.append(Beat(at, cpu, memory, free, uptime, batches, size, good, total, offset, version))
    return found


def state_changes(connection: sqlite3.Connection, device_no: int, start: int, end: int) -> Changes:
    """Of what happened at one time the last counts."""
    sql = (
        "SELECT state FROM device_state_change WHERE device_no = ? AND time <= ? "
        "ORDER BY time DESC, no DESC LIMIT 1"
    )
    before = connection.execute(sql, (device_no, start)).fetchone()
    sql = (
        "SELECT time, state FROM device_state_change WHERE device_no = ? AND time > ? AND time <= ? "
        "ORDER BY time, no"
    )
    return Changes(before[0] if before else None, connection.execute(sql, (device_no, start, end)).fetchall())


class SqliteTrends:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def beats(self, device: str, start: int, end: int) -> list[Beat] | None:
        def ask(connection: sqlite3.Connection) -> list[Beat] | None:
            number = rows.device_number(connection, device)
            return None if number is None else beats(connection, number, start, end)

        return await self._database.read(ask)

    async def state_changes(self, device: str, start: int, end: int) -> Changes | None:
        def ask(connection: sqlite3.Connection) -> Changes | None:
            number = rows.device_number(connection, device)
            return None if number is None else state_changes(connection, number, start, end)

        return await self._database.read(ask)
