"""Sealing and opening batches: bounds, halves, several sections, and what the head says of them."""

import struct

import pytest

from edge_agent.wire import header, sides
from edge_agent.wire.batch import (
    RAW_LIMIT_BYTES,
    Batch,
    EncodedBatch,
    FramesPart,
    Kind,
    Origin,
    RecordsPart,
    content_hash,
    encode,
)
from edge_agent.wire.codecs import Codec
from edge_agent.wire.errors import TooLarge, WireError
from edge_agent.wire.frame import Frame, bitmap
from edge_agent.wire.quality import Quality, QualityRun, SourceRun, whole
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.section import MAX_FRAMES, Layout

ORIGIN = Origin("press-shop-01", "5f" * 16, "00" * 16)
WALL = 1_767_225_600_000
SECOND = 10**9


def uint16(tags: int, group: str = "fast") -> Schema:
    return Schema.of("press1", group, 1, [TagSchema(f"t{index}", ValueType.UINT16) for index in range(tags)])


def words(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}H", *numbers)


def frame(n: int, row: bytes, read: int) -> Frame:
    return Frame(n, n * SECOND, WALL + n * 1000, row, read)


def opened(sealed: EncodedBatch) -> Batch:
    return Batch.open(sealed.body, sealed.codec, sealed.raw_bytes)


def round_trip(schema: Schema, frames: list[Frame], layout: Layout = Layout.ROWS) -> list[Frame]:
    return opened(encode(ORIGIN, [FramesPart(schema, frames, layout)], 0)).frames(0, schema)


def test_a_batch_tells_what_it_is() -> None:
    schema = uint16(2)
    frames = [frame(5, words(1, 2), 2), frame(6, words(3, 4), 9)]
    frames[0].wall_ms = WALL + 60_000
    frames[1].suppressed = 7
    event = {"time": WALL, "code": "start", "message": ""}
    sealed = encode(ORIGIN, [FramesPart(schema, frames), RecordsPart(Kind.EVENT, [event])], wall_ms=1)
    assert (sealed.kind, sealed.samples) == (Kind.FRAMES | Kind.EVENT, 4)
    assert (sealed.t0, sealed.t1) == (WALL + 6_000, WALL + 60_000)
    assert sealed.hash == content_hash(sealed.body)
    batch = opened(sealed)
    assert (batch.origin, batch.kind) == (ORIGIN, sealed.kind)
    assert batch.schema_hashes() == {schema.hash}
    assert batch.contents() == {schema.hash: ([(5, 6)], 4)}
    assert batch.records(Kind.EVENT) == [event]
    assert batch.records(Kind.LOSS) == batch.records(Kind.FRAMES) == []
    entry = batch.sections[0]
    assert (entry["k"], entry["s"], entry["n"]) == ("frames", schema.hash, [[5, 2]])
    assert entry["c"] == [[1, 2, 0], [1, 9, 7]]


def test_a_batch_without_frames_has_the_time_of_its_sealing() -> None:
    sealed = encode(ORIGIN, [RecordsPart(Kind.LOSS, [{"reason": "quota"}])], WALL)
    assert (sealed.t0, sealed.t1, sealed.samples, sealed.kind) == (WALL, WALL, 0, Kind.LOSS)


def test_an_empty_batch_is_a_batch() -> None:
    sealed = encode(ORIGIN, [], WALL)
    batch = opened(sealed)
    assert (batch.sections, batch.kind, batch.contents()) == ([], Kind(0), {})


def test_a_part_without_frames_or_records_adds_nothing_to_read() -> None:
    batch = opened(encode(ORIGIN, [FramesPart(uint16(1), []), RecordsPart(Kind.CLOCK, [])], WALL))
    assert [entry["k"] for entry in batch.sections] == ["clock"]
    assert batch.records(Kind.CLOCK) == []


