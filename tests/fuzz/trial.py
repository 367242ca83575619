"""One input given to one target: what must not happen is that it raises, or takes longer than its limit.

The limit counts this process' own CPU time, so that a busy machine makes no findings. What waits without
computing is found by whoever watches this process from outside (`run`).
"""

import hashlib
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

LIMIT_SECONDS: Final = 2.0


class _Hang(BaseException):
    """No `except Exception` of a target may keep it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """kind: crash or hang. where: what its duplicates have in common. text: for people."""

    kind: str
    where: str
    text: str
    data: bytes

    @property
    def name(self) -> str:
        return f"{self.kind}-{hashlib.sha256(self.where.encode()).hexdigest()[:12]}"


def attempt(
    target: Callable[[bytes], None], data: bytes, limit_seconds: float = LIMIT_SECONDS
) -> Finding | None:
    """Must run in the main thread, where Python handles signals."""
    try:
        with _limited(limit_seconds):
            target(data)
    except _Hang:
        # Where in its loop it was caught says little: all hangs of a target are one finding.
        return Finding(
            "hang", "hang", f"took over {limit_seconds:g} s of CPU\n{traceback.format_exc()}", data
        )
    except Exception as error:  # noqa: BLE001 - what it raises is what is looked for
        return Finding("crash", _place(error), traceback.format_exc(), data)
    return None


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def over(_number: int, _frame: FrameType | None) -> None:
        raise _Hang

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _place(error: BaseException) -> str:
    """The exception's class and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    return f"{type(error).__name__} {last.filename}:{last.lineno}"
