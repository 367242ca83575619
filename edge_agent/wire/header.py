"""The head of a batch: who made it, its time bases, and an entry for each section.

Numbers are varints and identities are raw bytes, because a batch of few samples is mostly head. Reading
checks every count and every bound before it believes it: a head from a stranger costs what its bytes
cost. docs/specs/batch-v1.md has the fields.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from edge_agent.wire import varint
from edge_agent.wire.errors import TooLarge, WireError
from edge_agent.wire.schema import MAX_TAGS
from edge_agent.wire.section import MAX_FRAMES, MAX_N, MAX_SUPPRESSED, Entry, Layout, records_entry
from edge_agent.wire.sides import MAX_MONO_NS, MAX_WALL_MS
from edge_agent.wire.version import BATCH_FORMAT_VERSION

MAX_NUMBERS_BYTES: Final = 1024 * 1024
MAX_SECTIONS: Final = 16_384
MAX_NAME_BYTES: Final = 254

# Format version, lengths of device, run and boot, length of the numbers.
_PREFIX: Final = struct.Struct("<BBBBI")
# Instead of a length: 32 hexadecimal digits, as 16 bytes.
_PACKED: Final = 255
_ID_BYTES: Final = 16
_HASH_BYTES: Final = 32

_LAYOUTS: Final = {0: Layout.ROWS, 1: Layout.COLUMNS, 2: Layout.SPARSE}
_LAYOUT_TYPES: Final = {layout: number for number, layout in _LAYOUTS.items()}
_RECORDS: Final = {16: "loss", 17: "event", 18: "clock"}
_RECORD_TYPES: Final = {kind: number for number, kind in _RECORDS.items()}
# Bits of the number that says what a frames section has. The bit of an array is its element size.
_SIZES: Final = (8, 4, 2, 1)
_SIDES: Final = (0x10, 0x20, 0x40, 0x80)
_KNOWN_BITS: Final = 0xFF


class Header(NamedTuple):
    device: str
    run: str
    boot: str
    mono_base: int
    wall_base: int
    entries: list[Entry]


# --- writing -------------------------------------------------------------------------------------------


def encode(header: Header) -> bytes:
    """Raises TooLarge where the batch has too many sections, WireError where a name is too long."""
    names = [_pack_name(name) for name in (header.device, header.run, header.boot)]
    numbers = [varint.zigzag(header.mono_base), varint.zigzag(header.wall_base), len(header.entries)]
    for entry in header.entries:
        numbers += _entry_numbers(entry)
    packed = varint.encode(numbers)
    if len(header.entries) > MAX_SECTIONS or len(packed) > MAX_NUMBERS_BYTES:
        raise TooLarge("the batch has too many sections, or frames with too many different counts")
    hashes = [bytes.fromhex(entry["s"]) for entry in header.entries if entry["k"] == "frames"]
    prefix = _PREFIX.pack(BATCH_FORMAT_VERSION, *[mark for mark, _ in names], len(packed))
    return b"".join([prefix, *[name for _, name in names], packed, *hashes])


def _pack_name(name: str) -> tuple[int, bytes]:
    if len(name) == 2 * _ID_BYTES:
        try:
            packed = bytes.fromhex(name)
        except ValueError:
            packed = b""
        if packed.hex() == name:
            return _PACKED, packed
    try:
        data = name.encode()
    except UnicodeEncodeError as error:
        raise WireError(f"{name!r:.100} cannot be written as UTF-8") from error
    if len(data) > MAX_NAME_BYTES:
        raise WireError(f"{name!r:.100} is longer than {MAX_NAME_BYTES} bytes")
    return len(data), data


def _entry_numbers(entry: Entry) -> list[int]:
    lengths = entry["sides"]
    if entry["k"] != "frames":
        return [_RECORD_TYPES[entry["k"]], lengths[0]]
    numbers = [_LAYOUT_TYPES[entry["layout"]], 0, len(entry["n"])]
    has = 0
    following = 1
    for first, count in entry["n"]:
        numbers += (first - following, count)
        following = first + count
    numbers.append(len(entry["c"]))
    for frames, read, suppressed in entry["c"]:
        numbers += (frames, read - suppressed, suppressed)
    numbers.append(lengths[0])
    if any(lengths[1:]):
        for bit, length in zip(_SIDES, lengths[1:], strict=True):
            if length:
                has |= bit
                numbers.append(length)
    for size, elements in entry["elements"].items():
        has |= size
        numbers.append(elements)
    numbers[1] = has
    return numbers


# --- reading -------------------------------------------------------------------------------------------


def decode(raw: bytes) -> tuple[Header, int]:
    """The head at the beginning of `raw`, and where it ends. Raises WireError for anything odd."""
    if len(raw) < _PREFIX.size:
        raise WireError("the batch has no header")
    version, *marks, nbytes = _PREFIX.unpack_from(raw)
    if version != BATCH_FORMAT_VERSION:
        raise WireError(f"batch format {version} is not known to this build")
    at = _PREFIX.size
    names: list[str] = []
    for mark in marks:
        end = at + (_ID_BYTES if mark == _PACKED else mark)
        names.append(_name(raw[at:end], mark))
        at = end
    end = at + nbytes
    if nbytes > MAX_NUMBERS_BYTES or end > len(raw):
        raise WireError("the header is cut short, or too long")
    mono_base, wall_base, entries = _read_numbers(varint.decode(raw[at:end]))
    for entry in entries:
        if entry["k"] == "frames":
            entry["s"] = raw[end : end + _HASH_BYTES].hex()
            end += _HASH_BYTES
    if end > len(raw):
        raise WireError("the header is cut short")
    return Header(names[0], names[1], names[2], mono_base, wall_base, entries), end


def _name(data: bytes, mark: int) -> str:
    if mark == _PACKED:
        return data.hex()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise WireError(f"device, run and boot must be UTF-8: {error}") from error


def _read_numbers(numbers: Sequence[int]) -> tuple[int, int, list[Entry]]:
    following = iter(numbers)
    take = following.__next__
    try:
        mono_base, wall_base, sections = varint.unzigzag(take()), varint.unzigzag(take()), take()
        if not (0 <= mono_base <= MAX_MONO_NS and 0 <= wall_base <= MAX_WALL_MS):
            raise WireError("the time bases are out of range")
        if sections > MAX_SECTIONS:
            raise WireError(f"a batch holds at most {MAX_SECTIONS} sections")
        entries = [_read_entry(take) for _ in range(sections)]
    except StopIteration:
        raise WireError("the header's numbers are too few") from None
    if next(following, None) is not None:
        raise WireError("the header's numbers are too many")
    return mono_base, wall_base, entries


def _read_entry(take: Callable[[], int]) -> Entry:
    kind = take()
    if kind in _RECORDS:
        return records_entry(_RECORDS[kind], take())
    if kind not in _LAYOUTS:
        raise WireError(f"section type {kind} is not known to this build")
    has = take()
    if has > _KNOWN_BITS:
        raise WireError("a section has parts that are not known to this build")
    runs, frames = _read_number_runs(take)
    return {
        "k": "frames",
        "s": "",
        "layout": _LAYOUTS[kind],
        "n": runs,
        "c": _read_count_runs(take, frames),
        "sides": [take(), *[take() if has & bit else 0 for bit in _SIDES]],
        "elements": {size: _some(take()) for size in _SIZES if has & size},
    }


def _some(count: int) -> int:
    if not count:
        raise WireError("a section announces values and has none")
    return count


def _read_number_runs(take: Callable[[], int]) -> tuple[list[list[int]], int]:
    """Runs of frame numbers, and how many frames they are."""
    runs: list[list[int]] = []
    following, frames = 1, 0
    for _ in range(take()):
        first, count = following + take(), take()
        following = first + count
        frames += count
        if count < 1 or frames > MAX_FRAMES or following > MAX_N + 1:
            raise WireError(f"a section holds 1 to {MAX_FRAMES} frames, with numbers up to {MAX_N}")
        runs.append([first, count])
    if not frames:
        raise WireError("a section holds no frame")
    return runs, frames


def _read_count_runs(take: Callable[[], int], frames: int) -> list[list[int]]:
    runs: list[list[int]] = []
    counted = 0
    for _ in range(take()):
        same, held, suppressed = take(), take(), take()
        counted += same
        if same < 1 or counted > frames or held > MAX_TAGS or suppressed > MAX_SUPPRESSED:
            raise WireError("a section's counts are out of range")
        runs.append([same, held + suppressed, suppressed])
    if counted != frames:
        raise WireError("the counts are not as many as the frames")
    return runs
