"""One group's way from a reading to a frame, and its newest values for whoever looks."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.config.models import Deadband
from edge_agent.contracts.driver import Plan, Reading
from edge_agent.contracts.frames import FrameSink
from edge_agent.contracts.status import LatestValue
from edge_agent.pipeline import finite
from edge_agent.pipeline.deadband import DeadbandFilter
from edge_agent.wire.frame import Frame, JsonValue, bitmap
from edge_agent.wire.quality import Quality, QualityRun, whole
from edge_agent.wire.schema import Schema
from edge_agent.wire.values import read_value

# While a unit is away, its groups say so again this often: one frame at the beginning is not a heartbeat.
_REPEAT_BAD_SECONDS = 60.0


class FrameCounters:
    """Numbers of frames by (connection, group) in this run of the agent; they outlive a reload."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}

    def next(self, connection: str, group: str) -> int:
        number = self._numbers.get((connection, group), 0) + 1
        self._numbers[connection, group] = number
        return number


@dataclass(slots=True)
class Counts:
    """Samples of one connection in this run; read = suppressed + framed + `waiting`, exactly.

    `waiting` are suppressed samples that no frame has reported yet.
    """

    read: int = 0
    suppressed: int = 0
    framed: int = 0


@dataclass(frozen=True, slots=True)
class _Newest:
    reading: Reading
    wall_ms: int


class Group:
    """Reads become frames here, one at a time and in order."""

    def __init__(
        self,
        plan: Plan,
        deadbands: Mapping[str, Deadband],
        counters: FrameCounters,
        counts: Counts,
        sink: FrameSink,
    ) -> None:
        self.plan = plan
        self.schema: Schema = plan.schema
        self._tags = len(self.schema.tags)
        self._floats = finite.float_runs(self.schema)
        self._filter = DeadbandFilter(self.schema, deadbands) if deadbands else None
        self._counters = counters
        self._counts = counts
        self._sink = sink
        self._read = 0
        self._suppressed = 0
        self._newest: _Newest | None = None
        self._bad_since: float | None = None

    def take(self, reading: Reading, mono_ns: int, wall_ms: int) -> None:
        """A finished read: at most one frame follows."""
        if self._floats and reading.row:
            bad = finite.not_finite(self._floats, reading.row)
            if bad:
                row, quality = finite.mark_bad(self.schema, reading.row, reading.quality, bad)
                reading = Reading(row, reading.text, quality, reading.source, reading.unanswered)
        self._bad_since = None
        self._newest = _Newest(reading, wall_ms)
        self._emit(reading, mono_ns, wall_ms)

    def take_nothing(self, quality: Quality, mono_ns: int, wall_ms: int) -> None:
        """The group could not be read: every tag is bad, said at the beginning and then once a minute."""
        now = mono_ns / 1e9
        if self._bad_since is not None and now - self._bad_since < _REPEAT_BAD_SECONDS:
            return
        self._bad_since = now
        texts = self._tags - self.schema.fixed_tags
        reading = Reading(b"", (None,) * texts if texts else None, whole(self._tags, quality))
        self._newest = _Newest(reading, wall_ms)
        self._emit(reading, mono_ns, wall_ms)

    def _emit(self, reading: Reading, mono_ns: int, wall_ms: int) -> None:
        self._read += self._tags
        self._counts.read += self._tags
        present: bytes | None = None
        if self._filter is not None:
            chosen = self._filter.select(reading.row, reading.text, reading.quality, mono_ns / 1e9)
            held = chosen.count(0)
            self._suppressed += held
            self._counts.suppressed += held
            if held == self._tags:
                return
            present = bitmap(chosen) if held else None
        frame = Frame(
            self._counters.next(self.schema.connection, self.schema.group),
            mono_ns, wall_ms, reading.row, self._read, self._suppressed,
            present, reading.text, reading.quality, reading.source,
        )  # fmt: skip
        self._counts.framed += frame.samples
        self._read = self._suppressed = 0
        self._sink.append(self.schema, frame)

    def latest(self) -> list[LatestValue]:
        """The newest reading in engineering units, suppressed values included; empty before the first."""
        if self._newest is None:
            return []
        reading, wall_ms = self._newest.reading, self._newest.wall_ms
        marks = {tag: run for run in reading.quality for tag in range(run.first, run.first + run[1])}
        return [
            LatestValue(
                connection=self.schema.connection,
                group=self.schema.group,
                tag=tag.name,
                value=self._value(reading, index, marks.get(index)),
                quality=marks[index].quality.label if index in marks else Quality.GOOD.label,
                time=wall_ms,
                unit=tag.unit,
            )
            for index, tag in enumerate(self.schema.tags)
        ]

    def _value(self, reading: Reading, index: int, mark: QualityRun | None) -> JsonValue:
        if mark is not None and mark.null:
            return None
        tag = self.schema.tags[index]
        if index >= self.schema.fixed_tags:
            return (reading.text or ())[index - self.schema.fixed_tags]
        offset = self.schema.offsets[index]
        return read_value(tag, reading.row[offset : offset + tag.row_bytes])