@pytest.mark.parametrize("tags", [1, 7, 8, 9, 65_536])
@pytest.mark.parametrize("layout", [Layout.ROWS, Layout.COLUMNS])
def test_frames_of_few_and_of_many_tags(tags: int, layout: Layout) -> None:
    schema = uint16(tags)
    rows = [words(*((index * step) & 0xFFFF for index in range(tags))) for step in (1, 3, 7)]
    frames = [frame(n, row, tags) for n, row in enumerate(rows, 1)]
    frames.append(Frame(4, 4 * SECOND, WALL, b"", tags, quality=whole(tags, Quality.BAD_COMM)))
    assert round_trip(schema, frames[:3], layout) == frames[:3]
    assert round_trip(schema, frames) == frames


def test_only_the_last_of_many_tags_is_there() -> None:
    tags = 65_536
    row = bytes(2 * tags - 2) + b"\x12\x34"
    each = frame(1, row, 1)
    each.present = bitmap([0] * (tags - 1) + [1])
    sealed = encode(ORIGIN, [FramesPart(uint16(tags), [each])], 0)
    assert opened(sealed).frames(0, uint16(tags)) == [each]
    assert len(sealed.body) < 200


def test_a_clock_set_back_is_told_as_it_was() -> None:
    frames = [frame(n, words(n), 1) for n in range(1, 6)]
    for each in frames[2:]:
        each.wall_ms -= 86_400_000
    assert round_trip(uint16(1), frames) == frames


def test_numbers_with_holes_are_told_as_they_were() -> None:
    frames = [frame(place, words(place), 1) for place in range(6)]
    for each, n in zip(frames, (1, 2, 5, 9, 10, 1 << 40), strict=True):
        each.n = n
    sealed = encode(ORIGIN, [FramesPart(uint16(1), frames)], 0)
    batch = opened(sealed)
    assert batch.frames(0, uint16(1)) == frames
    assert batch.contents()[uint16(1).hash][0] == [(1, 2), (5, 5), (9, 10), (1 << 40, 1 << 40)]


def test_null_is_neither_absent_nor_zero() -> None:
    schema = Schema.of("c", "g", None, [TagSchema("t", ValueType.UINT16), TagSchema("x", ValueType.JSON)])
    frames = [
        Frame(1, 1, 1, words(0), 2, text=(None,)),
        Frame(2, 2, 2, b"", 2, text=(0,), quality=(QualityRun(0, 1, Quality.GOOD, null=True),)),
        Frame(3, 3, 3, b"", 2, suppressed=1, text=("x",), present=bitmap([0, 1])),
        Frame(4, 4, 4, words(7), 2, quality=(QualityRun(1, 1, Quality.BAD_HOOK),)),
    ]
    assert round_trip(schema, frames) == frames


def test_bytes_of_null_tags_do_not_travel_in_a_sparse_section() -> None:
    frames = [frame(1, words(1, 0xFFFF, 3), 3), frame(2, b"", 3)]
    frames[0].quality = (QualityRun(1, 1, Quality.BAD_DEVICE),)
    frames[1].quality = whole(3, Quality.BAD_COMM)
    found = round_trip(uint16(3), frames)
    assert found[0].row == words(1, 0, 3)
    assert found[1] == frames[1]


def test_the_first_identity_that_is_not_32_digits_stays_a_text() -> None:
    for name in ("", "x", "0" * 31, "0" * 33, "A" * 32, "g" * 32, " " * 32, "é" * 16, "0" * 254):
        origin = Origin(name, name, name)
        assert opened(encode(origin, [], 0)).origin == origin


def test_a_name_that_cannot_travel_is_refused() -> None:
    with pytest.raises(WireError, match="longer than 254 bytes"):
        encode(Origin("d", "r", "b" * 255), [], 0)
    with pytest.raises(WireError, match="UTF-8"):
        encode(Origin("\ud800", "r", "b"), [], 0)


# --- more than one section holds ---------------------------------------------------------------------------


