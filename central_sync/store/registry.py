"""The registry in the database: registration, names and labels, service, and the end of a device's data."""

import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Final

from central_sync.services.audit.entries import Entry
from central_sync.services.configs.service import Precondition
from central_sync.services.database import Database, Once
from central_sync.services.devices.health import DeviceState
from central_sync.services.devices.registry import (
    Change,
    DevicePatch,
    Registration,
    RegistryView,
    merge_labels,
)
from central_sync.services.errors import Conflict, Forbidden, NotFound, PreconditionFailed
from central_sync.store import heartbeats, rows, script_sets, series
from central_sync.store.audit import record
from central_sync.store.idempotency import answer_once
from central_sync.store.targets import registry_labels

# Rows that one step deletes of a device's data. A batch may be a megabyte, which takes milliseconds.
PURGE_ROWS: Final = 500
PURGE_SECONDS: Final = 0.01
_COLUMNS: Final = "id, name, notes, created, decommissioned, purging"
# What a device sent. Its account (epochs, what was received, lost) stays: an agent that comes back sends
# nothing twice. Configs, commands and the audit trail are what people did, and stay too.
_BY_DEVICE: Final = (
    ("batch_schema", "schema_no, t1, arrival"),
    ("loss", "no"),
    ("event", "no"),
    ("device_state_change", "no"),
    ("latest", "schema"),
    ("seen", "run, connection, grp"),
    ("clock", "no"),
    ("device_schema", "schema_no"),
)


def registry(connection: sqlite3.Connection, device: str) -> RegistryView | None:
    sql = f"SELECT {_COLUMNS} FROM device WHERE id = ?"  # noqa: S608
    row = connection.execute(sql, (device,)).fetchone()
    if row is None:
        return None
    name, *rest = row
    fields = dict(zip(("name", "notes", "created", "decommissioned", "purging"), rest, strict=True))
    return RegistryView.of(device_id=name, labels=registry_labels(connection, device) or {}, **fields)


def register(connection: sqlite3.Connection, wanted: Registration, change: Change) -> RegistryView:
    device = wanted.device_id
    if rows.device_number(connection, device) is not None:
        raise Conflict("device_exists", f"there is a device {device} already")
    number = rows.require_device(connection, device, change.now)
    sql = "UPDATE device SET name = ?, notes = ? WHERE no = ?"
    connection.execute(sql, (wanted.name, wanted.notes, number))
    set_labels(connection, number, {}, wanted.labels)
    made = _view(connection, device)
    entry = Entry("device.register", "device", device, device, after=made.state())
    record(connection, change.actor, change.now, entry)
    return made


def patch(
    connection: sqlite3.Connection,
    device: str,
    wanted: DevicePatch,
    change: Change,
    limits: Mapping[str, str],
) -> RegistryView:
    before = _checked(connection, device, change.condition)
    labels = merge_labels(before.labels, wanted.labels)
    if not all(labels.get(key) == value for key, value in limits.items()):
        raise Forbidden("limited", "you would not see the device any more: its labels are your limits")
    number = rows.require_device(connection, device, change.now)
    connection.execute(
        "UPDATE device SET name = coalesce(?, name), notes = coalesce(?, notes) WHERE no = ?",
        (wanted.name, wanted.notes, number),
    )
    set_labels(connection, number, before.labels, labels)
    script_sets.settle_device(connection, number, change.now)
    return _recorded(connection, "device.patch", before, change)


def set_labels(
    connection: sqlite3.Connection, number: int, known: Mapping[str, str], wanted: Mapping[str, str]
) -> None:
    """Labels of the registry as they shall be. Where one goes, what the device reports counts again."""
    for key in known.keys() - wanted.keys():
        connection.execute("DELETE FROM device_label WHERE device_no = ? AND key = ?", (number, key))
        reported = heartbeats.reported_labels(connection, number).get(key)
        if reported is not None:
            connection.execute("INSERT INTO device_label VALUES (?, ?, ?, 0)", (number, key, reported))
    for key, value in wanted.items():
        if known.get(key) != value:
            connection.execute(
                "INSERT INTO device_label VALUES (?, ?, ?, 1) ON CONFLICT (device_no, key) "
                "DO UPDATE SET value = excluded.value, registry = 1",
                (number, key, value),
            )


def decommission(
    connection: sqlite3.Connection, device: str, change: Change, purge: bool
) -> tuple[RegistryView, list[str]]:
    """The device afterwards, and the tokens that it had."""
    before = _checked(connection, device, change.condition)
    if before.decommissioned is None:
        _leave_service(connection, device, change.now)
    sql = "UPDATE token SET revoked = ? WHERE device = ? AND revoked IS NULL"
    connection.execute(sql, (change.now, device))
    if purge and before.purging is None:
        connection.execute("UPDATE device SET purging = ? WHERE id = ?", (change.now, device))
    return _recorded(connection, "device.decommission", before, change), _tokens(connection, device)


def _tokens(connection: sqlite3.Connection, device: str) -> list[str]:
    return [row[0] for row in connection.execute("SELECT id FROM token WHERE device = ?", (device,))]


def _leave_service(connection: sqlite3.Connection, device: str, now: int) -> None:
    row = rows.find_device(connection, device)
    assert row is not None
    if row.state in (DeviceState.ONLINE, DeviceState.DEGRADED):
        heartbeats.move(connection, row.no, device, row.state, DeviceState.OFFLINE, now)
    connection.execute("UPDATE device SET decommissioned = ? WHERE no = ?", (now, row.no))
    heartbeats.note_state(connection, row.no, "decommissioned", now)
    rows.add_event(connection, row.no, now, "device_decommissioned", f"{device} is out of service")


