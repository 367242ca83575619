"""People: who there is, with which role and limits. Admins who see all devices manage them."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from central_sync.services.access.roles import Identity, Role, require_unlimited
from central_sync.services.access.tokens import digest
from central_sync.services.audit.entries import Actor
from central_sync.services.clock import Clock
from central_sync.services.database import Once
from central_sync.services.errors import NotFound
from central_sync.services.pages import decode_cursor, encode_cursor
from central_sync.services.people.sessions import UserRow
from central_sync.services.people.views import (
    NewUser,
    SetupLink,
    UserCreated,
    UserPage,
    UserPatch,
    UserView,
)

# How long a one-time link may be used.
LINK_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class NewLink:
    """digest: of the secret that the link's holder has. user: None makes the first admin."""

    digest: bytes
    user: str | None
    created: int
    expires: int


class UserStore(Protocol):
    """What changes something writes its audit entry in the same transaction."""

    async def users(self, after: str | None, limit: int) -> list[UserRow]:
        """By login."""
        ...

    async def find_user(self, user: str) -> UserRow | None: ...

    async def create_user(self, user: UserRow, link: NewLink, actor: Actor, key: Once | None) -> UserView:
        """Raises Conflict where the login is taken; another id than `user`'s: the key came before."""
        ...

    async def patch_user(self, user: str, patch: UserPatch, actor: Actor, now: int) -> UserRow | None:
        """None: there is none. Raises Conflict where it would leave no admin."""
        ...

    async def create_link(self, link: NewLink, actor: Actor) -> None:
        """Takes back the user's older ones."""
        ...


def new_link(user: str | None, now: int) -> tuple[SetupLink, NewLink]:
    """What to show and what to keep."""
    secret = secrets.token_urlsafe(32)
    kept = NewLink(digest(secret), user, now, now + LINK_MS)
    return SetupLink(path=f"/setup#{secret}", expires=kept.expires), kept


def new_user(wanted: NewUser, now: int) -> UserRow:
    return UserRow(secrets.token_hex(6), wanted.login, wanted.name, wanted.role, wanted.labels, None, now)


def view(row: UserRow) -> UserView:
    return UserView(
        id=row.id,
        login=row.login,
        name=row.name,
        role=row.role,
        labels=dict(row.labels),
        created=row.created,
        last_login=row.last_login,
        disabled=row.disabled,
        has_password=row.password is not None,
    )


def patched(row: UserRow, patch: UserPatch, now: int) -> UserRow:
    disabled = row.disabled
    if patch.disabled is not None:
        disabled = (row.disabled or now) if patch.disabled else None
    return UserRow(
        row.id,
        row.login,
        row.name if patch.name is None else patch.name,
        patch.role or row.role,
        row.labels if patch.labels is None else patch.labels,
        row.password,
        row.created,
        row.last_login,
        disabled,
    )


def runs_the_centre(row: UserRow) -> bool:
    """Whether he may manage people: one such must always be left."""
    return row.role is Role.ADMIN and not row.labels and row.disabled is None


class UserService:
    """forget: drops what is remembered of a person's sessions and tokens."""

    def __init__(self, store: UserStore, clock: Clock, forget: Callable[[str], None]) -> None:
        self._store = store
        self._clock = clock
        self._forget = forget

    async def page(self, identity: Identity, cursor: str | None, limit: int) -> UserPage:
        require_unlimited(identity)
        after = decode_cursor(cursor, str)
        found = await self._store.users(str(after[0]) if after else None, limit + 1)
        more = encode_cursor([found[limit - 1].login]) if len(found) > limit else None
        return UserPage(items=[view(row) for row in found[:limit]], next=more)

    async def get(self, identity: Identity, user: str) -> UserView:
        """Raises NotFound."""
        return view(await self._require(identity, user))

    async def create(
        self, identity: Identity, wanted: NewUser, actor: Actor, key: Once | None
    ) -> UserCreated:
        """Raises Conflict."""
        require_unlimited(identity)
        now = self._clock.wall_ms()
        row = new_user(wanted, now)
        link, kept = new_link(row.id, now)
        made = await self._store.create_user(row, kept, actor, key)
        return UserCreated(user=made, link=link if made.id == row.id else None)

    async def patch(self, identity: Identity, user: str, patch: UserPatch, actor: Actor) -> UserView:
        """Raises NotFound, Conflict."""
        require_unlimited(identity)
        row = await self._store.patch_user(user, patch, actor, self._clock.wall_ms())
        self._forget(user)
        if row is None:
            raise _unknown(user)
        return view(row)

    async def link(self, identity: Identity, user: str, actor: Actor) -> SetupLink:
        """For a user who has no password or forgot it. Raises NotFound."""
        row = await self._require(identity, user)
        link, kept = new_link(row.id, self._clock.wall_ms())
        await self._store.create_link(kept, actor)
        return link

    async def _require(self, identity: Identity, user: str) -> UserRow:
        require_unlimited(identity)
        row = await self._store.find_user(user)
        if row is None:
            raise _unknown(user)
        return row


def _unknown(user: str) -> NotFound:
    return NotFound("unknown_user", f"there is no user {user}")
