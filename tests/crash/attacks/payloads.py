"""What somebody tries who has the whole interpreter of a worker: any Python, any system call.

Each payload returns what it reached, and raises where it was held. It leaves nothing behind that would help
the next one. Run by `compromised`, inside the confined process.
"""

# An attacker calls the system as directly as can be.
# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH108, PTH115, PTH116, PTH123, PTH208, PTH211

import _thread
import ctypes
import fcntl
import os
import resource
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from edge_agent.hooks.worker.syscalls import libseccomp

Facts = dict[str, Any]
Payload = Callable[[Facts], str]

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
SECCOMP = libseccomp()
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000
PROT_READ_WRITE_EXEC = 7
MAP_PRIVATE_ANONYMOUS = 0x22
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
IOV = struct.Struct("QQ")


class Held(Exception):
    """It did not get there, although no call failed."""


# By name, as libseccomp knows them on this architecture; asked before anything is confined.
NUMBERS = {
    name: SECCOMP.resolve_syscall(SECCOMP.Arch.NATIVE, name)
    for name in (
        "io_uring_setup", "bpf", "perf_event_open", "userfaultfd", "add_key", "memfd_create", "ptrace",
        "process_vm_readv", "process_vm_writev", "unshare", "mount", "setns", "pidfd_open",
        "pidfd_send_signal", "tgkill", "personality", "shmget", "msgget", "semget", "mq_open", "kcmp",
        "inotify_init1", "timerfd_create", "eventfd2", "epoll_create1", "fanotify_init", "syslog",
        "name_to_handle_at", "seccomp", "landlock_create_ruleset", "keyctl", "getcpu", "sysinfo", "fsopen",
        "close_range", "socketpair", "splice", "pipe2", "pidfd_getfd", "rt_sigqueueinfo", "io_setup",
        "io_destroy", "ioprio_set", "get_robust_list", "pkey_mprotect", "shmat", "vmsplice", "sethostname",
        "clock_settime", "move_pages",
    )
}  # fmt: skip


def call(name: str, *arguments: Any) -> int:
    number = NUMBERS[name]
    if number < 0:
        raise Held(f"there is no {name} on this architecture")
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return check(LIBC.syscall(ctypes.c_long(number), *wide))


def check(answer: int) -> int:
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer


def opened(number: int) -> str:
    os.close(number)
    return f"descriptor {number}"


# --- files ----------------------------------------------------------------------------------------------


def read_file(facts: Facts) -> str:
    number = os.open(facts["secret"], os.O_RDONLY)
    try:
        return repr(os.read(number, 100))
    finally:
        os.close(number)


def write_file(facts: Facts) -> str:
    path = facts["directory"] + "/written"
    number = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        return f"{os.write(number, b'x')} bytes"
    finally:
        os.close(number)
        os.unlink(path)


def create_file(facts: Facts) -> str:
    path = facts["directory"] + "/empty"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    os.unlink(path)
    return "an empty file"


def truncate_file(facts: Facts) -> str:
    os.truncate(facts["spare"], 0)
    return "nothing is left in it"


def append_to_file(facts: Facts) -> str:
    number = os.open(facts["spare"], os.O_WRONLY | os.O_APPEND)
    try:
        return f"{os.write(number, b'x')} bytes"
    finally:
        os.close(number)


def unlink_file(facts: Facts) -> str:
    os.symlink("nowhere", path := facts["directory"] + "/link")
    os.unlink(path)
    return "a link made and removed"


def rename_file(facts: Facts) -> str:
    os.rename(facts["spare"], facts["spare"] + ".1")
    os.rename(facts["spare"] + ".1", facts["spare"])
    return "there and back"


def make_directory(facts: Facts) -> str:
    os.mkdir(path := facts["directory"] + "/made")
    os.rmdir(path)
    return "made and removed"


def list_directory(facts: Facts) -> str:
    return str(len(os.listdir(facts["directory"])))


def look_at_file(facts: Facts) -> str:
    return f"{os.stat(facts['secret']).st_size} bytes long"


def change_mode(facts: Facts) -> str:
    os.chmod(facts["spare"], 0o600)
    return "changed"


def change_directory(facts: Facts) -> str:
    os.chdir(facts["directory"])
    os.chdir("/")
    return "there"


def own_memory_file(facts: Facts) -> str:
    return opened(os.open("/proc/self/mem", os.O_RDWR))


def own_descriptors(facts: Facts) -> str:
    return os.readlink("/proc/self/fd/0")


def agent_environment(facts: Facts) -> str:
    with open(f"/proc/{facts['agent']}/environ", "rb") as file:
        return repr(file.read(20))


def agent_memory_file(facts: Facts) -> str:
    return opened(os.open(f"/proc/{facts['agent']}/mem", os.O_RDONLY))


def agent_descriptors(facts: Facts) -> str:
    return str(os.listdir(f"/proc/{facts['agent']}/fd"))


# --- network ---------------------------------------------------------------------------------------------


def connect_tcp(facts: Facts) -> str:
    with socket.socket() as client:
        client.connect(("127.0.0.1", facts["tcp"]))
        return "connected"


def listen_tcp(facts: Facts) -> str:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        return str(server.getsockname())


