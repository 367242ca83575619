"""The series of heartbeats: one row for each device and hour, its points packed.

Of each half minute the newest heartbeat's figures, as 32-bit floats: seven digits are more
than a chart shows. An hour that is over is compressed. The view `heartbeat` shows the points as rows.
"""

import math
import sqlite3
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from central_sync.services.devices.roll import STEP_MS, Figures

HOUR_MS: Final = 3_600_000
# The key of a row: device number << HOUR_BITS | hour since 1970. Enough for the next 1,800 years.
HOUR_BITS: Final = 24
_POINT: Final = struct.Struct("<BBB7f")
_STEPS: Final = HOUR_MS // STEP_MS
_MOST_CONNECTIONS: Final = 255


def pack(point: Figures) -> bytes:
    floats = [math.nan if value is None else float(value) for value in point[1:8]]
    ok, total = (min(count, _MOST_CONNECTIONS) for count in point[8:10])
    return _POINT.pack(point.at % HOUR_MS // STEP_MS, ok, total, *floats)


def compress(points: bytes) -> bytes:
    """Bytes of one place side by side, which is where they are alike."""
    return zlib.compress(b"".join(points[place :: _POINT.size] for place in range(_POINT.size)))


def expand(body: bytes, packed: int) -> bytes:
    if not packed:
        return body
    planes = zlib.decompress(body)
    count = len(planes) // _POINT.size
    return b"".join(planes[index::count] for index in range(count))


def points_json(hour: int, body: bytes, packed: int) -> str:
    """The SQL function `heartbeat_points`: arrays in the order of `Figures`."""
    found: list[list[float | None]] = []
    for step, ok, total, *floats in _POINT.iter_unpack(expand(body, packed)):
        values = [None if math.isnan(value) else _whole(value) for value in floats]
        found.append([hour * HOUR_MS + step * STEP_MS, *values, ok, total])
    return orjson.dumps(found).decode()


def _whole(value: float) -> float:
    return int(value) if value.is_integer() else round(value, 4)


def register(connection: sqlite3.Connection) -> None:
    """What the view `heartbeat` calls; for every connection."""
    connection.create_function("heartbeat_points", 3, points_json, deterministic=True)


def append(connection: sqlite3.Connection, device_no: int, points: Sequence[Figures], version: str) -> None:
    """Adds the points, which ascend. What lies in their future goes: a clock may have been set back."""
    for hour in sorted({point.at // HOUR_MS for point in points}):
        _append_hour(connection, device_no, hour, [p for p in points if p.at // HOUR_MS == hour], version)


def forget(connection: sqlite3.Connection, device_no: int) -> None:
    first = device_no << HOUR_BITS
    connection.execute(
        "DELETE FROM heartbeat_hour WHERE no BETWEEN ? AND ?", (first, first | ((1 << HOUR_BITS) - 1))
    )


def forget_before(connection: sqlite3.Connection, device_no: int, before: int) -> int:
    """Removes the hours that ended by `before` (UTC milliseconds); how many."""
    first = device_no << HOUR_BITS
    last = (first | before // HOUR_MS) - 1
    return connection.execute("DELETE FROM heartbeat_hour WHERE no BETWEEN ? AND ?", (first, last)).rowcount


def _append_hour(
    connection: sqlite3.Connection, device_no: int, hour: int, points: Iterable[Figures], version: str
) -> None:
    key = device_no << HOUR_BITS | hour
    new = b"".join(map(pack, points))
    row = connection.execute("SELECT packed, points FROM heartbeat_hour WHERE no = ?", (key,)).fetchone()
    if row is None:
        _turn(connection, device_no, hour)
        held = b""
    else:
        held = _before(expand(row[1], row[0]), new[0])
    connection.execute(
        "INSERT OR REPLACE INTO heartbeat_hour (no, packed, version, points) VALUES (?, 0, ?, ?)",
        (key, version, held + new),
    )
    last = key | ((1 << HOUR_BITS) - 1)
    connection.execute("DELETE FROM heartbeat_hour WHERE no > ? AND no <= ?", (key, last))


def _before(held: bytes, step: int) -> bytes:
    """The points before a step of the hour; mostly all of them."""
    end = len(held)
    while end and held[end - _POINT.size] >= step:
        end -= _POINT.size
    return held[:end]


def _turn(connection: sqlite3.Connection, device_no: int, hour: int) -> None:
    """A new hour begins: those before are compressed."""
    first = device_no << HOUR_BITS
    sql = "SELECT no, points FROM heartbeat_hour WHERE no BETWEEN ? AND ? AND packed = 0"
    for no, body in connection.execute(sql, (first, first | hour)).fetchall():
        connection.execute(
            "UPDATE heartbeat_hour SET packed = 1, points = ? WHERE no = ?", (compress(body), no)
        )
