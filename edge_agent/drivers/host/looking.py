"""Reads the files of sources in a thread: /sys and network file systems may hang, and the loop must not.

A thread that hangs cannot be ended. It is left behind, and another one takes the work; what it still
brings is thrown away. Its source is left alone until it has come back.
"""

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.host.disk import STATVFS
from edge_agent.drivers.host.figures import Bad, Glance
from edge_agent.drivers.host.sources import Source
from edge_agent.wire.quality import Quality

MOST_FILES: Final = 4_096
MOST_BYTES: Final = 1 << 20
# Threads that hang in the kernel at the same time.
MOST_HANGING: Final = 8
_CONFIG: Final = "the agent's user may not read it; see docs/drivers/host.md"


class Job:
    """Some sources that are read one after the other. Filled by the thread, looked at by the loop."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources
        self.glances: dict[Source, Glance] = {}
        self.at: Source | None = None
        self.gone = ""
        self.cancelled = False
        self.ended = False

    def run(self, root: Path) -> None:
        try:
            if not (root / "proc").is_dir():
                self.gone = f"{root}: there is no /proc below it"
                return
            for source in self.sources:
                self.at = source
                self.glances[source] = look(root, source)
                self.at = None
                if self.cancelled:
                    return
        except OSError as error:  # the machine is short of file handles or memory
            self.gone = f"{root}: {error.strerror or error}"
        finally:
            self.ended = True


class Watcher:
    """Runs jobs in one thread, which is there while there is work now and then."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._work: SimpleQueue[tuple[Job, asyncio.AbstractEventLoop, asyncio.Future[None]] | None] = (
            SimpleQueue()
        )
        self._hanging: list[Job] = []
        self._thread: threading.Thread | None = None

    async def look(self, sources: Sequence[Source], seconds: float) -> Job:
        """A job that has ended, or hangs at `at`. Raises NotConnected where too many hang already."""
        self._hanging = [job for job in self._hanging if not job.ended]
        if len(self._hanging) >= MOST_HANGING:
            raise NotConnected(f"{len(self._hanging)} reads of files of this machine hang")
        job = Job(sources)
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        if self._thread is None:
            self._thread = threading.Thread(target=_serve, args=(self._root, self._work), daemon=True)
            self._thread.start()
        self._work.put((job, loop, done))
        try:
            await asyncio.wait_for(done, seconds)
        except TimeoutError:
            self._leave(job)
        except asyncio.CancelledError:
            self._leave(job)
            raise
        return job

    def hangs_at(self) -> set[Source]:
        return {job.at for job in self._hanging if not job.ended and job.at is not None}

    def _leave(self, job: Job) -> None:
        """The thread ends once it has come back; another one gets the next job."""
        job.cancelled = True
        self._hanging.append(job)
        self.close()

    def close(self) -> None:
        """Ends the thread, after what it is at."""
        self._work.put(None)
        self._work = SimpleQueue()
        self._thread = None


def _serve(
    root: Path, work: "SimpleQueue[tuple[Job, asyncio.AbstractEventLoop, asyncio.Future[None]] | None]"
) -> None:
    while (item := work.get()) is not None:
        job, loop, done = item
        job.run(root)
        try:
            loop.call_soon_threadsafe(_finish, done)
        except RuntimeError:  # the loop has ended meanwhile
            return


def _finish(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)


def look(root: Path, source: Source) -> Glance:
    """Reads the files of one source. What cannot be read is told of that file alone."""
    texts: dict[str, str] = {}
    refused: dict[str, Bad] = {}
    for pattern in source.files:
        for path in _matching(root, pattern):
            name = str(path.relative_to(root))
            try:
                with path.open("rb") as file:
                    texts[name] = file.read(MOST_BYTES).decode("utf-8", "replace")
            except FileNotFoundError:
                continue
            except PermissionError:
                refused[name] = Bad(Quality.BAD_CONFIG, _CONFIG)
            except OSError as error:
                refused[name] = Bad(Quality.BAD_DEVICE, error.strerror or str(error))
            if len(texts) + len(refused) >= MOST_FILES:
                break
    if source.mount is not None:
        _add_statvfs(root, source.mount, texts)
    return Glance(time.monotonic(), texts, refused)


def _matching(root: Path, pattern: str) -> list[Path]:
    return sorted(root.glob(pattern)) if "*" in pattern else [root / pattern]


def _add_statvfs(root: Path, mount: str, texts: dict[str, str]) -> None:
    try:
        found = os.statvfs(root / mount.lstrip("/"))
    except OSError:
        return
    fields = (found.f_frsize, found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree)
    texts[STATVFS] = " ".join(map(str, fields))
