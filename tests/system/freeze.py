"""Stops one thread of a process from outside, as a call that never returns would: ptrace(2)."""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from typing import Final

_SEIZE: Final = 0x4206
_INTERRUPT: Final = 0x4207
_ANY_CHILD: Final = 0x40000000  # __WALL


class FrozenThread:
    """The main thread of a process, which is its event loop. All others go on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._gone = False
        self._library = ctypes.CDLL(None, use_errno=True)
        self._library.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self._ptrace(_SEIZE)
        self._ptrace(_INTERRUPT)

    def _ptrace(self, request: int) -> None:
        if self._library.ptrace(request, self._pid, None, None) != 0:
            raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {self._pid}")

    def is_gone(self) -> bool:
        """Whether the process has ended. Asked again and again: its end is ours to take note of before its
        parent is told."""
        while not self._gone:
            try:
                pid, status = os.waitpid(self._pid, os.WNOHANG | _ANY_CHILD)
            except ChildProcessError:
                self._gone = True
            else:
                if pid == 0:
                    return False
                self._gone = os.WIFEXITED(status) or os.WIFSIGNALED(status)
        return True


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[FrozenThread]:
    """pid: as the caller sees it. The process must end before the block does."""
    thread = FrozenThread(pid)
    yield thread
    assert thread.is_gone()
