"""One group's way from a reading to a frame, and its newest values for whoever looks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from edge_agent.config.models import Deadband
from edge_agent.contracts.driver import Part, Plan, Reading
from edge_agent.contracts.frames import FrameSink
from edge_agent.contracts.status import LatestValue
from edge_agent.pipeline import finite
from edge_agent.pipeline.deadband import DeadbandFilter
from edge_agent.pipeline.errors import BadReading
from edge_agent.pipeline.merged import Merged
from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame, JsonValue, bitmap
from edge_agent.wire.messages import Event
from edge_agent.wire.quality import Quality, QualityRun, whole
from edge_agent.wire.schema import Schema, TagSchema
from edge_agent.wire.values import read_value

# While a unit is away its groups say so again this often: the first frame alone could be overlooked.
REPEAT_BAD_NS: Final = 60_000_000_000


@dataclass(slots=True)
class GroupCount:
    """A group's account in this run: frames numbered, and samples that no frame has reported yet."""

    frames: int = 0
    read: int = 0
    suppressed: int = 0


class FrameCounters:
    """The groups' accounts by (connection, group) in this run of the agent; they outlive a reload.

    So numbers go on without a hole, and what was suppressed before a reload is reported after it.
    """

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], GroupCount] = {}

    def of(self, connection: str, group: str) -> GroupCount:
        return self._groups.setdefault((connection, group), GroupCount())


@dataclass(slots=True)
class Counts:
    """Samples of one connection in this run; read = suppressed + framed at any moment, exactly.

    Frames report what was suppressed before them, so the sums over frames lag by what `GroupCount` holds.
    """

    read: int = 0
    suppressed: int = 0
    framed: int = 0


@dataclass(frozen=True, slots=True)
class _Newest:
    reading: Reading
    mono_ns: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class GroupRules:
    """What a group does with each reading, as far as settings tell. Picklable.

    deadband: None where every value is kept. floats, structures: where NaN may stand, see `finite`.
    """

    plan: Plan
    deadband: DeadbandFilter | None
    floats: tuple[finite.FloatRun, ...]
    structures: tuple[int, ...]

    @classmethod
    def of(cls, plan: Plan, deadbands: Mapping[str, Deadband]) -> "GroupRules":
        schema = plan.schema
        return cls(
            plan,
            DeadbandFilter(schema, deadbands) if deadbands else None,
            finite.float_runs(schema),
            finite.structures(schema),
        )


