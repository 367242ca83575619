"""The judge of what hooks made: decodes every batch in an agent's database, and believes no counter.

The simulator's registers and the scripts here are both formulas, so that a stored frame says by itself
whether it is right: as it was polled and marked `bad_hook`, or as the hook made it, with the raw values
beside. `COUNTED` counts in its state what went through it: the counts that are stored have no hole and no
repeat where a state is committed with its batch, and only there.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from struct import unpack_from
from typing import Any, Final

from edge_agent.wire.frame import Frame, selection
from edge_agent.wire.messages import Loss
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import Order, Schema, TagSchema
from tests.crash.judge import TICK_MS, TOLERANCE_TICKS, expected_block
from tests.unit.buffer.life import Contents

# Run with keep_raw on groups whose tags are t0 to t9.
COUNTED: Final = """
OUTPUTS = {"t[0..9]": "uint32", "count": "uint64"}

def transform(frame, state):
    state["count"] = state.get("count", 0) + 1
    frame["count"] = state["count"]
    frame.set_columns("t[0..9]", frame.columns("t[0..9]") * 2 + 1)
"""
TAGS: Final = 10

Run = tuple[str, str, str]  # (run of the agent, connection, group)
Sample = tuple[Any, Quality]  # None: without a value


@dataclass(frozen=True)
class Stored:
    """A frame as a batch has it."""

    run: str
    schema: Schema
    frame: Frame

    @property
    def group(self) -> Run:
        return self.run, self.schema.connection, self.schema.group

    @property
    def is_hooked(self) -> bool:
        return bool(self.schema.hooks)

    def samples(self) -> dict[str, Sample]:
        """Values (no tag here is scaled) and qualities of the tags that are present."""
        schema, frame = self.schema, self.frame
        found: dict[str, Sample] = {}
        qualities = {place: run for run in frame.quality for place in range(run.first, run.first + run.count)}
        for place, there in enumerate(selection(frame.present, schema.tag_count)):
            if there:
                run = qualities.get(place)
                value = None if run is not None and run.null else _value(schema, frame, place)
                found[schema.tags[place].name] = value, run.quality if run is not None else Quality.GOOD
        return found


def _value(schema: Schema, frame: Frame, place: int) -> Any:
    tag: TagSchema = schema.tags[place]
    if not tag.row_bytes:
        assert frame.text is not None
        return frame.text[place - schema.fixed_tags]
    assert tag.order in (Order.ABCD, Order.DCBA)
    code = f"{'>' if tag.order is Order.ABCD else '<'}{tag.type.typecode}"
    return unpack_from(code, frame.row, schema.edges[place])[0]


@dataclass
class Verdict:
    """What is wrong, in words; what was met, in figures."""

    wrong: list[str] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    last: dict[Run, int] = field(default_factory=dict)

    def short(self, promised: dict[Run, int]) -> list[str]:
        """Groups of which fewer frames are there than the agent had said it had."""
        there = {run: self.last.get(run, 0) for run in promised}
        return [f"{run}: {there[run]} of {n}" for run, n in promised.items() if there[run] < n]


def judge(database: Path) -> Verdict:
    contents = Contents(database)
    frames: list[Stored] = []
    verdict = Verdict()
    for batch in contents.batches:
        of_batch = [
            Stored(batch.batch.origin.run, contents.schemas[entry["s"]], frame)
            for index, entry in enumerate(batch.batch.sections)
            if entry["k"] == "frames"
            for frame in batch.batch.frames(index, contents.schemas[entry["s"]])
        ]
        # A group whose hook failed in between has two schemas, and so two sections.
        of_batch.sort(key=lambda each: (each.group, each.frame.n))
        counted = sum(each.frame.samples for each in of_batch)
        if counted != batch.samples:
            verdict.wrong.append(f"batch {batch.seq}: {counted} samples, and it says {batch.samples}")
        frames += of_batch
    verdict.wrong += complaints(frames, contents.losses)
    verdict.met.update(_met(frames))
    for each in frames:
        verdict.last[each.group] = max(verdict.last.get(each.group, 0), each.frame.n)
    return verdict


def complaints(frames: Sequence[Stored], losses: Sequence[Loss] = ()) -> list[str]:
    """What is wrong with frames in the order in which they were committed."""
    found = [f"lost: {loss.model_dump(exclude_defaults=True)}" for loss in losses]
    by_group: dict[Run, list[Stored]] = {}
    for each in frames:
        by_group.setdefault(each.group, []).append(each)
    for group, own in by_group.items():
        numbers = [each.frame.n for each in own]
        found += [f"{group}: {later} follows {n}" for n, later in pairwise([0, *numbers]) if later != n + 1]
    for each in frames:
        found += _sums(each)
        found += _hooked(each) if each.is_hooked else _raw(each)
    for name in {(each.schema.connection, each.schema.group) for each in frames}:
        of_group = (each for each in frames if (each.schema.connection, each.schema.group) == name)
        found += _counts(name, of_group)
    return found


def _sums(stored: Stored) -> list[str]:
    there, told = len(stored.samples()), stored.frame.samples
    return [] if there == told else [f"{_name(stored)}: {there} samples, and it says {told}"]


def _hooked(stored: Stored) -> Iterator[str]:
    """All of it as `COUNTED` makes it."""
    samples = stored.samples()
    raw: list[Any] = [samples.get(f"t{index}.raw", (None, None))[0] for index in range(TAGS)]
    if not _is_polled(raw, stored.frame.wall_ms):
        yield f"{_name(stored)}: raw values {raw} were never polled"
        return
    for index, value in enumerate(raw):
        if samples.get(f"t{index}") != (2 * value + 1, Quality.GOOD):
            yield f"{_name(stored)}: t{index} is {samples.get(f't{index}')} of {value}"


def _raw(stored: Stored) -> Iterator[str]:
    """As it was polled, and marked."""
    samples = stored.samples()
    values = [samples.get(f"t{index}", (None, None))[0] for index in range(TAGS)]
    if len(samples) != TAGS or not _is_polled(values, stored.frame.wall_ms):
        yield f"{_name(stored)}: {samples} were never polled"
    if good := [name for name, (_, quality) in samples.items() if quality is not Quality.BAD_HOOK]:
        yield f"{_name(stored)}: no hook made {good}, and they are not marked"


def _is_polled(values: Sequence[int | None], wall_ms: int) -> bool:
    newest = wall_ms // TICK_MS
    return any(
        array("H", [value or 0 for value in values]) == expected_block(0, TAGS, tick)
        for tick in range(newest - TOLERANCE_TICKS, newest + 1)
    )


def _counts(group: tuple[str, str], frames: Iterable[Stored]) -> Iterator[str]:
    """The counts go up by one from frame to frame, over all lives of the agent and its workers."""
    last = 0
    for each in frames:
        if each.is_hooked:
            count, _ = each.samples().get("count", (None, None))
            if count != last + 1:
                yield f"{_name(each)}: of {group} the count is {count} after {last}"
            last = count if isinstance(count, int) else last + 1


def _met(frames: Iterable[Stored]) -> Iterator[str]:
    for each in frames:
        yield f"{each.schema.connection} {'hooked' if each.is_hooked else 'marked'}"


def _name(stored: Stored) -> str:
    run, connection, group = stored.group
    return f"{run[:4]}/{connection}.{group}/{stored.frame.n}"
