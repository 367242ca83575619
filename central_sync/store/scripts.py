"""Scripts and their versions in the database; who is served what is worked out in script_sets.py."""

import sqlite3
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from central_sync.services.audit.entries import Entry
from central_sync.services.configs.service import Author, Precondition
from central_sync.services.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed
from central_sync.services.scripts.service import assigned
from central_sync.services.scripts.sets import pack_signatures
from central_sync.services.scripts.store import KEPT_VERSIONS, MAX_SCRIPTS, Edit, NewScript
from central_sync.services.scripts.views import (
    Assignment,
    AssignmentBody,
    ScriptDetail,
    ScriptPatch,
    ScriptVersion,
    ScriptVersionDetail,
    ScriptView,
    ScriptWritten,
)
from central_sync.store import audit, script_sets
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


def may_change(scope: Mapping[str, str], limits: Limits) -> bool:
    """Whether no device beyond these limits can have it."""
    return all(scope.get(key) == value for key, value in limits.items())


# --- reading ----------------------------------------------------------------------------------------


def view(connection: sqlite3.Connection, row: ScriptRow, limits: Limits) -> ScriptView:
    assignment = Assignment(
        devices=targets(connection, row.no, limits), labels=orjson.loads(row.labels), selector=row.selector
    )
    return ScriptView(
        id=row.id, name=row.name, hook_type=HookPoint(row.hook_type), description=row.description,
        enabled=bool(row.enabled), position=row.position, version=row.version, sha256=row.sha256,
        mark=mark(row.name, row.sha256), signed_by=_keys(row.signatures), scope=orjson.loads(row.scope),
        assignment=assignment, devices=holders(connection, row.no, limits), author=row.author,
        created=row.created, updated=row.updated, deleted=row.deleted, etag=row.etag,
    )  # fmt: skip


def mark(name: str, sha256: str) -> str:
    return f"{name}@{sha256[:16]}"


def _keys(signatures: bytes) -> list[str]:
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
        signed_by=_keys(row.signatures),
    )  # fmt: skip


def version_detail(
    connection: sqlite3.Connection, script: str, version: int, limits: Limits
) -> ScriptVersionDetail:
    found = find_row(connection, script, limits)
    row = version_row(connection, found.no, version)
    return ScriptVersionDetail(**dict(version_view(row, found)), script=script_in(row))


# --- changing ---------------------------------------------------------------------------------------


def create(connection: sqlite3.Connection, new: NewScript) -> ScriptWritten:
    (count,) = connection.execute("SELECT count(*) FROM script WHERE deleted IS NULL").fetchone()
    if count >= MAX_SCRIPTS:
        raise Conflict("too_many_scripts", f"there are {MAX_SCRIPTS} scripts: delete some")
    content = new.content
    sql = "SELECT 1 FROM script WHERE name = ? AND deleted IS NULL"
    if connection.execute(sql, (content.name,)).fetchone():
        raise Conflict("name_taken", f"there is another script called {content.name}")
    cursor = connection.execute(
        "INSERT INTO script (id, name, hook_type, description, enabled, position, version, revision, scope, "
        "author, created, updated) VALUES (?, ?, ?, ?, 1, ?, 1, 1, ?, ?, ?, ?)",
        (
            new.id, content.name, content.hook_type, new.description, new.position, _json(new.scope),
            new.author.name, new.now, new.now,
        ),
    )  # fmt: skip
    number = int(cursor.lastrowid or 0)
    _insert_version(connection, number, 1, content, new.author, new.now, new.note, "create")
    after = view(connection, find_row(connection, new.id, new.scope), new.scope)
    record(connection, new.author, new.now, "script.create", None, state(connection, new.id))
    return _written(after, created=True)


def edit(connection: sqlite3.Connection, wanted: Edit) -> ScriptWritten:
    """Raises what ScriptStore.edit says."""
    row = require_change(connection, wanted.script, wanted.limits, wanted.condition)
    signed = None if wanted.signed is None else wanted.signed[0]
    before = state(connection, wanted.script, signed)
    is_new = _change(connection, row, wanted)
    after = state(connection, wanted.script, signed)
    if after != before:
        touch(connection, row.no, wanted.now)
        told = {**after, "note": wanted.note} if wanted.note else after
        record(connection, wanted.author, wanted.now, wanted.action, before, told)
    found = view(connection, find_row(connection, wanted.script, wanted.limits), wanted.limits)
    return _written(found, created=is_new)


def _change(connection: sqlite3.Connection, row: ScriptRow, wanted: Edit) -> bool:
    """Whether there is a new version."""
    if wanted.signed is not None:
        _sign(connection, row.no, *wanted.signed)
    if wanted.patch is not None:
        _patch(connection, row.no, wanted.patch)
    if wanted.delete:
        connection.execute("UPDATE script SET deleted = ? WHERE no = ?", (wanted.now, row.no))
    if wanted.back_to is not None:
        content = script_in(version_row(connection, row.no, wanted.back_to))
        return _put(connection, row, content, wanted, "rollback")
    return wanted.content is not None and _put(connection, row, wanted.content, wanted, "put")


def require_change(
    connection: sqlite3.Connection, script: str, limits: Limits, condition: Precondition
) -> ScriptRow:
    """Raises NotFound, Forbidden, PreconditionFailed."""
    row = find_row(connection, script, limits)
    if row.deleted is not None:
        raise NotFound("unknown_script", f"the script {row.name} was deleted")
    if not may_change(orjson.loads(row.scope), limits):
        raise Forbidden("limited", "devices have it, or may get it, that you do not see")
    if not condition.holds(row.etag):
        raise PreconditionFailed("stale", "the script was changed since it was read", etag=row.etag)
    return row


