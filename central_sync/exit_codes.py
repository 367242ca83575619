"""What every command's exit code says, to a shell and to systemd: the same as the agent's."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Of `run`, systemd starts anew what ended with any other than GOOD and WRONG."""

    GOOD = 0
    FOUND = 1  # a check found something
    WRONG = 2  # wrong use, or invalid settings: the same again is useless
    UNREACHABLE = 3  # the address or the database cannot be had now
    FAILED = 4  # the database cannot be written any more, or a fault of the program
    INTERRUPTED = 130
