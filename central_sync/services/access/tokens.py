"""Bearer tokens: `hf_<id>_<secret>`, 256 bits of secret, of which only a SHA-256 is kept.

A token belongs either to a role or to one device. A device's token acts for that device alone. The
secret is long and random, so a plain hash of it is enough: there is nothing to guess.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from central_sync.services.access.remembered import FRESH_SECONDS, Remembered
from central_sync.services.access.roles import RANK, Identity, Role
from central_sync.services.clock import Clock
from central_sync.services.errors import Forbidden, Invalid, NotFound, Unauthenticated

DEVICE_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,49}[a-z0-9])?")
# When a token was last used is kept this coarsely.
USED_STEP_MS: Final = 60_000
# Each of a fleet's requests that finds its credential too old costs five others. Rights go by `forget` and by
# the generation at once, and a credential's end is looked at each time.
DEVICE_FRESH_SECONDS: Final = 3_600.0
_TOKEN: Final = re.compile(r"hf_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One token or device credential. Times are UTC milliseconds; user: its owner's id; replaces: a device's
    credential that is revoked once this one is used; decommissioned: since when its device is
    out of service."""

    id: str
    digest: bytes
    role: str | None
    device: str | None
    created: int
    revoked: int | None = None
    expires: int | None = None
    name: str = ""
    user: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    areas: frozenset[str] | None = None
    successor: str | None = None
    last_used: int | None = None
    replaces: str | None = None
    decommissioned: int | None = None

    @property
    def identity(self) -> Identity:
        return Identity(
            self.id,
            Role(self.role) if self.role else None,
            self.device,
            self.name,
            self.user,
            self.labels,
            self.areas,
            # A device's moves while it is renewed, and a request that waits is the same all the same.
            expires=None if self.device else self.expires,
        )


@dataclass(frozen=True, slots=True)
class Owner:
    """The person a token belongs to, as far as the token's rights depend on him."""

    role: Role
    labels: Mapping[str, str]
    disabled: int | None


def within(row: TokenRow, owner: Owner) -> TokenRow:
    """The token with no more rights than its owner has now: what he lost, his tokens lost too."""
    role = min(Role(row.role), owner.role, key=RANK.__getitem__) if row.role else owner.role
    labels = {**row.labels, **owner.labels}
    contradicts = any(owner.labels.get(key, value) != value for key, value in row.labels.items())
    ended = owner.disabled or (row.created if contradicts else None)
    return replace(row, role=role, labels=labels, revoked=row.revoked or ended)


class TokenStore(Protocol):
    async def find_token(self, token_id: str) -> TokenRow | None:
        """The token, limited to what its owner may do."""
        ...

    async def device_tokens(self, limit: int) -> list[TokenRow]:
        """Good credentials of devices in service, but for those that replace another."""
        ...

    async def note_used(self, tokens: Mapping[str, int]) -> None:
        """Keeps when tokens were last used: UTC milliseconds by id."""
        ...


def check_device_id(device: str) -> str:
    if not DEVICE_ID.fullmatch(device):
        raise Invalid(
            "bad_device_id",
            f"{device!r} is not a device id: use up to 51 characters of a-z, 0-9 and -, not - at the ends",
        )
    return device


def mint(role: Role | None, device: str | None, now: int, **rest: Any) -> tuple[str, TokenRow]:
    """A new token's text, shown once, and the row to keep. rest: further fields of the row."""
    token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    row = TokenRow(token_id, digest(secret), role, device, now, **rest)
    return f"hf_{token_id}_{secret}", row


