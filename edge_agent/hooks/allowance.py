"""How many alerts a hook may raise over hours: each is a record on the disk and at the centre. Pure."""

from typing import Final

MOST: Final = 120
SECONDS: Final = 30.0
TELL_SECONDS: Final = 3_600.0


class Allowance:
    """MOST at once, and one more after every SECONDS. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._left = float(MOST)
        self._since: float | None = None
        self._left_out = 0
        self._tell_at = 0.0

    def take(self, now: float) -> bool:
        """Whether one more may be raised; if not, it is counted as left out."""
        if self._since is not None:
            self._left = min(float(MOST), self._left + (now - self._since) / SECONDS)
        self._since = now
        if self._left < 1:
            self._left_out += 1
            return False
        self._left -= 1
        return True

    def untold(self, now: float) -> int:
        """How many were left out since that was told; 0: none, or it is too early to tell again."""
        if not self._left_out or now < self._tell_at:
            return 0
        told, self._left_out, self._tell_at = self._left_out, 0, now + TELL_SECONDS
        return told
