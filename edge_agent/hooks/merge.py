"""From a frame and what a worker answered for it to the frame that goes on. Pure.

The worker is not believed: whatever it says is checked here, and it can say nothing of tags that are not
its outputs but that they are dropped. A frame of which everything is there is put together from a few
slices; bits and runs are looked at only where there are any.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from edge_agent.hooks.derive import Derived, Run
from edge_agent.hooks.errors import BadReply
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import Frame, JsonValue, check_json
from edge_agent.wire.quality import Quality, QualityRun, SourceRun, join_runs
from edge_agent.wire.schema import Order, ValueType
from edge_agent.wire.values import elements

_QUALITIES = tuple(Quality)
_Run = TypeVar("_Run", QualityRun, SourceRun)


@dataclass(frozen=True, slots=True)
class Merged:
    """computed: samples that the hook added; dropped: those that it took away."""

    frame: Frame
    computed: int
    dropped: int


def merge(derived: Derived, frame: Frame, result: dict[str, Any], values: bytes | memoryview) -> Merged:
    """The frame with what the hook made of it. values: its outputs' row, empty or whole. Raises BadReply."""
    if values and _is_plain(derived, frame, result):
        _check_values(derived, values)
        row, added = _row(derived, frame.row, values), derived.added
        made = Frame(frame.n, frame.mono_ns, frame.wall_ms, row, frame.read + added, frame.suppressed)
        return Merged(made, added, 0)
    quality = _quality(derived, result.get("q"))
    texts = _texts(derived, result.get("x"), quality)
    _check_values(derived, values)
    row = _row(derived, frame.row, values)
    text = _text(derived, frame.text, texts)
    marks = _placed(frame.quality, derived.passed) + _placed(quality, derived.placed)
    source = _placed(frame.source, derived.passed) + _placed(frame.source, derived.timed)
    whole = result.get("p") == derived.all_present and "d" not in result and frame.present is None
    if whole:
        _check_row(derived, (1 << derived.count) - 1, quality, values)
        computed, dropped, present = derived.added, 0, None
    else:
        bits = _bits(result.get("p"), derived.count)
        _check_row(derived, bits, quality, values)
        computed, dropped, present = _presence(derived, frame, bits, result.get("d"))
    made = Frame(
        frame.n, frame.mono_ns, frame.wall_ms, row, frame.read + computed, frame.suppressed + dropped,
        present, text, join_runs(marks), tuple(sorted(source)),
    )  # fmt: skip
    return Merged(made, computed, dropped)


def _is_plain(derived: Derived, frame: Frame, result: dict[str, Any]) -> bool:
    """Whether all is there, nothing is marked and nothing is a text, as in most frames."""
    return not (
        frame.quality
        or frame.source
        or frame.present is not None
        or frame.text is not None
        or derived.texts
        or "q" in result
        or "x" in result
        or "d" in result
        or result.get("p") != derived.all_present
    )


# --- which tags are there --------------------------------------------------------------------------------


def _bits(digits: object, tags: int) -> int:
    """A bitmap of the worker's as a number. Raises BadReply where it is not one of so many tags."""
    try:
        data = bytes.fromhex(digits) if isinstance(digits, str) else None
    except ValueError:
        data = None
    if data is None or len(data) != (tags + 7) // 8:
        raise BadReply("a bitmap is not one of its tags")
    number = int.from_bytes(data, "little")
    if number >> tags:
        raise BadReply("a bitmap names tags that there are not")
    return number


