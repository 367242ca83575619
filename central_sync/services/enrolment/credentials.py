"""Devices' credentials: renewed by the device, replaced at first use, listed and revoked by operators.

A renewed credential and the old one are both good until the new one is used: an answer that is lost, or an
agent that dies between, locks nobody out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from central_sync.services.access.ratelimit import RateLimit
from central_sync.services.audit.entries import Actor
from central_sync.services.clock import Clock
from central_sync.services.enrolment.views import (
    CredentialList,
    CredentialsRevoked,
    CredentialView,
    Renewed,
)
from central_sync.services.errors import TooMany

LIFE_SECONDS: Final = 90 * 86_400.0
# Renewals of one device in the long run: each is an entry of the audit trail, which nobody shall fill.
PER_DEVICE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Renewal:
    """credential: the one that asks; digest: of the new secret. expires: of the new credential."""

    device: str
    credential: str
    digest: bytes
    expires: int


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """replaces: a credential that is revoked once this one is used."""

    id: str
    created: int
    expires: int | None
    revoked: int | None
    successor: str | None
    machine: str | None
    serial: str | None
    way: str | None
    address: str | None
    replaces: str | None


class CredentialStore(Protocol):
    async def renew(self, wanted: Renewal, actor: Actor, now: int) -> tuple[str, int]:
        """Raises Conflict, Forbidden, Gone."""
        ...

    async def confirm(self, token_id: str, device: str, now: int) -> list[str]: ...

    async def listed(self, device: str) -> list[CredentialRow]: ...

    async def revoke(self, device: str, credential: str | None, actor: Actor, now: int) -> list[str]: ...


class CredentialService:
    """forget: drops what is remembered of a token, so that a revocation acts on the next request."""

    def __init__(
        self,
        store: CredentialStore,
        clock: Clock,
        forget: Callable[[str], None],
        life_seconds: float = LIFE_SECONDS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._forget = forget
        self._life_ms = int(life_seconds * 1000)
        self._by_device = RateLimit(PER_DEVICE, clock)

    async def renew(self, device: str, credential: str, key: str, actor: Actor) -> Renewed:
        """Raises Conflict, Forbidden, Gone where the key cannot be had, TooMany."""
        wait = self._by_device.take(device)
        if wait:
            raise TooMany("rate_limited", "this device renews its credential all the time", wait)
        now = self._clock.wall_ms()
        wanted = Renewal(device, credential, bytes.fromhex(key), now + self._life_ms)
        new, expires = await self._store.renew(wanted, actor, now)
        self._forget(credential)
        return Renewed(credential=new, expires=expires)

    async def first_use(self, credential: str, device: str) -> None:
        """Called where a credential that follows another is used: the other one ends."""
        for old in await self._store.confirm(credential, device, self._clock.wall_ms()):
            self._forget(old)
        self._forget(credential)

    async def listed(self, device: str) -> CredentialList:
        """Raises NotFound."""
        now = self._clock.wall_ms()
        return CredentialList(items=[credential_view(row, now) for row in await self._store.listed(device)])

    async def revoke(self, device: str, credential: str | None, actor: Actor) -> CredentialsRevoked:
        """One, or all of the device. Raises NotFound."""
        revoked = await self._store.revoke(device, credential, actor, self._clock.wall_ms())
        for old in revoked:
            self._forget(old)
        return CredentialsRevoked(device_id=device, revoked=revoked)


def credential_view(row: CredentialRow, now: int) -> CredentialView:
    return CredentialView(
        id=row.id,
        state=state_of(row, now),
        created=row.created,
        expires=row.expires,
        revoked=row.revoked,
        successor=row.successor,
        machine=row.machine,
        serial=row.serial,
        way=row.way,
        address=row.address,
    )


def state_of(row: CredentialRow, now: int) -> Literal["active", "new", "replaced", "expired", "revoked"]:
    if row.revoked is not None:
        return "revoked"
    if row.expires is not None and now >= row.expires:
        return "expired"
    if row.successor is not None:
        return "replaced"
    return "new" if row.replaces is not None else "active"
