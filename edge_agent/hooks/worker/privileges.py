"""What a process may because of whom it belongs to, and what it may become."""

import ctypes
import os
import signal
from typing import Final

# linux/prctl.h, linux/capability.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522
_CAP_KILL: Final = 5
_NOBODY: Final = 65534


class _CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapabilitySets(ctypes.Structure):
    # Each in two halves of 32 bits.
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


def drop() -> None:
    """Of an agent that runs as root, a worker becomes nobody: root is bound by no limit on processes. All
    capabilities go. Raises OSError, with the capabilities gone all the same."""
    try:
        if os.getuid() == 0:
            _become_nobody()
    finally:
        _drop_capabilities()


def die_with(parent: int | None) -> None:
    """Killed where the thread that began it ends. Nobody of the same user may look into its memory.

    Comes after `drop`, since a change of the user takes both back.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(_PR_SET_DUMPABLE, 0)
    if parent is not None and os.getppid() != parent:
        os._exit(1)  # it ended before it could be said


def never_gain() -> None:
    """No program that it might start gives it rights; without this the kernel takes neither Landlock nor
    filters from an unprivileged process."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _become_nobody() -> None:
    if not _capabilities()[0].effective >> _CAP_KILL & 1:
        raise OSError("stays root: without CAP_KILL the agent could not end a worker of another user")
    try:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    except OSError as error:
        raise OSError(f"stays root, whom no limit on processes binds: {error.strerror}") from error


def _capabilities() -> "ctypes.Array[_CapabilitySets]":
    sets = (_CapabilitySets * 2)()
    _check(_libc().capget(ctypes.byref(_CapabilityHeader(_CAPABILITY_VERSION_3, 0)), sets))
    return sets


def _drop_capabilities() -> None:
    has = _capabilities()
    # `systemd`'s filter for services has no capset; where there is nothing to drop, it is not needed.
    if any(each.effective | each.permitted | each.inheritable for each in has):
        header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
        _check(_libc().capset(ctypes.byref(header), (_CapabilitySets * 2)()))


def _prctl(option: int, value: int) -> None:
    _check(_libc().prctl(option, *(ctypes.c_ulong(each) for each in (value, 0, 0, 0))))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(answer: int) -> None:
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
