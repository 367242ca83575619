"""Sessions and lock-outs of logins in the database."""

import sqlite3
from collections.abc import Mapping
from typing import Final

from central_sync.services.access.ratelimit import subject
from central_sync.services.audit.entries import Actor, Entry
from central_sync.services.database import Database
from central_sync.services.people.lockout import (
    FORGET_MS,
    KNOWN_ADDRESS_MS,
    MAX_SUBJECTS,
    Held,
    after_attempt,
    after_success,
    wait_seconds,
)
from central_sync.services.people.sessions import Attempt, Known, Link, SessionRow, UserRow
from central_sync.store import users
from central_sync.store.audit import record

# More sessions of one person end the oldest.
MAX_SESSIONS: Final = 50
# Entries of failed logins in an hour; a flood of them shall not fill the audit trail.
MAX_FAILURES_TOLD: Final = 100
_HOUR_MS: Final = 3_600_000
_COLUMNS: Final = "id, digest, user, created, expires, last_used, ended, address, agent"


def find_session(connection: sqlite3.Connection, session: str) -> Known | None:
    sql = f"SELECT {_COLUMNS} FROM session WHERE id = ?"  # noqa: S608
    row = connection.execute(sql, (session,)).fetchone()
    owner = users.find_user(connection, row[2]) if row else None
    return Known(SessionRow(*row), owner) if owner else None


def _sessions(connection: sqlite3.Connection, user: str, now: int) -> list[SessionRow]:
    sql = (
        f"SELECT {_COLUMNS} FROM session WHERE user = ? AND ended IS NULL AND expires > ? "  # noqa: S608
        "ORDER BY created DESC, id"
    )
    return [SessionRow(*row) for row in connection.execute(sql, (user, now))]


# --- lock-outs ----------------------------------------------------------------------------------------------


def begin_attempt(connection: sqlite3.Connection, login: str, address: str, now: int) -> Attempt:
    user = users.find_login(connection, login)
    subjects = [f"address:{subject(address)}"]
    if user is None or not _came_from(connection, user.id, address, now):
        subjects.append(f"account:{login}")
    held = {name: _held(connection, name) for name in subjects}
    wait = max(wait_seconds(state, now) for state in held.values())
    if wait:
        return Attempt(wait, user)
    for name, state in held.items():
        _hold(connection, name, after_attempt(state, name, now))
    _bound(connection, now)
    return Attempt(0.0, user)


def _came_from(connection: sqlite3.Connection, user: str, address: str, now: int) -> bool:
    sql = "SELECT 1 FROM session WHERE user = ? AND created > ? AND address = ? LIMIT 1"
    return connection.execute(sql, (user, now - KNOWN_ADDRESS_MS, address)).fetchone() is not None


def _held(connection: sqlite3.Connection, name: str) -> Held:
    sql = "SELECT failures, last, until FROM lockout WHERE subject = ?"
    row = connection.execute(sql, (name,)).fetchone()
    return Held(*row) if row else Held()


def _hold(connection: sqlite3.Connection, name: str, held: Held) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO lockout (subject, failures, last, until) VALUES (?, ?, ?, ?)",
        (name, held.failures, held.last, held.until),
    )


def _take_back(connection: sqlite3.Connection, address: str) -> None:
    """A right password: many people may share an address, and log in there all day."""
    name = f"address:{subject(address)}"
    _hold(connection, name, after_success(_held(connection, name)))


def _bound(connection: sqlite3.Connection, now: int) -> None:
    connection.execute("DELETE FROM lockout WHERE last < ?", (now - FORGET_MS,))
    count = connection.execute("SELECT count(*) FROM lockout").fetchone()[0]
    if count > MAX_SUBJECTS:
        connection.execute(
            "DELETE FROM lockout WHERE subject IN (SELECT subject FROM lockout ORDER BY last LIMIT ?)",
            (count - MAX_SUBJECTS,),
        )


def note_failure(connection: sqlite3.Connection, user: UserRow | None, address: str, now: int) -> None:
    """An unknown login is not told: it may be a password in the wrong field."""
    sql = "SELECT time FROM audit WHERE action = 'login.failed' ORDER BY no DESC LIMIT 1 OFFSET ?"
    oldest = connection.execute(sql, (MAX_FAILURES_TOLD - 1,)).fetchone()
    if oldest is not None and oldest[0] > now - _HOUR_MS:
        return
    actor = Actor("anonymous", "", "", address)
    name = user.login if user else ""
    record(connection, actor, now, Entry("login.failed", "user", name))
    waits = [
        wait_seconds(_held(connection, key), now)
        for key in (f"address:{subject(address)}", f"account:{name}")
    ]
    if max(waits):
        record(connection, actor, now, Entry("login.locked", "user", name, after={"seconds": max(waits)}))


# --- sessions -----------------------------------------------------------------------------------------------


