"""Coalesced ranges in a table: `received` and `lost` of an epoch.

Ranges of a table are disjoint, so walking down from the highest can stop at the first that ends below.
"""

import sqlite3

from edge_agent.wire.ranges import Range, Ranges


def touching(connection: sqlite3.Connection, table: str, epoch_no: int, span: Range) -> Ranges:
    """The ranges that overlap `span` or stand right beside it, ascending."""
    sql = f"SELECT lo, hi FROM {table} WHERE epoch_no = ? AND lo <= ? ORDER BY lo DESC"  # noqa: S608
    found: Ranges = []
    for lo, hi in connection.execute(sql, (epoch_no, span[1] + 1)):
        if hi < span[0] - 1:
            break
        found.append((lo, hi))
    found.reverse()
    return found


def add_received(connection: sqlite3.Connection, epoch_no: int, span: Range, beside: Ranges) -> Range:
    """Joins `span` with the ranges `beside` it (`touching`); returns the range it is part of now."""
    lo = min([span[0], *(pair[0] for pair in beside)])
    hi = max([span[1], *(pair[1] for pair in beside)])
    if beside and beside[0][0] == lo:
        for pair in beside[1:]:
            _delete(connection, "received", epoch_no, pair[0])
        connection.execute("UPDATE received SET hi = ? WHERE epoch_no = ? AND lo = ?", (hi, epoch_no, lo))
        return lo, hi
    for pair in beside:
        _delete(connection, "received", epoch_no, pair[0])
    connection.execute("INSERT INTO received (epoch_no, lo, hi) VALUES (?, ?, ?)", (epoch_no, lo, hi))
    return lo, hi


def add_lost(connection: sqlite3.Connection, epoch_no: int, span: Range, reason: str) -> None:
    """Adds a range that overlaps none, and joins it with neighbours of the same reason."""
    lo, hi = span
    below = connection.execute(
        "SELECT lo, hi, reason FROM lost WHERE epoch_no = ? AND lo < ? ORDER BY lo DESC LIMIT 1",
        (epoch_no, lo),
    ).fetchone()
    above = connection.execute(
        "SELECT lo, hi, reason FROM lost WHERE epoch_no = ? AND lo = ?", (epoch_no, hi + 1)
    ).fetchone()
    if below and below[1:] == (lo - 1, reason):
        _delete(connection, "lost", epoch_no, below[0])
        lo = below[0]
    if above and above[2] == reason:
        _delete(connection, "lost", epoch_no, above[0])
        hi = above[1]
    connection.execute(
        "INSERT INTO lost (epoch_no, lo, hi, reason) VALUES (?, ?, ?, ?)", (epoch_no, lo, hi, reason)
    )


def _delete(connection: sqlite3.Connection, table: str, epoch_no: int, lo: int) -> None:
    sql = f"DELETE FROM {table} WHERE epoch_no = ? AND lo = ?"  # noqa: S608
    connection.execute(sql, (epoch_no, lo))
