"""Bearer tokens: `hf_<id>_<secret>`, 256 bits of secret, of which only a SHA-256 is kept.

A token belongs either to a role or to one device. A device's token acts for that device alone. The
secret is long and random, so a plain hash of it is enough: there is nothing to guess.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from central_sync.services.access import Identity, Role
from central_sync.services.clock import Clock
from central_sync.services.errors import Invalid, NotFound, Unauthenticated

DEVICE_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,49}[a-z0-9])?")
# How long a revoked token may still pass; the price of not asking the database at every request.
CACHE_SECONDS: Final = 1.0
_CACHE_ENTRIES: Final = 20_000
_TOKEN: Final = re.compile(r"hf_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One token or device credential. Times are UTC milliseconds; user: its owner's id."""

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
        )


class TokenStore(Protocol):
    async def find_token(self, token_id: str) -> TokenRow | None: ...


def check_device_id(device: str) -> str:
    if not DEVICE_ID.fullmatch(device):
        raise Invalid(
            "bad_device_id",
            f"{device!r} is not a device id: use up to 51 characters of a-z, 0-9 and -, not - at the ends",
        )
    return device


def mint(role: Role | None, device: str | None, now: int) -> tuple[str, TokenRow]:
    """A new token's text, shown once, and the row to keep."""
    token_id = secrets.token_hex(6)
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    row = TokenRow(token_id, _digest(secret), role, device, now)
    return f"hf_{token_id}_{secret}", row


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


class TokenService:
    """Authenticates bearer tokens; remembers good ones for `CACHE_SECONDS`."""

    def __init__(self, store: TokenStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._seen: dict[str, tuple[float, TokenRow]] = {}

    async def authenticate(self, header: str | None) -> Identity:
        """Raises Unauthenticated for anything but a known, unrevoked bearer token."""
        scheme, _, text = (header or "").partition(" ")
        match = _TOKEN.fullmatch(text.strip())
        if scheme.lower() != "bearer" or match is None:
            raise Unauthenticated("no_token", "send `Authorization: Bearer hf_…`")
        row = await self._row(match[1])
        # The same work for an unknown id: the answer's time tells nothing.
        expected = row.digest if row else bytes(32)
        good = hmac.compare_digest(expected, _digest(match[2]))
        if row is None or not good or row.revoked is not None:
            raise Unauthenticated("bad_token", "the token is unknown or revoked")
        if row.expires is not None and self._clock.wall_ms() >= row.expires:
            raise Unauthenticated("expired", "the token has expired")
        return row.identity

    async def _row(self, token_id: str) -> TokenRow | None:
        now = self._clock.monotonic()
        cached = self._seen.get(token_id)
        if cached and now - cached[0] < CACHE_SECONDS:
            return cached[1]
        row = await self._store.find_token(token_id)
        self._seen.pop(token_id, None)
        if row is not None:
            if len(self._seen) >= _CACHE_ENTRIES:
                self._seen.clear()
            self._seen[token_id] = (now, row)
        return row


def require_device(found: bool, device: str) -> None:
    if not found:
        raise NotFound("unknown_device", f"there is no device {device}")
