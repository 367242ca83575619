"""Lists of scripts and of their devices, and the transactions around scripts.py and script_sets.py."""

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from central_sync.services.database import Database
from central_sync.services.scripts.service import runs
from central_sync.services.scripts.sets import ServedScripts
from central_sync.services.scripts.store import (
    DeviceState,
    Edit,
    NewScript,
    Reassignment,
    ScriptFilter,
)
from central_sync.services.scripts.views import (
    Assignment,
    AssignmentChanged,
    DesiredScript,
    ScriptDetail,
    ScriptDevice,
    ScriptVersion,
    ScriptVersionDetail,
    ScriptView,
    ScriptWritten,
)
from central_sync.store import configs, script_rows, script_sets, scripts
from central_sync.store.idempotency import answer_once
from central_sync.store.targets import limits_sql
from edge_agent.wire.messages import Heartbeat, HooksReport

MAX_NAMED: Final = 1_000


def preview(connection: sqlite3.Connection, wanted: Reassignment) -> AssignmentChanged:
    """What an assignment would do. Raises what `ScriptStore.assign` says."""
    return _planned(connection, wanted)[2]


def assign(connection: sqlite3.Connection, wanted: Reassignment) -> AssignmentChanged:
    row, assignment, found = _planned(connection, wanted)
    before = scripts.state(connection, wanted.script)
    scripts.set_assignment(connection, row.no, assignment)
    after = scripts.state(connection, wanted.script)
    if after != before:
        scripts.touch(connection, row.no, wanted.now)
        scripts.record(connection, wanted.author, wanted.now, "script.assign", before, after)
    etag = script_rows.find_row(connection, wanted.script, wanted.limits).etag
    return found.model_copy(update={"etag": etag, "dry_run": False})


def _planned(
    connection: sqlite3.Connection, wanted: Reassignment
) -> tuple[script_rows.ScriptRow, Assignment, AssignmentChanged]:
    """The script, its assignment afterwards, and what of it is shown."""
    row = scripts.require_change(connection, wanted.script, wanted.limits, wanted.condition)
    after = scripts.assignment_after(connection, row, wanted.wanted, wanted.limits)
    rule = replace(script_sets.rule(connection, row.no), labels=after.labels, selector=after.selector)
    sql, values = script_sets.condition(rule, after.devices)
    found = connection.execute(f"SELECT id FROM device WHERE {sql}", values)  # noqa: S608
    gets = {device for (device,) in found}
    held = {device for (device,) in connection.execute(_HOLDERS, (row.no,))}
    # Who was named may have left the sight of who is asking since.
    seen = script_rows.seen(connection, after.devices, wanted.limits)
    shown = after.model_copy(update={"devices": [device for device in after.devices if device in seen]})
    changed = AssignmentChanged(
        assignment=shown, etag=row.etag, matched=len(gets), dry_run=True,
        added=sorted(gets - held)[:MAX_NAMED], removed=sorted(held - gets)[:MAX_NAMED],
    )  # fmt: skip
    return row, after, changed


_HOLDERS: Final = "SELECT id FROM script_device JOIN device ON no = device_no WHERE script_no = ?"


def page(connection: sqlite3.Connection, wanted: ScriptFilter) -> list[ScriptView]:
    condition, values = script_rows.sight(wanted.limits)
    conditions = ["script.id > ?", f"deleted IS {'NOT NULL' if wanted.deleted else 'NULL'}", condition]
    arguments: list[Any] = [wanted.after, *values]
    if wanted.hook_type is not None:
        conditions.append("hook_type = ?")
        arguments.append(wanted.hook_type)
    if wanted.mark is not None:
        name, _, digest = wanted.mark.partition("@")
        conditions.append(
            "name = ? AND EXISTS (SELECT 1 FROM script_version AS any WHERE any.script_no = script.no "
            "AND any.sha256 GLOB ?)"
        )
        arguments += [name, f"{digest}*"]
    where = " AND ".join(conditions)
    sql = f"SELECT {script_rows.COLUMNS} {script_rows.FROM} WHERE {where} ORDER BY script.id LIMIT ?"
    found = connection.execute(sql, (*arguments, wanted.limit)).fetchall()
    return [script_rows.view(connection, script_rows.ScriptRow(*row), wanted.limits) for row in found]


def versions(
    connection: sqlite3.Connection, script: str, limits: Mapping[str, str], below: int | None, limit: int
) -> list[ScriptVersion]:
    row = script_rows.find_row(connection, script, limits)
    columns = script_rows.VERSION_COLUMNS.replace("body", "x'' AS body")
    sql = (
        f"SELECT {columns} FROM script_version WHERE script_no = ? AND version < ? "  # noqa: S608
        "ORDER BY version DESC LIMIT ?"
    )
    bound = (1 << 62) if below is None else below
    found = connection.execute(sql, (row.no, bound, limit)).fetchall()
    return [script_rows.version_view(script_rows.VersionRow(*each), row) for each in found]


