"""What was written into PLCs, durably: a line of JSON before a request is sent, and one after it.

`writes.jsonl` stands beside the buffer's database, in no format but lines, so that people can read it. Each
line is on the disk before the next thing happens. A line «begin» without its «end» is a write of which nobody
knows what became: the next start says so, once. A line that a crash cut off is passed over; where that was a
«begin», its request was never sent. The file is bounded: a long one is set aside, over the one before.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from edge_agent.runtime.atomic import give_to_owner_of, sync_directory, write_atomic
from edge_agent.writing.errors import NotJournalled

NAME: Final = "writes.jsonl"
MAX_BYTES: Final = 4 << 20
_MOST_KEPT: Final = 2_000


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
        try:
            return _past((*_lines(self._aside), *_lines(self.path)))
        except OSError as error:
            raise NotJournalled(f"{self.path}: {error.strerror or error}") from error

    @property
    def _aside(self) -> Path:
        return self.path.with_name(f"{self.path.name}.1")

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file to append to; nobody else does meanwhile, nor sets it aside."""
        while True:
            is_new = not self.path.exists()
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not _is_at(file, self.path):
                    continue  # set aside by another process meanwhile
                if is_new:
                    give_to_owner_of(self.path.parent, self.path)  # root may write without the agent
                    sync_directory(self.path.parent)
                if os.fstat(file).st_size > self._max_bytes:
                    self._set_aside()
                    continue
                yield file
                return
            finally:
                os.close(file)

    def _set_aside(self) -> None:
        """Over the one before. What is open in it is still found; when each tag was written last goes on into
        the new one, or many writes of one tag would make the rate of another be forgotten."""
        last = sorted(_past(_lines(self.path)).last_ms.items(), key=lambda item: item[1])[-_MOST_KEPT:]
        # A copy, so that there is a file at each moment: another process would make one, and lose it to this.
        write_atomic(self._aside, self.path.read_bytes())
        give_to_owner_of(self.path.parent, self._aside)
        write_atomic(self.path, orjson.dumps({"phase": "kept", "last": dict(last)}) + b"\n")
        give_to_owner_of(self.path.parent, self.path)


def _past(lines: Iterable[Mapping[str, Any]]) -> Past:
    begun: dict[str, Mapping[str, Any]] = {}
    last: dict[str, int] = {}
    for line in lines:
        phase = line.get("phase")
        if phase == "begin":
            begun[str(line.get("id"))] = line
            last[str(line.get("tag"))] = _time(line.get("time"))
        elif phase == "kept" and isinstance(line.get("last"), dict):
            last |= {str(tag): _time(time) for tag, time in line["last"].items()}
        else:
            begun.pop(str(line.get("id")), None)
    return Past(tuple(begun.values()), last)


def _time(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


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
