"""One process alone with its files: a lock that the kernel gives up when its holder dies, however it dies."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_agent.runtime.errors import InUse


class FileLock:
    """Held from the construction until `release`, or until the process ends.

    Take it before opening what it guards (`buffer.db` → `buffer.db.lock`). The file stays behind on
    purpose: a lock file that is removed lets two processes hold two files of one name. Never blocks.
    Raises InUse where another holder has it, OSError where the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            self._close()
            raise InUse(f"{path}: an agent (pid {holder or 'unknown'}) uses this already; stop it") from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets others take it. May be called twice."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