def devices(
    connection: sqlite3.Connection, script: str, limits: Mapping[str, str], after: str, limit: int
) -> list[ScriptDevice]:
    row = script_rows.find_row(connection, script, limits)
    sight, values = limits_sql(limits)
    sql = (
        "SELECT id, heartbeat, last_seen FROM script_device JOIN device ON no = device_no "  # noqa: S608
        f"WHERE script_no = ? AND id > ? AND {sight} ORDER BY id LIMIT ?"
    )
    found: list[ScriptDevice] = []
    for device, beat, seen in connection.execute(sql, (row.no, after, *values, limit)):
        report = _report(beat)
        hooks = report.hooks if report else []
        hook = next((each for each in hooks if each.name == row.name and each.origin == "centre"), None)
        in_sync = runs(hook, row.version, row.sha256) if row.enabled else hook is None
        found.append(ScriptDevice(device_id=device, in_sync=in_sync, reported=hook, time=seen))
    return found


def _report(beat: bytes | None) -> HooksReport | None:
    return None if beat is None else Heartbeat.model_validate_json(beat).hooks


def device_state(connection: sqlite3.Connection, device: str) -> DeviceState:
    """Raises NotFound."""
    sql = "SELECT no, scripts_etag, heartbeat, last_seen FROM device WHERE id = ?"
    row = connection.execute(sql, (device,)).fetchone()
    if row is None:
        raise configs.unknown(device)
    number, etag, beat, seen = row
    sql = (
        f"SELECT script.id, name, hook_type, script.version, sha256, signatures, enabled {script_rows.FROM} "
        "JOIN script_device AS held ON held.script_no = script.no "
        "WHERE held.device_no = ? ORDER BY position, name"
    )
    found = [
        (
            DesiredScript(
                id=id_, name=name, hook_type=kind, version=version, sha256=sha256,
                mark=script_rows.mark(name, sha256), signed_by=script_rows.keys(signatures),
            ),
            bool(enabled),
        )
        for id_, name, kind, version, sha256, signatures, enabled in connection.execute(sql, (number,))
    ]  # fmt: skip
    return DeviceState(etag, found, _report(beat), seen)


class SqliteScripts:
    """Implements services.scripts.store.ScriptStore and workers.scripts.ScriptSets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, new: NewScript) -> ScriptWritten:
        return await self._database.write(
            lambda connection: answer_once(
                connection, new.once, ScriptWritten, new.now, lambda: scripts.create(connection, new)
            )
        )

    async def edit(self, edit: Edit) -> ScriptWritten:
        return await self._database.write(
            lambda connection: answer_once(
                connection, edit.once, ScriptWritten, edit.now, lambda: scripts.edit(connection, edit)
            )
        )

    async def assign(self, wanted: Reassignment) -> AssignmentChanged:
        if wanted.dry_run:
            return await self._database.read(lambda connection: preview(connection, wanted))
        return await self._database.write(lambda connection: assign(connection, wanted))

    async def get(self, script: str, limits: Mapping[str, str]) -> ScriptDetail:
        return await self._database.read(lambda connection: script_rows.detail(connection, script, limits))

    async def page(self, wanted: ScriptFilter) -> list[ScriptView]:
        return await self._database.read(lambda connection: page(connection, wanted))

    async def versions(
        self, script: str, limits: Mapping[str, str], below: int | None, limit: int
    ) -> list[ScriptVersion]:
        return await self._database.read(
            lambda connection: versions(connection, script, limits, below, limit)
        )

    async def version(self, script: str, version: int, limits: Mapping[str, str]) -> ScriptVersionDetail:
        return await self._database.read(
            lambda connection: script_rows.version_detail(connection, script, version, limits)
        )

    async def devices(
        self, script: str, limits: Mapping[str, str], after: str, limit: int
    ) -> list[ScriptDevice]:
        return await self._database.read(lambda connection: devices(connection, script, limits, after, limit))

    async def device_state(self, device: str) -> DeviceState:
        return await self._database.read(lambda connection: device_state(connection, device))

    async def etag(self, device: str) -> str | None:
        return await self._database.quick(lambda connection: script_sets.etag(connection, device))

    async def served(self, device: str) -> ServedScripts | None:
        return await self._database.quick(lambda connection: script_sets.served_to(connection, device))

    async def settle(self, now: int) -> int:
        """Works out some devices of which that is still to be done; how many it were."""
        if not await self._database.quick(script_sets.is_stale):
            return 0
        return await self._database.write(lambda connection: script_sets.settle(connection, now))