def test_more_frames_than_a_section_takes_become_two() -> None:
    schema = uint16(1)
    frames = [frame(n, b"\x01\x02", 1) for n in range(1, MAX_FRAMES + 2)]
    sealed = encode(ORIGIN, [FramesPart(schema, frames)], 0)
    batch = opened(sealed)
    assert len(batch.sections) == 2
    assert [*batch.frames(0, schema), *batch.frames(1, schema)] == frames
    assert batch.contents() == {schema.hash: ([(1, MAX_FRAMES + 1)], MAX_FRAMES + 1)}


def test_more_text_than_a_section_takes_becomes_two() -> None:
    schema = Schema.of("c", "g", None, [TagSchema("t", ValueType.STRING)])
    frames = [Frame(n, n, n, b"", 1, text=("x" * 2_500_000,)) for n in (1, 2)]
    batch = opened(encode(ORIGIN, [FramesPart(schema, frames)], 0))
    assert [batch.frames(index, schema) for index in range(2)] == [[frames[0]], [frames[1]]]


def test_more_runs_than_a_section_takes_become_two() -> None:
    tags = 65_536
    alternating = tuple(QualityRun(tag, 1, Quality.BAD_DEVICE, True, tag & 1) for tag in range(tags))
    frames = [Frame(n, n, n, b"", tags, quality=alternating) for n in range(1, 6)]
    assert 5 * tags > sides.MAX_RUNS
    batch = opened(encode(ORIGIN, [FramesPart(uint16(tags), frames)], 0))
    assert len(batch.sections) == 2
    assert batch.frames(1, uint16(tags))[-1] == frames[-1]


def test_more_records_than_a_section_takes_become_two() -> None:
    records = [{"detail": "x" * 3_000_000}, {"detail": "y" * 3_000_000}]
    batch = opened(encode(ORIGIN, [RecordsPart(Kind.LOSS, records)], 0))
    assert len(batch.sections) == 2
    assert batch.records(Kind.LOSS) == records


def test_what_no_section_takes_is_too_large() -> None:
    schema = Schema.of("c", "g", None, [TagSchema("t", ValueType.STRING)])
    with pytest.raises(TooLarge):
        encode(ORIGIN, [FramesPart(schema, [Frame(1, 1, 1, b"", 1, text=("x" * 5_000_000,))])], 0)
    with pytest.raises(TooLarge):
        encode(ORIGIN, [RecordsPart(Kind.LOSS, [{"detail": "x" * 5_000_000}])], 0)
    with pytest.raises(TooLarge):
        encode(ORIGIN, [RecordsPart(Kind.EVENT, [])] * (header.MAX_SECTIONS + 1), 0)


