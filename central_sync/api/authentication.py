"""Who sends a request: a bearer token, or a person's session in a cookie.

What changes something with a cookie must come from a page of this very centre: browsers say so in `Origin`,
or in `Sec-Fetch-Site`. A bearer token is never sent by itself, so nothing is asked of it. How often
somebody may ask is counted for each token and person; for an address only what is public or was refused
is counted, so that nobody pays for a neighbour behind the same address.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from central_sync.services.access.ratelimit import RateLimit, subject
from central_sync.services.access.roles import Identity
from central_sync.services.access.tokens import TokenService
from central_sync.services.errors import Forbidden, TooMany, Unauthenticated
from central_sync.services.people.sessions import SessionService

COOKIE: Final = "__Host-holdfast"
_SAFE: Final = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Of devices' credentials, of people and other tokens, and of addresses."""

    devices: RateLimit
    people: RateLimit
    addresses: RateLimit


class Gate:
    """Authenticates requests, within the rate limits."""

    def __init__(self, tokens: TokenService, sessions: SessionService, limits: RateLimits) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._limits = limits

    async def identify(self, request: web.Request) -> Identity:
        """Raises Unauthenticated, Forbidden (`origin`), TooMany."""

        def before_reading() -> None:
            """Guessing stops before it costs the database anything; who is known has no part in it."""
            _require(self._limits.addresses.wait(subject(request.remote)))

        try:
            identity = await self.authenticate(request, before_reading)
        except Unauthenticated:
            _require(self._limits.addresses.take(subject(request.remote)))
            raise
        if identity.device is not None:
            _require(self._limits.devices.take(identity.device))
        else:
            _require(self._limits.people.take(identity.id))
        return identity

    def knows_device(self, token_id: str, secret: str, device: str) -> bool:
        """Whether the device's own credential asks, by what is in memory, and may; counted if so. False:
        `identify` says why."""
        if not self._tokens.is_of(token_id, secret, device):
            return False
        return self._limits.devices.take(device) <= 0

    def count_public(self, request: web.Request) -> None:
        """For routes that anybody may use. Raises TooMany, Forbidden for what another site's page sends."""
        _require(self._limits.addresses.take(subject(request.remote)))
        if request.method not in _SAFE:
            require_no_foreign_page(request)

    async def require_unchanged(self, request: web.Request, identity: Identity) -> None:
        """For what takes long: whoever began it may still do the same. Raises Unauthenticated, Forbidden."""
        if await self.authenticate(request) != identity:
            raise Forbidden("rights_changed", "what you may see changed while you waited: ask again")

    async def authenticate(
        self, request: web.Request, before_reading: Callable[[], None] | None = None
    ) -> Identity:
        """Without counting it."""
        header = request.headers.get("Authorization")
        cookie = request.cookies.get(COOKIE) if header is None else None
        if cookie is None:
            return await self._tokens.authenticate(header, before_reading)
        identity = await self._sessions.authenticate(cookie, before_reading)
        if request.method not in _SAFE:
            require_own_page(request)
        return identity


def _require(wait: float) -> None:
    if wait > 0:
        raise TooMany("rate_limited", "you ask more often than this centre answers", wait)


def require_own_page(request: web.Request) -> None:
    """Raises Forbidden unless a page of this centre sends it."""
    if not (request.headers.get("Origin") or request.headers.get("Sec-Fetch-Site")):
        raise Forbidden("origin", "a session changes things from the centre's own pages: no Origin came")
    require_no_foreign_page(request)


def require_no_foreign_page(request: web.Request) -> None:
    """Raises Forbidden where a browser says that another site's page sends it. Programs say nothing."""
    origin = request.headers.get("Origin")
    if origin is not None:
        good = origin.lower() == f"{request.scheme}://{request.host}".lower()
    else:
        good = request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
    if not good:
        raise Forbidden("origin", "the request comes from a page of another site")


def set_cookie(response: web.Response, cookie: str, seconds: float) -> None:
    response.set_cookie(
        COOKIE, cookie, max_age=int(seconds), path="/", secure=True, httponly=True, samesite="Strict"
    )


def clear_cookie(response: web.Response) -> None:
    response.del_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Strict")
