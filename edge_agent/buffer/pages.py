"""The pages of a SQLite file, read without SQLite: for a file that SQLite cannot read any more.

Follows the published file format (sqlite.org/fileformat2.html) as far as the buffer's own tables need it:
4096-byte pages, leaf pages of tables and of indexes, overflow chains, records, and the write-ahead log.
No tree is walked from its root, so that a damaged inner page or schema hides nothing; whoever reads the
rows must know them again and verify them. Nothing is written.

A log ends for SQLite at the first frame whose checksum does not fit. Behind such a tear there may be
frames of commits that were confirmed; they make up a second view of the file.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

PAGE_BYTES: Final = 4096
WAL_HEAD: Final = struct.Struct(">IIIIIIII")
WAL_FRAME: Final = struct.Struct(">IIIIII")
WAL_FRAME_BYTES: Final = WAL_FRAME.size + PAGE_BYTES
_WAL_MAGIC: Final = 0x377F0682  # the lowest bit: checksums of big-endian words
# More than a row of ours can be: a body of 16 MiB and its other columns.
_MAX_PAYLOAD_BYTES: Final = 17 << 20

_LEAF_TABLE: Final = 13
_LEAF_INDEX: Final = 10
_INNER_INDEX: Final = 2

_MOST_LOCAL: Final = {True: PAGE_BYTES - 35, False: (PAGE_BYTES - 12) * 64 // 255 - 23}
_LEAST_LOCAL: Final = (PAGE_BYTES - 12) * 32 // 255 - 23
_INT_BYTES: Final = (0, 1, 2, 3, 4, 6, 8)

Value = int | str | bytes | None


class Torn(ValueError):
    """These bytes are not what SQLite writes."""


class Cell(NamedTuple):
    """One entry of a leaf page. local: the payload's beginning, the rest begins at page `overflow`."""

    is_table: bool
    rowid: int
    size: int
    local: bytes
    overflow: int


@dataclass(frozen=True, slots=True)
class LogFrame:
    """A page in the write-ahead log: where its bytes begin. commits: it ends a transaction."""

    page: int
    offset: int
    commits: bool


class Log(NamedTuple):
    """The frames of a log that SQLite would take, and those behind a tear."""

    sound: list[LogFrame]
    behind: list[LogFrame]


class View:
    """A database file as one set of log frames shows it, between `with` and its end.

    Pages that cannot be read are None.
    """

    def __init__(self, database: Path, log: Path, frames: list[LogFrame]) -> None:
        self._database = _open(database)
        self._log = _open(log)
        self._places = {frame.page: frame.offset for frame in frames}
        in_file = 0 if self._database is None else os.fstat(self._database).st_size // PAGE_BYTES
        self.page_count = max([in_file, *self._places])

    def __enter__(self) -> "View":
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in (self._database, self._log):
            if descriptor is not None:
                os.close(descriptor)

    def page(self, number: int) -> bytes | None:
        place = self._places.get(number)
        descriptor, offset = (
            (self._log, place) if place is not None else (self._database, (number - 1) * PAGE_BYTES)
        )
        if descriptor is None or number < 1:
            return None
        try:
            data = os.pread(descriptor, PAGE_BYTES, offset)
        except OSError:
            return None
        return data if len(data) == PAGE_BYTES else None

    def cells(self, number: int) -> list[Cell]:
        """What stands on one page; nothing where it is no leaf."""
        page = self.page(number)
        return [] if page is None else cells(page, first=number == 1)

    def free_pages(self) -> set[int]:
        """What the file says it does not use; nothing where the list contradicts itself."""
        head = self.page(1)
        if head is None:
            return set()
        trunk, count = struct.unpack_from(">II", head, 32)
        free: set[int] = set()
        while trunk and len(free) < count and trunk not in free:
            page = self.page(trunk)
            if page is None:
                return set()
            free.add(trunk)
            trunk, leaves = struct.unpack_from(">II", page)
            if leaves > PAGE_BYTES // 4 - 2:
                return set()
            free.update(struct.unpack_from(f">{leaves}I", page, 8))
        return free if len(free) == count and not trunk else set()

    def payload(self, cell: Cell) -> bytes:
        """Raises Torn where the chain of overflow pages is broken."""
        parts = [cell.local]
        missing = cell.size - len(cell.local)
        following = cell.overflow
        while missing > 0:
            page = self.page(following)
            if page is None:
                raise Torn(f"overflow page {following} cannot be read")
            parts.append(page[4 : 4 + missing])
            missing -= PAGE_BYTES - 4
            following = int.from_bytes(page[:4], "big")
        return b"".join(parts)


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


