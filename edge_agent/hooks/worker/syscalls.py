"""The system calls that a worker may make, and the filter that holds it to them.

Names, not numbers: libseccomp knows those of each architecture, and what one lacks is left out. A call of
another architecture (32 bits on 64, x32) ends the process.
"""

import errno
from collections.abc import Callable
from types import ModuleType
from typing import Final

# The connection to the agent, and what is printed to nobody.
_CHANNEL: Final = 0
_LAST_STREAM: Final = 2
# A filter is a list that is gone through at each call.
_SOONEST: Final = 255
_PROT_EXEC: Final = 4

# Memory, clocks, locks of the interpreter, random numbers, signals of its own, the end.
_ALLOWED: Final = (
    "brk", "munmap", "mremap", "madvise",
    "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64", "gettimeofday", "time",
    "futex", "futex_time64", "sched_yield", "restart_syscall", "getrandom", "getpid", "gettid",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "sigaltstack", "exit", "exit_group",
)  # fmt: skip
# Memory that can be executed comes from nowhere any more.
_ALLOWED_WITHOUT_EXECUTION: Final = ("mmap", "mmap2", "mprotect")
_ALLOWED_ON_CHANNEL: Final = ("read", "readv")
_ALLOWED_ON_STREAMS: Final = ("write", "writev")
# Nobody makes these by accident. Others that are not allowed fail with EPERM, as where a library looks for a
# file that it can do without.
_DEADLY: Final = (
    "execve", "execveat", "fork", "vfork", "clone", "clone3", "ptrace", "process_vm_readv",
    "process_vm_writev", "process_madvise", "io_uring_setup", "io_uring_enter", "io_uring_register", "bpf",
    "perf_event_open", "userfaultfd", "unshare", "setns", "mount", "umount2", "fsopen", "open_tree",
    "move_mount", "pivot_root", "chroot", "kexec_load", "init_module", "finit_module", "delete_module",
    "keyctl", "add_key", "request_key", "socket", "socketpair", "connect", "bind", "listen", "sendmsg",
    "memfd_create", "memfd_secret", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "kill", "tkill",
    "seccomp", "personality", "reboot", "swapon", "open_by_handle_at",
)  # fmt: skip


def allowed_calls_alone() -> Callable[[], None]:
    """What holds this process to these calls, for good. Raises OSError, ImportError."""
    seccomp = libseccomp()
    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    rules.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL_PROCESS)

    def add(action: int, names: tuple[str, ...], *arguments: object) -> None:
        for name in names:
            # Negative: this architecture has no such call.
            if seccomp.resolve_syscall(seccomp.Arch.NATIVE, name) >= 0:
                rules.add_rule(action, name, *arguments)

    add(seccomp.ALLOW, _ALLOWED)
    add(seccomp.ALLOW, _ALLOWED_WITHOUT_EXECUTION, seccomp.Arg(2, seccomp.MASKED_EQ, _PROT_EXEC, 0))
    add(seccomp.ALLOW, _ALLOWED_ON_CHANNEL, seccomp.Arg(0, seccomp.EQ, _CHANNEL))
    add(seccomp.ALLOW, _ALLOWED_ON_STREAMS, seccomp.Arg(0, seccomp.LE, _LAST_STREAM))
    add(seccomp.KILL_PROCESS, _DEADLY)
    for name in ("read", "write"):
        rules.syscall_priority(name, _SOONEST)
    load: Callable[[], None] = rules.load
    return load


def libseccomp() -> ModuleType:
    """pyseccomp without what it does to find its library: it runs ldconfig and compilers, which takes as long
    as all else until a worker is ready, and not every container has one of them."""
    import ctypes.util

    finder = ctypes.util.find_library
    # Without a name: what the interpreter itself is linked with, which is libc.
    ctypes.util.find_library = {"seccomp": "libseccomp.so.2"}.get  # type: ignore[assignment]
    try:
        import pyseccomp
    finally:
        ctypes.util.find_library = finder
    found: ModuleType = pyseccomp
    return found
