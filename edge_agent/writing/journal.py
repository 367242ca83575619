"""What was written into PLCs, durably: a line of JSON before a request is sent, and one after it.

`writes.jsonl` stands beside the buffer's database, in no format but lines, so that people can read it. Each
line is on the disk before the next thing happens. A line «begin» without its «end» is a write of which nobody
knows what became: the next start says so, once. A line that a crash cut off is passed over; where that was a
«begin», its request was never sent. The file is bounded: a long one is set aside, over the one before.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from edge_agent.writing.errors import NotJournalled

NAME: Final = "writes.jsonl"
MAX_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Past:
    """What the journal knew at a start. open: begun and never ended, as their «begin». last_ms: when each tag
    was written last."""

    open: tuple[Mapping[str, Any], ...]
    last_ms: Mapping[str, int]


class WriteJournal:
    """Blocks; called in a thread. Two processes may append: each line is one write to the end of the file."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes

    @property
    def exists(self) -> bool:
        return self.path.exists()

    def append(self, line: Mapping[str, Any]) -> None:
        """Returns once the line is on the disk. Raises NotJournalled."""
        data = orjson.dumps(line) + b"\n"
        try:
            self._bound()
            with self._locked() as file:
                if os.fstat(file).st_size and not _ends_whole(file):
                    data = b"\n" + data
                if os.write(file, data) != len(data):
                    raise NotJournalled(f"{self.path}: the disk is full")
                os.fsync(file)
        except OSError as error:
            raise NotJournalled(f"{self.path}: {error.strerror or error}") from error

    def look_back(self) -> Past:
        """Raises NotJournalled."""
        begun: dict[str, Mapping[str, Any]] = {}
        last: dict[str, int] = {}
        try:
            for line in (*_lines(self._aside), *_lines(self.path)):
                if line.get("phase") == "begin":
                    begun[str(line.get("id"))] = line
                    last[str(line.get("tag"))] = int(line.get("time", 0))
                else:
                    begun.pop(str(line.get("id")), None)
        except OSError as error:
            raise NotJournalled(f"{self.path}: {error.strerror or error}") from error
        return Past(tuple(begun.values()), last)

    def _bound(self) -> None:
        """Sets a file that grew too large aside, over the one before. What is open in it is still found."""
        if self.path.exists() and self.path.stat().st_size > self._max_bytes:
            self.path.replace(self._aside)
            _sync(self.path.parent)

    @property
    def _aside(self) -> Path:
        return self.path.with_name(f"{self.path.name}.1")

    @contextmanager
    def _locked(self) -> Iterator[int]:
        is_new = not self.path.exists()
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if is_new:
                _sync(self.path.parent)
            yield file
        finally:
            os.close(file)


def _ends_whole(file: int) -> bool:
    return os.pread(file, 1, os.fstat(file).st_size - 1) == b"\n"


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for text in file:
            try:
                line = orjson.loads(text)
            except orjson.JSONDecodeError:
                continue  # cut off by a crash
            if isinstance(line, dict):
                yield line


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
