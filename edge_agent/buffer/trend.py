"""One tag's past, read from the batches that the buffer still has. Read-only, beside writer and uploader.

- Each call opens a connection of its own, in a thread that the caller gives it, and closes it: nothing
  stays behind of a page that nobody looks at.
- Newest first, and only so much at once: `Bounds` end a call, and `next` says where to go on. After each
  batch the thread rests for as long as it worked, so that the event loop gets the interpreter.
- Of a batch only the sections of the tag's group are decoded.
- Batches are taken in the order of their names, which is that of time unless a clock was set. The
  reading ends where `Bounds.strays` of them in a row lie before the span.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from edge_agent.contracts.inspection import NoTrend, TrendPiece, TrendPoint, TrendQuery
from edge_agent.wire.batch import RAW_LIMIT_BYTES, Batch
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import Frame
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.values import read_value

_ROWS_AT_ONCE: Final = 200
_LONGEST_REST: Final = 0.01
_USABLE: Final = (Quality.GOOD, Quality.UNCERTAIN)
_NEWEST_ID: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one call may cost: batches opened, bytes of their bodies, seconds; see above for `strays`."""

    batches: int = 600
    nbytes: int = 8 << 20
    seconds: float = 0.5
    strays: int = 1_000


BOUNDS: Final = Bounds()


class Sample(NamedTuple):
    """value: None where the sample is bad. follows: no frame is missing since the sample before."""

    time_ms: int
    value: float | None
    follows: bool


FrameName = tuple[str, int]


@dataclass(slots=True)
class Part:
    """The samples of some neighbouring frames, ascending, and the names of the first and last frame.

    closed: no frame is missing behind the last sample (without a sample: behind the head).
    """

    samples: list[Sample] = field(default_factory=list)
    head: FrameName | None = None
    tail: FrameName | None = None
    closed: bool = True

    @property
    def begins(self) -> bool | None:
        """Whether a line from before may go on into this part; None: through all of it."""
        if not self.samples:
            return None if self.closed else False
        return self.samples[0].follows and self.samples[0].value is not None

    @property
    def ends(self) -> bool | None:
        """Whether the line goes on behind this part."""
        if not self.samples:
            return None if self.closed else False
        return self.closed and self.samples[-1].value is not None


def read_trend(
    path: Path,
    query: TrendQuery,
    bounds: Bounds = BOUNDS,
    clock: Callable[[], float] = time.monotonic,
    rest: Callable[[float], None] = time.sleep,
) -> TrendPiece:
    """Blocking: call it in a thread. Raises NoTrend, sqlite3.Error."""
    with closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True, isolation_level=None)) as db:
        wanted = _Places(db, query)
        reader = _Reader(db, query, wanted, bounds, clock, rest)
        parts = list(reader.parts())
    parts.reverse()
    joined = join(parts)
    points = buckets(joined.samples, query)
    return TrendPiece(
        start=query.start,
        bucket_ms=query.bucket_ms,
        unit=wanted.unit,
        points=points,
        head=joined.head,
        tail=joined.tail,
        begins=joined.begins,
        ends=joined.ends,
        batches=reader.batches,
        next=reader.next,
    )


def _quoted(path: Path) -> str:
    """A path as SQLite's URIs take it."""
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


# --- which tag -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    schema: Schema
    index: int

    @property
    def tag(self) -> TagSchema:
        return self.schema.tags[self.index]


class _Places:
    """Where the tag stands in its group's schemas, by their names. Parsed are the newest that has the tag
    as a number, whose `unit` the trend shows, and those that batches of the span name.
    """

    def __init__(self, db: sqlite3.Connection, query: TrendQuery) -> None:
        """Raises NoTrend."""
        self._db = db
        self._query = query
        # The canonical bytes begin with the sorted keys connection and group: no other schema is looked at.
        start = orjson.dumps({"connection": query.connection, "group": query.group})[:-1]
        rows = db.execute(
            "SELECT hash FROM schema WHERE substr(body, 1, ?) = ? ORDER BY rowid DESC", (len(start), start)
        )
        self._names = dict.fromkeys(name for (name,) in rows)
        self._found: dict[str, _Place | None] = {}
        self.unit = self._newest().tag.unit

    def get(self, name: str) -> _Place | None:
        """None for a schema of another group, or in which the tag is not there or no number."""
        if name not in self._names:
            return None
        if name not in self._found:
            self._found[name] = self._parsed(name)
        place = self._found[name]
        return place if place is not None and _is_number(place.tag) else None

    def _parsed(self, name: str) -> _Place | None:
        row = self._db.execute("SELECT body FROM schema WHERE hash = ?", (name,)).fetchone()
        if row is None:  # pruned meanwhile
            return None
        schema = Schema.from_bytes(row[0])
        index = schema.index(self._query.tag)
        return None if index is None else _Place(schema, index)

    def _newest(self) -> _Place:
        for name in self._names:
            if (place := self.get(name)) is not None:
                return place
        called = f"{self._query.connection}.{self._query.tag}"
        if any(self._found.values()):
            raise NoTrend(f"{called} is no number")
        raise NoTrend(f"nothing is stored of {called}")


def _is_number(tag: TagSchema) -> bool:
    return tag.count == 1 and tag.type not in (ValueType.STRING, ValueType.JSON)


# --- which batches -------------------------------------------------------------------------------------


