"""A tag's trend against a brute-force reading of everything that the database holds."""

import asyncio
import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.buffer.trend import Bounds, Part, Sample, join, read_trend
from edge_agent.contracts.inspection import NoTrend, TrendPiece, TrendPoint, TrendQuery
from edge_agent.wire.batch import FramesPart, Origin, encode
from edge_agent.wire.frame import Frame, bitmap, selection
from edge_agent.wire.quality import Quality, QualityRun
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.values import pack, read_value

NOW = 1_767_225_600_000
TAGS = [
    TagSchema("flow", ValueType.FLOAT32, unit="l/min"),
    TagSchema("level", ValueType.INT16, scale=0.1, unit="°C"),
    TagSchema("running", ValueType.BOOL),
    TagSchema("lot", ValueType.STRING),
    TagSchema("curve", ValueType.UINT16, count=3),
]
SCHEMA = Schema.of("press1", "fast", 1, TAGS)
OTHER = Schema.of("press1", "slow", 1, [TagSchema("level", ValueType.INT16)])


class Store:
    """A buffer's database as far as a trend looks at it, written without the buffer's own code."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames: list[tuple[str, Frame]] = []
        self._key = 1 << 40
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE schema(hash TEXT PRIMARY KEY, body BLOB NOT NULL)")
            db.execute(
                "CREATE TABLE batch(id INTEGER PRIMARY KEY, kind INTEGER, codec INTEGER, raw INTEGER,"
                " t0 INTEGER, t1 INTEGER, body BLOB)"
            )
            for schema in (SCHEMA, OTHER):
                db.execute("INSERT INTO schema VALUES(?, ?)", (schema.hash, schema.canonical))
            db.commit()

    def add(self, frames: list[Frame], run: str = "run1", schema: Schema = SCHEMA) -> None:
        sealed = encode(Origin("dev", run, "boot"), [FramesPart(schema, frames)], NOW)
        self._key += 1
        with closing(sqlite3.connect(self.path)) as db:
            db.execute(
                "INSERT INTO batch VALUES(?, ?, ?, ?, ?, ?, ?)",
                (
                    self._key,
                    int(sealed.kind),
                    int(sealed.codec),
                    sealed.raw_bytes,
                    sealed.t0,
                    sealed.t1,
                    sealed.body,
                ),
            )
            db.commit()
        if schema is SCHEMA:
            self.frames += [(run, frame) for frame in frames]


def frame(
    n: int, time_ms: int, value: float, *, level: int = 0, bad: Quality | None = None, held: bool = False
) -> Frame:
    """held: the deadband kept `flow` out."""
    values: dict[str, list[float]] = {"flow": [value], "level": [level], "running": [n % 2]}
    values["curve"] = [1, 2, 3]
    row = b"".join(pack(tag.type, tag.order, values[tag.name]) for tag in SCHEMA.tags if tag.type.size)
    place = SCHEMA.index("flow") or 0
    quality = (QualityRun(place, 1, bad, bad is not Quality.UNCERTAIN),) if bad is not None else ()
    present = bitmap([0 if held and tag.name == "flow" else 1 for tag in SCHEMA.tags]) if held else None
    count = len(SCHEMA.tags)
    return Frame(n, n * 10**9, time_ms, row, count, 1 if held else 0, present, ("LOT",), quality)


def query(
    tag: str = "flow",
    start: int = NOW,
    end: int = NOW + 60_000,
    bucket_ms: int = 1_000,
    before: int | None = None,
) -> TrendQuery:
    return TrendQuery("press1", "fast", tag, start, end, bucket_ms, before)


def brute_force(store: Store, wanted: TrendQuery) -> list[TrendPoint]:
    """The definition, one sample after the other."""
    index = SCHEMA.index(wanted.tag)
    assert index is not None
    points: dict[int, list[object]] = {}
    before: tuple[str, int] | None = None
    line = False
    for run, each in store.frames:
        whole = before is None or before == (run, each.n - 1)
        before = (run, each.n)
        line = line and whole
        if not selection(each.present, len(TAGS))[index] or not wanted.start <= each.wall_ms < wanted.end:
            continue
        marks = [run_.quality for run_ in each.quality if run_.first <= index < run_.first + run_.count]
        bad = bool(marks) and marks[0] not in (Quality.GOOD, Quality.UNCERTAIN)
        point = points.setdefault(
            (each.wall_ms - wanted.start) // wanted.bucket_ms, [None, None, None, None, 0, 0, False]
        )
        if bad:
            point[5] = int(str(point[5])) + 1
            line = False
            continue
        raw = each.row[SCHEMA.edges[index] : SCHEMA.edges[index + 1]]
        value = read_value(SCHEMA.tags[index], raw)
        assert isinstance(value, int | float)
        if point[0] is None:
            point[0], point[6] = value, line
        point[1] = value if point[1] is None else min(value, point[1])  # type: ignore[call-overload]
        point[2] = value if point[2] is None else max(value, point[2])  # type: ignore[call-overload]
        point[3] = value
        point[4] = int(str(point[4])) + 1
        line = True
    return [(number, *points[number]) for number in sorted(points)]  # type: ignore[misc]


def random_store(path: Path, seed: int) -> Store:
    """Some minutes of a plant where everything happens: restarts, holes, bad samples, held values."""
    chance = random.Random(seed)
    store = Store(path)
    run, n, time_ms = 1, 0, NOW - 5_000
    while time_ms < NOW + 70_000:
        frames = []
        for _ in range(chance.randint(1, 6)):
            n += 1 if chance.random() < 0.95 else 3
            time_ms += chance.choice([100, 500, 500, 2_000])
            bad = chance.choice([None] * 8 + [Quality.BAD_COMM, Quality.UNCERTAIN, Quality.STALE])
            frames.append(
                frame(
                    n,
                    time_ms,
                    chance.uniform(-5, 5),
                    level=chance.randint(-999, 999),
                    bad=bad,
                    held=chance.random() < 0.4,
                )
            )
        store.add(frames, f"run{run}")
        if chance.random() < 0.1:
            run, n = run + 1, 0
        if chance.random() < 0.3:
            store.add([Frame(1, 1, time_ms, b"\x01\x00", 1)], f"run{run}", OTHER)
    return store


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("tag", ["flow", "level", "running"])
def test_a_trend_is_what_a_naive_reader_finds(tmp_path: Path, seed: int, tag: str) -> None:
    store = random_store(tmp_path / "buffer.db", seed)
    for bucket_ms in (100, 1_000, 7_000):
        wanted = query(tag, bucket_ms=bucket_ms)
        piece = read_trend(store.path, wanted)
        assert piece.points == brute_force(store, wanted)
        assert piece.next is None


@pytest.mark.parametrize("seed", range(8))
def test_pieces_cover_the_same_batches_once(tmp_path: Path, seed: int) -> None:
    store = random_store(tmp_path / "buffer.db", seed)
    whole = read_trend(store.path, query())
    few = Bounds(batches=3)
    pieces = [read_trend(store.path, query(), few)]
    while pieces[-1].next is not None:
        assert pieces[-1].batches <= 3
        pieces.append(read_trend(store.path, query(before=pieces[-1].next), few))
    assert len(pieces) > 2
    assert sum(piece.batches for piece in pieces) == whole.batches
    assert joined(pieces) == whole.points


def joined(pieces: list[TrendPiece]) -> list[TrendPoint]:
    """As the page does: older pieces first, a line where nothing is missing and both sides are good."""
    points: dict[int, TrendPoint] = {}
    tail: tuple[str, int] | None = None
    ends: bool | None = None
    for piece in reversed(pieces):
        if piece.head is None:
            continue
        whole = tail is not None and piece.head == (tail[0], tail[1] + 1)
        goes_on = bool(whole and ends and piece.begins)
        for place, point in enumerate(piece.points):
            first = point[1] is not None and not any(each[1] is not None for each in piece.points[:place])
            known = points.get(point[0])
            line = goes_on if first else point[7]
            points[point[0]] = (*point[:7], line) if known is None else merged(known, (*point[:7], line))
        ends = piece.ends if piece.ends is not None else (ends if whole or tail is None else False)
        tail = piece.tail
    return [points[number] for number in sorted(points)]


def merged(a: TrendPoint, b: TrendPoint) -> TrendPoint:
    if not a[5] or not b[5]:
        good = a if a[5] else b
        return (*good[:5], a[5] + b[5], a[6] + b[6], good[7])
    low, high = min(a[2] or 0, b[2] or 0), max(a[3] or 0, b[3] or 0)
    return (a[0], a[1], low, high, b[4], a[5] + b[5], a[6] + b[6], a[7])


def drawn(store: Store) -> list[tuple[int, float | None, bool]]:
    return [(point[0], point[4], point[7]) for point in read_trend(store.path, query()).points]


def test_a_held_value_is_drawn_on_and_a_bad_one_is_a_gap(tmp_path: Path) -> None:
    store = Store(tmp_path / "buffer.db")
    store.add([frame(1, NOW, 1), frame(2, NOW + 1_000, 9, held=True), frame(3, NOW + 2_000, 9, held=True)])
    store.add([frame(4, NOW + 3_000, 2), frame(5, NOW + 4_000, 0, bad=Quality.BAD_COMM)])
    store.add([frame(6, NOW + 5_000, 3), frame(7, NOW + 6_000, 4, bad=Quality.UNCERTAIN)])
    assert drawn(store) == [(0, 1, False), (3, 2, True), (4, None, False), (5, 3, False), (6, 4, True)]


def test_a_missing_frame_and_a_restart_are_gaps(tmp_path: Path) -> None:
    store = Store(tmp_path / "buffer.db")
    store.add([frame(1, NOW, 1), frame(2, NOW + 1_000, 9, held=True)])
    store.add([frame(4, NOW + 2_000, 9, held=True)])
    store.add([frame(5, NOW + 3_000, 2), frame(6, NOW + 4_000, 3)])
    store.add([frame(7, NOW + 5_000, 4)], "run2")
    assert drawn(store) == [(0, 1, False), (3, 2, False), (4, 3, True), (5, 4, False)]


def test_what_is_no_number_has_no_trend(tmp_path: Path) -> None:
    store = Store(tmp_path / "buffer.db")
    store.add([frame(1, NOW, 1)])
    for tag, why in (("lot", "is no number"), ("curve", "is no number"), ("nobody", "nothing is stored")):
        with pytest.raises(NoTrend, match=why):
            read_trend(store.path, query(tag))


def test_a_batch_that_cannot_be_read_is_a_gap(tmp_path: Path) -> None:
    store = Store(tmp_path / "buffer.db")
    for n in range(1, 4):
        store.add([frame(n, NOW + n * 1_000, n)])
    with closing(sqlite3.connect(store.path)) as db:
        db.execute("UPDATE batch SET body = x'00' WHERE id = (SELECT min(id) + 1 FROM batch)")
        db.commit()
    assert drawn(store) == [(1, 1, False), (3, 3, False)]


def test_a_path_with_signs_of_a_uri_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a?b#c%20").mkdir()
    store = Store(tmp_path / "a?b#c%20" / "buffer.db")
    store.add([frame(1, NOW, 1)])
    assert drawn(store) == [(0, 1, False)]


def test_only_batches_of_the_span_are_opened(tmp_path: Path) -> None:
    store = Store(tmp_path / "buffer.db")
    for n in range(1, 300):
        store.add([frame(n, NOW + n * 1_000, n)])
    assert read_trend(store.path, query(start=NOW + 100_000, end=NOW + 110_000)).batches == 10


def test_the_reading_ends_where_everything_is_older(tmp_path: Path) -> None:
    store = Store(tmp_path / "buffer.db")
    few = Bounds(strays=5)
    store.add([frame(1, NOW, 1)])
    for n in range(2, 6):
        store.add([frame(n, NOW - 9_000_000, n)])
    store.add([frame(6, NOW + 1_000, 2)])
    found = [point[0] for point in read_trend(store.path, query(), few).points]
    assert found == [0, 1], "a clock that was wrong for a while"
    for n in range(7, 14):
        store.add([frame(n, NOW - 9_000_000, n)])
    assert read_trend(store.path, query(), few).points == []


@pytest.mark.parametrize("bounds", [Bounds(nbytes=1), Bounds(seconds=-1.0), Bounds(batches=1)])
def test_each_bound_leaves_a_piece_to_go_on_from(tmp_path: Path, bounds: Bounds) -> None:
    store = Store(tmp_path / "buffer.db")
    for n in range(1, 4):
        store.add([frame(n, NOW + n * 1_000, n)])
    found, before = [], None
    for _ in range(3):
        piece = read_trend(store.path, query(before=before), bounds)
        assert piece.batches == 1, "each call makes progress"
        found += [point[4] for point in piece.points]
        before = piece.next
    assert (found, before) == ([3, 2, 1], None)


def test_a_span_far_away_is_reached_in_pieces(tmp_path: Path) -> None:
    store = Store(tmp_path / "buffer.db")
    for n in range(700):
        store.add([frame(n + 1, NOW + n, n)])
    seconds = iter(range(1_000_000))
    wanted, pieces = query(start=NOW, end=NOW + 10, bucket_ms=1), 0
    found: list[TrendPoint] = []
    while True:
        piece = read_trend(store.path, wanted, clock=lambda: next(seconds), rest=lambda _: None)
        pieces += 1
        found = [*piece.points, *found]
        if piece.next is None:
            break
        assert piece.next < (wanted.before or 1 << 62)
        wanted = replace(wanted, before=piece.next)
    assert pieces > 3, "each look at 200 rows may be the last of its piece"
    assert [point[1] for point in found] == list(range(10))


def test_only_the_schemas_that_the_span_needs_are_parsed(tmp_path: Path) -> None:
    store = Store(tmp_path / "buffer.db")
    store.add([frame(1, NOW, 1.5)])
    with closing(sqlite3.connect(store.path)) as db:
        older = SCHEMA.canonical[:60] + b"cannot be read"
        db.execute("INSERT INTO schema(rowid, hash, body) VALUES(-1, 'older', ?)", (older,))
        db.commit()
    piece = read_trend(store.path, query())
    assert (piece.unit, [point[1] for point in piece.points]) == ("l/min", [1.5])


def test_the_thread_rests_as_long_as_it_worked(tmp_path: Path) -> None:
    store = Store(tmp_path / "buffer.db")
    for n in range(1, 4):
        store.add([frame(n, NOW + n * 1_000, n)])
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.001
        return now

    rests: list[float] = []
    read_trend(store.path, query(), Bounds(), clock, rests.append)
    assert len(rests) == 3
    assert all(0 < rest <= 0.01 for rest in rests)


def test_a_reader_does_not_hold_a_writer_up(tmp_path: Path) -> None:
    store = Store(tmp_path / "buffer.db")
    with closing(sqlite3.connect(store.path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
    for n in range(1, 4):
        store.add([frame(n, NOW + n * 1_000, n)])
    times = iter(range(100))

    def write_meanwhile(_: float) -> None:
        with closing(sqlite3.connect(store.path, timeout=0, isolation_level=None)) as db:
            db.execute("DELETE FROM batch WHERE id = (SELECT min(id) FROM batch)")

    piece = read_trend(store.path, query(), Bounds(), lambda: next(times) / 1e6, write_meanwhile)
    assert [point[4] for point in piece.points] == [2, 3], (
        "what was pruned meanwhile is missing, and nothing else"
    )


async def test_it_reads_in_a_thread(tmp_path: Path) -> None:
    store = await asyncio.to_thread(Store, tmp_path / "buffer.db")
    await asyncio.to_thread(store.add, [frame(1, NOW, 1)])
    piece = await asyncio.to_thread(read_trend, store.path, query())
    assert (piece.unit, piece.head, piece.tail) == ("l/min", ("run1", 1), ("run1", 1))


def test_parts_without_samples_carry_the_line_on_unless_a_frame_is_missing() -> None:
    good = Part([Sample(1, 1.0, True)], ("r", 1), ("r", 1))
    last = Part([Sample(9, 2.0, True)], ("r", 4), ("r", 4))
    silent = Part([], ("r", 2), ("r", 3))
    assert join([good, silent, last]).samples[1].follows
    assert not join([good, Part([], ("r", 2), ("r", 3), closed=False), last]).samples[1].follows
    assert not join([good, last]).samples[1].follows
    assert join([silent]).begins is None
    assert join([Part(), good]).begins is True