def touch(connection: sqlite3.Connection, number: int, now: int) -> None:
    """Something of it is different: its ETag, and what its devices are served."""
    connection.execute("UPDATE script SET revision = revision + 1, updated = ? WHERE no = ?", (now, number))
    script_sets.mark_stale(connection, number)
    script_sets.settle(connection, now)


def _put(connection: sqlite3.Connection, row: ScriptRow, content: Script, wanted: Edit, source: str) -> bool:
    """Whether it is a new version. The same content again brings at most signatures."""
    if content.name != row.name:
        raise Invalid("other_name", f"name: it is {row.name}, which its signatures and its state go by")
    if content.canonical == version_row(connection, row.no, row.version).body:
        if content.signatures:
            _sign(connection, row.no, row.version, content.signatures)
        return False
    version = row.version + 1
    _insert_version(connection, row.no, version, content, wanted.author, wanted.now, wanted.note, source)
    connection.execute(
        "UPDATE script SET version = ?, hook_type = ? WHERE no = ?", (version, content.hook_type, row.no)
    )
    connection.execute(
        "DELETE FROM script_version WHERE script_no = ? AND version <= ?", (row.no, version - KEPT_VERSIONS)
    )
    return True


def _insert_version(
    connection: sqlite3.Connection,
    number: int,
    version: int,
    content: Script,
    author: Author,
    now: int,
    note: str,
    source: str,
) -> None:
    connection.execute(
        "INSERT INTO script_version (script_no, version, sha256, body, signatures, author, created, note, "
        "source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            number, version, content.sha256, content.canonical, pack_signatures(content.signatures),
            author.name, now, note, source,
        ),
    )  # fmt: skip


def _sign(connection: sqlite3.Connection, number: int, version: int, signatures: list[Signature]) -> None:
    keys = [each.key for each in signatures]
    if len(set(keys)) < len(keys):
        raise Invalid("bad_script", "signatures: one for each key")
    version_row(connection, number, version)
    connection.execute(
        "UPDATE script_version SET signatures = ? WHERE script_no = ? AND version = ?",
        (pack_signatures(signatures), number, version),
    )


def _patch(connection: sqlite3.Connection, number: int, patch: ScriptPatch) -> None:
    connection.execute(
        "UPDATE script SET enabled = coalesce(?, enabled), position = coalesce(?, position), "
        "description = coalesce(?, description) WHERE no = ?",
        (patch.enabled, patch.position, patch.description, number),
    )


def _written(found: ScriptView, *, created: bool) -> ScriptWritten:
    return ScriptWritten(**dict(found), created_version=created)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


# --- who gets it ------------------------------------------------------------------------------------


def assignment_after(
    connection: sqlite3.Connection, row: ScriptRow, wanted: AssignmentBody, limits: Limits
) -> Assignment:
    """What an assignment makes of the one that is there. Raises NotFound where a device does not exist for
    these eyes, or cannot have the script."""
    _require_devices(connection, wanted.devices, {**limits, **orjson.loads(row.scope)})
    before = Assignment(
        devices=targets(connection, row.no, {}), labels=orjson.loads(row.labels), selector=row.selector
    )
    return assigned(before, wanted)


def set_assignment(connection: sqlite3.Connection, number: int, wanted: Assignment) -> None:
    connection.execute(
        "UPDATE script SET labels = ?, selector = ? WHERE no = ?",
        (_json(wanted.labels), wanted.selector, number),
    )
    connection.execute("DELETE FROM script_target WHERE script_no = ?", (number,))
    connection.execute(
        "INSERT INTO script_target SELECT ?, no FROM device WHERE id IN (SELECT value FROM json_each(?))",
        (number, _json(wanted.devices)),
    )


def seen(connection: sqlite3.Connection, named: list[str], limits: Limits) -> set[str]:
    """Which of these devices are in sight."""
    device, values = limits_sql(limits)
    sql = f"SELECT id FROM device WHERE id IN (SELECT value FROM json_each(?)) AND {device}"  # noqa: S608
    return {row[0] for row in connection.execute(sql, (_json(named), *values))}


def _require_devices(connection: sqlite3.Connection, named: list[str], limits: Limits) -> None:
    known = seen(connection, named, limits)
    missing = [device for device in named if device not in known]
    if missing:
        raise NotFound("unknown_device", f"there is no device {', '.join(missing[:10])}", devices=missing)


# --- the audit trail --------------------------------------------------------------------------------


def state(connection: sqlite3.Connection, script: str, signed: int | None = None) -> dict[str, Any]:
    """What the trail keeps of a script: everything but its source, which the digest names. signed: the
    version whose signatures are told beside those of the current one."""
    row = find_row(connection, script, {})
    settings = script_in(version_row(connection, row.no, row.version))
    found = {
        "settings": settings.model_dump(mode="json", exclude={"source", "signatures", "version"}),
        "source_bytes": len(settings.source.encode()), "signatures": orjson.loads(row.signatures),
        **view(connection, row, {}).model_dump(
            mode="json",
            include={
                "name", "version", "sha256", "enabled", "position", "description", "scope", "assignment",
                "deleted",
            },
        ),
    }  # fmt: skip
    if signed is not None and signed != row.version:
        other = version_row(connection, row.no, signed)
        found["signed"] = {"version": signed, "signatures": orjson.loads(other.signatures)}
    return found


def record(
    connection: sqlite3.Connection,
    author: Author,
    now: int,
    action: str,
    before: dict[str, Any] | None,
    after: dict[str, Any],
) -> None:
    audit.record(connection, author.actor, now, Entry(action, "script", after["name"], None, before, after))
