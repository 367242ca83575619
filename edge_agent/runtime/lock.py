"""One process alone with its files: a lock that the kernel gives up when its holder dies, however it dies."""

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.errors import InvariantBroken
from edge_agent.runtime.errors import InUse

logger = structlog.stdlib.get_logger(__name__)

# What a disk says that takes nothing now and may do so later.
_OF_DISK: Final = frozenset({errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO})
_AGAIN_SECONDS: Final = 2.0


class FileLock:
    """Held from the construction until `release`, or until the process ends.

    Take it before opening what it guards (`buffer.db` → `buffer.db.lock`). The file stays behind on
    purpose: a lock file that is removed lets two processes hold two files of one name. Never blocks.
    Raises InUse where another holder has it, OSError where the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = _opened(path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            self._close()
            raise InUse(f"{path}: an agent (pid {holder or 'unknown'}) uses this already; stop it") from error
        # For people alone: a full or read-only disk keeps nobody from holding it.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets others take it. May be called twice."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
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


def _opened(path: Path) -> int:
    """A file that is there can be locked on a read-only disk too."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _OF_DISK or not path.exists():
            raise
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


class LateLock:
    """A FileLock whose directory and file a disk that fails may not take yet: held from when it does.

    Until then a second process can only be told by what else it must hold alone.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        """Raises InUse, and OSError for what no disk will mend by itself."""
        self._path = path
        self._clock = clock
        self._lock: FileLock | None = None
        self._take()
        if not self.held:
            logger.warning("the disk takes no file: the lock is taken once it does", path=str(path))

    @property
    def held(self) -> bool:
        return self._lock is not None

    async def run(self) -> None:
        """Returns once it is held. Raises InvariantBroken where another process was quicker."""
        while not self.held:
            await self._clock.sleep(_AGAIN_SECONDS)
            try:
                self._take()
            except InUse as error:
                raise InvariantBroken(str(error)) from error

    def _take(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self._path)
        except OSError as error:
            if error.errno not in _OF_DISK:
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.release()
