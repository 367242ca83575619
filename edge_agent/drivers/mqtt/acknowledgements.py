"""Which messages the broker may be told of: those that are in frames, in the order in which they came. Pure.

MQTT 5.0, 4.6: a client acknowledges in the order in which it received. So one that a group has not taken yet
holds back those behind it.
"""

from collections import deque
from collections.abc import Hashable, Iterable
from typing import Final

# Brokers have 20 or more on the way before they wait (mosquitto, VerneMQ 20; EMQX 32).
_WELCOME: Final = 10


class Acknowledgements:
    """Of one link. A holder is whoever has a message and has not put it into frames: an inbox."""

    def __init__(self) -> None:
        self._pending: deque[tuple[int, int]] = deque()  # number of the message, mid
        self._next = 0
        # Of each holder the oldest message that it keeps, and the oldest that it handed over last.
        self._kept: dict[Hashable, int] = {}
        self._handed: dict[Hashable, int] = {}

    @property
    def is_pressing(self) -> bool:
        """The broker may be waiting for acknowledgements."""
        return len(self._pending) >= _WELCOME

    def came(self, mid: int, holders: Iterable[Hashable]) -> None:
        """mid: of a message that wants an acknowledgement."""
        for holder in holders:
            self._kept.setdefault(holder, self._next)
        self._pending.append((self._next, mid))
        self._next += 1

    def moved(self, giver: Hashable, taker: Hashable) -> None:
        """Some of what `giver` keeps is with `taker` now, too."""
        if giver in self._kept:
            self._kept[taker] = min(self._kept[giver], self._kept.get(taker, self._next))

    def dropped(self, holder: Hashable) -> None:
        """It keeps nothing any more."""
        self._kept.pop(holder, None)

    def handed(self, holder: Hashable) -> None:
        """All that it kept is in a reading."""
        if holder in self._kept:
            self._handed.setdefault(holder, self._kept.pop(holder))

    def taken(self, holder: Hashable) -> None:
        """The reading is in frames."""
        self._handed.pop(holder, None)

    def due(self) -> list[int]:
        """Those to acknowledge now, each once."""
        first = min((*self._kept.values(), *self._handed.values()), default=self._next)
        mids: list[int] = []
        while self._pending and self._pending[0][0] < first:
            mids.append(self._pending.popleft()[1])
        return mids
