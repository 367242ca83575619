"""Labels in the database: who carries which, and choosing devices by them."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from central_sync.services.access.selectors import Part, Test
from central_sync.services.access.targets import MAX_TARGETS, Wanted
from central_sync.services.database import Database

_HAS = "EXISTS (SELECT 1 FROM device_label AS label WHERE label.device_no = device.no AND label.key = ?"


def registry_labels(connection: sqlite3.Connection, device: str) -> dict[str, str] | None:
    """What operators and enrolment tokens put on a device; None: there is no such device."""
    rows = connection.execute(
        "SELECT key, value FROM device LEFT JOIN device_label ON device_no = no AND registry = 1 "
        "WHERE id = ?",
        (device,),
    ).fetchall()
    return {key: value for key, value in rows if key is not None} if rows else None


def part_sql(part: Part) -> tuple[str, list[str]]:
    """A condition on the table `device`, and its parameters."""
    match part.test:
        case Test.EXISTS:
            return f"{_HAS})", [part.key]
        case Test.ABSENT:
            return f"NOT {_HAS})", [part.key]
    holders = ", ".join("?" * len(part.values))
    negated = "" if part.test is Test.IN else "NOT "
    return f"{negated}{_HAS} AND label.value IN ({holders}))", [part.key, *part.values]


def limits_sql(limits: Mapping[str, str]) -> tuple[str, list[str]]:
    """A condition on the table `device`: what an identity with these limits sees. `1` where it sees all."""
    conditions = [f"{_HAS} AND label.value = ? AND label.registry = 1)"] * len(limits)
    return " AND ".join(conditions) or "1", [text for pair in limits.items() for text in pair]


def choose(connection: sqlite3.Connection, wanted: Wanted) -> list[str]:
    sight, parameters = limits_sql(wanted.limits)
    ways: list[str] = []
    arguments: list[Any] = [*parameters]
    if wanted.devices:
        ways.append(f"id IN ({', '.join('?' * len(wanted.devices))})")
        arguments += wanted.devices
    if wanted.selector is not None:
        parts = [part_sql(part) for part in wanted.selector.parts]
        ways.append("(" + (" AND ".join(sql for sql, _ in parts) or "1") + ")")
        arguments += [value for _, values in parts for value in values]
    sql = (
        f"SELECT id FROM device WHERE decommissioned IS NULL AND {sight} "  # noqa: S608
        f"AND ({' OR '.join(ways)}) ORDER BY id LIMIT ?"
    )
    return [row[0] for row in connection.execute(sql, (*arguments, MAX_TARGETS + 1))]


class SqliteTargets:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def targets(self, wanted: Wanted) -> list[str]:
        return await self._database.read(lambda connection: choose(connection, wanted))

    async def registry_labels(self, device: str) -> dict[str, str] | None:
        return await self._database.quick(lambda connection: registry_labels(connection, device))