def digest(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def _fresh_seconds(known: tuple[TokenRow, Identity]) -> float:
    return FRESH_SECONDS if known[0].device is None else DEVICE_FRESH_SECONDS


_NOBODY: Final[tuple[TokenRow | None, Identity]] = (None, Identity(""))


class TokenService:
    """Authenticates bearer tokens.

    generation: changes whenever another process took rights away; whoever does so in this process calls
    `forget` or `forget_owner` after the commit, from any thread.
    """

    def __init__(self, store: TokenStore, clock: Clock, generation: Callable[[], object]) -> None:
        self._store = store
        self._clock = clock
        self._known = Remembered(self._find, clock, generation, _fresh_seconds)
        self._used: dict[str, int] = {}
        self._first_use: Callable[[str, str], Awaitable[None]] | None = None

    async def _find(self, token_id: str) -> tuple[TokenRow, Identity] | None:
        row = await self._store.find_token(token_id)
        return None if row is None else (row, row.identity)

    async def authenticate(
        self, header: str | None, before_reading: Callable[[], None] | None = None
    ) -> Identity:
        """Raises Unauthenticated for anything but a known, unrevoked bearer token, and Forbidden for that of
        a device out of service: its agent shall know that nothing is wrong with the credential.
        before_reading: called where the database must be asked; what it raises ends it."""
        scheme, _, text = (header or "").partition(" ")
        match = _TOKEN.fullmatch(text.strip())
        if scheme.lower() != "bearer" or match is None:
            raise Unauthenticated("no_token", "log in, or send `Authorization: Bearer hf_…`")
        known = self._known.recall(match[1])
        if known is None:
            if before_reading is not None:
                before_reading()
            known = await self._known.learn(match[1])
        row, identity = known or _NOBODY
        # The same work for an unknown id: the answer's time tells nothing.
        expected = row.digest if row else bytes(32)
        good = hmac.compare_digest(expected, digest(match[2]))
        if row is not None and good and row.decommissioned is not None:
            raise Forbidden("decommissioned", f"the device {row.device} is out of service")
        if row is None or not good or row.revoked is not None:
            raise Unauthenticated("bad_token", "the token is unknown or revoked")
        if row.expires is not None and self._clock.wall_ms() >= row.expires:
            raise Unauthenticated("expired", "the token has expired")
        if row.device is None:
            self._note_used(row)
        elif row.replaces is not None and self._first_use is not None:
            await self._first_use(row.id, row.device)
        return identity

    async def meet_devices(self) -> None:
        """The fleet's credentials in one go: at the start, and after all were dropped (`is_empty`)."""

        async def read(limit: int) -> list[tuple[str, tuple[TokenRow, Identity]]]:
            return [(row.id, (row, row.identity)) for row in await self._store.device_tokens(limit)]

        await self._known.learn_all(read)

    @property
    def is_empty(self) -> bool:
        """Whether all were dropped since the last `meet_devices`."""
        return self._known.was_emptied

    def is_of(self, token_id: str, secret: str, device: str) -> bool:
        """Whether this is known as the device's good credential, without a look into the database. False:
        `authenticate` says what it is."""
        row, _ = self._known.recall(token_id) or _NOBODY
        if row is None or row.device != device or not hmac.compare_digest(row.digest, digest(secret)):
            return False
        if row.revoked is not None or row.decommissioned is not None or row.replaces is not None:
            return False
        return row.expires is None or self._clock.wall_ms() < row.expires

    def on_first_use(self, confirm: Callable[[str, str], Awaitable[None]]) -> None:
        """confirm: called with the id and the device of a credential that is used and replaces another."""
        self._first_use = confirm

    def forget(self, token_id: str) -> None:
        """The token's rights changed: the next request reads them anew."""
        self._known.forget(token_id)

    def forget_owner(self, user: str) -> None:
        """The same for all tokens of a person."""
        self._known.forget_where(lambda known: known[0].user == user)

    async def save_used(self) -> None:
        """Keeps what `authenticate` noted since the last call."""
        if self._used:
            used, self._used = self._used, {}
            await self._store.note_used(used)

    def _note_used(self, row: TokenRow) -> None:
        now = self._clock.wall_ms()
        if now - max(row.last_used or 0, self._used.get(row.id, 0)) >= USED_STEP_MS:
            self._used[row.id] = now


def require_device(found: bool, device: str) -> None:
    if not found:
        raise NotFound("unknown_device", f"there is no device {device}")
