"""Tag templates in the database: the whole view as JSON, and what lists are filtered by."""

import sqlite3
from typing import Any

from central_sync.services.audit.entries import Entry
from central_sync.services.configs.service import Author
from central_sync.services.configs.templates import MAX_TEMPLATES, TemplateFilter, TemplateView
from central_sync.services.database import Database, Once
from central_sync.services.errors import Conflict, NotFound, PreconditionFailed
from central_sync.store import audit
from central_sync.store.idempotency import answer_once


def find(connection: sqlite3.Connection, template: str) -> TemplateView | None:
    row = connection.execute("SELECT body FROM tag_template WHERE id = ?", (template,)).fetchone()
    return TemplateView.model_validate_json(row[0]) if row else None


def create(connection: sqlite3.Connection, view: TemplateView, author: Author) -> TemplateView:
    (count,) = connection.execute("SELECT count(*) FROM tag_template").fetchone()
    if count >= MAX_TEMPLATES:
        raise Conflict("too_many_templates", f"there are {MAX_TEMPLATES} templates: delete some")
    _require_free(connection, view)
    connection.execute(
        "INSERT INTO tag_template (id, name, company, equipment_type, protocol, version, author, created, "
        "updated, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            view.id, view.name, view.company, view.equipment_type, view.protocol, view.version, view.author,
            view.created, view.updated, view.model_dump_json().encode(),
        ),
    )  # fmt: skip
    _record(connection, "template.create", None, view, author, view.updated)
    return view


def replace(connection: sqlite3.Connection, view: TemplateView, old_etag: str, author: Author) -> None:
    old = find(connection, view.id)
    if old is None:
        raise _unknown(view.id)
    if old.etag != old_etag:
        raise PreconditionFailed("stale", "the template was changed since it was read", etag=old.etag)
    _require_free(connection, view)
    connection.execute(
        "UPDATE tag_template SET name = ?, company = ?, equipment_type = ?, protocol = ?, version = ?, "
        "author = ?, updated = ?, body = ? WHERE id = ?",
        (
            view.name, view.company, view.equipment_type, view.protocol, view.version, view.author,
            view.updated, view.model_dump_json().encode(), view.id,
        ),
    )  # fmt: skip
    _record(connection, "template.replace", old, view, author, view.updated)


def delete(connection: sqlite3.Connection, template: str, author: Author, now: int) -> None:
    old = find(connection, template)
    if old is None:
        raise _unknown(template)
    connection.execute("DELETE FROM tag_template WHERE id = ?", (template,))
    _record(connection, "template.delete", old, None, author, now)


def _require_free(connection: sqlite3.Connection, view: TemplateView) -> None:
    sql = "SELECT 1 FROM tag_template WHERE name = ? AND id <> ?"
    if connection.execute(sql, (view.name, view.id)).fetchone():
        raise Conflict("name_taken", f"there is another template called {view.name}")


def _unknown(template: str) -> NotFound:
    return NotFound("unknown_template", f"there is no template {template[:64]}")


def _record(
    connection: sqlite3.Connection,
    action: str,
    before: TemplateView | None,
    after: TemplateView | None,
    author: Author,
    now: int,
) -> None:
    view = after or before
    assert view is not None, "something was changed"
    states = [each and each.model_dump(mode="json", exclude={"author"}) for each in (before, after)]
    audit.record(connection, author.actor, now, Entry(action, "template", view.id, None, *states))


class SqliteTemplates:
    """Implements services.configs.templates.TemplateStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, view: TemplateView, author: Author, once: Once | None) -> TemplateView:
        return await self._database.write(
            lambda connection: answer_once(
                connection, once, TemplateView, view.created, lambda: create(connection, view, author)
            )
        )

    async def get(self, template: str) -> TemplateView | None:
        return await self._database.read(lambda connection: find(connection, template))

    async def page(self, wanted: TemplateFilter) -> list[TemplateView]:
        conditions, values = ["id > ?"], [wanted.after]
        for column in ("company", "equipment_type", "protocol"):
            value = getattr(wanted, column)
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        sql = f"SELECT body FROM tag_template WHERE {' AND '.join(conditions)} ORDER BY id LIMIT ?"  # noqa: S608

        def ask(connection: sqlite3.Connection) -> list[Any]:
            return connection.execute(sql, (*values, wanted.limit)).fetchall()

        return [TemplateView.model_validate_json(row[0]) for row in await self._database.read(ask)]

    async def replace(self, view: TemplateView, old_etag: str, author: Author) -> None:
        await self._database.write(lambda connection: replace(connection, view, old_etag, author))

    async def delete(self, template: str, author: Author, now: int) -> None:
        await self._database.write(lambda connection: delete(connection, template, author, now))