class _Reader:
    """Opens batches from the newest on, until the span or what one call may cost is used up."""

    def __init__(
        self,
        db: sqlite3.Connection,
        query: TrendQuery,
        wanted: _Places,
        bounds: Bounds,
        clock: Callable[[], float],
        rest: Callable[[float], None],
    ) -> None:
        self._db = db
        self._query = query
        self._wanted = wanted
        self._bounds = bounds
        self._clock = clock
        self._rest = rest
        self._until = clock() + bounds.seconds
        self._bytes = 0
        self.batches = 0
        self.next: int | None = None

    def parts(self) -> Iterator[Part]:
        """One part a batch, the newest first. Afterwards `next` says where to go on."""
        for key, codec, raw, nbytes in self._in_span():
            if self._is_spent(nbytes):
                self.next = key + 1
                return
            begun = self._clock()
            row = self._db.execute("SELECT body FROM batch WHERE id = ?", (key,)).fetchone()
            if row is not None:  # else it was pruned meanwhile
                self.batches += 1
                self._bytes += nbytes
                yield samples_of(row[0], codec, raw, self._wanted, self._query)
            self._rest(min(self._clock() - begun, _LONGEST_REST))

    def _is_spent(self, nbytes: int) -> bool:
        """One batch is always read: each call makes progress."""
        return self.batches > 0 and (
            self.batches >= self._bounds.batches
            or self._bytes + nbytes > self._bounds.nbytes
            or self._clock() >= self._until
        )

    def _in_span(self) -> Iterator[tuple[int, int, int, int]]:
        """(id, codec, raw bytes, body's bytes) of batches with frames that meet the span."""
        before = _NEWEST_ID if self._query.before is None else self._query.before
        strays = 0
        while True:
            rows = self._db.execute(
                "SELECT id, codec, raw, t0, t1, length(body) FROM batch WHERE id < ? AND kind & 1"
                " ORDER BY id DESC LIMIT ?",
                (before, _ROWS_AT_ONCE),
            ).fetchall()
            for key, codec, raw, t0, t1, nbytes in rows:
                strays = strays + 1 if t1 < self._query.start else 0
                if strays > self._bounds.strays:
                    return
                if t1 >= self._query.start and t0 < self._query.end and raw <= RAW_LIMIT_BYTES:
                    yield key, codec, raw, nbytes
            if len(rows) < _ROWS_AT_ONCE:
                return
            before = rows[-1][0]
            # Rows that are too new cost time as well; those that are too old are bounded by their number.
            if strays == 0 and self._clock() >= self._until:
                self.next = before
                return


# --- from bytes to samples -----------------------------------------------------------------------------


def samples_of(body: bytes, codec: int, raw: int, wanted: _Places, query: TrendQuery) -> Part:
    """The tag's samples in one batch. A batch that cannot be read has none."""
    part = Part()
    try:
        batch = Batch.open(body, codec, raw)
        frames = [
            (frame, place)
            for section, entry in enumerate(batch.sections)
            if (place := wanted.get(entry.get("s", ""))) is not None
            for frame in batch.frames(section, place.schema)
        ]
        frames.sort(key=lambda pair: pair[0].n)
        follows = True
        for frame, place in frames:
            name = batch.origin.run, frame.n
            follows = follows and (part.tail is None or part.tail == (name[0], frame.n - 1))
            part.head = part.head or name
            part.tail = name
            if _has(frame, place.index) and query.start <= frame.wall_ms < query.end:
                part.samples.append(Sample(frame.wall_ms, _value(frame, place), follows))
                follows = True
        part.closed = follows
    except (WireError, IndexError):
        return Part()
    return part


def _has(frame: Frame, index: int) -> bool:
    if frame.present is None:
        return True
    place = index >> 3
    return place < len(frame.present) and bool(frame.present[place] >> (index & 7) & 1)


def _value(frame: Frame, place: _Place) -> float | None:
    index = place.index
    for run in frame.quality:
        if run.first <= index < run.first + run.count and (run.null or run.quality not in _USABLE):
            return None
    edges = place.schema.edges
    data = frame.row[edges[index] : edges[index + 1]]
    value = read_value(place.tag, data) if data else None
    return float(value) if isinstance(value, int | float) else None


def join(parts: Iterable[Part]) -> Part:
    """Neighbouring parts, ascending, as one: each first sample learns whether it follows the one before."""
    result = Part()
    for part in parts:
        if part.head is None:
            continue
        follows = result.closed
        if result.tail is not None:
            follows = follows and part.head == (result.tail[0], result.tail[1] + 1)
        result.head = result.head or part.head
        result.tail = part.tail
        if part.samples:
            first = part.samples[0]
            result.samples.append(first._replace(follows=first.follows and follows))
            result.samples += part.samples[1:]
        result.closed = part.closed and (follows or bool(part.samples))
    return result


# --- from samples to points ----------------------------------------------------------------------------


def buckets(samples: Iterable[Sample], query: TrendQuery) -> list[TrendPoint]:
    """The samples' buckets, ascending, as `TrendPoint`s; empty buckets are left out."""
    drawn: dict[int, _Bucket] = {}
    usable = False
    for sample in samples:
        number = (sample.time_ms - query.start) // query.bucket_ms
        bucket = drawn.get(number)
        if bucket is None:
            bucket = drawn[number] = _Bucket()
        bucket.add(sample, joined=usable and sample.follows)
        usable = sample.value is not None
    return [drawn[number].point(number) for number in sorted(drawn)]


@dataclass(slots=True)
class _Bucket:
    first: float | None = None
    low: float | None = None
    high: float | None = None
    last: float | None = None
    good: int = 0
    bad: int = 0
    joined: bool = False

    def add(self, sample: Sample, *, joined: bool) -> None:
        value = sample.value
        if value is None:
            self.bad += 1
            return
        if self.first is None:
            self.first, self.joined = value, joined
        self.low = value if self.low is None else min(self.low, value)
        self.high = value if self.high is None else max(self.high, value)
        self.last = value
        self.good += 1

    def point(self, number: int) -> TrendPoint:
        return (number, self.first, self.low, self.high, self.last, self.good, self.bad, self.joined)
