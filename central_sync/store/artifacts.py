"""Files that commands brought, beside the database: `artifacts/COMMAND-SHA256`, whole and synced.

A file is written under a name of its own, synced and renamed before the database says that it is there.
What the database does not know of is deleted at the next start.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from central_sync.services.errors import TooLarge
from edge_agent.wire.commands import MAX_ARTIFACT_BYTES

logger = structlog.get_logger()

_BLOCK: Final = 256 << 10
_PART: Final = ".part"


class ArtifactFiles:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._no = 0

    async def receive(self, command: str, blocks: AsyncIterator[bytes]) -> tuple[int, str]:
        """Size and SHA-256 of what is now on the disk. Raises TooLarge; OSError where the disk refuses."""
        self._no += 1
        part = self._directory / f"{command}.{self._no}{_PART}"
        digest, size = hashlib.sha256(), 0
        file = await asyncio.to_thread(self._open, part)
        try:
            async for block in blocks:
                size += len(block)
                if size > MAX_ARTIFACT_BYTES:
                    raise TooLarge(
                        "too_large", f"a file may hold {MAX_ARTIFACT_BYTES} bytes", max=MAX_ARTIFACT_BYTES
                    )
                digest.update(block)
                await asyncio.to_thread(file.write, block)
            await asyncio.to_thread(_sync, file)
        except BaseException:
            await asyncio.to_thread(self._abandon, file, part)
            raise
        await asyncio.to_thread(self._keep, part, self.path(command, digest.hexdigest()))
        return size, digest.hexdigest()

    def path(self, command: str, sha256: str) -> Path:
        return self._directory / f"{command}-{sha256[:32]}"

    async def blocks(self, command: str, sha256: str) -> AsyncIterator[bytes]:
        """Raises OSError."""
        file = await asyncio.to_thread(self.path(command, sha256).open, "rb")
        try:
            while block := await asyncio.to_thread(file.read, _BLOCK):
                yield block
        finally:
            file.close()

    async def keep_only(self, known: Collection[tuple[str, str]]) -> None:
        """Deletes what is left of a crash; known: command and SHA-256."""
        names = {self.path(*one).name for one in known}
        try:
            await asyncio.to_thread(self._delete, lambda name: name not in names)
        except OSError as error:
            logger.warning("files of commands cannot be tidied", path=str(self._directory), error=str(error))

    async def drop(self, command: str, sha256: str) -> None:
        """A file that another one took the place of."""
        await asyncio.to_thread(self.path(command, sha256).unlink, True)

    async def remove(self, commands: Collection[str]) -> None:
        """All files of these commands."""
        gone = set(commands)
        await asyncio.to_thread(self._delete, lambda name: name.rpartition("-")[0] in gone)

    def _open(self, part: Path) -> BinaryIO:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        return os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")

    def _keep(self, part: Path, path: Path) -> None:
        part.replace(path)
        folder = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _abandon(self, file: BinaryIO, part: Path) -> None:
        with contextlib.suppress(OSError):
            file.close()
        part.unlink(missing_ok=True)

    def _delete(self, is_to_go: Callable[[str], bool]) -> None:
        with contextlib.suppress(FileNotFoundError):
            for entry in list(os.scandir(self._directory)):
                if is_to_go(entry.name):
                    Path(entry.path).unlink(missing_ok=True)


def _sync(file: BinaryIO) -> None:
    """And closes it."""
    with file:
        file.flush()
        os.fsync(file.fileno())
