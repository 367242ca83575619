"""Tokens in the database; also used by the command line beside a running service."""

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from central_sync.services.access import Role
from central_sync.services.tokens import TokenRow, mint
from central_sync.store import rows
from central_sync.store.database import DATABASE_NAME, connect, prepare, transaction
from central_sync.store.errors import CannotOpen

_COLUMNS = "id, digest, role, device, created, revoked, expires, name, user, labels, areas, successor"


def token_row(row: tuple[Any, ...]) -> TokenRow:
    """From the columns `_COLUMNS`."""
    *plain, labels, areas, successor = row
    limits = None if areas is None else frozenset(orjson.loads(areas))
    found = TokenRow(*plain)
    return replace(found, labels=orjson.loads(labels), areas=limits, successor=successor)


def find_token(connection: sqlite3.Connection, token_id: str) -> TokenRow | None:
    sql = f"SELECT {_COLUMNS} FROM token WHERE id = ?"  # noqa: S608
    row = connection.execute(sql, (token_id,)).fetchone()
    return token_row(row) if row else None


def create_token(directory: Path, role: Role | None, device: str | None, now: int) -> tuple[str, TokenRow]:
    """The token's text, which is kept nowhere, and its row. A device that is new gets its row too."""
    text, row = mint(role, device, now)
    with contextlib.closing(connect(prepare(directory))) as connection, transaction(connection):
        if device is not None:
            rows.require_device(connection, device, now)
        connection.execute(
            "INSERT INTO token (id, digest, role, device, created) VALUES (?, ?, ?, ?, ?)",
            (row.id, row.digest, role, device, now),
        )
    return text, row


def _existing(directory: Path) -> Path:
    """Raises CannotOpen where there is no database: a mistyped directory must not become one."""
    if not (directory / DATABASE_NAME).exists():
        raise CannotOpen(f"{directory}: there is no {DATABASE_NAME} here; `token create` or `run` makes one")
    return prepare(directory)


def list_tokens(directory: Path) -> list[TokenRow]:
    with contextlib.closing(connect(_existing(directory), read_only=True)) as connection:
        sql = f"SELECT {_COLUMNS} FROM token ORDER BY created, id"  # noqa: S608
        found = connection.execute(sql).fetchall()
    return [token_row(row) for row in found]


def revoke_token(directory: Path, token_id: str, now: int) -> bool:
    """Whether there is such a token; revoking twice keeps the first time."""
    with contextlib.closing(connect(_existing(directory))) as connection, transaction(connection):
        cursor = connection.execute(
            "UPDATE token SET revoked = coalesce(revoked, ?) WHERE id = ?", (now, token_id)
        )
    return cursor.rowcount > 0
