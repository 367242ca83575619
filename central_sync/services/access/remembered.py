"""Rows that nearly every request needs, remembered until somebody takes rights away.

What is remembered is dropped by `forget` in this process and, as a whole, whenever `generation` says that
another process changed something: that is what takes rights away. A row is read again after a while whatever
was said of it.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from central_sync.services.clock import Clock

# Enough for the credentials of 50,000 devices.
MAX_ENTRIES: Final = 60_000
FRESH_SECONDS: Final = 600.0
R = TypeVar("R")


class Remembered(Generic[R]):
    """read: asks the store. fresh_seconds: after which a row is read again. `forget` and `forget_where` are
    for any thread, after the change's commit."""

    def __init__(
        self,
        read: Callable[[str], Awaitable[R | None]],
        clock: Clock,
        generation: Callable[[], object],
        fresh_seconds: Callable[[R], float] = lambda _: FRESH_SECONDS,
    ) -> None:
        self._fresh_seconds = fresh_seconds
        self._read = read
        self._clock = clock
        self._generation = generation
        self._known_of = generation()
        self._rows: dict[str, tuple[float, R]] = {}  # until when, on the monotonic clock
        self._forgotten = 0
        self.was_emptied = False

    def recall(self, key: str) -> R | None:
        """What is remembered, without asking the store."""
        generation = self._generation()
        if generation != self._known_of:
            self._known_of = generation
            self._forgotten += 1
            self._rows.clear()
            self.was_emptied = True
        known = self._rows.get(key)
        if known is not None and self._clock.monotonic() < known[0]:
            return known[1]
        return None

    async def learn_all(self, read: Callable[[int], Awaitable[list[tuple[str, R]]]]) -> None:
        """What is read at once, so that a fleet need not be met one by one. read: gets how many."""
        before = self._forgotten
        self.was_emptied = False
        found = await read(MAX_ENTRIES)
        # Not all become old in the same second.
        now, count = self._clock.monotonic(), len(found)
        for n, (key, row) in enumerate(found):
            self._rows[key] = now + self._fresh_seconds(row) * (n + 1) / count, row
        # As in `learn`: nothing that was read before a `forget` stays.
        if self._forgotten != before:
            self._rows.clear()
            self.was_emptied = True

    async def learn(self, key: str) -> R | None:
        """What the store has; remembered from now on."""
        before = self._forgotten
        row = await self._read(key)
        self._rows.pop(key, None)
        if row is not None:
            if len(self._rows) >= MAX_ENTRIES:
                self._rows.pop(next(iter(self._rows)), None)
            self._rows[key] = (self._clock.monotonic() + self._fresh_seconds(row), row)
            if self._forgotten != before:
                self._rows.pop(key, None)
        return row

    def forget(self, key: str) -> None:
        # `learn` puts in first and looks at the count then: what it read before this never stays.
        self._forgotten += 1
        self._rows.pop(key, None)

    def forget_where(self, concerns: Callable[[R], bool]) -> None:
        self._forgotten += 1
        for key, (_, row) in list(self._rows.items()):
            if concerns(row):
                self._rows.pop(key, None)
