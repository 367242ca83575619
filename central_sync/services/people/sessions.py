"""People's sessions: logging in and out, setting passwords, and who a cookie belongs to.

A session is 256 random bits of which the SHA-256 is kept. It ends after a time without use, after an
absolute time, at logout, when its owner is disabled, and when he changes his password elsewhere.
"""

import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from central_sync.services.access.remembered import Remembered
from central_sync.services.access.roles import Identity, Role
from central_sync.services.access.tokens import digest
from central_sync.services.audit.entries import Actor
from central_sync.services.clock import Clock
from central_sync.services.errors import Forbidden, Invalid, NotFound, TooMany, Unauthenticated
from central_sync.services.people.passwords import Passwords, check_password
from central_sync.services.people.views import LoginBody, PasswordBody, SessionPage, SessionView, SetupBody

# When a session was last used is kept this coarsely.
USED_STEP_MS: Final = 30_000
MAX_AGENT: Final = 200
_COOKIE: Final = re.compile(r"hs_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_BAD_LOGIN: Final = ("bad_login", "login or password is wrong")
_BAD_LINK: Final = ("bad_link", "the link is unknown, used or expired; ask for a new one")


@dataclass(frozen=True, slots=True)
class UserRow:
    """One person. Times are UTC milliseconds; password: its hash."""

    id: str
    login: str
    name: str
    role: Role
    labels: Mapping[str, str]
    password: str | None
    created: int
    last_login: int | None = None
    disabled: int | None = None


@dataclass(frozen=True, slots=True)
class SessionRow:
    id: str
    digest: bytes
    user: str
    created: int
    expires: int
    last_used: int
    ended: int | None
    address: str
    agent: str


@dataclass(frozen=True, slots=True)
class Known:
    """A session with its owner."""

    session: SessionRow
    owner: UserRow


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is known when somebody tries a password. wait: seconds until he may; user: None: there is none."""

    wait: float
    user: UserRow | None


@dataclass(frozen=True, slots=True)
class Link:
    """A one-time link that is good. user: whose password it sets; None: it makes the first admin."""

    digest: bytes
    user: UserRow | None


class SessionStore(Protocol):
    """What changes something writes its audit entry in the same transaction."""

    async def find_session(self, session: str) -> Known | None: ...

    async def sessions(self, user: str, now: int) -> list[SessionRow]:
        """Those that have not ended, newest first."""
        ...

    async def begin_attempt(self, login: str, address: str, now: int) -> Attempt:
        """Counts the attempt where it need not wait (services.lockout)."""
        ...

    async def note_failure(self, user: UserRow | None, address: str, now: int) -> None: ...

    async def begin_session(self, user: UserRow, session: SessionRow, password: str | None) -> bool:
        """Forgets the account's failures; `password`: a new hash of the same. False: the user was disabled,
        or got another password, meanwhile."""
        ...

    async def end_session(self, session: str, user: str, actor: Actor, now: int) -> bool: ...

    async def set_password(self, user: UserRow, password: str, actor: Actor, now: int, kept: str) -> bool:
        """Ends all other sessions than `kept`. False: the password was changed meanwhile."""
        ...

    async def find_link(self, digest: bytes, now: int) -> Link | None: ...

    async def use_link(self, link: Link, user: UserRow, session: SessionRow) -> bool:
        """Takes the link, makes or changes the user, begins the session. False: the link is gone."""
        ...

    async def note_used(self, sessions: Mapping[str, int]) -> None: ...


class SessionService:
    """idle_ms, lifetime_ms: how long a session lasts without use, and at all.

    `forget_owner` is for whoever changes a person in this process, after the commit, in any thread.
    """

    def __init__(
        self,
        store: SessionStore,
        clock: Clock,
        passwords: Passwords,
        generation: Callable[[], object],
        idle_ms: int,
        lifetime_ms: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._passwords = passwords
        self._known = Remembered(store.find_session, clock, generation)
        self._idle_ms = idle_ms
        self.lifetime_ms = lifetime_ms
        self._used: dict[str, int] = {}

    # --- who asks -----------------------------------------------------------------------------------

    async def authenticate(self, cookie: str, before_reading: Callable[[], None] | None = None) -> Identity:
        """Raises Unauthenticated. before_reading: called where the database must be asked; what it raises
        ends it."""
        match = _COOKIE.fullmatch(cookie)
        known = self._known.recall(match[1]) if match else None
        if match and known is None:
            if before_reading is not None:
                before_reading()
            known = await self._known.learn(match[1])
        expected = known.session.digest if known else bytes(32)
        good = hmac.compare_digest(expected, digest(match[2] if match else ""))
        now = self._clock.wall_ms()
        if known is None or not good or not self._is_alive(known, now):
            raise Unauthenticated("no_session", "the session has ended: log in again")
        session, owner = known.session, known.owner
        if now - self._last_used(session) >= USED_STEP_MS:
            self._used[session.id] = now
        return Identity(owner.id, owner.role, None, owner.login, owner.id, owner.labels, None, session.id)

    def _is_alive(self, known: Known, now: int) -> bool:
        session = known.session
        return (
            session.ended is None
            and known.owner.disabled is None
            and now < session.expires
            and now - self._last_used(session) < self._idle_ms
        )

    def _last_used(self, session: SessionRow) -> int:
        return max(session.last_used, self._used.get(session.id, 0))

    def forget_owner(self, user: str) -> None:
        self._known.forget_where(lambda known: known.owner.id == user)

    async def save_used(self) -> None:
        """Keeps what `authenticate` noted since the last call."""
        used = dict(self._used)
        if not used:
            return
        await self._store.note_used(used)
        for session, time in used.items():
            self._known.forget(session)
            if self._used.get(session) == time:
                del self._used[session]

    # --- logging in ---------------------------------------------------------------------------------

    async def login(self, body: LoginBody, address: str, agent: str) -> tuple[str, Identity]:
        """The cookie and who it is. Raises Unauthenticated, TooMany, NoArgon2."""
        user, rehashed = await self._check(body.login.lower(), body.password, address)
        cookie, session = self._mint(user.id, address, agent)
        if not await self._store.begin_session(user, session, rehashed):
            raise Unauthenticated(*_BAD_LOGIN)
        return cookie, _identity(user, session)

    async def logout(self, identity: Identity, actor: Actor) -> None:
        """Raises Invalid where nobody is logged in: a token is no session."""
        await self.end(identity, _own(identity), actor)

    async def change_password(self, identity: Identity, body: PasswordBody, actor: Actor) -> None:
        """Ends all other sessions. Raises Invalid, Unauthenticated, TooMany."""
        session = _own(identity)
        check_password(body.new, identity.name)
        user, _ = await self._check(identity.name, body.current, actor.address)
        check_password(body.new, user.login, user.name)
        hashed = await self._passwords.hash(body.new)
        now = self._clock.wall_ms()
        if not await self._store.set_password(user, hashed, actor, now, session):
            raise Unauthenticated(*_BAD_LOGIN)
        self.forget_owner(user.id)

    async def set_up(self, body: SetupBody, address: str, agent: str) -> tuple[str, Identity]:
        """Uses a one-time link: makes the first admin or sets somebody's password, and logs him in. Raises
        Invalid, TooMany, NoArgon2."""
        now = self._clock.wall_ms()
        link = await self._store.find_link(digest(body.token), now)
        if link is None:
            raise Invalid(*_BAD_LINK)
        login = link.user.login if link.user else body.login
        name = body.name or (link.user.name if link.user else "")
        if login is None or body.login not in (None, login):
            raise Invalid("bad_login", "the first admin needs a login" if login is None else "not your login")
        check_password(body.password, login, name)
        hashed = await self._passwords.hash(body.password)
        user = UserRow(secrets.token_hex(6), login, name, Role.ADMIN, {}, hashed, now)
        if link.user is not None:
            old = link.user
            user = UserRow(old.id, login, name, old.role, old.labels, hashed, old.created)
        cookie, session = self._mint(user.id, address, agent)
        if not await self._store.use_link(link, user, session):
            raise Invalid(*_BAD_LINK)
        self.forget_owner(user.id)
        return cookie, _identity(user, session)

    async def _check(self, login: str, password: str, address: str) -> tuple[UserRow, str | None]:
        """The user, and a new hash where the one kept is of another cost."""
        self._passwords.require_room()
        now = self._clock.wall_ms()
        attempt = await self._store.begin_attempt(login, address, now)
        if attempt.wait:
            raise TooMany("locked_out", "too many failed logins; wait, then try again", attempt.wait)
        user = attempt.user
        known = user.password if user and user.disabled is None else None
        good, rehashed = await self._passwords.verify(known, password)
        if user is None or not good:
            await self._store.note_failure(user, address, self._clock.wall_ms())
            raise Unauthenticated(*_BAD_LOGIN)
        return user, rehashed

    def _mint(self, user: str, address: str, agent: str) -> tuple[str, SessionRow]:
        now = self._clock.wall_ms()
        session_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        text = "".join(letter for letter in agent[:MAX_AGENT] if letter.isprintable())
        row = SessionRow(
            session_id, digest(secret), user, now, now + self.lifetime_ms, now, None, address, text
        )
        return f"hs_{session_id}_{secret}", row

    # --- one's own sessions -------------------------------------------------------------------------

    async def own(self, identity: Identity) -> SessionPage:
        """Raises Forbidden where it is not a person."""
        now = self._clock.wall_ms()
        found = await self._store.sessions(_person(identity), now)
        alive = [row for row in found if now - self._last_used(row) < self._idle_ms]
        return SessionPage(items=[self._view(row, identity) for row in alive])

    def _view(self, row: SessionRow, identity: Identity) -> SessionView:
        return SessionView(
            id=row.id,
            created=row.created,
            last_used=self._last_used(row),
            expires=row.expires,
            address=row.address,
            agent=row.agent,
            current=row.id == identity.session,
        )

    async def end(self, identity: Identity, session: str, actor: Actor) -> None:
        """Raises NotFound where it is not one of his."""
        if not await self._store.end_session(session, _person(identity), actor, self._clock.wall_ms()):
            raise NotFound("unknown_session", "you have no such session")
        self._known.forget(session)


def _person(identity: Identity) -> str:
    if identity.user is None:
        raise Forbidden("not_a_person", "this is for people: this token belongs to nobody")
    return identity.user


def _own(identity: Identity) -> str:
    if identity.session is None:
        raise Forbidden("no_session", "this needs a login: a token is no session")
    return identity.session


def _identity(user: UserRow, session: SessionRow) -> Identity:
    return Identity(user.id, user.role, None, user.login, user.id, user.labels, None, session.id)
