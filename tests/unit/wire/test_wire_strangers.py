"""Bodies that no agent of ours would write: every one is refused, soon, and without much memory."""

import struct
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest

from edge_agent.wire import codecs, varint
from edge_agent.wire.batch import RAW_LIMIT_BYTES, Batch, Kind
from edge_agent.wire.codecs import Codec
from edge_agent.wire.errors import TooLarge, WireError
from edge_agent.wire.schema import Schema, TagSchema, ValueType

SCHEMA = Schema.of(
    "c",
    "g",
    None,
    [*(TagSchema(f"t{index}", ValueType.UINT16) for index in range(10)), TagSchema("x", ValueType.JSON)],
)
ROWS, COLUMNS, SPARSE, LOSS = 0, 1, 2, 16
PRESENCE, QUALITY, SOURCE, TEXT = 0x10, 0x20, 0x40, 0x80
HUGE = (1 << 64) - 1
# One frame: one run of numbers, one run of counts.
ONE_FRAME = (1, 0, 1, 1, 1, 10, 0)
TIMES = b"\x00\x00"


def raw_batch(sections: int, numbers: list[int], rest: bytes = b"", hashes: int | None = None) -> bytes:
    """A batch with these entries; `rest` is what follows the hashes of its schemas."""
    packed = varint.encode([0, 0, sections, *numbers])
    prefix = struct.pack("<BBBBI", 1, 0, 0, 0, len(packed))
    return prefix + packed + bytes.fromhex(SCHEMA.hash) * (sections if hashes is None else hashes) + rest


def open_raw(raw: bytes) -> Batch:
    return Batch.open(raw, Codec.NONE, len(raw))


def read_raw(raw: bytes, schema: Schema = SCHEMA) -> None:
    open_raw(raw).frames(0, schema)


@contextmanager
def bounded(seconds: float, nbytes: int) -> Iterator[None]:
    """Generous bounds: what must not happen are minutes of computing and gigabytes."""
    tracemalloc.start()
    start = time.thread_time()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < nbytes
        assert time.thread_time() - start < seconds
    finally:
        tracemalloc.stop()


def test_the_hand_made_batch_is_a_good_one() -> None:
    raw = raw_batch(1, [ROWS, 2, *ONE_FRAME, 2, 10], TIMES + bytes(20))
    (found,) = open_raw(raw).frames(0, SCHEMA)
    assert (found.n, found.row, found.read) == (1, bytes(20), 10)


@pytest.mark.parametrize("length", range(8))
def test_a_body_shorter_than_a_prefix(length: int) -> None:
    with pytest.raises(WireError, match="no header"):
        open_raw(raw_batch(0, [])[:length])


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([], "too few"),
        ([ROWS], "too few"),
        ([ROWS, 0], "too few"),
        ([9], "type 9 is not known"),
        ([19], "type 19 is not known"),
        ([ROWS, 0x100], "parts that are not known"),
        ([ROWS, 0, 0], "holds no frame"),
        ([ROWS, 0, HUGE, 0, 1], "too few"),
        ([ROWS, 0, 1, 0, 0], "1 to 65536 frames"),
        ([ROWS, 0, 1, 0, HUGE], "1 to 65536 frames"),
        ([ROWS, 0, 1, HUGE, 1], "numbers up to"),
        ([ROWS, 0, 1, 0, 65_537], "1 to 65536 frames"),
        ([ROWS, 0, 2, 0, 40_000, 0, 40_000], "1 to 65536 frames"),
        ([ROWS, 0, 1, 0, 1, 0, 2], "not as many as the frames"),
        ([ROWS, 0, 1, 0, 1, 1, 2, 1, 0], "counts are out of range"),
        ([ROWS, 0, 1, 0, 1, 1, 0, 1, 0], "counts are out of range"),
        ([ROWS, 0, 1, 0, 1, 1, HUGE, 1, 0], "counts are out of range"),
        ([ROWS, 0, 1, 0, 1, 1, 1, 65_537, 0], "counts are out of range"),
        ([ROWS, 0, 1, 0, 1, 1, 1, 0, HUGE], "counts are out of range"),
        ([ROWS, 2, *ONE_FRAME, 0, 0], "announces values and has none"),
        ([ROWS, 2, *ONE_FRAME, 0, HUGE], "do not fill"),
        ([ROWS, 0, *ONE_FRAME, HUGE], "do not fill"),
        ([LOSS, HUGE], "do not fill"),
        ([ROWS, 0, *ONE_FRAME, 0, 0], "too many"),
    ],
)
def test_an_entry_that_cannot_be(numbers: list[int], message: str) -> None:
    with pytest.raises(WireError, match=message), bounded(1, 1 << 20):
        open_raw(raw_batch(1, numbers))


