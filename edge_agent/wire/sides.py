"""The parts of a frames section beside its values: times, presence, quality, source times, texts.

Times: for each frame the second difference of the monotonic nanoseconds, then for each frame how far
the wall clock moved against the monotonic one; both are small numbers while a group keeps its interval
and nobody sets the clock. Runs of quality and source times are written as gaps, so that they cannot
overlap or stand out of order. All are zigzag or plain varints; texts are JSON.
"""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import orjson

from edge_agent.wire import varint
from edge_agent.wire.errors import TooLarge, WireError
from edge_agent.wire.frame import Frame, check_depth
from edge_agent.wire.quality import Quality, QualityRun, SourceRun

MAX_RUNS: Final = 1 << 18
MAX_TEXT_BYTES: Final = 4 * 1024 * 1024
# 146 years, so that even the second difference of two readings fits 64 bits.
MAX_MONO_NS: Final = (1 << 62) - 1
# The year 9999: what comes after has no date in most languages.
MAX_WALL_MS: Final = 253_402_300_799_999
# The year 1: a PLC may say anything of its own time, and OPC UA's «no time» is 1601.
MIN_SOURCE_MS: Final = -62_135_596_800_000
MAX_STATUS: Final = (1 << 32) - 1
_NS_PER_MS: Final = 1_000_000
_QUALITIES: Final = tuple(Quality)
_Run = TypeVar("_Run", QualityRun, SourceRun)


# --- times ---------------------------------------------------------------------------------------------


def pack_times(frames: Sequence[Frame], mono_base: int, wall_base: int) -> bytes:
    monos: list[int] = []
    walls: list[int] = []
    mono, step, drift = mono_base, 0, 0
    for index, frame in enumerate(frames):
        if not (0 <= frame.mono_ns <= MAX_MONO_NS and 0 <= frame.wall_ms <= MAX_WALL_MS):
            raise WireError(f"frame {frame.n} has times out of range: {frame.mono_ns}, {frame.wall_ms}")
        moved = frame.mono_ns - mono
        monos.append(varint.zigzag(moved - step))
        step = moved if index else 0
        mono = frame.mono_ns
        now = frame.wall_ms - wall_base - (mono - mono_base) // _NS_PER_MS
        walls.append(varint.zigzag(now - drift))
        drift = now
    return varint.encode(monos + walls)


def read_times(data: bytes, frames: int, mono_base: int, wall_base: int) -> list[tuple[int, int]]:
    """(mono_ns, wall_ms) of each frame."""
    numbers = varint.decode(data)
    if len(numbers) != 2 * frames:
        raise WireError("the times are not as many as the frames")
    result: list[tuple[int, int]] = []
    mono, step, drift = mono_base, 0, 0
    for index in range(frames):
        moved = step + varint.unzigzag(numbers[index])
        step = moved if index else 0
        mono += moved
        drift += varint.unzigzag(numbers[frames + index])
        wall = wall_base + drift + (mono - mono_base) // _NS_PER_MS
        if not (0 <= mono <= MAX_MONO_NS and 0 <= wall <= MAX_WALL_MS):
            raise WireError("a frame's times are out of range")
        result.append((mono, wall))
    return result


# --- presence ------------------------------------------------------------------------------------------


def pack_presence(frames: Sequence[Frame], tags: int) -> bytes:
    if all(frame.present is None for frame in frames):
        return b""
    whole = _whole(tags)
    return b"".join([whole if frame.present is None else frame.present for frame in frames])


def read_presence(data: bytes, frames: Sequence[Frame], tags: int) -> None:
    if not data:
        return
    whole = _whole(tags)
    width = len(whole)
    if len(data) != width * len(frames):
        raise WireError("the presence bitmaps do not match the frames")
    for index, frame in enumerate(frames):
        present = data[index * width : (index + 1) * width]
        if present[-1] > whole[-1]:
            raise WireError("a presence bitmap names tags that the schema does not have")
        frame.present = None if present == whole else present


