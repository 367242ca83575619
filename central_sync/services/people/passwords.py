"""Passwords: which are taken, and hashing them with argon2id in threads of their own.

A hash takes 64 MiB and a fifth of a second on purpose. Two are made at a time, a few may wait, and more are
turned away, so that logins never hold up anything else nor eat the memory.
"""

import asyncio
import contextlib
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from central_sync.services.errors import Busy, Invalid, TooMany

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_LENGTH: Final = 10
MIN_DISTINCT: Final = 4
AT_ONCE: Final = 2
MAX_WAITING: Final = 16
_T = TypeVar("_T")


class NoArgon2(Busy):
    """Install the extra `central`."""

    def __init__(self) -> None:
        super().__init__(
            "no_argon2",
            "passwords need argon2-cffi: install the extra: pip install 'holdfast[central]'",
            3600.0,
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """RFC 9106's second choice, with one lane: it runs in one thread."""

    passes: int = 3
    memory_kib: int = 65_536
    lanes: int = 1


def normal(password: str) -> str:
    """What is hashed: the same text, however a keyboard composed it."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, login: str, name: str = "") -> None:
    """Raises Invalid (`weak_password`) with what to do."""
    folded = normal(password).casefold()
    if len(folded) < MIN_LENGTH:
        raise Invalid("weak_password", f"a password has {MIN_LENGTH} characters or more")
    if len(set(folded)) < MIN_DISTINCT:
        raise Invalid("weak_password", f"use at least {MIN_DISTINCT} different characters")
    for word in (login, login.partition("@")[0], *name.split()):
        known = normal(word).casefold()
        if len(known) > 2 and (known in folded or known[::-1] in folded):
            raise Invalid("weak_password", "leave the login and the name out of the password")


def hasher(cost: Cost) -> "PasswordHasher":
    """Raises NoArgon2."""
    try:
        from argon2 import PasswordHasher
    except ImportError as error:
        raise NoArgon2 from error
    return PasswordHasher(cost.passes, cost.memory_kib, cost.lanes)


def hash_password(password: str, cost: Cost | None = None) -> str:
    """For the command line; takes its time. Raises NoArgon2."""
    return hasher(cost or Cost()).hash(normal(password))


class Passwords:
    """`stop` ends the threads."""

    def __init__(self, cost: Cost | None = None) -> None:
        self._cost = cost or Cost()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="central-password")
        self._waiting = 0
        self._nobodys: str | None = None

    def require_room(self) -> None:
        """Raises NoArgon2, TooMany where nothing could be hashed now."""
        hasher(self._cost)
        if self._waiting >= AT_ONCE + MAX_WAITING:
            raise TooMany("busy_logins", "too many people log in at once", 2.0)

    async def hash(self, password: str) -> str:
        """Raises NoArgon2, TooMany."""
        return await self._run(lambda: hash_password(password, self._cost))

    async def verify(self, known: str | None, password: str) -> tuple[bool, str | None]:
        """Whether it is right, and a new hash to keep where the known one was made at another cost. None for
        `known`: no, after the same time. Raises NoArgon2, TooMany."""
        return await self._run(lambda: self._verify(known, password))

    def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, known: str | None, password: str) -> tuple[bool, str | None]:
        maker = hasher(self._cost)
        from argon2.exceptions import InvalidHashError, VerificationError

        if self._nobodys is None:
            self._nobodys = maker.hash("nobody's password")
        good = False
        with contextlib.suppress(VerificationError, InvalidHashError):
            good = maker.verify(known or self._nobodys, normal(password)) and known is not None
        if good and known is not None and maker.check_needs_rehash(known):
            return True, maker.hash(normal(password))
        return good, None

    async def _run(self, work: Callable[[], _T]) -> _T:
        self.require_room()
        self._waiting += 1
        done = self._threads.submit(work)
        # A caller that goes away leaves the work behind, and it counts until it is done.
        loop = asyncio.get_running_loop()
        done.add_done_callback(lambda _: self._count_down(loop))
        return await asyncio.wrap_future(done)

    def _count_down(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the thread. A loop that is closed needs no count."""
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._done)

    def _done(self) -> None:
        self._waiting -= 1
