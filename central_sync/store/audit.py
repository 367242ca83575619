"""Writing the audit trail: one row in the transaction of the change that it tells of."""

import sqlite3

from central_sync.services.audit.entries import GENESIS, Actor, Entry, canonical, link


def record(connection: sqlite3.Connection, actor: Actor, now: int, entry: Entry) -> None:
    """Appends an entry; call it within the change's own transaction. now: UTC milliseconds."""
    last = connection.execute("SELECT no, hash FROM audit ORDER BY no DESC LIMIT 1").fetchone()
    number, previous = last or (0, GENESIS)
    body = canonical(entry, actor, number + 1, now)
    connection.execute(
        "INSERT INTO audit (no, time, action, entity, name, device, actor, entry, hash) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            number + 1, now, entry.action, entry.entity, entry.name, entry.device, actor.text, body,
            link(previous, body),
        ),
    )  # fmt: skip
