"""What every command's exit code says, to a shell and to systemd."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Of `run`, systemd starts anew what ended with any other than GOOD and WRONG."""

    GOOD = 0
    FOUND = 1  # a check found something
    WRONG = 2  # wrong use, or an invalid config: the same again is useless
    UNREACHABLE = 3  # something could not be reached or used: it may be later
    FAILED = 4  # an essential part failed, or an invariant is broken
    INTERRUPTED = 130
