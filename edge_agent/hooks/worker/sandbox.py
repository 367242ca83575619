"""Takes from this process, for good, all that computing does not need. Called once, by a worker, after all
imports and before the first script.

The connection to the agent is descriptor 0, a socket that is read with `os.read` and written with
`os.write`: no other call reaches it afterwards. Nothing else stays open; 1 and 2 lead to /dev/null. What is
imported later than `confine` is not found.

What each layer holds, and what it lets through where it is alone: docs/hooks-sandbox.md.
"""

import contextlib
import fcntl
import os
import resource
import termios
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from edge_agent.hooks.layers import LAYERS, ON
from edge_agent.hooks.worker import landlock, privileges, syscalls

MEMORY_BYTES: Final = 192 << 20
NICE: Final = 10
_FIRST_TO_GO: Final = b"1000"
_LIMITS: Final = {
    resource.RLIMIT_AS: MEMORY_BYTES,
    resource.RLIMIT_NPROC: 0,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_CORE: 0,
    # 0, 1 and 2 are open: there is never a new one.
    resource.RLIMIT_NOFILE: 3,
    resource.RLIMIT_MEMLOCK: 0,
    resource.RLIMIT_MSGQUEUE: 0,
    resource.RLIMIT_SIGPENDING: 0,
    resource.RLIMIT_RTPRIO: 0,
    resource.RLIMIT_NICE: 0,
}


def confine(parent: int | None = None, layers: Collection[str] = LAYERS) -> dict[str, str]:
    """Takes on `layers` (tests leave some out); each is `on` or says why it is not.

    parent: the agent's process id; where it ended meanwhile, so does this process. A layer that cannot be had
    keeps no other from being taken on: whether that is enough is the agent's to decide.
    """
    _keep_the_channel_alone()
    _leave_terminal()
    _give_way()
    # What a layer needs, libraries or descriptors, it gets before the first of them is on.
    prepare: dict[str, Callable[[], Callable[[], None]]] = {
        "privileges": lambda: privileges.drop,
        "rlimits": lambda: _limit,
        "parent_death": lambda: partial(privileges.die_with, parent),
        "no_new_privs": lambda: privileges.never_gain,
        "landlock": landlock.deny_all,
        "seccomp": syscalls.allowed_calls_alone,
    }
    report = dict.fromkeys(LAYERS, "left out")
    steps: dict[str, Callable[[], None]] = {}
    for name in LAYERS:
        if name in layers:
            try:
                steps[name] = prepare[name]()
            except (OSError, ImportError) as error:
                report[name] = f"not to be had: {error}"
    for name, step in steps.items():
        report[name] = _taken(step)
    return report


def _taken(step: Callable[[], None]) -> str:
    try:
        step()
    except (OSError, ValueError) as error:
        return str(error)
    return ON


def _leave_terminal() -> None:
    """Of somebody who runs the agent by hand: who has it could type there."""
    with contextlib.suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        try:
            fcntl.ioctl(terminal, termios.TIOCNOTTY)
        finally:
            os.close(terminal)


def _give_way() -> None:
    """No layers, and not everywhere to be had: the agent polls while scripts compute, and it is what must
    stay where memory is short. A worker is begun again."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    with contextlib.suppress(OSError):
        score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(score, _FIRST_TO_GO)
        finally:
            os.close(score)


def _limit() -> None:
    for which, most in _LIMITS.items():
        hard = resource.getrlimit(which)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (value, value))


def _keep_the_channel_alone() -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
