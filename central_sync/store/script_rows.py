"""Reading scripts and their versions, as far as they exist for whoever asks."""

import sqlite3
from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson

from central_sync.services.errors import NotFound
from central_sync.services.scripts.views import (
    Assignment,
    ScriptDetail,
    ScriptVersion,
    ScriptVersionDetail,
    ScriptView,
)
from central_sync.store.targets import limits_sql
from edge_agent.wire.scripts import HookPoint, Script, Signature

Limits = Mapping[str, str]
COLUMNS: Final = (
    "script.no, script.id, name, hook_type, description, enabled, position, script.version, revision, scope, "
    "labels, selector, script.author, script.created, updated, deleted, sha256, signatures"
)


class ScriptRow(NamedTuple):
    """The columns `COLUMNS`: a script, and digest and signatures of the version that devices get."""

    no: int
    id: str
    name: str
    hook_type: str
    description: str
    enabled: int
    position: int
    version: int
    revision: int
    scope: str
    labels: str
    selector: str | None
    author: str
    created: int
    updated: int
    deleted: int | None
    sha256: str
    signatures: bytes

    @property
    def etag(self) -> str:
        return f"{self.id}.{self.revision}"


class VersionRow(NamedTuple):
    """The columns `VERSION_COLUMNS`. body: empty where it was not asked for."""

    version: int
    sha256: str
    signatures: bytes
    author: str
    created: int
    note: str
    source: str
    body: bytes


FROM: Final = (
    "FROM script JOIN script_version AS version "
    "ON version.script_no = script.no AND version.version = script.version"
)
VERSION_COLUMNS: Final = "version, sha256, signatures, author, created, note, source, body"
# Who is limited finds what was made within his limits, and what devices in his sight have.
_WITHIN: Final = "EXISTS (SELECT 1 FROM json_each(scope) WHERE key = ? AND value = ?)"
_HELD: Final = (
    "EXISTS (SELECT 1 FROM script_device JOIN device ON device.no = device_no WHERE script_no = script.no"
)


def sight(limits: Limits) -> tuple[str, list[str]]:
    """A condition on the table `script`: what exists for an identity with these limits."""
    if not limits:
        return "1", []
    within = " AND ".join([_WITHIN] * len(limits))
    device, values = limits_sql(limits)
    held = f"{_HELD} AND {device})"
    return f"(({within}) OR {held})", [text for pair in limits.items() for text in pair] + values


def view(connection: sqlite3.Connection, row: ScriptRow, limits: Limits) -> ScriptView:
    assignment = Assignment(
        devices=targets(connection, row.no, limits), labels=orjson.loads(row.labels), selector=row.selector
    )
    return ScriptView(
        id=row.id, name=row.name, hook_type=HookPoint(row.hook_type), description=row.description,
        enabled=bool(row.enabled), position=row.position, version=row.version, sha256=row.sha256,
        mark=mark(row.name, row.sha256), signed_by=keys(row.signatures), scope=orjson.loads(row.scope),
        assignment=assignment, devices=holders(connection, row.no, limits), author=row.author,
        created=row.created, updated=row.updated, deleted=row.deleted, etag=row.etag,
    )  # fmt: skip


def mark(name: str, sha256: str) -> str:
    return f"{name}@{sha256[:16]}"


def keys(signatures: bytes) -> list[str]:
    return [each["key"] for each in orjson.loads(signatures)]


def targets(connection: sqlite3.Connection, script_no: int, limits: Limits) -> list[str]:
    """The devices that are named, as far as they are in sight."""
    device, values = limits_sql(limits)
    sql = "SELECT id FROM script_target JOIN device ON no = device_no WHERE script_no = ? AND "
    found = connection.execute(f"{sql}{device} ORDER BY id", (script_no, *values))
    return [row[0] for row in found]


def holders(connection: sqlite3.Connection, script_no: int, limits: Limits) -> int:
    """How many devices in sight have it."""
    device, values = limits_sql(limits)
    # Without a look at each device where all are in sight: of a large fleet that takes seconds for a page.
    joined = "JOIN device ON no = device_no" if limits else ""
    sql = f"SELECT count(*) FROM script_device {joined} WHERE script_no = ? AND {device}"  # noqa: S608
    return int(connection.execute(sql, (script_no, *values)).fetchone()[0])


def find_row(connection: sqlite3.Connection, script: str, limits: Limits) -> ScriptRow:
    """Raises NotFound."""
    condition, values = sight(limits)
    sql = f"SELECT {COLUMNS} {FROM} WHERE script.id = ? AND {condition}"
    row = connection.execute(sql, (script, *values)).fetchone()
    if row is None:
        raise NotFound("unknown_script", f"there is no script {script[:64]}")
    return ScriptRow(*row)


def detail(connection: sqlite3.Connection, script: str, limits: Limits) -> ScriptDetail:
    row = find_row(connection, script, limits)
    content = script_in(version_row(connection, row.no, row.version))
    return ScriptDetail(**dict(view(connection, row, limits)), script=content)


def version_row(connection: sqlite3.Connection, script_no: int, version: int) -> VersionRow:
    """Raises NotFound."""
    sql = f"SELECT {VERSION_COLUMNS} FROM script_version WHERE script_no = ? AND version = ?"  # noqa: S608
    row = connection.execute(sql, (script_no, version)).fetchone()
    if row is None:
        raise NotFound("unknown_version", f"there is no version {version} of it (any more)")
    return VersionRow(*row)


def script_in(row: VersionRow) -> Script:
    signatures = [Signature(**each) for each in orjson.loads(row.signatures)]
    script = Script.model_validate_json(row.body)
    return script.model_copy(update={"version": row.version, "signatures": signatures})


def version_view(row: VersionRow, script: ScriptRow) -> ScriptVersion:
    return ScriptVersion(
        version=row.version, sha256=row.sha256, mark=mark(script.name, row.sha256), author=row.author,
        time=row.created, note=row.note, source=row.source, current=row.version == script.version,
        signed_by=keys(row.signatures),
    )  # fmt: skip


def version_detail(
    connection: sqlite3.Connection, script: str, version: int, limits: Limits
) -> ScriptVersionDetail:
    found = find_row(connection, script, limits)
    row = version_row(connection, found.no, version)
    return ScriptVersionDetail(**dict(version_view(row, found)), script=script_in(row))


def seen(connection: sqlite3.Connection, named: list[str], limits: Limits) -> set[str]:
    """Which of these devices are in sight."""
    device, values = limits_sql(limits)
    sql = f"SELECT id FROM device WHERE id IN (SELECT value FROM json_each(?)) AND {device}"  # noqa: S608
    return {row[0] for row in connection.execute(sql, (orjson.dumps(named).decode(), *values))}
