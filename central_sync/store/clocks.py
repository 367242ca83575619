"""Clock records of agents, and the times that follow from them. What a sample says is never altered.

Kept of each boot are the readings at which the wall clock was in step, and those after a sleep that follow
one: a frame of that boot has, by the monotonic clock, its distance from them.
"""

import sqlite3
from bisect import bisect_right
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
        if not all(type(n) is int and 0 <= n < _MOST for n in reading):
            continue
        why, in_step = record.get("why"), record.get("sync") is True
        # The monotonic clock stood still while the machine slept: what was read before says nothing of later.
        if not in_step and why != "resume":
            continue
        if (why == "regular" or not in_step) and bool(readings(connection, device_no, boot)) == in_step:
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
    """The time by the nearest reading; None where there is none, or where the reading before or the one after
    says the same as the sample: between two that disagree the clock was set, or the machine slept, and only
    one of them is true of the sample."""
    behind = bisect_right(known, (mono_ns, _MOST))
    found = [
        (abs(mono - mono_ns), wall + (mono_ns - mono) // 1_000_000)
        for mono, wall in known[max(0, behind - 1) : behind + 1]
    ]
    if not found or any(abs(time - wall_ms) < LEAST_MS for _, time in found):
        return None
    return min(found)[1]
