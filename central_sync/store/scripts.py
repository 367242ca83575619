"""Scripts and their versions in the database; who is served what is worked out in script_sets.py."""

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

import orjson

from central_sync.services.audit.entries import Entry
from central_sync.services.configs.service import Author
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
from edge_agent.wire.scripts import Script, Signature

Limits = Mapping[str, str]
COLUMNS: Final = (
    "script.no, script.id, name, hook_type, description, enabled, position, script.version, revision, scope, "
    "labels, selector, script.author, script.created, updated, deleted, sha256, signatures"
)
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


def view(connection: sqlite3.Connection, row: tuple[Any, ...], limits: Limits) -> ScriptView:
    """From the columns `COLUMNS`."""
    no, id_, name, kind, description, enabled, position, version, revision, scope = row[:10]
    labels, selector, author, created, updated, deleted, sha256, signatures = row[10:]
    assignment = Assignment(
        devices=targets(connection, no, limits), labels=orjson.loads(labels), selector=selector
    )
    return ScriptView(
        id=id_, name=name, hook_type=kind, description=description, enabled=bool(enabled), position=position,
        version=version, sha256=sha256, mark=mark(name, sha256), signed_by=_keys(signatures),
        scope=orjson.loads(scope), assignment=assignment, devices=holders(connection, no, limits),
        author=author, created=created, updated=updated, deleted=deleted, etag=f"{id_}.{revision}",
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


def find_row(connection: sqlite3.Connection, script: str, limits: Limits) -> tuple[Any, ...]:
    """Raises NotFound."""
    condition, values = sight(limits)
    sql = f"SELECT {COLUMNS} {FROM} WHERE script.id = ? AND {condition}"
    row: tuple[Any, ...] | None = connection.execute(sql, (script, *values)).fetchone()
    if row is None:
        raise NotFound("unknown_script", f"there is no script {script[:64]}")
    return row


def detail(connection: sqlite3.Connection, script: str, limits: Limits) -> ScriptDetail:
    row = find_row(connection, script, limits)
    found = view(connection, row, limits)
    content = version_row(connection, row[0], found.version)
    return ScriptDetail(**dict(found), script=script_in(content))


def version_row(connection: sqlite3.Connection, script_no: int, version: int) -> tuple[Any, ...]:
    """Raises NotFound."""
    sql = f"SELECT {VERSION_COLUMNS} FROM script_version WHERE script_no = ? AND version = ?"  # noqa: S608
    row: tuple[Any, ...] | None = connection.execute(sql, (script_no, version)).fetchone()
    if row is None:
        raise NotFound("unknown_version", f"there is no version {version} of it (any more)")
    return row


def script_in(row: tuple[Any, ...]) -> Script:
    """From the columns `VERSION_COLUMNS`."""
    signatures = [Signature(**each) for each in orjson.loads(row[2])]
    script = Script.model_validate_json(row[7])
    return script.model_copy(update={"version": row[0], "signatures": signatures})


def version_view(row: tuple[Any, ...], name: str, current: int) -> ScriptVersion:
    version, sha256, signatures, author, created, note, source = row[:7]
    return ScriptVersion(
        version=version, sha256=sha256, mark=mark(name, sha256), author=author, time=created, note=note,
        source=source, current=version == current, signed_by=_keys(signatures),
    )  # fmt: skip


def version_detail(
    connection: sqlite3.Connection, script: str, version: int, limits: Limits
) -> ScriptVersionDetail:
    found = find_row(connection, script, limits)
    row = version_row(connection, found[0], version)
    return ScriptVersionDetail(**dict(version_view(row, found[2], found[7])), script=script_in(row))


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
    number, before = row[0], state(connection, wanted.script)
    is_new = False
    if wanted.back_to is not None:
        content = script_in(version_row(connection, number, wanted.back_to))
        is_new = _put(connection, row, content, wanted, "rollback")
    elif wanted.content is not None:
        is_new = _put(connection, row, wanted.content, wanted, "put")
    if wanted.signed is not None:
        _sign(connection, number, *wanted.signed)
    if wanted.patch is not None:
        _patch(connection, number, wanted.patch)
    if wanted.delete:
        connection.execute("UPDATE script SET deleted = ? WHERE no = ?", (wanted.now, number))
    after = state(connection, wanted.script)
    if after != before:
        touch(connection, number, wanted.now)
        if wanted.note:
            after["note"] = wanted.note
        record(connection, wanted.author, wanted.now, wanted.action, before, after)
    found = view(connection, find_row(connection, wanted.script, wanted.limits), wanted.limits)
    return _written(found, created=is_new)


def require_change(
    connection: sqlite3.Connection, script: str, limits: Limits, condition: Any
) -> tuple[Any, ...]:
    """Its row. Raises NotFound, Forbidden, PreconditionFailed."""
    row = find_row(connection, script, limits)
    if row[15] is not None:
        raise NotFound("unknown_script", f"the script {row[2]} was deleted")
    if not may_change(orjson.loads(row[9]), limits):
        raise Forbidden("limited", "devices have it, or may get it, that you do not see")
    etag = f"{row[1]}.{row[8]}"
    if not condition.holds(etag):
        raise PreconditionFailed("stale", "the script was changed since it was read", etag=etag)
    return row


def touch(connection: sqlite3.Connection, number: int, now: int) -> None:
    """Something of it is different: its ETag, and what its devices are served."""
    connection.execute("UPDATE script SET revision = revision + 1, updated = ? WHERE no = ?", (now, number))
    script_sets.mark_stale(connection, number)
    script_sets.settle(connection, now)


def _put(
    connection: sqlite3.Connection, row: tuple[Any, ...], content: Script, wanted: Edit, source: str
) -> bool:
    """Whether it is a new version. The same content again brings at most signatures."""
    number, current = row[0], version_row(connection, row[0], row[7])
    if content.name != row[2]:
        raise Invalid("other_name", f"name: it is {row[2]}, which its signatures and its state go by")
    if content.canonical == current[7]:
        if content.signatures:
            _sign(connection, number, row[7], content.signatures)
        return False
    (last,) = connection.execute(
        "SELECT max(version) FROM script_version WHERE script_no = ?", (number,)
    ).fetchone()
    _insert_version(connection, number, last + 1, content, wanted.author, wanted.now, wanted.note, source)
    connection.execute(
        "UPDATE script SET version = ?, hook_type = ? WHERE no = ?", (last + 1, content.hook_type, number)
    )
    connection.execute(
        "DELETE FROM script_version WHERE script_no = ? AND version <= ?", (number, last + 1 - KEPT_VERSIONS)
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
    connection: sqlite3.Connection, row: tuple[Any, ...], wanted: AssignmentBody, limits: Limits
) -> Assignment:
    """What an assignment makes of the one that is there. Raises NotFound where a device does not exist for
    these eyes, or cannot have the script."""
    _require_devices(connection, wanted.devices, {**limits, **orjson.loads(row[9])})
    before = Assignment(
        devices=targets(connection, row[0], {}), labels=orjson.loads(row[10]), selector=row[11]
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


def _require_devices(connection: sqlite3.Connection, named: list[str], limits: Limits) -> None:
    device, values = limits_sql(limits)
    sql = f"SELECT id FROM device WHERE id IN (SELECT value FROM json_each(?)) AND {device}"  # noqa: S608
    known = {row[0] for row in connection.execute(sql, (_json(named), *values))}
    missing = [device for device in named if device not in known]
    if missing:
        raise NotFound("unknown_device", f"there is no device {', '.join(missing[:10])}", devices=missing)


# --- the audit trail --------------------------------------------------------------------------------


def state(connection: sqlite3.Connection, script: str) -> dict[str, Any]:
    """What the trail keeps of a script: everything but its source, which the digest names."""
    row = find_row(connection, script, {})
    found = view(connection, row, {})
    settings = script_in(version_row(connection, row[0], found.version))
    return {
        "settings": settings.model_dump(mode="json", exclude={"source", "signatures", "version"}),
        "source_bytes": len(settings.source.encode()), "signatures": orjson.loads(row[17]),
        **found.model_dump(
            mode="json",
            include={
                "name", "version", "sha256", "enabled", "position", "description", "scope", "assignment",
                "deleted",
            },
        ),
    }  # fmt: skip


def record(
    connection: sqlite3.Connection,
    author: Author,
    now: int,
    action: str,
    before: dict[str, Any] | None,
    after: dict[str, Any],
) -> None:
    audit.record(connection, author.actor, now, Entry(action, "script", after["name"], None, before, after))
