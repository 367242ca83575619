"""Writing the audit trail: rows in the transaction of the change that they tell of."""

import sqlite3

from central_sync.services.audit.entries import GENESIS, Actor, Entry, canonical, link


def record(connection: sqlite3.Connection, actor: Actor, now: int, *entries: Entry) -> None:
    """Appends entries; call it within the change's own transaction. now: UTC milliseconds."""
    last = connection.execute("SELECT no, hash FROM audit ORDER BY no DESC LIMIT 1").fetchone()
    before, previous = last or (0, GENESIS)
    rows = []
    for number, entry in enumerate(entries, before + 1):
        body = canonical(entry, actor, number, now)
        previous = link(previous, body)
        rows.append(
            (
                number, now, entry.action, entry.entity, entry.name, entry.device, actor.text, body, previous
            )
        )  # fmt: skip
    connection.executemany(
        "INSERT INTO audit (no, time, action, entity, name, device, actor, entry, hash) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