def send_udp(facts: Facts) -> str:
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        return f"{sender.sendto(b'x', ('127.0.0.1', facts['udp']))} byte sent"


def connect_unix(facts: Facts) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(facts["unix"])
        return "connected"


def connect_abstract(facts: Facts) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + facts["abstract"])
        return "connected"


def netlink(facts: Facts) -> str:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.bind((0, 0))
        return "bound"


def pair_of_sockets(facts: Facts) -> str:
    ours, theirs = socket.socketpair()
    ours.close()
    theirs.close()
    return "a pair"


def pass_descriptor(facts: Facts) -> str:
    with socket.socket(fileno=os.dup(0)) as channel:
        return f"{channel.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack('i', 1))])}"


# --- processes -------------------------------------------------------------------------------------------


def fork(facts: Facts) -> str:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return f"process {child}"


def thread(facts: Facts) -> str:
    began: list[int] = []
    _thread.start_new_thread(lambda: began.append(1), ())
    end = time.monotonic() + 5
    while not began and time.monotonic() < end:
        pass
    return "a thread"


def execute(facts: Facts) -> str:
    os.execv("/bin/sh", ["sh", "-c", f"exit {facts['exec_code']}"])


def signal_agent(facts: Facts) -> str:
    os.kill(facts["agent"], 0)
    return "it may be killed"


def signal_group_of_agent(facts: Facts) -> str:
    os.killpg(facts["group"], 0)
    return "it may be killed"


def signal_thread_of_agent(facts: Facts) -> str:
    return str(call("tgkill", facts["agent"], facts["agent"], 0))


def signal_agent_by_descriptor(facts: Facts) -> str:
    number = call("pidfd_open", facts["agent"], 0)
    try:
        return str(call("pidfd_send_signal", number, 0, None, 0))
    finally:
        os.close(number)


def signal_agent_by_queue(facts: Facts) -> str:
    # SI_QUEUE, as who sends itself says so.
    info = (ctypes.c_int * 32)(0, 0, -1, 0, os.getpid(), os.getuid())
    return str(call("rt_sigqueueinfo", facts["agent"], 0, info))


def signal_agent_by_ownership(facts: Facts) -> str:
    """Whoever owns a socket is signalled where something comes."""
    return str(fcntl.fcntl(0, fcntl.F_SETOWN, facts["agent"]))


def descriptor_of_agent(facts: Facts) -> str:
    number = call("pidfd_open", facts["agent"], 0)
    try:
        return opened(call("pidfd_getfd", number, 1, 0))
    finally:
        os.close(number)


def disk_priority_of_agent(facts: Facts) -> str:
    # IOPRIO_WHO_PROCESS; the idle class.
    return str(call("ioprio_set", 1, facts["agent"], 3 << 13))


def locks_of_agent(facts: Facts) -> str:
    head, size = ctypes.c_void_p(), ctypes.c_size_t()
    call("get_robust_list", facts["agent"], ctypes.byref(head), ctypes.byref(size))
    return f"at {head.value}"


def pages_of_agent(facts: Facts) -> str:
    page = ctypes.c_void_p(facts["address"] & ~0xFFF)
    status = ctypes.c_int()
    return str(call("move_pages", facts["agent"], 1, ctypes.byref(page), None, ctypes.byref(status), 0))


def trace_agent(facts: Facts) -> str:
    call("ptrace", PTRACE_SEIZE, facts["agent"], 0, 0)
    LIBC.ptrace(PTRACE_DETACH, facts["agent"], 0, 0)
    return "seized"


def read_memory_of_agent(facts: Facts) -> str:
    buffer = ctypes.create_string_buffer(8)
    ours = IOV.pack(ctypes.addressof(buffer), 8)
    call("process_vm_readv", facts["agent"], ours, 1, IOV.pack(facts["address"], 8), 1, 0)
    return repr(buffer.raw)


def write_memory_of_agent(facts: Facts) -> str:
    buffer = ctypes.create_string_buffer(b"attacked", 8)
    ours = IOV.pack(ctypes.addressof(buffer), 8)
    return str(call("process_vm_writev", facts["agent"], ours, 1, IOV.pack(facts["address"], 8), 1, 0))


def compare_with_agent(facts: Facts) -> str:
    return str(call("kcmp", os.getpid(), facts["agent"], 0, 0, 0))


def outlive_agent(facts: Facts) -> str:
    return str(check(LIBC.prctl(PR_SET_PDEATHSIG, *map(ctypes.c_ulong, (0, 0, 0, 0)))))


def let_others_look(facts: Facts) -> str:
    return str(check(LIBC.prctl(PR_SET_DUMPABLE, *map(ctypes.c_ulong, (1, 0, 0, 0)))))


def priority_of_agent(facts: Facts) -> str:
    os.setpriority(os.PRIO_PROCESS, facts["agent"], os.getpriority(os.PRIO_PROCESS, facts["agent"]))
    return "set"


def affinity_of_agent(facts: Facts) -> str:
    os.sched_setaffinity(facts["agent"], os.sched_getaffinity(facts["agent"]))
    return "set"


def limits_of_agent(facts: Facts) -> str:
    now = resource.prlimit(facts["agent"], resource.RLIMIT_CORE)
    resource.prlimit(facts["agent"], resource.RLIMIT_CORE, now)
    return "set"