def _begin(connection: sqlite3.Connection, user: UserRow, session: SessionRow, how: str) -> None:
    connection.execute("DELETE FROM lockout WHERE subject = ?", (f"account:{user.login}",))
    connection.execute(
        "DELETE FROM session WHERE max(expires, coalesce(ended, 0)) < ?",
        (session.created - KNOWN_ADDRESS_MS,),
    )
    for old in _sessions(connection, user.id, session.created)[MAX_SESSIONS - 1 :]:
        connection.execute("UPDATE session SET ended = ? WHERE id = ?", (session.created, old.id))
    connection.execute(
        f"INSERT INTO session ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (
            session.id, session.digest, session.user, session.created, session.expires, session.last_used,
            None, session.address, session.agent,
        ),
    )  # fmt: skip
    connection.execute("UPDATE user SET last_login = ? WHERE id = ?", (session.created, user.id))
    actor = Actor("user", user.id, user.login, session.address)
    record(connection, actor, session.created, Entry("login", "session", session.id, after={"how": how}))


def begin_session(
    connection: sqlite3.Connection, user: UserRow, session: SessionRow, password: str | None
) -> bool:
    now = users.find_user(connection, user.id)
    if now is None or now.disabled is not None or now.password != user.password:
        return False
    if password is not None:
        connection.execute("UPDATE user SET password = ? WHERE id = ?", (password, user.id))
    _take_back(connection, session.address)
    _begin(connection, user, session, "password")
    return True


def end_session(connection: sqlite3.Connection, session: str, user: str, actor: Actor, now: int) -> bool:
    sql = "UPDATE session SET ended = ? WHERE id = ? AND user = ? AND ended IS NULL"
    if connection.execute(sql, (now, session, user)).rowcount == 0:
        return False
    record(connection, actor, now, Entry("logout", "session", session))
    return True


def set_password(
    connection: sqlite3.Connection, user: UserRow, password: str, actor: Actor, now: int, kept: str
) -> bool:
    found = users.find_user(connection, user.id)
    if found is None or found.disabled is not None or found.password != user.password:
        return False
    _take_back(connection, actor.address)
    users.write_password(connection, user, password, actor, now, kept)
    return True


def find_link(connection: sqlite3.Connection, digest: bytes, now: int) -> Link | None:
    sql = "SELECT user FROM setup_link WHERE digest = ? AND expires > ?"
    row = connection.execute(sql, (digest, now)).fetchone()
    if row is None:
        return None
    if row[0] is None:
        return None if users.has_users(connection) else Link(digest, None)
    user = users.find_user(connection, row[0])
    return Link(digest, user) if user and user.disabled is None else None


def use_link(connection: sqlite3.Connection, link: Link, user: UserRow, session: SessionRow) -> bool:
    if find_link(connection, link.digest, session.created) is None or user.password is None:
        return False
    actor = Actor("user", user.id, user.login, session.address)
    if link.user is None:
        users.insert_user(connection, user, actor)
        connection.execute("DELETE FROM setup_link WHERE user IS NULL")
    else:
        connection.execute("UPDATE user SET name = ? WHERE id = ?", (user.name, user.id))
        users.write_password(connection, user, user.password, actor, session.created)
    _begin(connection, user, session, "link")
    return True


def note_used(connection: sqlite3.Connection, sessions: Mapping[str, int]) -> None:
    sql = "UPDATE session SET last_used = max(last_used, ?) WHERE id = ?"
    connection.executemany(sql, [(time, session) for session, time in sessions.items()])


class SqliteSessions:
    """Implements services.people.sessions.SessionStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_session(self, session: str) -> Known | None:
        return await self._database.quick(lambda connection: find_session(connection, session))

    async def sessions(self, user: str, now: int) -> list[SessionRow]:
        return await self._database.read(lambda connection: _sessions(connection, user, now))

    async def begin_attempt(self, login: str, address: str, now: int) -> Attempt:
        return await self._database.write(lambda connection: begin_attempt(connection, login, address, now))

    async def note_failure(self, user: UserRow | None, address: str, now: int) -> None:
        await self._database.write(lambda connection: note_failure(connection, user, address, now))

    async def begin_session(self, user: UserRow, session: SessionRow, password: str | None) -> bool:
        return await self._database.write(
            lambda connection: begin_session(connection, user, session, password)
        )

    async def end_session(self, session: str, user: str, actor: Actor, now: int) -> bool:
        return await self._database.write(
            lambda connection: end_session(connection, session, user, actor, now)
        )

    async def set_password(self, user: UserRow, password: str, actor: Actor, now: int, kept: str) -> bool:
        return await self._database.write(
            lambda connection: set_password(connection, user, password, actor, now, kept)
        )

    async def find_link(self, digest: bytes, now: int) -> Link | None:
        return await self._database.read(lambda connection: find_link(connection, digest, now))

    async def use_link(self, link: Link, user: UserRow, session: SessionRow) -> bool:
        return await self._database.write(lambda connection: use_link(connection, link, user, session))

    async def note_used(self, sessions: Mapping[str, int]) -> None:
        await self._database.write(lambda connection: note_used(connection, sessions))
