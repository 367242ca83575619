"""Tokens in the database; also used by the command line beside a running service."""

import contextlib
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from central_sync.services.access.roles import Role
from central_sync.services.access.tokens import Owner, TokenRow, within
from central_sync.services.audit.entries import Actor, Entry
from central_sync.services.database import Database, Once
from central_sync.services.errors import Conflict
from central_sync.services.people.api_tokens import token_view
from central_sync.services.people.views import TokenView
from central_sync.store import rows
from central_sync.store.audit import record
from central_sync.store.database import DATABASE_NAME, connect, prepare, transaction
from central_sync.store.errors import CannotOpen
from central_sync.store.generation import bump
from central_sync.store.idempotency import answer_once

_NAMES: Final = (
    "id", "digest", "role", "device", "created", "revoked", "expires", "name", "user", "labels", "areas",
    "successor", "last_used",
)  # fmt: skip
# Of one person that are not revoked.
MAX_TOKENS: Final = 1_000
COLUMNS: Final = ", ".join(f"token.{name}" for name in _NAMES)


def token_row(row: tuple[Any, ...]) -> TokenRow:
    """From the columns `COLUMNS`."""
    *plain, labels, areas, successor, last_used = row
    limits = None if areas is None else frozenset(orjson.loads(areas))
    found = TokenRow(*plain)
    return replace(found, labels=orjson.loads(labels), areas=limits, successor=successor, last_used=last_used)


def find_token(connection: sqlite3.Connection, token_id: str) -> TokenRow | None:
    """With no more rights than its owner has now."""
    sql = (
        f"SELECT {COLUMNS}, (SELECT old.id FROM token AS old WHERE old.successor = token.id "  # noqa: S608
        "AND old.revoked IS NULL), owner.role, owner.labels, owner.disabled FROM token "
        "LEFT JOIN user AS owner ON owner.id = token.user WHERE token.id = ?"
    )
    row = connection.execute(sql, (token_id,)).fetchone()
    if row is None:
        return None
    found = replace(token_row(row[:-4]), replaces=row[-4])
    role, labels, disabled = row[-3:]
    if found.device is not None:
        gone = _decommissioned(connection, found.device)
        return replace(found, replaces=_replaced(connection, token_id), decommissioned=gone)
    if found.user is None:
        return found
    if role is None:
        return replace(found, revoked=found.revoked or found.created)
    return within(found, Owner(Role(role), orjson.loads(labels), disabled))


def device_tokens(connection: sqlite3.Connection, limit: int) -> list[TokenRow]:
    sql = (
        f"SELECT {COLUMNS} FROM token WHERE device IS NOT NULL AND revoked IS NULL "  # noqa: S608
        "AND device NOT IN (SELECT id FROM device WHERE decommissioned IS NOT NULL) "
        "AND id NOT IN (SELECT successor FROM token WHERE successor IS NOT NULL AND revoked IS NULL) LIMIT ?"
    )
    return [token_row(row) for row in connection.execute(sql, (limit,))]


def _decommissioned(connection: sqlite3.Connection, device: str) -> int | None:
    row = connection.execute("SELECT decommissioned FROM device WHERE id = ?", (device,)).fetchone()
    return None if row is None else row[0]


def _replaced(connection: sqlite3.Connection, token_id: str) -> str | None:
    """The credential that ends once this one is used."""
    sql = "SELECT id FROM token WHERE successor = ? AND revoked IS NULL"
    row = connection.execute(sql, (token_id,)).fetchone()
    return None if row is None else str(row[0])


def insert_token(connection: sqlite3.Connection, row: TokenRow, actor: Actor) -> None:
    connection.execute(
        f"INSERT INTO token ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})",  # noqa: S608
        (
            row.id, row.digest, row.role, row.device, row.created, row.revoked, row.expires, row.name,
            row.user, orjson.dumps(row.labels).decode(),
            None if row.areas is None else orjson.dumps(sorted(row.areas)).decode(),
            row.successor, row.last_used,
        ),
    )  # fmt: skip
    record(
        connection, actor, row.created, Entry("token.create", "token", row.id, row.device, after=_told(row))
    )


