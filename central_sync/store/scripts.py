"""Changes of scripts in the database; who is served what is worked out in script_sets.py."""

import sqlite3
from collections.abc import Mapping
from typing import Any

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
    ScriptPatch,
    ScriptView,
    ScriptWritten,
)
from central_sync.store import audit, script_sets
from central_sync.store.script_rows import (
    FROM,
    Limits,
    ScriptRow,
    find_row,
    script_in,
    seen,
    targets,
    version_row,
    view,
)
from edge_agent.wire.scripts import Script, Signature


def may_change(scope: Mapping[str, str], limits: Limits) -> bool:
    """Whether no device beyond these limits can have it."""
    return all(scope.get(key) == value for key, value in limits.items())


def create(connection: sqlite3.Connection, new: NewScript) -> ScriptWritten:
    (count,) = connection.execute("SELECT count(*) FROM script WHERE deleted IS NULL").fetchone()
    if count >= MAX_SCRIPTS:
        raise Conflict("too_many_scripts", f"there are {MAX_SCRIPTS} scripts: delete some")
    content = new.content
    sql = "SELECT 1 FROM script WHERE name = ? AND deleted IS NULL"
    if connection.execute(sql, (content.name,)).fetchone():
        raise Conflict("name_taken", f"there is another script called {content.name}")
    _require_worker(connection, content, new.scope)
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
    _require_worker(connection, content, orjson.loads(row.scope))
    version = row.version + 1
    _insert_version(connection, row.no, version, content, wanted.author, wanted.now, wanted.note, source)
    connection.execute(
        "UPDATE script SET version = ?, hook_type = ? WHERE no = ?", (version, content.hook_type, row.no)
    )
    connection.execute(
        "DELETE FROM script_version WHERE script_no = ? AND version <= ?", (row.no, version - KEPT_VERSIONS)
    )
    return True


def _require_worker(connection: sqlite3.Connection, content: Script, scope: Limits) -> None:
    """Raises Conflict where scripts of others run in it: within a process nothing keeps one script from
    changing what another one sees."""
    if not content.worker:
        return
    sql = (
        f"SELECT scope {FROM} WHERE deleted IS NULL AND name <> ? "
        "AND json_extract(CAST(body AS TEXT), '$.worker') = ?"
    )
    found = connection.execute(sql, (content.name, content.worker))
    if any(orjson.loads(other) != scope for (other,) in found):
        text = (
            f"worker: scripts of others, with another scope, run in {content.worker}: another name, or none"
        )
        raise Conflict("worker_taken", text)


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
