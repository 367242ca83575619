"""The audit trail in the database: pages, figures, and the rows that a walk over the chain takes."""

import sqlite3
from typing import Any, Final

import orjson

from central_sync.services.audit.chain import Place, Statement, Stored
from central_sync.services.audit.entries import GENESIS
from central_sync.services.audit.trail import AuditActor, AuditCount, AuditEntryView, AuditFilter, AuditStats
from central_sync.services.database import Database

# Whoever tampers may also change the kind of a value.
_COLUMNS: Final = "no, time, action, entity, name, device, actor, CAST(entry AS BLOB), CAST(hash AS BLOB)"
# What one figure lists; the rest is in the sum.
MAX_COUNTED: Final = 100


def condition(wanted: AuditFilter) -> tuple[str, list[Any]]:
    """On the table `audit`, and its parameters."""
    parts: list[str] = ["1"]
    arguments: list[Any] = []
    for name in ("action", "entity", "name", "device", "actor"):
        value = getattr(wanted, name)
        if value is not None:
            parts.append(f"{name} = ?")
            arguments.append(value)
    if wanted.start is not None:
        parts.append("time >= ?")
        arguments.append(wanted.start)
    if wanted.end is not None:
        parts.append("time <= ?")
        arguments.append(wanted.end)
    return " AND ".join(parts), arguments


def page(
    connection: sqlite3.Connection, wanted: AuditFilter, before: int | None, limit: int
) -> list[AuditEntryView]:
    """Newest first."""
    where, arguments = condition(wanted)
    sql = f"SELECT no, entry, hash FROM audit WHERE no < ? AND {where} ORDER BY no DESC LIMIT ?"  # noqa: S608
    before = (1 << 62) if before is None else before
    return [_view(*row) for row in connection.execute(sql, (before, *arguments, limit))]


def _view(no: int, entry: bytes, digest: bytes) -> AuditEntryView:
    said = orjson.loads(entry)
    return AuditEntryView(
        no=no,
        time=said["time"],
        actor=AuditActor(**said["actor"]),
        action=said["action"],
        entity=said["entity"],
        name=said["name"],
        device=said["device"],
        before=said["before"],
        after=said["after"],
        hash=digest.hex(),
    )


def stats(connection: sqlite3.Connection, start: int, end: int) -> AuditStats:
    where, arguments = condition(AuditFilter(start=start, end=end))

    def counted(column: str) -> list[AuditCount]:
        sql = (
            f"SELECT {column}, count(*) AS entries FROM audit WHERE {where} "  # noqa: S608
            "GROUP BY 1 ORDER BY entries DESC, 1 LIMIT ?"
        )
        return [AuditCount(name=n, entries=c) for n, c in connection.execute(sql, (*arguments, MAX_COUNTED))]

    sql = f"SELECT count(*) FROM audit WHERE {where}"  # noqa: S608
    (entries,) = connection.execute(sql, arguments).fetchone()
    return AuditStats(
        start=start,
        end=end,
        entries=entries,
        by_action=counted("action"),
        by_actor=counted("actor"),
        by_entity=counted("entity"),
    )


def last_place(connection: sqlite3.Connection) -> Place:
    """Number and hash of the newest entry; of the anchor where retention left none."""
    row = connection.execute("SELECT no, hash FROM audit ORDER BY no DESC LIMIT 1").fetchone()
    if row is not None:
        return Place(*row)
    found = anchor(connection)
    return Place(found.no, bytes.fromhex(found.hash)) if found else Place(0, GENESIS)


def anchor(connection: sqlite3.Connection) -> Statement | None:
    """The newest."""
    row = connection.execute("SELECT statement FROM audit_anchor ORDER BY no DESC LIMIT 1").fetchone()
    return Statement.model_validate_json(row[0]) if row else None


def rows_after(connection: sqlite3.Connection, no: int, limit: int) -> list[Stored]:
    sql = f"SELECT {_COLUMNS} FROM audit WHERE no > ? ORDER BY no LIMIT ?"  # noqa: S608
    return [Stored(*row) for row in connection.execute(sql, (no, limit))]


class SqliteTrail:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: AuditFilter, before: int | None, limit: int) -> list[AuditEntryView]:
        return await self._database.read(lambda connection: page(connection, wanted, before, limit))

    async def stats(self, start: int, end: int) -> AuditStats:
        return await self._database.read(lambda connection: stats(connection, start, end))

    async def last_place(self) -> Place:
        return await self._database.read(last_place)