def recommission(
    connection: sqlite3.Connection, device: str, change: Change
) -> tuple[RegistryView, list[str]]:
    """As `decommission`. Its credentials stay revoked."""
    before = _checked(connection, device, change.condition)
    if before.purging is not None:
        raise Conflict("purging", f"the data of {device} is being deleted: try again when that is over")
    if before.decommissioned is not None:
        row = rows.find_device(connection, device)
        assert row is not None
        connection.execute("UPDATE device SET decommissioned = NULL WHERE no = ?", (row.no,))
        heartbeats.note_state(connection, row.no, row.state, change.now)
        text = f"{device} is in service again; it needs a new credential"
        rows.add_event(connection, row.no, change.now, "device_recommissioned", text)
    return _recorded(connection, "device.recommission", before, change), _tokens(connection, device)


def purge_step(connection: sqlite3.Connection, device: str, now: int) -> bool:
    """Deletes at most `PURGE_ROWS` rows, batches for `PURGE_SECONDS`; True where nothing is left, and the
    device is settled."""
    number = rows.device_number(connection, device)
    if number is None:
        return True
    left = PURGE_ROWS
    series.forget(connection, number)
    for table, key in _BY_DEVICE:
        sql = (
            f"DELETE FROM {table} WHERE device_no = ? AND ({key}) IN "  # noqa: S608
            f"(SELECT {key} FROM {table} WHERE device_no = ? LIMIT ?)"
        )
        left -= connection.execute(sql, (number, number, left)).rowcount
        if left <= 0:
            return False
    if not _purge_batches(connection, number, left):
        return False
    connection.execute("DELETE FROM duplicate WHERE device_no = ?", (number,))
    connection.execute("DELETE FROM device_label WHERE device_no = ? AND registry = 0", (number,))
    connection.execute(
        "UPDATE device SET purging = NULL, heartbeat = NULL, state = 'never_seen', state_since = ?, "
        "last_seen = NULL, last_upload = NULL, last_loss = NULL, clock_offset = NULL, events = 0 "
        "WHERE no = ?",
        (now, number),
    )
    heartbeats.note_state(connection, number, "decommissioned", now)
    rows.add_event(connection, number, now, "device_purged", f"what {device} had sent is deleted")
    return True


def _purge_batches(connection: sqlite3.Connection, device_no: int, limit: int) -> bool:
    """Whether none is left."""
    deadline = time.monotonic() + PURGE_SECONDS
    sql = "SELECT arrival FROM batch WHERE epoch_no IN (SELECT no FROM epoch WHERE device_no = ?) LIMIT ?"
    found = connection.execute(sql, (device_no, limit)).fetchall()
    for place, (arrival,) in enumerate(found, 1):
        connection.execute("DELETE FROM batch WHERE arrival = ?", (arrival,))
        if place < len(found) and time.monotonic() > deadline:
            return False
    return len(found) < limit


def _checked(connection: sqlite3.Connection, device: str, condition: Precondition) -> RegistryView:
    found = registry(connection, device)
    if found is None:
        raise NotFound("unknown_device", f"there is no device {device}")
    if not condition.holds(found.etag):
        raise PreconditionFailed("stale", "the device was changed since it was read", etag=found.etag)
    return found


def _view(connection: sqlite3.Connection, device: str) -> RegistryView:
    found = registry(connection, device)
    assert found is not None
    return found


def _recorded(
    connection: sqlite3.Connection, action: str, before: RegistryView, change: Change
) -> RegistryView:
    """The device after its change, with an entry in the audit trail where something changed."""
    after = _view(connection, before.device_id)
    if after != before:
        entry = Entry(action, "device", after.device_id, after.device_id, before.state(), after.state())
        record(connection, change.actor, change.now, entry)
    return after


class SqliteRegistry:
    def __init__(self, database: Database, forget: Callable[[int], None]) -> None:
        """forget: what the read models hold of a device; called in the writer's thread."""
        self._database = database
        self._forget = forget

    async def register(self, wanted: Registration, change: Change, once: Once | None) -> RegistryView:
        return await self._database.write(
            lambda connection: answer_once(
                connection, once, RegistryView, change.now, lambda: register(connection, wanted, change)
            )
        )

    async def patch(
        self, device: str, wanted: DevicePatch, change: Change, limits: Mapping[str, str]
    ) -> RegistryView:
        return await self._database.write(
            lambda connection: patch(connection, device, wanted, change, limits)
        )

    async def decommission(self, device: str, change: Change, purge: bool) -> tuple[RegistryView, list[str]]:
        return await self._database.write(lambda connection: decommission(connection, device, change, purge))

    async def recommission(self, device: str, change: Change) -> tuple[RegistryView, list[str]]:
        return await self._database.write(lambda connection: recommission(connection, device, change))

    async def registry(self, device: str) -> RegistryView | None:
        return await self._database.read(lambda connection: registry(connection, device))

    async def purging(self) -> list[str]:
        sql = "SELECT id FROM device WHERE purging IS NOT NULL ORDER BY purging"
        return await self._database.quick(
            lambda connection: [row[0] for row in connection.execute(sql).fetchall()]
        )

    async def purge_step(self, device: str, now: int) -> bool:
        def step(connection: sqlite3.Connection) -> tuple[bool, int | None]:
            number = rows.device_number(connection, device)
            return purge_step(connection, device, now), number

        def after(done: tuple[bool, int | None]) -> None:
            if done[1] is not None:
                self._forget(done[1])

        done, _ = await self._database.write(step, after)
        return done