def revoke(
    connection: sqlite3.Connection, token_id: str, actor: Actor, now: int, owner: str | None = None
) -> bool:
    """Whether there is such a token; revoking twice keeps the first time. owner: only that person's."""
    sql = f"SELECT {COLUMNS} FROM token WHERE id = ? AND (? IS NULL OR user = ?)"  # noqa: S608
    found = connection.execute(sql, (token_id, owner, owner)).fetchone()
    if found is None:
        return False
    row = token_row(found)
    if row.revoked is None:
        connection.execute("UPDATE token SET revoked = ? WHERE id = ?", (now, token_id))
        record(connection, actor, now, Entry("token.revoke", "token", row.id, row.device, before=_told(row)))
    return True


def _told(row: TokenRow) -> dict[str, Any]:
    """What the audit trail says of a token."""
    areas = None if row.areas is None else sorted(row.areas)
    return {
        "name": row.name,
        "role": row.role,
        "labels": row.labels,
        "areas": areas,
        "expires": row.expires,
        "user": row.user,
    }


def _bound(connection: sqlite3.Connection, owner: str | None) -> None:
    sql = "SELECT count(*) FROM token WHERE user IS ? AND device IS NULL AND revoked IS NULL"
    if connection.execute(sql, (owner,)).fetchone()[0] >= MAX_TOKENS:
        raise Conflict("too_many_tokens", f"there are {MAX_TOKENS} of them: revoke some first")


# --- for the command line -----------------------------------------------------------------------------------


def create_token(directory: Path, made: TokenRow, actor: Actor) -> None:
    """A device that is new gets its row too."""
    with contextlib.closing(connect(prepare(directory))) as connection, transaction(connection):
        if made.device is not None:
            rows.require_device(connection, made.device, made.created)
        insert_token(connection, made, actor)


def existing(directory: Path) -> Path:
    """Raises CannotOpen where there is no database: a mistyped directory must not become one."""
    if not (directory / DATABASE_NAME).exists():
        raise CannotOpen(f"{directory}: there is no {DATABASE_NAME} here; `token create` or `run` makes one")
    return prepare(directory)


def list_tokens(directory: Path) -> list[TokenRow]:
    with contextlib.closing(connect(existing(directory), read_only=True)) as connection:
        sql = f"SELECT {COLUMNS} FROM token ORDER BY created, id"  # noqa: S608
        found = connection.execute(sql).fetchall()
    return [token_row(row) for row in found]


def revoke_token(directory: Path, token_id: str, actor: Actor, now: int) -> bool:
    with contextlib.closing(connect(existing(directory))) as connection, transaction(connection):
        found = revoke(connection, token_id, actor, now)
    bump(directory)
    return found


class SqliteTokens:
    """Implements services.access.tokens.TokenStore and services.people.api_tokens.ApiTokenStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_token(self, token_id: str) -> TokenRow | None:
        return await self._database.quick(lambda connection: find_token(connection, token_id))

    async def device_tokens(self, limit: int) -> list[TokenRow]:
        return await self._database.quick(lambda connection: device_tokens(connection, limit))

    async def note_used(self, tokens: Mapping[str, int]) -> None:
        sql = "UPDATE token SET last_used = ? WHERE id = ?"
        pairs = [(time, token_id) for token_id, time in tokens.items()]
        await self._database.write(lambda connection: connection.executemany(sql, pairs))

    async def tokens(self, owner: str | None, after: tuple[int, str] | None, limit: int) -> list[TokenRow]:
        sql = (
            f"SELECT {COLUMNS} FROM token WHERE device IS NULL AND (? IS NULL OR user = ?) "  # noqa: S608
            "AND (created, id) > (?, ?) ORDER BY created, id LIMIT ?"
        )
        arguments = (owner, owner, *(after or (-1, "")), limit)

        def ask(connection: sqlite3.Connection) -> list[TokenRow]:
            return [token_row(row) for row in connection.execute(sql, arguments)]

        return await self._database.read(ask)

    async def create_token(self, row: TokenRow, actor: Actor, key: Once | None) -> TokenView:
        def work(connection: sqlite3.Connection) -> TokenView:
            def create() -> TokenView:
                _bound(connection, row.user)
                insert_token(connection, row, actor)
                return token_view(row)

            return answer_once(connection, key, TokenView, row.created, create)

        return await self._database.write(work)

    async def revoke_token(self, token: str, owner: str | None, actor: Actor, now: int) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            device = connection.execute("SELECT device FROM token WHERE id = ?", (token,)).fetchone()
            # A device's credential is the business of enrolment.
            return device == (None,) and revoke(connection, token, actor, now, owner)

        return await self._database.write(work)