def test_a_batch_beyond_the_readers_limit_is_too_large() -> None:
    schema = Schema.of("c", "g", None, [TagSchema("t", ValueType.UINT64, count=65_536)])
    frames = [Frame(n, n, n, bytes(schema.row_bytes), 1) for n in range(RAW_LIMIT_BYTES // schema.row_bytes)]
    for each in frames:
        each.n += 1
    with pytest.raises(TooLarge, match="over"):
        encode(ORIGIN, [FramesPart(schema, frames)], 0)


# --- what the writer refuses -------------------------------------------------------------------------------

GOOD = Quality.UNCERTAIN


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "out of order"),
        ({"n": 1 << 62}, "out of order"),
        ({"row": b"\x00"}, "row of 1 bytes"),
        ({"row": b""}, "row of 0 bytes"),
        ({"suppressed": 3}, "counts 2 read"),
        ({"suppressed": -1}, "counts 2 read"),
        ({"read": 70_000}, "counts 70000 read"),
        ({"mono_ns": -1}, "times out of range"),
        ({"wall_ms": -1}, "times out of range"),
        ({"wall_ms": sides.MAX_WALL_MS + 1}, "times out of range"),
        ({"present": b""}, "bitmap"),
        ({"present": b"\x04"}, "bitmap"),
        ({"present": b"\x01\x00"}, "bitmap"),
        ({"quality": (QualityRun(0, 3, GOOD, False),)}, "runs"),
        ({"quality": (QualityRun(0, 0, GOOD, False),)}, "runs"),
        ({"quality": (QualityRun(1, 1, GOOD, False), QualityRun(0, 1, GOOD, False))}, "runs"),
        ({"quality": (QualityRun(0, 2, GOOD, False), QualityRun(1, 1, GOOD, False))}, "runs"),
        ({"quality": (QualityRun(0, 1, GOOD, False, 1 << 32),)}, "status code"),
        ({"quality": (QualityRun(0, 1, GOOD, False, -1),)}, "status code"),
        ({"source": (SourceRun(0, 3, 0),)}, "runs"),
        ({"source": (SourceRun(0, 1, 1 << 60),)}, "source time"),
        ({"text": ("x",)}, "1 texts, its schema 0"),
    ],
)
def test_a_frame_that_contradicts_itself_is_not_sealed(changes: dict[str, object], message: str) -> None:
    each = frame(1, words(1, 2), 2)
    for name, value in changes.items():
        setattr(each, name, value)
    with pytest.raises(WireError, match=message):
        encode(ORIGIN, [FramesPart(uint16(2), [each])], 0)


def test_frames_that_do_not_ascend_are_not_sealed() -> None:
    for numbers in ((2, 1), (1, 1)):
        with pytest.raises(WireError, match="out of order"):
            encode(ORIGIN, [FramesPart(uint16(1), [frame(n, words(1), 1) for n in numbers])], 0)


@pytest.mark.parametrize("value", [1 << 64, "\ud800", object(), {1: 2}])
def test_what_json_cannot_hold_is_not_sealed(value: object) -> None:
    schema = Schema.of("c", "g", None, [TagSchema("t", ValueType.JSON)])
    each = Frame(1, 1, 1, b"", 1, text=(value,))  # type: ignore[arg-type]
    with pytest.raises(WireError, match="JSON"):
        encode(ORIGIN, [FramesPart(schema, [each])], 0)
    with pytest.raises(WireError, match="JSON"):
        encode(ORIGIN, [RecordsPart(Kind.EVENT, [{"value": value}])], 0)


def test_records_have_exactly_one_kind() -> None:
    for kind in (Kind.FRAMES, Kind.LOSS | Kind.EVENT, Kind(0)):
        with pytest.raises(WireError, match="one kind"):
            encode(ORIGIN, [RecordsPart(kind, [{}])], 0)


# --- what the reader refuses -------------------------------------------------------------------------------


def test_a_section_is_not_read_with_another_schema() -> None:
    sealed = encode(ORIGIN, [FramesPart(uint16(2), [frame(1, words(1, 2), 2)])], 0)
    with pytest.raises(WireError, match="another schema"):
        opened(sealed).frames(0, uint16(2, group="slow"))


def test_a_section_of_records_holds_no_frames() -> None:
    with pytest.raises(WireError, match="holds no frames"):
        opened(encode(ORIGIN, [RecordsPart(Kind.EVENT, [{}])], 0)).frames(0, uint16(1))


def test_a_later_format_is_not_guessed_at() -> None:
    sealed = encode(ORIGIN, [], 0, Codec.NONE)
    body = b"\x02" + sealed.body[1:]
    with pytest.raises(WireError, match="batch format 2 is not known"):
        Batch.open(body, Codec.NONE, len(body))


@pytest.mark.parametrize("raw_bytes", [-1, RAW_LIMIT_BYTES + 1, 1 << 40])
def test_an_announced_size_out_of_bounds_is_refused_at_once(raw_bytes: int) -> None:
    with pytest.raises(TooLarge):
        Batch.open(b"", Codec.ZSTD, raw_bytes)