def _presence(derived: Derived, frame: Frame, made: int, drops: object) -> tuple[int, int, bytes | None]:
    """How many samples were computed and dropped, and the new bitmap."""
    before, after = derived.source.tag_count, derived.schema.tag_count
    had = (1 << before) - 1 if frame.present is None else int.from_bytes(frame.present, "little")
    left = had if drops is None else had & ~_bits(drops, before)
    present = _moved(left, derived.passed) | _moved(made, derived.placed)
    counted = _moved(had, derived.counted)
    computed, dropped = (present & ~counted).bit_count(), (counted & ~present).bit_count()
    whole = present == (1 << after) - 1
    return computed, dropped, None if whole else present.to_bytes((after + 7) // 8, "little")


def _moved(bits: int, runs: Sequence[Run]) -> int:
    moved = 0
    for run in runs:
        moved |= (bits >> run.first & (1 << run.count) - 1) << run.to
    return moved


# --- values ----------------------------------------------------------------------------------------------


def _check_values(derived: Derived, values: bytes | memoryview) -> None:
    """NaN, infinity and truth values that are neither have no place in a row: the worker makes them null."""
    if not values:
        return
    if len(values) != derived.out_bytes:
        raise BadReply(f"{len(values)} bytes for an outputs' row of {derived.out_bytes}")
    for type_, start, end in derived.floats:
        if not _all_finite(type_, bytes(values[start:end])):
            raise BadReply("a number is not finite")
    for start, end in derived.bools:
        if max(values[start:end]) > 1:
            raise BadReply("a truth value is neither 0 nor 1")


def _all_finite(type_: ValueType, data: bytes) -> bool:
    numbers = elements(type_, Order.DCBA, data)
    # One sum at C speed tells the usual case; it may overflow where every number is finite.
    return math.isfinite(sum(numbers)) or all(map(math.isfinite, numbers))


def _check_row(
    derived: Derived, present: int, quality: Sequence[QualityRun], values: bytes | memoryview
) -> None:
    """Without a row no output of it has a value."""
    if values or not derived.fixed:
        return
    valued = present & (1 << derived.fixed) - 1
    for run in quality:
        if run.null:
            valued &= ~((1 << run.count) - 1 << run.first)
    if valued:
        raise BadReply("outputs are there and have no value")


def _row(derived: Derived, row: bytes, values: bytes | memoryview) -> bytes:
    if not row and not values:
        return b""
    raw = row or bytes(derived.source.row_bytes)
    made = values or bytes(derived.out_bytes)
    return b"".join([(made if of else raw)[start:end] for of, start, end in derived.pieces])


def _texts(derived: Derived, texts: object, quality: Sequence[QualityRun]) -> Sequence[JsonValue]:
    types = derived.text_types
    if texts is None or not types:
        if texts:
            raise BadReply("texts for outputs that are none")
        return [None] * len(types)
    if not isinstance(texts, list) or len(texts) != len(types):
        raise BadReply(f"the texts of the answer are not {len(types)}")
    try:
        check_json(texts)
    except WireError as error:
        raise BadReply(f"a text of the answer cannot travel: {error}") from error
    nulls = {tag for run in quality if run.null for tag in range(run.first, run.first + run.count)}
    for at, ((type_, count), value) in enumerate(zip(types, texts, strict=True), derived.fixed):
        if value is None:
            continue
        if at in nulls:
            raise BadReply("an output is null and has a text")
        if type_ is ValueType.STRING and not _is_text(value, count):
            raise BadReply("a text of the answer is none")
    return texts


def _is_text(value: object, count: int) -> bool:
    if count == 1:
        return isinstance(value, str)
    return isinstance(value, list) and len(value) == count and all(isinstance(one, str) for one in value)


def _text(
    derived: Derived, raw: tuple[JsonValue, ...] | None, made: Sequence[JsonValue]
) -> tuple[JsonValue, ...] | None:
    if not derived.texts:
        return None
    return tuple(made[index] if of else (raw[index] if raw else None) for of, index in derived.texts)


# --- runs ------------------------------------------------------------------------------------------------


def _quality(derived: Derived, runs: object) -> list[QualityRun]:
    if runs is None:
        return []
    if not isinstance(runs, list):
        raise BadReply("the quality of the answer is no list")
    found: list[QualityRun] = []
    end = 0
    for run in runs:
        if not (isinstance(run, list) and len(run) == 4 and all(type(part) in (int, bool) for part in run)):
            raise BadReply("a run of quality is not four numbers")
        first, count, quality, null = map(int, run)
        fits = end <= first and count > 0 and first + count <= derived.count
        if not fits or not 0 <= quality < len(_QUALITIES) or null not in (0, 1):
            raise BadReply("a run of quality is out of place")
        end = first + count
        found.append(QualityRun(first, count, _QUALITIES[quality], bool(null)))
    return found


def _placed(runs: Sequence[_Run], moves: Sequence[Run]) -> list[_Run]:
    """What is left of runs, which ascend, where their tags went."""
    placed: list[_Run] = []
    at = 0
    for run in runs:
        end = run.first + run.count
        while at < len(moves) and moves[at].first + moves[at].count <= run.first:
            at += 1
        for index in range(at, len(moves)):
            move = moves[index]
            if move.first >= end:
                break
            first = max(move.first, run.first)
            last = min(move.first + move.count, end)
            placed.append(run._replace(first=first - move.first + move.to, count=last - first))
    return placed
