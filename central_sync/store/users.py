"""People and their one-time links in the database; functions are shared with the command line."""

import sqlite3
from typing import Any, Final

import orjson

from central_sync.services.access.roles import Role
from central_sync.services.audit.entries import Actor, Entry
from central_sync.services.database import Database, Once
from central_sync.services.errors import Conflict
from central_sync.services.people.sessions import UserRow
from central_sync.services.people.users import NewLink, patched, runs_the_centre, view
from central_sync.services.people.views import UserPatch, UserView
from central_sync.store.audit import record
from central_sync.store.idempotency import answer_once

COLUMNS: Final = "id, login, name, role, labels, password, created, last_login, disabled"


def user_row(row: tuple[Any, ...]) -> UserRow:
    """From the columns `COLUMNS`."""
    number, login, name, role, labels, *rest = row
    return UserRow(number, login, name, Role(role), orjson.loads(labels), *rest)


def find_user(connection: sqlite3.Connection, user: str) -> UserRow | None:
    return _one(connection, "id = ?", user)


def find_login(connection: sqlite3.Connection, login: str) -> UserRow | None:
    return _one(connection, "login = ?", login)


def _one(connection: sqlite3.Connection, condition: str, value: str) -> UserRow | None:
    sql = f"SELECT {COLUMNS} FROM user WHERE {condition}"  # noqa: S608
    row = connection.execute(sql, (value,)).fetchone()
    return user_row(row) if row else None


def users(connection: sqlite3.Connection, after: str | None, limit: int) -> list[UserRow]:
    sql = f"SELECT {COLUMNS} FROM user WHERE login > ? ORDER BY login LIMIT ?"  # noqa: S608
    return [user_row(row) for row in connection.execute(sql, (after or "", limit))]


def has_users(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM user LIMIT 1").fetchone() is not None


def insert_user(connection: sqlite3.Connection, user: UserRow, actor: Actor) -> None:
    """Raises Conflict where the login is taken."""
    if find_login(connection, user.login) is not None:
        raise Conflict("login_taken", f"there is a user {user.login} already")
    connection.execute(
        f"INSERT INTO user ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (
            user.id, user.login, user.name, user.role, orjson.dumps(user.labels).decode(), user.password,
            user.created, user.last_login, user.disabled,
        ),
    )  # fmt: skip
    record(connection, actor, user.created, Entry("user.create", "user", user.login, after=_told(user)))


def patch_user(
    connection: sqlite3.Connection, user: str, patch: UserPatch, actor: Actor, now: int
) -> UserRow | None:
    """None: there is none. Raises Conflict where nobody would be left to manage people."""
    old = find_user(connection, user)
    if old is None:
        return None
    new = patched(old, patch, now)
    if runs_the_centre(old) and not runs_the_centre(new) and not _others_run_it(connection, user):
        raise Conflict("last_admin", "this is the last admin who can manage people: make another one first")
    if new == old:
        return old
    connection.execute(
        "UPDATE user SET name = ?, role = ?, labels = ?, disabled = ? WHERE id = ?",
        (new.name, new.role, orjson.dumps(new.labels).decode(), new.disabled, user),
    )
    if new.disabled is not None:
        end_sessions(connection, user, now)
        connection.execute("DELETE FROM setup_link WHERE user = ?", (user,))
    entry = Entry("user.patch", "user", new.login, before=_told(old), after=_told(new))
    record(connection, actor, now, entry)
    return new


def _others_run_it(connection: sqlite3.Connection, user: str) -> bool:
    sql = "SELECT 1 FROM user WHERE id <> ? AND role = 'admin' AND labels = '{}' AND disabled IS NULL"
    return connection.execute(sql, (user,)).fetchone() is not None


def write_password(
    connection: sqlite3.Connection, user: UserRow, password: str, actor: Actor, now: int, kept: str = ""
) -> None:
    """Ends the user's sessions but `kept`, his links, and the lock-out of his account."""
    connection.execute("UPDATE user SET password = ? WHERE id = ?", (password, user.id))
    end_sessions(connection, user.id, now, kept)
    connection.execute("DELETE FROM setup_link WHERE user = ?", (user.id,))
    connection.execute("DELETE FROM lockout WHERE subject = ?", (f"account:{user.login}",))
    record(connection, actor, now, Entry("user.password", "user", user.login))


def end_sessions(connection: sqlite3.Connection, user: str, now: int, kept: str = "") -> None:
    sql = "UPDATE session SET ended = ? WHERE user = ? AND ended IS NULL AND id <> ?"
    connection.execute(sql, (now, user, kept))


def insert_link(connection: sqlite3.Connection, link: NewLink, actor: Actor) -> None:
    """Takes back older ones for the same."""
    connection.execute("DELETE FROM setup_link WHERE user IS ? OR expires <= ?", (link.user, link.created))
    connection.execute(
        "INSERT INTO setup_link (digest, user, created, expires) VALUES (?, ?, ?, ?)",
        (link.digest, link.user, link.created, link.expires),
    )
    owner = find_user(connection, link.user) if link.user else None
    name = owner.login if owner else ""
    record(connection, actor, link.created, Entry("user.link", "user", name, after={"expires": link.expires}))


def _told(user: UserRow) -> dict[str, Any]:
    """What the audit trail says of a user."""
    return {"name": user.name, "role": user.role, "labels": user.labels, "disabled": user.disabled}


class SqliteUsers:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def users(self, after: str | None, limit: int) -> list[UserRow]:
        return await self._database.read(lambda connection: users(connection, after, limit))

    async def find_user(self, user: str) -> UserRow | None:
        return await self._database.read(lambda connection: find_user(connection, user))

    async def create_user(self, user: UserRow, link: NewLink, actor: Actor, key: Once | None) -> UserView:
        def work(connection: sqlite3.Connection) -> UserView:
            def create() -> UserView:
                insert_user(connection, user, actor)
                insert_link(connection, link, actor)
                return view(user)

            return answer_once(connection, key, UserView, user.created, create)

        return await self._database.write(work)

    async def patch_user(self, user: str, patch: UserPatch, actor: Actor, now: int) -> UserRow | None:
        return await self._database.write(lambda connection: patch_user(connection, user, patch, actor, now))

    async def create_link(self, link: NewLink, actor: Actor) -> None:
        await self._database.write(lambda connection: insert_link(connection, link, actor))
