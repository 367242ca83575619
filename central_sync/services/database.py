"""How the services' stores reach the database: one writer, and readers that see one state each.

A room's store (store/commands.py, store/people.py …) takes a `Database` and implements its service's
protocol; its functions take a connection, so that several of them share a transaction.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Database(Protocol):
    async def write(self, work: Callable[[Any], T], after: Callable[[T], None] | None = None) -> T:
        """Runs `work` with the writing connection in a transaction; returns after its commit. What it raises
        undoes it. `after` runs in the writer's thread after the commit. Raises Busy."""
        ...

    async def read(self, question: Callable[[Any], T]) -> T:
        """Lists and history: in a pool that what every request needs does not wait for."""
        ...

    async def quick(self, question: Callable[[Any], T]) -> T:
        """Look-ups by key that most requests need."""
        ...


@dataclass(frozen=True, slots=True)
class Once:
    """A POST that creates, sent with an Idempotency-Key. owner: who sent it; request: its hash."""

    owner: str
    key: str
    request: bytes


def once(owner: str, key: str | None, route: str, body: bytes) -> Once | None:
    """None where the client sent no key."""
    if key is None:
        return None
    return Once(owner, key, hashlib.sha256(route.encode() + b"\n" + body).digest())
