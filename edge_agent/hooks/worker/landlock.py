"""Landlock, by its three system calls: everything that it handles is denied, and nothing is allowed.

The kernel's documentation: https://docs.kernel.org/userspace-api/landlock.html. Its calls have the same
numbers on all architectures. What a kernel can deny depends on its ABI: files since 1 (5.13), TCP ports
since 4 (6.7), ioctl of devices since 5, signals and abstract sockets of processes outside since 6 (6.12).
"""

import ctypes
import os
from collections.abc import Callable
from typing import Final

_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
_CREATE_RULESET_VERSION: Final = 1
# By ABI: how many rights of files there are. Bits are given out in order.
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15}
_NEWEST_FILE_RIGHTS: Final = 16
_TCP_BIND_AND_CONNECT: Final = 3
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 3


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("handled_files", "handled_net", "scoped")]


def abi() -> int:
    """Which version of it this kernel has. Raises OSError where it has none, or was started without."""
    return _call(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)


def deny_all() -> Callable[[], None]:
    """What denies this thread, and all that it begins, whatever this kernel can deny. Raises OSError."""
    version = abi()
    rules = _Ruleset((1 << _FILE_RIGHTS.get(version, _NEWEST_FILE_RIGHTS)) - 1, 0, 0)
    size = 8
    if version >= 4:
        rules.handled_net, size = _TCP_BIND_AND_CONNECT, 16
    if version >= 6:
        rules.scoped, size = _ABSTRACT_SOCKETS_AND_SIGNALS, 24
    ruleset = _call(_CREATE_RULESET, ctypes.byref(rules), size, 0)

    def restrict() -> None:
        try:
            _call(_RESTRICT_SELF, ruleset, 0)
        finally:
            os.close(ruleset)

    return restrict


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    answer: int = libc.syscall(ctypes.c_long(number), *wide)
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer
