"""The machine's clocks, as `contracts.clock.Clock`, and whether the wall clock is synchronised."""

import asyncio
import ctypes
import functools
import time
from collections.abc import Callable
from typing import Any, Final

# adjtimex(2): with `modes` 0 it only reads. TIME_ERROR or STA_UNSYNC: nobody disciplines the clock.
_STA_UNSYNC: Final = 0x0040


class SystemClock:
    """The clocks of this machine. `monotonic` is the event loop's clock too."""

    def monotonic(self) -> float:
        return time.monotonic()

    def mono_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


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
