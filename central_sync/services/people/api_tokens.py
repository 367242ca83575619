"""API tokens: programs' keys, with no more rights than whoever makes them has.

People make tokens; a token makes tokens only with the role admin, so that one that leaked cannot outlive
itself. What a person loses later (role, sight, the account), his tokens lose in the same moment.
"""

from collections.abc import Callable, Mapping, Set
from typing import Protocol

from central_sync.services.access.roles import RANK, Identity, Role
from central_sync.services.access.tokens import TokenRow, mint
from central_sync.services.audit.entries import Actor
from central_sync.services.clock import Clock
from central_sync.services.database import Once
from central_sync.services.errors import Forbidden, Invalid, NotFound
from central_sync.services.pages import decode_cursor, encode_cursor
from central_sync.services.people.views import NewToken, TokenCreated, TokenPage, TokenView


class ApiTokenStore(Protocol):
    """What changes something writes its audit entry in the same transaction. Devices' credentials are not
    seen here."""

    async def tokens(self, owner: str | None, after: tuple[int, str] | None, limit: int) -> list[TokenRow]:
        """By creation and id; owner: only that person's; None: all."""
        ...

    async def create_token(self, row: TokenRow, actor: Actor, key: Once | None) -> TokenView:
        """Another id than `row`'s: the key came before."""
        ...

    async def revoke_token(self, token: str, owner: str | None, actor: Actor, now: int) -> bool: ...


def check_token(wanted: NewToken, areas: Set[str], now: int) -> None:
    """Raises Invalid. areas: those that the API has."""
    if wanted.expires is not None and wanted.expires <= now:
        raise Invalid("bad_expiry", "the token would have expired already: `expires` is in UTC milliseconds")
    unknown = sorted(set(wanted.areas or ()) - areas)
    if unknown:
        raise Invalid("bad_area", f"{unknown[0]!r} is none of: {', '.join(sorted(areas))}")


def check_rights(identity: Identity, wanted: NewToken) -> None:
    """Whether a token with these rights may be made by `identity`. Raises Forbidden."""
    if identity.session is None and not identity.has_role(Role.ADMIN):
        raise Forbidden("not_a_person", "only people and admins' tokens make tokens: log in first")
    if identity.role is None or RANK[wanted.role] > RANK[identity.role]:
        raise Forbidden("beyond_role", f"you cannot give the role {wanted.role}")
    if not _includes(wanted.labels, identity.labels):
        raise Forbidden("beyond_labels", "limit the token to the labels that you are limited to")
    if identity.areas is not None and (wanted.areas is None or not set(wanted.areas) <= identity.areas):
        raise Forbidden("beyond_areas", "limit the token to areas that you may use")
    if identity.expires is not None and (wanted.expires is None or wanted.expires > identity.expires):
        raise Forbidden("beyond_expiry", f"the token has to end by {identity.expires}, as yours does")


def _includes(labels: Mapping[str, str], limits: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in limits.items())


def token_view(row: TokenRow) -> TokenView:
    assert row.role is not None, "a device's credential is no API token"
    return TokenView(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        user=row.user,
        labels=dict(row.labels),
        areas=None if row.areas is None else sorted(row.areas),
        created=row.created,
        expires=row.expires,
        revoked=row.revoked,
        last_used=row.last_used,
    )


def new_token(wanted: NewToken, owner: str | None, now: int) -> tuple[str, TokenRow]:
    """The secret, shown once, and the row."""
    return mint(
        wanted.role,
        None,
        now,
        expires=wanted.expires,
        name=wanted.name,
        user=owner,
        labels=wanted.labels,
        areas=None if wanted.areas is None else frozenset(wanted.areas),
    )


class ApiTokenService:
    """forget: drops what is remembered of a token."""

    def __init__(self, store: ApiTokenStore, clock: Clock, forget: Callable[[str], None]) -> None:
        self._store = store
        self._clock = clock
        self._forget = forget

    async def page(self, identity: Identity, cursor: str | None, limit: int) -> TokenPage:
        """An admin who sees all devices sees all tokens, everybody else his own."""
        after = decode_cursor(cursor, int, str)
        place = (int(after[0]), str(after[1])) if after else None
        found = await self._store.tokens(_owner(identity), place, limit + 1)
        last = found[limit - 1] if len(found) > limit else None
        more = encode_cursor([last.created, last.id]) if last else None
        return TokenPage(items=[token_view(row) for row in found[:limit]], next=more)

    async def create(
        self, identity: Identity, wanted: NewToken, areas: Set[str], actor: Actor, key: Once | None
    ) -> TokenCreated:
        """Raises Invalid, Forbidden."""
        now = self._clock.wall_ms()
        check_token(wanted, areas, now)
        check_rights(identity, wanted)
        text, row = new_token(wanted, identity.user, now)
        made = await self._store.create_token(row, actor, key)
        return TokenCreated(token=made, secret=text if made.id == row.id else None)

    async def revoke(self, identity: Identity, token: str, actor: Actor) -> None:
        """Raises NotFound where it is not there or not one that he may revoke."""
        done = await self._store.revoke_token(token, _owner(identity), actor, self._clock.wall_ms())
        self._forget(token)
        if not done:
            raise NotFound("unknown_token", f"there is no token {token}")


def _owner(identity: Identity) -> str | None:
    """Whose tokens he deals with; None: everybody's."""
    if identity.has_role(Role.ADMIN) and not identity.is_limited:
        return None
    # Nobody's id: a token without an owner has none of its own.
    return identity.user or "-"
