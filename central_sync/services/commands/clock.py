"""The clock that deadlines of commands are counted by: milliseconds that only go forward.

While the centre runs it is the monotonic clock. For the time that the centre did not run there is only the
wall clock: its difference to what was saved last, nothing where that is negative. So setting the machine's
clock expires nothing, and a centre that was down for a day finds a day gone.
"""

from central_sync.services.clock import Clock

# So much of a run is lost at most to a clock that was set meanwhile: the clock is saved this often.
SAVE_SECONDS = 60.0


class CommandClock:
    """`resume` before anything else."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._base = 0
        self._from = clock.monotonic()

    def resume(self, saved: tuple[int, int] | None) -> None:
        """saved: the clock, and the wall clock at that time; None: this is the first run."""
        at_ms, wall = saved or (0, self._clock.wall_ms())
        self._base = at_ms + max(0, self._clock.wall_ms() - wall)
        self._from = self._clock.monotonic()

    def now(self) -> int:
        return self._base + int((self._clock.monotonic() - self._from) * 1_000)

    def reading(self) -> tuple[int, int]:
        """What to save: this clock and the wall clock."""
        return self.now(), self._clock.wall_ms()

    def wall_ms(self) -> int:
        return self._clock.wall_ms()
