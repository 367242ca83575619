"""NaN and infinity become a quality: JSON cannot carry them and nobody could compute with them. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_agent.wire import values
from edge_agent.wire.quality import Quality, QualityRun
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
            runs[-1] = FloatRun(
                last.first, last.tags + 1, last.offset, last.nbytes + tag.row_bytes,
                last.type, last.order, last.count,
            )  # fmt: skip
        else:
            runs.append(
                FloatRun(index, 1, schema.offsets[index], tag.row_bytes, tag.type, tag.order, tag.count)
            )
    return tuple(runs)


def not_finite(runs: Sequence[FloatRun], row: bytes) -> list[int]:
    """Indices of the tags whose value, or one of whose elements, is NaN or infinite."""
    found: list[int] = []
    for run in runs:
        numbers = values.elements(run.type, run.order, row[run.offset : run.offset + run.nbytes])
        # One sum at C speed tells the usual case: any NaN or infinity makes it not finite.
        if math.isfinite(sum(numbers)):
            continue
        bad = {at // run.count for at, number in enumerate(numbers) if not math.isfinite(number)}
        found += sorted(run.first + tag for tag in bad)
    return found


def mark_bad(
    schema: Schema, row: bytes, quality: tuple[QualityRun, ...], bad: Sequence[int]
) -> tuple[bytes, tuple[QualityRun, ...]]:
    """The row with zeros where a value is not finite, and the quality that says so."""
    cleaned = bytearray(row)
    marks: dict[int, QualityRun] = {}
    for run in quality:
        for tag in range(run.first, run.first + run.count):
            marks[tag] = QualityRun(tag, 1, run.quality, run.null, run.status)
    for tag in bad:
        offset, nbytes = schema.offsets[tag], schema.tags[tag].row_bytes
        cleaned[offset : offset + nbytes] = bytes(nbytes)
        marks.setdefault(tag, QualityRun(tag, 1, Quality.BAD_VALUE))
    return bytes(cleaned), join_runs(marks.values())


def join_runs(marks: Iterable[QualityRun]) -> tuple[QualityRun, ...]:
    """Single-tag runs, joined where neighbours say the same."""
    joined: list[QualityRun] = []
    for mark in sorted(marks):
        last = joined[-1] if joined else None
        if last is not None and last.first + last[1] == mark.first and last[2:] == mark[2:]:
            joined[-1] = QualityRun(last.first, last[1] + mark[1], *mark[2:])
        else:
            joined.append(mark)
    return tuple(joined)
