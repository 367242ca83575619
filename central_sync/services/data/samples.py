"""From a frame's bytes to the samples that people read. Nothing here is kept: callers ask when needed."""

from collections.abc import Iterator
from typing import NamedTuple

from edge_agent.wire.frame import Frame, JsonValue, selection
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import Schema
from edge_agent.wire.values import read_value


class Sample(NamedTuple):
    """One tag's sample, its value still as it travelled: bytes of the row, or JSON; None is null."""

    wall_ms: int
    data: bytes | None
    text: JsonValue
    quality: Quality
    status: int


def present_tags(frame: Frame, tags: int) -> list[int]:
    return [index for index, bit in enumerate(selection(frame.present, tags)) if bit]


def is_present(frame: Frame, index: int) -> bool:
    if frame.present is None:
        return True
    place = index >> 3
    return place < len(frame.present) and bool(frame.present[place] >> (index & 7) & 1)


def sample(schema: Schema, frame: Frame, index: int) -> Sample:
    """The sample of a tag that is present in the frame."""
    quality, null, status = Quality.GOOD, False, 0
    for run in frame.quality:
        if run.first <= index < run.first + run.count:
            quality, null, status = run.quality, run.null, run.status
            break
    if null:
        return Sample(frame.wall_ms, None, None, quality, status)
    if index >= schema.fixed_tags:
        texts = frame.text
        place = index - schema.fixed_tags
        return Sample(frame.wall_ms, None, texts[place] if texts else None, quality, status)
    start, end = schema.edges[index : index + 2]
    data = frame.row[start:end]
    return Sample(frame.wall_ms, data or None, None, quality, status)


def value(schema: Schema, index: int, found: Sample) -> JsonValue:
    """The engineering value of a sample."""
    return read_value(schema.tags[index], found.data) if found.data else found.text


def tag_samples(schema: Schema, frames: list[Frame], index: int) -> Iterator[tuple[Frame, Sample]]:
    """One tag's samples in the frames that hold it, in the frames' order."""
    for frame in frames:
        if is_present(frame, index):
            yield frame, sample(schema, frame, index)
