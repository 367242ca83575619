"""Tests run as root, agents do not: what an agent may lose is judged by what an ordinary user can do."""

import ctypes
import os

PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, RAISE = 4, 8, 47, 2
CAPABILITY_VERSION_3 = 0x20080522
# The interpreter may lie where only root looks.
CAP_DAC_READ_SEARCH = 2
NOBODY = 65534


def become_nobody() -> None:
    """Of root; anybody else stays who it is."""
    if os.getuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)

    def done(answer: int) -> None:
        if answer < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def prctl(*arguments: int) -> None:
        done(libc.prctl(arguments[0], *map(ctypes.c_ulong, (*arguments[1:], 0, 0, 0, 0)[:4])))

    prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    one = 1 << CAP_DAC_READ_SEARCH
    done(libc.capset(header, (ctypes.c_uint32 * 6)(one, one, one, 0, 0, 0)))
    prctl(PR_CAP_AMBIENT, RAISE, CAP_DAC_READ_SEARCH)
    prctl(PR_SET_DUMPABLE, 1)