class Group:
    """Reads become frames here, one at a time and in order."""

    def __init__(self, rules: GroupRules, counters: FrameCounters, counts: Counts, sink: FrameSink) -> None:
        self.plan = rules.plan
        self.schema: Schema = rules.plan.schema
        self._tags = self.schema.tag_count
        self._texts = self._tags - self.schema.fixed_tags
        self._row_bytes = self.schema.row_bytes
        self._floats = rules.floats
        self._structures = rules.structures
        self._filter = rules.deadband
        self._account = counters.of(self.schema.connection, self.schema.group)
        self._counts = counts
        self._sink = sink
        self._newest: _Newest | None = None
        self._merged: Merged | None = None  # of a subscription: what each tag has now, and since when
        self._silence: tuple[QualityRun, ...] = ()
        self._silent_since = 0
        # When the device told something of a tag last, and when a cycle ended last, whatever it brought.
        self.heard_ns = 0
        self.heard_ms: int | None = None
        self.cycled_ns = 0

    @property
    def silent(self) -> bool:
        """Whether the newest cycle brought nothing at all."""
        return bool(self._silence)

    def take(self, reading: Reading, mono_ns: int, wall_ms: int, planned_ns: int | None = None) -> None:
        """A finished read: at most one frame follows. Raises BadReading.

        planned_ns: when the read was due. The deadband's intervals are measured between these, because
        a `min_interval` of five cycles would otherwise be six whenever the sixth came a little early.
        """
        if reading.news is not None:
            self._take_news(reading, reading.news, mono_ns, wall_ms)
            return
        if len(reading.row) != self._row_bytes or self._texts or reading.quality:
            self._check(reading)
        reading = self._finite(reading)
        self.cycled_ns = mono_ns
        if not reading.quality or _tells(reading.quality, self._tags):
            self.heard_ns, self.heard_ms = mono_ns, wall_ms
        self._take(reading, mono_ns, wall_ms, mono_ns if planned_ns is None else planned_ns)

    def _take_news(self, reading: Reading, news: tuple[Part, ...], mono_ns: int, wall_ms: int) -> None:
        """What a subscription brought: a frame for each part."""
        if news or reading.alive:
            self.cycled_ns = mono_ns
            self.heard_ns, self.heard_ms = mono_ns, wall_ms
        for text in reading.lost:
            self._tell_lost(text, wall_ms)
        for part in news:
            piece = Reading(part.row, part.text, part.quality, part.source)
            self._check(piece, part.tags)
            piece = self._finite(piece)
            if self._merged is None:
                self._merged = Merged(self.schema)
            whole_ = self._merged.add(piece, part.tags, wall_ms)
            self._newest, self._silence = _Newest(whole_, mono_ns, wall_ms), ()
            self._emit(whole_, mono_ns, wall_ms, mono_ns, piece, part.tags)
        if self._newest is not None and reading.alive and self._merged is not None:
            # The server stands by what it sent: nothing has changed since.
            self._newest = replace(self._newest, mono_ns=mono_ns)
            if self._filter is not None and not news:
                nothing = Reading(b"", source=())
                self._emit(self._newest.reading, mono_ns, wall_ms, mono_ns, nothing, bytes(self._tags))

    def _tell_lost(self, text: str, wall_ms: int) -> None:
        event = Event(
            time=wall_ms,
            code="changes_lost",
            message=f"{self.schema.connection}.{self.schema.group}: {text}"[:1000],
            connection=self.schema.connection,
            data={"group": self.schema.group},
        )
        self._sink.record(Kind.EVENT, event.model_dump(mode="json"))

    def _take(self, reading: Reading, mono_ns: int, wall_ms: int, planned_ns: int) -> None:
        self._merged = None
        self._newest = _Newest(reading, mono_ns, wall_ms)
        if not reading.row and _is_whole(reading.quality, self._tags):
            if self._silence == reading.quality and mono_ns - self._silent_since < REPEAT_BAD_NS:
                return
            self._silence, self._silent_since = reading.quality, mono_ns
        else:
            self._silence = ()
        self._emit(reading, mono_ns, wall_ms, planned_ns)

    def take_nothing(self, quality: Quality, mono_ns: int, wall_ms: int) -> None:
        """The group could not be read: every tag is bad, said at once and then once a minute."""
        self.cycled_ns = mono_ns
        self._nothing(quality, mono_ns, wall_ms)

    def grow_stale(self, mono_ns: int, wall_ms: int) -> None:
        """No cycle speaks for the group any more, and its last values count no more. As `take_nothing`."""
        self._nothing(Quality.STALE, mono_ns, wall_ms)

    def _nothing(self, quality: Quality, mono_ns: int, wall_ms: int) -> None:
        text = (None,) * self._texts if self._texts else None
        self._take(Reading(b"", text, whole(self._tags, quality)), mono_ns, wall_ms, mono_ns)

    def _check(self, reading: Reading, tags: bytes | None = None) -> None:
        """A reading that contradicts its schema would make the batch that holds it unreadable.

        tags: those of a part, a byte each.
        """
        name = f"{self.schema.connection}.{self.schema.group}"
        if tags is not None and (len(tags) != self._tags or not any(tags)):
            raise BadReading(f"{name}: a part of {len(tags)} tags for {self._tags}, or of none")
        end = nulls = 0
        for run in reading.quality:
            if run.first < end or run.count < 1 or run.first + run.count > self._tags:
                raise BadReading(f"{name}: the quality of tags {run.first} + {run.count} is out of place")
            end = run.first + run.count
            if run.null:
                nulls += max(0, min(end, self.schema.fixed_tags) - run.first)
        fixed = self.schema.fixed_tags if tags is None else sum(tags[: self.schema.fixed_tags])
        if len(reading.row) != self._row_bytes and (reading.row or nulls < fixed):
            raise BadReading(f"{name}: {len(reading.row)} bytes for a row of {self._row_bytes}")
        if len(reading.text or ()) != self._texts:
            raise BadReading(f"{name}: {len(reading.text or ())} texts for {self._texts} tags")

    def _finite(self, reading: Reading) -> Reading:
        bad: list[int] = []
        if self._floats and reading.row:
            bad = finite.not_finite(self._floats, reading.row)
        if self._structures and reading.text:
            bad += finite.not_finite_texts(self._structures, self.schema.fixed_tags, reading.text)
        if not bad:
            return reading
        row, text, quality = finite.mark_bad(self.schema, reading.row, reading.text, reading.quality, bad)
        return replace(reading, row=row, text=text, quality=quality)

    def _emit(
        self, reading: Reading, mono_ns: int, wall_ms: int, planned_ns: int,
        piece: Reading | None = None, came: bytes = b"",
    ) -> None:  # fmt: skip
        """reading: of the whole group, by which the deadband judges. piece: of a subscription, what came of
        it, for the tags `came`."""
        account = self._account
        read = tags = self._tags
        present: bytes | None = None
        chosen: bytes | bytearray = came
        if piece is not None:
            read = came.count(1)
        if self._filter is not None:
            chosen = self._filter.select(reading.row, reading.text, reading.quality, planned_ns)
            if piece is not None:
                chosen = self._due(chosen, came)
                late = sum(a > b for a, b in zip(chosen, came, strict=True))
                if late:
                    read += late
                    piece = replace(reading, source=piece.source)
        held = read - chosen.count(1) if chosen else 0
        account.read += read
        self._counts.read += read
        account.suppressed += held
        self._counts.suppressed += held
        if held == read:
            return
        if chosen and chosen.count(1) < tags:
            present = bitmap(list(chosen))
        shown = reading if piece is None else piece
        account.frames += 1
        frame = Frame(
            account.frames, mono_ns, wall_ms, shown.row or reading.row, account.read, account.suppressed,
            present, shown.text, shown.quality, shown.source,
        )  # fmt: skip
        self._counts.framed += account.read - account.suppressed
        account.read = account.suppressed = 0
        self._sink.append(self.schema, frame)

    def _due(self, chosen: bytes | bytearray, came: bytes) -> bytes:
        """Of what the deadband keeps now: what came, and what came before and is to be kept only now, since
        its least interval has passed, or its longest."""
        if self._filter is None or self._merged is None:
            return bytes(came)
        before = zip(chosen, came, self._filter.ruled, self._merged.came_ms, strict=True)
        return bytes(keep and (new or (ruled and at > 0)) for keep, new, ruled, at in before)

    def latest(
        self, fresh_since_ns: int = 0, wanted: Mapping[int, TagSchema] | None = None
    ) -> list[LatestValue]:
        """The newest reading in engineering units, suppressed values included; empty before the first.

        What was read before `fresh_since_ns` (monotonic) is shown as stale instead of good. wanted: the
        tags to tell of, by their place in the schema; None: all.
        """
        if self._newest is None:
            return []
        newest = self._newest
        tags = dict(enumerate(self.schema.tags)) if wanted is None else wanted
        marks = {tag: run for run in newest.reading.quality for tag in _covered(run, wanted)}
        is_fresh = newest.mono_ns >= fresh_since_ns
        return [
            LatestValue(
                connection=self.schema.connection,
                group=self.schema.group,
                tag=tag.name,
                value=self._value(newest.reading, index, tag, marks.get(index)),
                quality=_shown(marks.get(index), is_fresh=is_fresh).label,
                time=newest.wall_ms if self._merged is None else self._merged.came_ms[index],
                unit=tag.unit,
            )
            for index, tag in tags.items()
        ]

    def _value(self, reading: Reading, index: int, tag: TagSchema, mark: QualityRun | None) -> JsonValue:
        if mark is not None and mark.null:
            return None
        if index >= self.schema.fixed_tags:
            return (reading.text or ())[index - self.schema.fixed_tags]
        offset = self.schema.edges[index]
        return read_value(tag, reading.row[offset : offset + tag.row_bytes])


def _shown(mark: QualityRun | None, *, is_fresh: bool) -> Quality:
    """What was bad stays what it was; a value that is not fresh is stale, an uncertain one too."""
    if not is_fresh and (mark is None or not mark.null):
        return Quality.STALE
    return Quality.GOOD if mark is None else mark.quality


def _tells(quality: tuple[QualityRun, ...], tags: int) -> bool:
    """Whether the device said something of at least one tag, be it that it has no value for it."""
    mute = (Quality.BAD_COMM, Quality.STALE)
    return sum(run.count for run in quality if run.quality in mute) < tags


def _covered(run: QualityRun, wanted: Mapping[int, TagSchema] | None) -> Iterable[int]:
    """The tags of a run; those that are wanted."""
    if wanted is None:
        return range(run.first, run.first + run.count)
    return [tag for tag in wanted if run.first <= tag < run.first + run.count]


def _is_whole(quality: tuple[QualityRun, ...], tags: int) -> bool:
    """Whether one run says of every tag that it has no value."""
    return bool(quality) and quality[0].count == tags and quality[0].null