def _whole(tags: int) -> bytes:
    return ((1 << tags) - 1).to_bytes((tags + 7) // 8, "little")


# --- runs ----------------------------------------------------------------------------------------------


def pack_quality(frames: Sequence[Frame], tags: int) -> bytes:
    numbers: list[int] = []
    at = 0
    for index, frame in enumerate(frames):
        for gap, run in _gaps(frame.n, frame.quality, tags):
            if not 0 <= run.status <= MAX_STATUS:
                raise WireError(f"frame {frame.n} has a status code of {run.status}")
            numbers += (index - at, gap, run.count, run.quality << 1 | run.null, run.status)
            at = index
    return varint.encode(numbers)


def read_quality(data: bytes, frames: Sequence[Frame], tags: int) -> None:
    found: dict[int, list[QualityRun]] = {}
    for index, first, count, mark, status in _runs(data, 5, len(frames), tags):
        if mark >> 1 >= len(_QUALITIES) or status > MAX_STATUS:
            raise WireError(f"quality {mark >> 1} with status {status} is not known")
        run = QualityRun(first, count, _QUALITIES[mark >> 1], bool(mark & 1), status)
        found.setdefault(index, []).append(run)
    for index, runs in found.items():
        frames[index].quality = tuple(runs)


def pack_source(frames: Sequence[Frame], tags: int) -> bytes:
    numbers: list[int] = []
    at = 0
    for index, frame in enumerate(frames):
        for gap, run in _gaps(frame.n, frame.source, tags):
            if not MIN_SOURCE_MS <= run.time_ms <= MAX_WALL_MS:
                raise WireError(f"frame {frame.n} has a source time of {run.time_ms}")
            numbers += (index - at, gap, run.count, varint.zigzag(run.time_ms - frame.wall_ms))
            at = index
    return varint.encode(numbers)


def read_source(data: bytes, frames: Sequence[Frame], tags: int) -> None:
    found: dict[int, list[SourceRun]] = {}
    for index, first, count, delta in _runs(data, 4, len(frames), tags):
        time_ms = frames[index].wall_ms + varint.unzigzag(delta)
        if not MIN_SOURCE_MS <= time_ms <= MAX_WALL_MS:
            raise WireError("a source time is out of range")
        found.setdefault(index, []).append(SourceRun(first, count, time_ms))
    for index, runs in found.items():
        frames[index].source = tuple(runs)


def _gaps(n: int, runs: Sequence[_Run], tags: int) -> Iterator[tuple[int, _Run]]:
    """Each run with how many tags lie between it and the one before. Raises WireError out of order."""
    end = 0
    for run in runs:
        if run.first < end or run.count < 1 or run.first + run.count > tags:
            raise WireError(f"frame {n} has runs that overlap, are out of order or end behind tag {tags}")
        yield run.first - end, run
        end = run.first + run.count


def _runs(data: bytes, width: int, frames: int, tags: int) -> Iterator[list[int]]:
    """Records of `width` numbers: frame, first tag, count of tags, and what is said of them."""
    numbers = varint.decode(data)
    if len(numbers) % width or len(numbers) > MAX_RUNS * width:
        raise WireError(f"the runs are cut short, or more than {MAX_RUNS}")
    index = end = 0
    for at in range(0, len(numbers), width):
        step, gap, count, *rest = numbers[at : at + width]
        if step:
            index, end = index + step, 0
        first, end = end + gap, end + gap + count
        if index >= frames or count < 1 or end > tags:
            raise WireError("a run lies outside its frame")
        yield [index, first, count, *rest]


# --- texts ---------------------------------------------------------------------------------------------


def pack_texts(frames: Sequence[Frame], texts: int) -> bytes:
    """`texts`: how many tags of the schema travel as JSON."""
    if all(frame.text is None for frame in frames):
        return b""
    for frame in frames:
        if frame.text is not None and len(frame.text) != texts:
            raise WireError(f"frame {frame.n} has {len(frame.text)} texts, its schema {texts}")
        check_depth(frame.text)
    try:
        data = orjson.dumps([frame.text for frame in frames])
    except orjson.JSONEncodeError as error:
        raise WireError(f"a text cannot be written as JSON: {error}") from error
    if len(data) > MAX_TEXT_BYTES:
        raise TooLarge(f"the texts of a section are over {MAX_TEXT_BYTES} bytes")
    return data


def read_texts(data: bytes, frames: Sequence[Frame], texts: int) -> None:
    if not data:
        return
    rows = load_json(data)
    if not isinstance(rows, list) or len(rows) != len(frames):
        raise WireError("the texts are not as many as the frames")
    for frame, row in zip(frames, rows, strict=True):
        if row is None:
            continue
        if not isinstance(row, list) or len(row) != texts:
            raise WireError("a frame has not as many texts as its schema")
        frame.text = tuple(row)


def load_json(data: bytes) -> object:
    """JSON from a stranger, bounded in size and in depth."""
    if len(data) > MAX_TEXT_BYTES:
        raise TooLarge(f"the JSON of a section is over {MAX_TEXT_BYTES} bytes")
    try:
        value: object = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise WireError(f"not JSON: {error}") from error
    check_depth(value)
    return value
