"""The machine's clocks, as `contracts.clock.Clock`, and whether the wall clock is synchronised."""

import asyncio
import ctypes
import functools
import time
from collections.abc import Callable
from typing import Any, Final

# adjtimex(2): with `modes` 0 it only reads. TIME_ERROR or STA_UNSYNC: nobody disciplines the clock.
_STA_UNSYNC: Final = 0x0040
# The last moment of the year 9999: what batches, messages and people's calendars can hold.
_LAST_WALL_MS: Final = 253_402_300_799_999


class SystemClock:
    """The clocks of this machine. `monotonic` is the event loop's clock too."""

    def monotonic(self) -> float:
        return time.monotonic()

    def mono_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ms(self) -> int:
        """A clock set to before 1970 or beyond the year 9999 is read as that bound: all else goes on."""
        return min(max(time.time_ns() // 1_000_000, 0), _LAST_WALL_MS)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def suspended_seconds() -> float:
    """For how long the machine has slept since its boot: the monotonic clock stands still meanwhile.

    Always 0 where there is no clock that counts it.
    """
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic())


class _Timex(ctypes.Structure):
    """The head of `struct timex`; what follows `status` differs by machine and is only room to write to."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


@functools.cache
def _adjtimex() -> Callable[[Any], int] | None:
    try:
        function = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.POINTER(_Timex)]
    function.restype = ctypes.c_int

    def call(timex: _Timex) -> int:
        return int(function(ctypes.byref(timex)))

    return call


def sync_state(read: Callable[[Any], int] | None = None) -> bool | None:
    """Whether the kernel's wall clock is kept in step (NTP, PTP). Never blocks.

    None where it cannot be known: another kernel, or a sandbox that forbids adjtimex(2). `read` replaces
    the system call, which fills in a `struct timex` and returns -1 for an error.
    """
    read = _adjtimex() if read is None else read
    if read is None:
        return None
    timex = _Timex()
    if read(timex) < 0:
        return None
    return not timex.status & _STA_UNSYNC