def test_more_sections_than_numbers() -> None:
    with pytest.raises(WireError, match="at most 16384 sections"):
        open_raw(raw_batch(HUGE, [], hashes=0))


def test_time_bases_out_of_range() -> None:
    for mono, wall in ((1, 0), (0, 1), (varint.zigzag(1 << 62), 0), (0, varint.zigzag(1 << 60))):
        packed = varint.encode([mono, wall, 0])
        with pytest.raises(WireError, match="time bases"):
            open_raw(struct.pack("<BBBBI", 1, 0, 0, 0, len(packed)) + packed)


def test_a_name_that_is_not_utf8() -> None:
    with pytest.raises(WireError, match="UTF-8"):
        open_raw(struct.pack("<BBBBI", 1, 1, 0, 0, 3) + b"\xff\x00\x00\x00")


@pytest.mark.parametrize("cut", [1, 31, 32])
def test_a_missing_schema_hash(cut: int) -> None:
    raw = raw_batch(1, [ROWS, 0, *ONE_FRAME, 0])
    with pytest.raises(WireError, match="cut short"):
        open_raw(raw[:-cut])


def test_a_header_longer_than_the_batch() -> None:
    for length in (4, 1 << 20, (1 << 32) - 1):
        with pytest.raises(WireError, match="cut short"):
            open_raw(struct.pack("<BBBBI", 1, 0, 0, 0, length) + b"\x00\x00\x00")


def part(bit: int, data: bytes, layout: int = SPARSE, values: int = 0) -> bytes:
    """One frame with one part beside its values, and so many words of value."""
    lengths = [len(TIMES), len(data), *([values] if values else [])]
    return raw_batch(
        1, [layout, bit | (2 if values else 0), *ONE_FRAME, *lengths], TIMES + data + bytes(2 * values)
    )


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (part(PRESENCE, b"\x00"), "presence bitmaps do not match"),
        (part(PRESENCE, b"\x00\xff"), "tags that the schema does not have"),
        (part(PRESENCE, b"\x01\x00"), "values are cut short"),
        (part(PRESENCE, b"\x00\x00", values=1), "more values"),
        (part(PRESENCE, b"\x01\x00", ROWS, 10), "dense section has presence"),
        (part(QUALITY, b"\x00\x00"), "cut short"),
        (part(QUALITY, b"\x01\x00\x01\x00\x00"), "outside its frame"),
        (part(QUALITY, b"\x00\x00\x00\x00\x00"), "outside its frame"),
        (part(QUALITY, b"\x00\x00\x0c\x00\x00"), "outside its frame"),
        (part(QUALITY, b"\x00\x0b\x01\x00\x00"), "outside its frame"),
        (part(QUALITY, b"\x00\x00\x09\x01\x00" + b"\x00\x01\x02\x01\x00"), "outside its frame"),
        (part(QUALITY, b"\x00\x00\x01\x10\x00"), "not known"),
        (part(QUALITY, varint.encode([0, 0, 1, 0, 1 << 32])), "not known"),
        (part(QUALITY, varint.encode([HUGE, HUGE, HUGE, 0, 0])), "outside its frame"),
        (part(QUALITY, b"\x80"), "cut short"),
        (part(QUALITY, b"\xff" * 11), "more than 64 bits"),
        (part(SOURCE, b"\x00\x00\x0c\x00"), "outside its frame"),
        (part(SOURCE, varint.encode([0, 0, 1, HUGE])), "source time is out of range"),
        (part(TEXT, b"{}"), "texts are not as many"),
        (part(TEXT, b"[]"), "texts are not as many"),
        (part(TEXT, b"[[],[]]"), "texts are not as many"),
        (part(TEXT, b"[[]]"), "not as many texts"),
        (part(TEXT, b"[[1,2]]"), "not as many texts"),
        (part(TEXT, b'["x"]'), "not as many texts"),
        (part(TEXT, b"[NaN]"), "not JSON"),
        (part(TEXT, b"[[1e999]]"), "not JSON"),
        (part(TEXT, b'[["\\ud800"]]'), "not JSON"),
        (part(TEXT, b"[[" + b"[" * 70 + b"]" * 70 + b"]]"), "nested more than 64"),
        (part(TEXT, b"[" * 5000 + b"]" * 5000), "not JSON"),
        (raw_batch(1, [ROWS, 2, *ONE_FRAME, 1, 10], b"\x00" + bytes(20)), "times are not as many"),
        (raw_batch(1, [ROWS, 2, *ONE_FRAME, 2, 10], b"\x01\x00" + bytes(20)), "times are out of range"),
        (raw_batch(1, [ROWS, 2, *ONE_FRAME, 2, 10], b"\x00\x01" + bytes(20)), "times are out of range"),
        (raw_batch(1, [ROWS, 2, *ONE_FRAME, 2, 9], TIMES + bytes(18)), "not as many as the schema wants"),
        (raw_batch(1, [COLUMNS, 2, *ONE_FRAME, 2, 11], TIMES + bytes(22)), "not as many as the schema wants"),
        (raw_batch(1, [ROWS, 0, *ONE_FRAME, 2], TIMES), "not of the schema's sizes"),
        (raw_batch(1, [ROWS, 4, *ONE_FRAME, 2, 5], TIMES + bytes(20)), "not as many as the schema wants"),
        (raw_batch(1, [ROWS, 6, *ONE_FRAME, 2, 1, 10], TIMES + bytes(24)), "not of the schema's sizes"),
        (raw_batch(1, [SPARSE, 6, *ONE_FRAME, 2, 1, 10], TIMES + bytes(24)), "more values"),
    ],
)
def test_a_section_that_contradicts_itself(raw: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message), bounded(1, 1 << 20):
        read_raw(raw)


