"""People and tokens for the command line, and the link for the first admin. Works beside a running centre."""

import contextlib
import getpass
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from central_sync.api.server import AREAS
from central_sync.services.access.roles import Role
from central_sync.services.access.tokens import TokenRow, check_device_id, mint
from central_sync.services.audit.entries import Actor
from central_sync.services.clock import Clock, SystemClock
from central_sync.services.errors import Conflict, Invalid, NotFound
from central_sync.services.people.api_tokens import check_token, new_token
from central_sync.services.people.passwords import NoArgon2, check_password, hash_password
from central_sync.services.people.sessions import UserRow
from central_sync.services.people.users import new_link, new_user, view
from central_sync.services.people.views import NewToken, NewUser, UserPatch, UserView
from central_sync.settings import Settings
from central_sync.store import tokens, users
from central_sync.store.database import connect, prepare, transaction
from central_sync.store.generation import bump

__all__ = [
    "Link",
    "UserView",
    "create_limited_token",
    "create_token",
    "create_user",
    "labels_of",
    "list_tokens",
    "list_users",
    "patch_user",
    "revoke_token",
    "set_password",
    "setup_link",
]
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Link:
    """A one-time link. url: whole, where the centre's address is known, else its path."""

    url: str
    expires: int


def cli_actor() -> Actor:
    """Who types, for the audit trail."""
    try:
        return Actor("cli", getpass.getuser())
    except (KeyError, OSError):
        return Actor("cli", str(os.getuid()))


def _make(model: type[M], **values: object) -> M:
    """Raises Invalid with the first thing that is wrong."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise Invalid("bad_use", f"{first['loc'][0]}: {first['msg']}") from error


def _now() -> int:
    return SystemClock().wall_ms()


def _change(data: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    with contextlib.closing(connect(tokens.existing(data))) as connection, transaction(connection):
        result = work(connection)
    bump(data)
    return result


# --- tokens -------------------------------------------------------------------------------------------------


def create_token(data: Path, role: str | None, device: str | None) -> tuple[str, TokenRow]:
    """For a device or a role. Raises Invalid for a bad device id, CannotOpen."""
    if device is not None:
        check_device_id(device)
    text, row = mint(Role(role) if role else None, device, _now())
    tokens.create_token(data, row, cli_actor())
    return text, row


def create_limited_token(
    data: Path, role: str, name: str, labels: dict[str, str], areas: list[str] | None, life_ms: int | None
) -> tuple[str, TokenRow]:
    """Raises Invalid, CannotOpen."""
    now = _now()
    expires = None if life_ms is None else now + life_ms
    wanted = _make(
        NewToken, name=name or f"{role} token", role=role, labels=labels, areas=areas, expires=expires
    )
    check_token(wanted, AREAS, now)
    text, row = new_token(wanted, None, now)
    tokens.create_token(data, row, cli_actor())
    return text, row


def list_tokens(data: Path) -> list[TokenRow]:
    return tokens.list_tokens(data)


def revoke_token(data: Path, token_id: str) -> bool:
    return tokens.revoke_token(data, token_id, cli_actor(), _now())


# --- people -------------------------------------------------------------------------------------------------


def create_user(
    data: Path, login: str, name: str, role: str, labels: dict[str, str], password: str | None
) -> UserView:
    """Makes the database where there is none. Raises Invalid, Conflict, NoArgon2, CannotOpen."""
    row = new_user(_make(NewUser, login=login.lower(), name=name, role=role, labels=labels), _now())
    if password is not None:
        check_password(password, row.login, row.name)
        row = replace(row, password=hash_password(password))
    prepare(data)
    _change(data, lambda connection: users.insert_user(connection, row, cli_actor()))
    return view(row)


def list_users(data: Path) -> list[UserView]:
    with contextlib.closing(connect(tokens.existing(data), read_only=True)) as connection:
        return [view(row) for row in users.users(connection, None, -1)]


def patch_user(data: Path, login: str, **changes: object) -> UserView:
    """changes: fields of a UserPatch. Raises NotFound, Conflict."""
    patch = _make(UserPatch, **changes)

    def work(connection: sqlite3.Connection) -> UserView:
        row = users.patch_user(connection, _require(connection, login).id, patch, cli_actor(), _now())
        assert row is not None
        return view(row)

    return _change(data, work)


def set_password(data: Path, login: str, password: str) -> None:
    """Ends all sessions of the user, and a lock-out of his account. Raises Invalid, NotFound, Busy."""
    with contextlib.closing(connect(tokens.existing(data), read_only=True)) as connection:
        user = _require(connection, login)
    check_password(password, user.login, user.name)
    hashed = hash_password(password)
    _change(data, lambda connection: users.write_password(connection, user, hashed, cli_actor(), _now()))


def setup_link(data: Path, login: str | None, url: str | None, clock: Clock | None = None) -> Link:
    """For a user to set his password; without a login for the first admin. Raises NotFound, Conflict."""
    prepare(data)
    now = (clock or SystemClock()).wall_ms()
    return _change(data, lambda connection: _new_link(connection, login, url, now))


def lacks_passwords() -> str | None:
    """Why nobody can log in here, and what to do; None where people can."""
    return str(NoArgon2()) if find_spec("argon2") is None else None


def first_link(settings: Settings, url: str, clock: Clock) -> Link | None:
    """The link for the first admin, anew; None where there is a user, or no argon2 for his password. url:
    where the centre listens."""
    if lacks_passwords() is not None:
        return None
    try:
        return setup_link(settings.data, None, settings.enrolment.url or url, clock)
    except Conflict:
        return None


def _new_link(connection: sqlite3.Connection, login: str | None, url: str | None, now: int) -> Link:
    if login is None and users.has_users(connection):
        raise Conflict("set_up", "there are users already: name the one that the link is for")
    owner = None if login is None else _require(connection, login).id
    link, kept = new_link(owner, now)
    users.insert_link(connection, kept, cli_actor())
    return Link((url or "").rstrip("/") + link.path, link.expires)


def _require(connection: sqlite3.Connection, login: str) -> UserRow:
    user = users.find_login(connection, login.lower())
    if user is None:
        raise NotFound("unknown_user", f"there is no user {login}")
    return user


def labels_of(pairs: list[str]) -> dict[str, str]:
    """`key=value` of the command line. Raises Invalid."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or key in found:
            raise Invalid("bad_label", f"{pair!r}: write key=value, each key once")
        found[key] = value
    return found
