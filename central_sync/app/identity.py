"""Builds what knows who asks: tokens, people, sessions, rate limits."""

import itertools
from pathlib import Path
from typing import Final

from central_sync.api.authentication import Gate, RateLimits
from central_sync.services.access.ratelimit import RateLimit
from central_sync.services.access.tokens import TokenService
from central_sync.services.clock import Clock
from central_sync.services.people.api_tokens import ApiTokenService
from central_sync.services.people.passwords import Passwords
from central_sync.services.people.sessions import SessionService
from central_sync.services.people.users import UserService
from central_sync.settings import Settings
from central_sync.store.generation import Generation
from central_sync.store.sessions import SqliteSessions
from central_sync.store.sqlite import SqliteStore
from central_sync.store.tokens import SqliteTokens
from central_sync.store.users import SqliteUsers

SAVE_SECONDS: Final = 60
_LOOK_SECONDS: Final = 1.0


class IdentityRoom:
    """`run` is a worker; `stop` ends the threads that hash passwords."""

    def __init__(self, settings: Settings, store: SqliteStore, clock: Clock) -> None:
        self._clock = clock
        self._passwords = Passwords()
        generation = Generation(Path(settings.data))
        rows = SqliteTokens(store)
        self.tokens = TokenService(rows, clock, generation)
        self.sessions = SessionService(
            SqliteSessions(store),
            clock,
            self._passwords,
            generation,
            int(settings.sessions.idle * 1000),
            int(settings.sessions.lifetime * 1000),
        )
        self.users = UserService(SqliteUsers(store), clock, self._forget_person)
        self.api_tokens = ApiTokenService(rows, clock, self.tokens.forget)
        rates = settings.rate_limits
        limits = RateLimits(
            RateLimit(rates.devices, clock), RateLimit(rates.people, clock), RateLimit(rates.addresses, clock)
        )
        self.gate = Gate(self.tokens, self.sessions, limits)

    def _forget_person(self, user: str) -> None:
        self.tokens.forget_owner(user)
        self.sessions.forget_owner(user)

    async def run(self) -> None:
        """Keeps when tokens and sessions were last used. Where all credentials were dropped, reads those of
        the fleet anew: one by one they would cost a core for a minute."""
        for turn in itertools.count(1):
            await self._clock.sleep(_LOOK_SECONDS)
            if self.tokens.is_empty:
                await self.tokens.meet_devices()
            if turn % SAVE_SECONDS == 0:
                await self.tokens.save_used()
                await self.sessions.save_used()

    def stop(self) -> None:
        self._passwords.stop()