@pytest.mark.parametrize("text", [b"", b"{", b"{}", b"[1]", b"null", b"[[]]", b"[" * 2000 + b"]" * 2000])
def test_records_that_are_none(text: bytes) -> None:
    batch = open_raw(raw_batch(1, [LOSS, len(text)], text, hashes=0))
    with pytest.raises(WireError):
        batch.records(Kind.LOSS)


def test_records_nested_too_deep() -> None:
    text = orjson.dumps([{"a": orjson.loads(b"[" * 70 + b"]" * 70)}])
    with pytest.raises(WireError, match="nested more than 64"):
        open_raw(raw_batch(1, [LOSS, len(text)], text, hashes=0)).records(Kind.LOSS)


# --- few bytes that stand for many -------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [Codec.ZSTD, Codec.DEFLATE])
def test_a_bomb_unpacks_to_what_it_announced_at_most(codec: Codec) -> None:
    bomb = codecs.compress(codec, bytes(64 << 20))
    for announced in (8, 1000, RAW_LIMIT_BYTES):
        with pytest.raises(TooLarge), bounded(2, RAW_LIMIT_BYTES * 3):
            Batch.open(bomb, codec, announced)


def test_frames_of_nothing_but_a_wide_row() -> None:
    """15 bytes that say «one value of a 4 MiB row», thousands of times."""
    tags = [TagSchema("a", ValueType.UINT8), TagSchema("wide", ValueType.UINT8, count=65_536)]
    wide = Schema.of("c", "g", None, tags)
    frames = 20_000
    numbers = [SPARSE, 1 | PRESENCE, 1, 0, frames, 1, frames, 1, 0, 2 * frames, frames, frames]
    packed = varint.encode([0, 0, 1, *numbers])
    raw = struct.pack("<BBBBI", 1, 0, 0, 0, len(packed)) + packed + bytes.fromhex(wide.hash)
    raw += bytes(2 * frames) + b"\x01" * frames + bytes(frames)
    with pytest.raises(TooLarge, match="rows of a section"), bounded(5, 100 << 20):
        open_raw(raw).frames(0, wide)


def test_runs_without_end() -> None:
    data = b"\x00\x00\x01\x01\x00" * (1 << 19)
    with pytest.raises(WireError, match="more than 262144"), bounded(20, 100 << 20):
        read_raw(part(QUALITY, data))


def test_texts_without_end() -> None:
    data = b"[[" + b"[]," * (2 << 20) + b"[]]]"
    with pytest.raises(TooLarge, match="JSON of a section"), bounded(5, 60 << 20):
        read_raw(part(TEXT, data))


def test_numbers_of_a_header_without_end() -> None:
    raw = struct.pack("<BBBBI", 1, 0, 0, 0, 8 << 20) + bytes(8 << 20)
    with pytest.raises(WireError, match="too long"), bounded(5, 60 << 20):
        open_raw(raw)
