"""As `payloads`: those that are after the kernel, after memory, and after the sandbox itself."""

# An attacker calls the system as directly as can be.
# ruff: noqa: PTH108

import ctypes
import mmap
import os
import resource
import time

from tests.crash.attacks.payloads import (
    CLONE_NEWNS,
    CLONE_NEWUSER,
    LIBC,
    MAP_PRIVATE_ANONYMOUS,
    NUMBERS,
    PROT_READ_WRITE_EXEC,
    Facts,
    Held,
    call,
    check,
    opened,
)

GIGABYTE = 1 << 30
SOME_DESCRIPTORS = 1_024


def io_uring(facts: Facts) -> str:
    return opened(call("io_uring_setup", 4, ctypes.create_string_buffer(120)))


def bpf(facts: Facts) -> str:
    # BPF_MAP_CREATE of an array with one element of eight bytes.
    attributes = (ctypes.c_uint32 * 32)(2, 4, 8, 1)
    return opened(call("bpf", 0, attributes, ctypes.sizeof(attributes)))


def perf_events(facts: Facts) -> str:
    # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, without the kernel's part.
    attributes = (ctypes.c_uint64 * 16)(1 | 128 << 32, 1, 0, 0, 0, 1 << 5)
    return opened(call("perf_event_open", attributes, 0, -1, -1, 0))


def page_faults(facts: Facts) -> str:
    return opened(call("userfaultfd", 1))


def keyring(facts: Facts) -> str:
    return str(call("add_key", b"user\0", b"holdfast\0", b"x", 1, -2))


def memory_file(facts: Facts) -> str:
    return opened(call("memfd_create", b"x\0", 0))


def file_in_shared_memory(facts: Facts) -> str:
    path = f"/dev/shm/holdfast-attack-{os.getpid()}"
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    os.unlink(path)
    return path


def shared_segment(facts: Facts) -> str:
    number = call("shmget", 0, 4096, 0o1600)
    LIBC.shmctl(number, 0, None)
    return f"segment {number}"


def message_queue(facts: Facts) -> str:
    number = call("msgget", 0, 0o1600)
    LIBC.msgctl(number, 0, None)
    return f"queue {number}"


def semaphores(facts: Facts) -> str:
    number = call("semget", 0, 1, 0o1600)
    LIBC.semctl(number, 0, 0, 0)
    return f"set {number}"


def posix_queue(facts: Facts) -> str:
    name = b"holdfast-attack\0"
    number = call("mq_open", name, os.O_RDWR | os.O_CREAT, 0o600, None)
    LIBC.mq_unlink(b"/" + name)
    return opened(number)


def user_namespace(facts: Facts) -> str:
    return str(call("unshare", CLONE_NEWUSER | CLONE_NEWNS))


def mount(facts: Facts) -> str:
    return str(call("mount", b"none\0", facts["directory"].encode() + b"\0", b"tmpfs\0", 0, None))


def watch_files(facts: Facts) -> str:
    return opened(call("inotify_init1", 0))


def timer(facts: Facts) -> str:
    return opened(call("timerfd_create", 1, 0))


def event(facts: Facts) -> str:
    return opened(call("eventfd2", 0, 0))


def poll_set(facts: Facts) -> str:
    return opened(call("epoll_create1", 0))


def pipe(facts: Facts) -> str:
    for each in os.pipe():
        os.close(each)
    return "a pipe"


def duplicate(facts: Facts) -> str:
    return opened(os.dup(0))


def kernel_log(facts: Facts) -> str:
    return str(call("syslog", 3, ctypes.create_string_buffer(100), 100))


def machine(facts: Facts) -> str:
    return f"{call('sysinfo', ctypes.create_string_buffer(200))}, {os.uname().nodename}"


def personality(facts: Facts) -> str:
    return str(call("personality", call("personality", 0xFFFF_FFFF)))


def other_filter(facts: Facts) -> str:
    return str(call("landlock_create_ruleset", None, 0, 1))


