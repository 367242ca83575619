"""Desired configs in the database. The newest version is also on the device's row, for cheap hints."""

import sqlite3
from collections.abc import Callable
from typing import Any, Final

from central_sync.services.audit.entries import Entry
from central_sync.services.configs import diff as config_diff
from central_sync.services.configs.service import (
    KEPT_VERSIONS,
    Change,
    ConfigRow,
    Known,
    make_row,
    outcomes,
    same_sections,
)
from central_sync.services.configs.views import ConfigOutcome, ConfigWritten
from central_sync.services.database import Database
from central_sync.services.errors import NotFound, PreconditionFailed
from central_sync.store import audit, rows
from central_sync.store.idempotency import answer_once
from edge_agent.wire.messages import ConfigReport, Heartbeat

_COLUMNS: Final = "version, etag, body, author, config.created, note, source, outcome"
_FROM: Final = "FROM config JOIN device ON device.no = device_no WHERE device.id = ?"


def config_row(row: tuple[Any, ...]) -> ConfigRow:
    """From the columns `_COLUMNS`."""
    version, etag, body, author, created, note, source, outcome = row
    known_outcome = None if outcome is None else ConfigOutcome.model_validate_json(outcome)
    return ConfigRow(version, etag, body, author, created, note, source, known_outcome)


def config(connection: sqlite3.Connection, device: str) -> ConfigRow | None:
    sql = f"SELECT {_COLUMNS} {_FROM} ORDER BY version DESC LIMIT 1"
    row = connection.execute(sql, (device,)).fetchone()
    return config_row(row) if row else None


def known(connection: sqlite3.Connection, device: str) -> Known:
    """Raises NotFound."""
    sql = "SELECT heartbeat, last_seen FROM device WHERE id = ?"
    row = connection.execute(sql, (device,)).fetchone()
    if row is None:
        raise unknown(device)
    return Known(config(connection, device), _report(row[0]), row[1])


def unknown(device: str) -> NotFound:
    return NotFound("unknown_device", f"there is no device {device}: make a token for it first")


def put_config(connection: sqlite3.Connection, change: Change, keep: int) -> ConfigWritten:
    """One version more, or the one that says the same. keep: how many of the newest stay."""
    device_no = rows.device_number(connection, change.device)
    if device_no is None:
        raise unknown(change.device)
    current = config(connection, change.device)
    etag = current.etag if current else None
    if not change.condition.holds(etag):
        raise PreconditionFailed("stale", "the config was changed since it was read", etag=etag)
    if current is not None and same_sections(current, change.sections):
        return _written(current, created=False)
    number = current.version + 1 if current else 1
    new = make_row(number, change.sections, change.author.name, change.now, change.note, change.source)
    report = _note_outcomes(connection, device_no)
    connection.execute(
        "INSERT INTO config (device_no, version, etag, body, author, created, note, source) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (device_no, new.version, new.etag, new.body, new.author, new.created, new.note, new.source),
    )
    connection.execute(
        "UPDATE device SET config_version = ?, config_etag = ? WHERE no = ?",
        (new.version, new.etag, device_no),
    )
    applied = None if report is None else report.applied_version
    connection.execute(
        "DELETE FROM config WHERE device_no = ? AND version <= ? AND version <> ?",
        (device_no, new.version - keep, -1 if applied is None else applied),
    )
    rows.add_event(
        connection, device_no, change.now, "config_changed", f"version {new.version} by {new.author}",
        {"version": new.version, "etag": new.etag},
    )  # fmt: skip
    audit.record(connection, change.author.actor, change.now, _entry(change, current, new))
    return _written(new, created=True)


def _entry(change: Change, before: ConfigRow | None, after: ConfigRow) -> Entry:
    """Names, not contents: a config may hold a password that somebody wrote into it."""
    return Entry(
        f"config.{change.source}",
        "config",
        change.device,
        change.device,
        before and {"version": before.version, "etag": before.etag},
        {
            "version": after.version,
            "etag": after.etag,
            "note": after.note,
            "connections": config_diff.names(before.sections if before else {}, after.sections),
        },
    )


def _note_outcomes(connection: sqlite3.Connection, device_no: int) -> ConfigReport | None:
    """Keeps what the device says of its versions: its next report will be about another one."""
    (beat,) = connection.execute("SELECT heartbeat FROM device WHERE no = ?", (device_no,)).fetchone()
    report = _report(beat)
    for version, outcome in outcomes(report).items():
        connection.execute(
            "UPDATE config SET outcome = ? WHERE device_no = ? AND version = ?",
            (outcome.model_dump_json().encode(), device_no, version),
        )
    return report


def _report(beat: bytes | None) -> ConfigReport | None:
    return None if beat is None else Heartbeat.model_validate_json(beat).config


def _written(row: ConfigRow, *, created: bool) -> ConfigWritten:
    return ConfigWritten(
        version=row.version, etag=row.etag, created=created, author=row.author, time=row.created
    )


class SqliteConfigs:
    """Implements services.configs.service.ConfigStore. changed: gets each device and its new ETag after the
    commit, in the writer's thread and in the order of the commits: for whoever keeps ETags in memory."""

    def __init__(
        self,
        database: Database,
        changed: Callable[[str, str], None] | None = None,
        keep: int = KEPT_VERSIONS,
    ) -> None:
        self._database = database
        self._changed = changed
        self._keep = keep

    async def config(self, device: str) -> ConfigRow | None:
        return await self._database.quick(lambda connection: config(connection, device))

    async def etag(self, device: str) -> str | None:
        def find(connection: sqlite3.Connection) -> str | None:
            sql = "SELECT config_etag FROM device WHERE id = ?"
            row = connection.execute(sql, (device,)).fetchone()
            return row[0] if row else None

        return await self._database.quick(find)

    async def put_config(self, change: Change) -> ConfigWritten:
        return await self._database.write(
            lambda connection: self.put(connection, change),
            lambda written: self.tell(change.device, written),
        )

    def put(self, connection: sqlite3.Connection, change: Change) -> ConfigWritten:
        """Within a transaction; call `tell` after its commit."""
        return answer_once(
            connection, change.once, ConfigWritten, change.now,
            lambda: put_config(connection, change, self._keep),
        )  # fmt: skip

    def tell(self, device: str, written: ConfigWritten) -> None:
        if self._changed is not None and written.created:
            self._changed(device, written.etag)

    async def known(self, device: str) -> Known:
        return await self._database.read(lambda connection: known(connection, device))

    async def versions(self, device: str, below: int | None, limit: int) -> list[ConfigRow]:
        columns = _COLUMNS.replace("body", "x'' AS body")
        sql = f"SELECT {columns} {_FROM} AND version < ? ORDER BY version DESC LIMIT ?"
        bound = (1 << 62) if below is None else below
        return await self._database.read(
            lambda connection: [
                config_row(row) for row in connection.execute(sql, (device, bound, limit)).fetchall()
            ]
        )

    async def version(self, device: str, version: int) -> ConfigRow | None:
        sql = f"SELECT {_COLUMNS} {_FROM} AND version = ?"

        def find(connection: sqlite3.Connection) -> ConfigRow | None:
            row = connection.execute(sql, (device, version)).fetchone()
            return config_row(row) if row else None

        return await self._database.read(find)

    async def version_before(self, device: str, version: int) -> int | None:
        sql = f"SELECT max(version) {_FROM} AND version < ?"

        def find(connection: sqlite3.Connection) -> int | None:
            found: int | None = connection.execute(sql, (device, version)).fetchone()[0]
            return found

        return await self._database.read(find)
