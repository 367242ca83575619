"""Tests run as root, agents do not: what an agent may lose is judged by what an ordinary user can do."""

import ctypes
import os
from pathlib import Path

PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, RAISE = 4, 8, 47, 2
CAPABILITY_VERSION_3 = 0x20080522
# The interpreter may lie where only root looks: CAP_DAC_READ_SEARCH, or CAP_DAC_OVERRIDE where a container
# has that alone.
TO_READ_IT = (2, 1)
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

    status = Path("/proc/self/status").read_text()
    permitted = int(status.partition("CapPrm:")[2].split()[0], 16)
    kept = next((each for each in TO_READ_IT if permitted >> each & 1), None)
    prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    mask = 0 if kept is None else 1 << kept
    done(libc.capset(header, (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)))
    if kept is not None:
        prctl(PR_CAP_AMBIENT, RAISE, kept)
    prctl(PR_SET_DUMPABLE, 1)