# --- pages and records ---------------------------------------------------------------------------------


def cells(page: bytes, *, first: bool = False) -> list[Cell]:
    """The sound cells of a leaf page, in their order; none of any other page.

    An inner page of an index counts too: it holds entries of its own. first: the file's header precedes.
    """
    start = 100 if first else 0
    kind = page[start]
    if kind not in (_LEAF_TABLE, _LEAF_INDEX, _INNER_INDEX):
        return []
    inner = kind == _INNER_INDEX
    pointers = start + (12 if inner else 8)
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    found: list[Cell] = []
    for index in range(min(count, (PAGE_BYTES - pointers) // 2)):
        at = int.from_bytes(page[pointers + 2 * index : pointers + 2 * index + 2], "big")
        try:
            found.append(_cell(page, at + (4 if inner else 0), is_table=kind == _LEAF_TABLE))
        except (IndexError, Torn):
            continue
    return found


def _cell(page: bytes, at: int, *, is_table: bool) -> Cell:
    size, at = varint(page, at)
    rowid = 0
    if is_table:
        rowid, at = varint(page, at)
    if not 0 < size <= _MAX_PAYLOAD_BYTES:
        raise Torn("no row of ours is of that size")
    local = size
    if size > _MOST_LOCAL[is_table]:
        local = _LEAST_LOCAL + (size - _LEAST_LOCAL) % (PAGE_BYTES - 4)
        if local > _MOST_LOCAL[is_table]:
            local = _LEAST_LOCAL
    end = at + local
    overflow = 0
    if local < size:
        overflow = int.from_bytes(page[end : end + 4], "big")
        if not overflow:
            raise Torn("the rest is nowhere")
    if end > PAGE_BYTES:
        raise Torn("ends behind its page")
    return Cell(is_table, rowid, size, page[at:end], overflow)


def varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, where the next byte stands). Raises IndexError."""
    value = 0
    for place in range(8):
        byte = data[at + place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + place + 1
    value = value << 8 | data[at + 8]
    return (value - (1 << 64) if value >> 63 else value), at + 9


def serials(cell: Cell) -> list[int]:
    """The types of a record's columns. Raises Torn."""
    data = cell.local
    try:
        length, at = varint(data, 0)
        if not 0 < length <= min(len(data), 64):
            raise Torn("no record of ours has such a head")
        types = []
        while at < length:
            kind, at = varint(data, at)
            types.append(kind)
    except IndexError as error:
        raise Torn("the record's head is cut short") from error
    return types


def values(payload: bytes, columns: int | None = None) -> list[Value]:
    """A record's columns, or the first of them where `payload` ends behind those. Raises Torn."""
    try:
        length, at = varint(payload, 0)
        types = []
        while at < length:
            kind, at = varint(payload, at)
            types.append(kind)
    except IndexError as error:
        raise Torn("the record's head is cut short") from error
    found: list[Value] = []
    for kind in types[:columns]:
        size = value_bytes(kind)
        found.append(_value(kind, payload[at : at + size], size))
        at += size
    if at != len(payload):
        raise Torn("the columns do not fill the record")
    return found


def value_bytes(kind: int) -> int:
    if kind >= 12:
        return (kind - 12) // 2
    if kind in (8, 9):
        return 0
    if 0 <= kind < len(_INT_BYTES):
        return _INT_BYTES[kind]
    raise Torn(f"a column of type {kind} is none of ours")


def _value(kind: int, data: bytes, size: int) -> Value:
    if len(data) != size:
        raise Torn("a column is cut short")
    if kind == 0:
        return None
    if kind in (8, 9):
        return kind - 8
    if kind < 12:
        return int.from_bytes(data, "big", signed=True)
    if kind % 2 == 0:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Torn("a text is not UTF-8") from error


# --- the write-ahead log -------------------------------------------------------------------------------


def read_log(path: Path) -> Log:
    """The frames of a log; none where there is no log. Raises OSError.

    Where its head is damaged the first frame says which frames belong to it: SQLite would take none.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return Log([], [])
    with file:
        head = file.read(WAL_HEAD.size)
        checked = _Checksum.of_head(head)
        salts = head[16:24] if checked is not None else None
        sound: list[LogFrame] = []
        behind: list[LogFrame] = []
        pending: list[LogFrame] = []
        offset = WAL_HEAD.size
        while len(frame := file.read(WAL_FRAME_BYTES)) == WAL_FRAME_BYTES:
            page, size = struct.unpack_from(">II", frame)
            salts = frame[8:16] if salts is None else salts
            own = frame[8:16] == salts
            found = LogFrame(page, offset + WAL_FRAME.size, size > 0)
            offset += WAL_FRAME_BYTES
            if checked is not None and not (own and checked.takes(frame)):
                checked = None
            if checked is None:
                if own and page:
                    behind.append(found)
                continue
            pending.append(found)
            if found.commits:
                sound += pending
                pending = []
    # What a transaction had written when its log was torn comes before what stands behind.
    return Log(sound, [*pending, *behind])


def has_frames_behind(path: Path, taken: int) -> bool:
    """Whether a commit stands behind the `taken` frames that SQLite found in this log. Raises OSError.

    A process that was killed while it committed leaves frames without the one that ends the commit: they
    are none. After a power cut it can be one that was never confirmed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        head = os.pread(descriptor, WAL_HEAD.size, 0)
        if len(head) < WAL_HEAD.size:
            return False
        # A log that was begun anew still has frames of the one before, with other salts.
        salts = head[16:24] if _Checksum.of_head(head) is not None else None
        size = os.fstat(descriptor).st_size
        # What the file ends within was being written when the process died.
        for offset in range(
            WAL_HEAD.size + taken * WAL_FRAME_BYTES, size - WAL_FRAME_BYTES + 1, WAL_FRAME_BYTES
        ):
            frame = os.pread(descriptor, WAL_FRAME.size, offset)
            commits = int.from_bytes(frame[4:8], "big") > 0
            if salts is None or (frame[8:16] == salts and commits):
                return True
    finally:
        os.close(descriptor)
    return False


class _Checksum:
    """The running checksum of a log."""

    def __init__(self, order: str) -> None:
        self._order = order
        self._sums = (0, 0)

    @classmethod
    def of_head(cls, head: bytes) -> "_Checksum | None":
        """None where this is not the head of a log with our pages."""
        if len(head) < WAL_HEAD.size:
            return None
        magic, _, page_bytes, _, _, _, *stored = WAL_HEAD.unpack(head)
        if magic & ~1 != _WAL_MAGIC or page_bytes != PAGE_BYTES:
            return None
        checksum = cls(">" if magic & 1 else "<")
        checksum._add(head[:24])
        return checksum if checksum._sums == tuple(stored) else None

    def takes(self, frame: bytes) -> bool:
        self._add(frame[:8])
        self._add(frame[WAL_FRAME.size :])
        return self._sums == struct.unpack_from(">II", frame, 16)

    def _add(self, data: bytes) -> None:
        first, second = self._sums
        words = struct.unpack(f"{self._order}{len(data) // 4}I", data)
        for index in range(0, len(words), 2):
            first = (first + words[index] + second) & 0xFFFFFFFF
            second = (second + words[index + 1] + first) & 0xFFFFFFFF
        self._sums = (first, second)