def executable_memory(facts: Facts) -> str:
    with mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, PROT_READ_WRITE_EXEC):
        return "mapped"


def memory_made_executable(facts: Facts) -> str:
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    place = LIBC.mmap(None, 4096, 3, MAP_PRIVATE_ANONYMOUS, -1, 0)
    return str(check(LIBC.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(4096), 5)))


def memory_made_executable_by_key(facts: Facts) -> str:
    with mmap.mmap(-1, 4096) as memory:
        place = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        return str(call("pkey_mprotect", place & ~0xFFF, 4096, 5, -1))


def executable_segment(facts: Facts) -> str:
    number = call("shmget", 0, 4096, 0o1700)
    try:
        # SHM_EXEC
        return hex(call("shmat", number, None, 0o100000))
    finally:
        LIBC.shmctl(number, 0, None)


def old_asynchronous_io(facts: Facts) -> str:
    context = ctypes.c_ulong()
    call("io_setup", 1, ctypes.byref(context))
    return str(call("io_destroy", ctypes.c_ulong(context.value)))


def handle_of_a_file(facts: Facts) -> str:
    # Of 128 bytes at most.
    handle = (ctypes.c_uint * 34)(128)
    mount_id = ctypes.c_int()
    path = facts["secret"].encode() + b"\0"
    return str(call("name_to_handle_at", -100, path, handle, ctypes.byref(mount_id), 0))


def other_user(facts: Facts) -> str:
    os.setuid(0)
    return "root"


def other_root(facts: Facts) -> str:
    os.chroot(facts["directory"])
    return "a root of its own"


def name_of_the_machine(facts: Facts) -> str:
    return str(call("sethostname", b"attacked\0", 8))


def time_of_the_machine(facts: Facts) -> str:
    return str(call("clock_settime", 0, (ctypes.c_long * 2)(int(time.time()), 0)))


def other_calling_convention(facts: Facts) -> str:
    """x32 on x86-64: the same calls under other numbers. No other architecture has such a bit."""
    if NUMBERS["getcpu"] != 309:
        raise Held("not on this architecture")
    return str(check(LIBC.syscall(ctypes.c_long(0x4000_0000 + 39))))


def much_memory(facts: Facts) -> str:
    # Asked for, and not used: it would be the test machine's.
    with mmap.mmap(-1, GIGABYTE) as memory:
        return f"{len(memory)} bytes"


def raise_limits(facts: Facts) -> str:
    for which, wanted in ((resource.RLIMIT_NOFILE, SOME_DESCRIPTORS), (resource.RLIMIT_AS, GIGABYTE)):
        resource.setrlimit(which, (wanted, resource.getrlimit(which)[1]))
    return "raised"


def lock_memory(facts: Facts) -> str:
    check(LIBC.mlock(ctypes.create_string_buffer(100), ctypes.c_size_t(100)))
    return "locked"


def be_nicer_to_itself(facts: Facts) -> str:
    if os.getpriority(os.PRIO_PROCESS, 0) <= 0:
        return "as nice as the agent"
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    return "as nice as the agent"


def inherited_descriptors(facts: Facts) -> str:
    found = []
    for number in range(3, SOME_DESCRIPTORS):
        try:
            os.fstat(number)
        except OSError as error:
            if error.errno != 9:
                raise
        else:
            found.append(number)
    if not found:
        raise Held("only its own three")
    return str(found)


def environment(facts: Facts) -> str:
    # Python itself sets LC_CTYPE where there is no locale.
    if not (found := set(os.environ) - {"LC_CTYPE"}):
        raise Held("empty")
    return str(found)


def write_to_streams(facts: Facts) -> str:
    if os.write(1, b"attack") and os.write(2, b"attack"):
        raise Held("they lead to /dev/null")
    return "held up"


def use_terminal(facts: Facts) -> str:
    return opened(os.open("/dev/tty", os.O_RDWR))


def use_device(facts: Facts) -> str:
    return opened(os.open("/dev/null", os.O_WRONLY))


def sleep(facts: Facts) -> str:
    time.sleep(0.001)
    return "slept"
