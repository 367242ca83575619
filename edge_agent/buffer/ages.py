"""How long batches have been stored, by a clock that nobody sets. Pure.

The wall clock may be a day off or be set by a year, so it does not say when what is retained has become
old. Counted is the time during which an agent ran: a clock step neither ends the retention of everything
nor puts it off, and what was retained when the machine was switched off is retained when it comes back.
"""

from typing import Any, Final

# So many marks a span of retention: a batch stays at most that much longer.
_MARKS: Final = 96


class Ages:
    """marks: (newest primary key, when) pairs, ascending: what is not above the key was stored by then.

    Times are seconds of running, over all runs.
    """

    def __init__(self, retain_seconds: float, saved: Any, monotonic: float) -> None:
        """saved: what `saved()` returned in an earlier run, or None."""
        self._retain = retain_seconds
        known = saved or {"now": 0.0, "marks": []}
        self._started = monotonic - float(known["now"])
        self._marks: list[tuple[int, float]] = [(int(key), float(at)) for key, at in known["marks"]]

    def note(self, newest: int, monotonic: float) -> None:
        """Everything up to this key is stored now."""
        now = monotonic - self._started
        # The last mark moves along until the one before it is far enough away.
        if len(self._marks) > 1 and now - self._marks[-2][1] < self._retain / _MARKS:
            self._marks.pop()
        self._marks.append((newest, now))

    def old(self, monotonic: float) -> int:
        """The highest key whose batch has been stored for long enough; 0: none has."""
        due = monotonic - self._started - self._retain
        while len(self._marks) > 1 and self._marks[1][1] <= due:
            self._marks.pop(0)
        return self._marks[0][0] if self._marks and self._marks[0][1] <= due else 0

    def saved(self, monotonic: float) -> dict[str, Any]:
        """For the database, with JSON's types."""
        return {
            "now": round(monotonic - self._started, 3),
            "marks": [[key, round(at, 3)] for key, at in self._marks],
        }
