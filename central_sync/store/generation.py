"""How another process tells a running centre that what it knows of tokens and people is old.

A file beside the database, whose time is set after every commit that takes rights away. The centre looks
at it on each authentication: one `stat` of a name that the kernel has in memory.
"""

import os
import time
from pathlib import Path
from typing import Final

NAME: Final = "central.generation"


class Generation:
    def __init__(self, directory: Path) -> None:
        self._path = str(directory / NAME)

    def __call__(self) -> tuple[int, int]:
        """Differs from what it was whenever somebody called `bump` in between."""
        try:
            found = os.stat(self._path)  # noqa: PTH116
        except FileNotFoundError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns


def bump(directory: Path) -> None:
    """Call it after the commit and before saying that it is done."""
    path = directory / NAME
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    # Not the kernel's own time of writing: it moves every few milliseconds alone.
    now = time.time_ns()
    os.utime(path, ns=(now, now))
