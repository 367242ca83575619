"""NaN and infinity become a quality: JSON cannot carry them and nobody could compute with them. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_agent.wire import values
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.quality import Quality, QualityRun, join_runs
from edge_agent.wire.schema import Order, Schema, ValueType


@dataclass(frozen=True, slots=True)
class FloatRun:
    """Neighbouring float tags of one type and order: read with one call."""

    first: int
    tags: int
    offset: int
    nbytes: int
    type: ValueType
    order: Order
    count: int  # elements of one tag


def float_runs(schema: Schema) -> tuple[FloatRun, ...]:
    runs: list[FloatRun] = []
    for index, tag in enumerate(schema.tags[: schema.fixed_tags]):
        if not tag.type.is_float:
            continue
        last = runs[-1] if runs else None
        if (
            last is not None
            and last.first + last.tags == index
            and (last.type, last.order, last.count) == (tag.type, tag.order, tag.count)
        ):
            runs[-1] = replace(last, tags=last.tags + 1, nbytes=last.nbytes + tag.row_bytes)
        else:
            runs.append(
                FloatRun(index, 1, schema.edges[index], tag.row_bytes, tag.type, tag.order, tag.count)
            )
    return tuple(runs)


def structures(schema: Schema) -> tuple[int, ...]:
    """Indices of the tags that travel as JSON and may hold numbers."""
    return tuple(index for index, tag in enumerate(schema.tags) if tag.type is ValueType.JSON)


def not_finite(runs: Sequence[FloatRun], row: bytes) -> list[int]:
    """Indices of the tags whose value, or one of whose elements, is NaN or infinite."""
    found: list[int] = []
    for run in runs:
        numbers = values.elements(run.type, run.order, row[run.offset : run.offset + run.nbytes])
        # One sum at C speed tells the usual case. It may overflow where every number is finite: so what
        # it makes suspicious is looked at one by one.
        if math.isfinite(sum(numbers)):
            continue
        bad = {at // run.count for at, number in enumerate(numbers) if not math.isfinite(number)}
        found += sorted(run.first + tag for tag in bad)
    return found


def not_finite_texts(indices: Sequence[int], fixed_tags: int, text: Sequence[JsonValue]) -> list[int]:
    """Of the tags that travel as JSON, those that hold NaN or infinity anywhere."""
    return [index for index in indices if not _is_finite(text[index - fixed_tags])]


def _is_finite(value: JsonValue) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(_is_finite, value))
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return True


def mark_bad(
    schema: Schema,
    row: bytes,
    text: tuple[JsonValue, ...] | None,
    quality: tuple[QualityRun, ...],
    bad: Sequence[int],
) -> tuple[bytes, tuple[JsonValue, ...] | None, tuple[QualityRun, ...]]:
    """Row and texts without the values of the tags `bad`, and the quality that says so."""
    cleaned, texts = bytearray(row), list(text or ())
    marks: dict[int, QualityRun] = {}
    for run in quality:
        for tag in range(run.first, run.first + run.count):
            marks[tag] = QualityRun(tag, 1, run.quality, run.null, run.status)
    for tag in bad:
        if tag < schema.fixed_tags:
            start, end = schema.edges[tag : tag + 2]
            cleaned[start:end] = bytes(end - start)
        else:
            texts[tag - schema.fixed_tags] = None
        # A tag that is null already keeps its reason; an uncertain value that is no number is a bad one.
        if tag not in marks or not marks[tag].null:
            marks[tag] = QualityRun(tag, 1, Quality.BAD_VALUE)
    return bytes(cleaned), tuple(texts) if text is not None else None, join_runs(marks.values())
