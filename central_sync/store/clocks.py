"""Clock records of agents, and the times that follow from them. What a sample says is never altered.

Kept of each boot are the readings at which the wall clock was in step: a frame of that boot has, by the
monotonic clock, its distance from them.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

# Of one device, the newest: one a boot, and one for each step, each sleep and each change of synchronisation.
MAX_READINGS: Final = 1_000
# What is nearer than this to the sample's own time corrects nothing: clocks are kept in step that well.
LEAST_MS: Final = 500
_MOST: Final = 1 << 62

Reading = tuple[int, int]  # (monotonic nanoseconds, wall milliseconds)


def note(
    connection: sqlite3.Connection, device_no: int, boot: str, records: Sequence[dict[str, Any]]
) -> None:
    """Keeps those of a batch that can correct something; what cannot be read is passed over."""
    noted = False
    for record in records:
        reading = record.get("mono_ns"), record.get("wall_ms")
        if record.get("sync") is not True or not all(type(n) is int and 0 <= n < _MOST for n in reading):
            continue
        if record.get("why") == "regular" and readings(connection, device_no, boot):
            continue
        sql = "INSERT INTO clock (device_no, boot, mono_ns, wall_ms) VALUES (?, ?, ?, ?)"
        connection.execute(sql, (device_no, boot, *reading))
        noted = True
    if noted:
        connection.execute(
            "DELETE FROM clock WHERE device_no = ? AND no <= "
            "(SELECT no FROM clock WHERE device_no = ? ORDER BY no DESC LIMIT 1 OFFSET ?)",
            (device_no, device_no, MAX_READINGS),
        )


def readings(connection: sqlite3.Connection, device_no: int, boot: str) -> list[Reading]:
    """Ascending by the monotonic clock."""
    sql = "SELECT mono_ns, wall_ms FROM clock WHERE device_no = ? AND boot = ? ORDER BY mono_ns"
    return connection.execute(sql, (device_no, boot)).fetchall()


def corrected(known: Sequence[Reading], mono_ns: int, wall_ms: int) -> int | None:
    """The time by the nearest reading; None where there is none, or it says the same as the sample."""
    if not known:
        return None
    mono, wall = min(known, key=lambda reading: abs(reading[0] - mono_ns))
    found = wall + (mono_ns - mono) // 1_000_000
    return found if abs(found - wall_ms) >= LEAST_MS else None
