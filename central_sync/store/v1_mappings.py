"""The names of an older system, in the database."""

import sqlite3
from typing import Any, Final

from central_sync.services.audit.entries import Entry
from central_sync.services.configs.service import Author
from central_sync.services.configs.v1_mappings import MAX_MAPPINGS, MappingFilter, V1Mapping
from central_sync.services.database import Database, Once
from central_sync.services.errors import Conflict, NotFound
from central_sync.store import audit
from central_sync.store.idempotency import answer_once
from central_sync.store.targets import limits_sql

_COLUMNS: Final = ("id", "v1_name", "device", "connection", "tag", "note", "author", "created", "updated")
_SEEN: Final = "EXISTS (SELECT 1 FROM device WHERE device.id = mapping.device AND {})"
_LISTED: Final = ", ".join(_COLUMNS)


def find(connection: sqlite3.Connection, mapping: str) -> V1Mapping | None:
    sql = f"SELECT {_LISTED} FROM v1_mapping WHERE id = ?"  # noqa: S608
    row = connection.execute(sql, (mapping,)).fetchone()
    return _mapping(row) if row else None


def _mapping(row: tuple[Any, ...]) -> V1Mapping:
    return V1Mapping(**dict(zip(_COLUMNS, row, strict=True)))


def create(connection: sqlite3.Connection, mapping: V1Mapping, author: Author) -> V1Mapping:
    (count,) = connection.execute("SELECT count(*) FROM v1_mapping").fetchone()
    if count >= MAX_MAPPINGS:
        raise Conflict("too_many_mappings", f"there are {MAX_MAPPINGS} mappings: delete some")
    _require_free(connection, mapping)
    sql = f"INSERT INTO v1_mapping ({_LISTED}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
    connection.execute(sql, [getattr(mapping, column) for column in _COLUMNS])
    _record(connection, "v1_mapping.create", None, mapping, author, mapping.updated)
    return mapping


def replace(connection: sqlite3.Connection, mapping: V1Mapping, author: Author) -> None:
    old = find(connection, mapping.id)
    if old is None:
        raise _unknown(mapping.id)
    _require_free(connection, mapping)
    connection.execute(
        "UPDATE v1_mapping SET v1_name = ?, device = ?, connection = ?, tag = ?, note = ?, author = ?, "
        "updated = ? WHERE id = ?",
        (
            mapping.v1_name, mapping.device, mapping.connection, mapping.tag, mapping.note, mapping.author,
            mapping.updated, mapping.id,
        ),
    )  # fmt: skip
    _record(connection, "v1_mapping.replace", old, mapping, author, mapping.updated)


def delete(connection: sqlite3.Connection, mapping: str, author: Author, now: int) -> None:
    old = find(connection, mapping)
    if old is None:
        raise _unknown(mapping)
    connection.execute("DELETE FROM v1_mapping WHERE id = ?", (mapping,))
    _record(connection, "v1_mapping.delete", old, None, author, now)


def _require_free(connection: sqlite3.Connection, mapping: V1Mapping) -> None:
    if connection.execute("SELECT 1 FROM device WHERE id = ?", (mapping.device,)).fetchone() is None:
        raise NotFound("unknown_device", f"there is no device {mapping.device}")
    sql = "SELECT 1 FROM v1_mapping WHERE v1_name = ? AND id <> ?"
    if connection.execute(sql, (mapping.v1_name, mapping.id)).fetchone():
        raise Conflict("name_taken", f"{mapping.v1_name} is mapped already")


def _unknown(mapping: str) -> NotFound:
    return NotFound("unknown_mapping", f"there is no mapping {mapping[:64]}")


def _record(
    connection: sqlite3.Connection,
    action: str,
    before: V1Mapping | None,
    after: V1Mapping | None,
    author: Author,
    now: int,
) -> None:
    view = after or before
    assert view is not None, "something was changed"
    states = [each and each.model_dump(exclude={"latest", "author"}) for each in (before, after)]
    audit.record(connection, author.actor, now, Entry(action, "v1_mapping", view.id, view.device, *states))


class SqliteMappings:
    """Implements services.configs.v1_mappings.MappingStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, mapping: V1Mapping, author: Author, once: Once | None) -> V1Mapping:
        return await self._database.write(
            lambda connection: answer_once(
                connection, once, V1Mapping, mapping.created, lambda: create(connection, mapping, author)
            )
        )

    async def get(self, mapping: str) -> V1Mapping | None:
        return await self._database.read(lambda connection: find(connection, mapping))

    async def page(self, wanted: MappingFilter) -> list[V1Mapping]:
        sight, values = limits_sql(wanted.limits)
        conditions, arguments = ["v1_name > ?"], [wanted.after]
        for column in ("device", "v1_name"):
            value = getattr(wanted, column)
            if value is not None:
                conditions.append(f"{column} = ?")
                arguments.append(value)
        if wanted.limits:
            conditions.append(_SEEN.format(sight))
            arguments += values
        sql = (
            f"SELECT {_LISTED} FROM v1_mapping AS mapping WHERE {' AND '.join(conditions)} "  # noqa: S608
            "ORDER BY v1_name LIMIT ?"
        )
        rows = await self._database.read(
            lambda connection: connection.execute(sql, (*arguments, wanted.limit)).fetchall()
        )
        return [_mapping(row) for row in rows]

    async def replace(self, mapping: V1Mapping, author: Author) -> None:
        await self._database.write(lambda connection: replace(connection, mapping, author))

    async def delete(self, mapping: str, author: Author, now: int) -> None:
        await self._database.write(lambda connection: delete(connection, mapping, author, now))
