"""Whatever frames there are, a batch gives them back; whatever bytes there are, reading them ends well."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.wire import planes, ranges, sides
from edge_agent.wire.batch import Batch, EncodedBatch, FramesPart, Kind, Origin, RecordsPart, encode
from edge_agent.wire.codecs import Codec
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import Frame, bitmap, selection
from edge_agent.wire.messages import Head
from edge_agent.wire.quality import Quality, QualityRun, SourceRun
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType
from edge_agent.wire.section import Layout
from edge_agent.wire.upload import BatchItem, decode_upload, encode_upload

ORIGINS = st.builds(
    Origin,
    st.text(max_size=60),
    st.one_of(st.text(max_size=60), st.binary(min_size=16, max_size=16).map(bytes.hex)),
    st.one_of(st.text(max_size=60), st.binary(min_size=16, max_size=16).map(bytes.hex)),
)
NAMES = st.text(min_size=1, max_size=8)
INTEGERS = st.integers(-(1 << 63), (1 << 64) - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def tag_schemas(draw: st.DrawFn, name: str) -> TagSchema:
    type_ = draw(st.sampled_from(ValueType))
    return TagSchema(
        name,
        type_,
        draw(st.sampled_from(Order)) if type_.size > 1 else Order.DCBA,
        count=draw(st.sampled_from([1, 1, 1, 2, 3, 9])),
        scale=draw(FLOATS),
        offset=draw(FLOATS),
        unit=draw(st.text(max_size=4)),
        enum=tuple(draw(st.lists(st.tuples(INTEGERS, st.text(max_size=4)), max_size=2))),
    )


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    names = draw(st.lists(NAMES, min_size=1, max_size=12, unique=True))
    unit_id = draw(st.none() | st.integers(0, 255))
    return Schema.of(draw(NAMES), draw(NAMES), unit_id, [draw(tag_schemas(name)) for name in names])


@st.composite
def tag_runs(draw: st.DrawFn, tags: int) -> list[tuple[int, int]]:
    """Disjoint ascending runs of (first, count)."""
    edges = sorted(draw(st.sets(st.integers(0, tags), max_size=6)))
    pairs = list(pairwise(edges))
    return [(first, last - first) for first, last in pairs if draw(st.booleans())]


@st.composite
def quality_runs(draw: st.DrawFn, tags: int) -> tuple[QualityRun, ...]:
    return tuple(
        QualityRun(
            first,
            count,
            draw(st.sampled_from(Quality)),
            draw(st.booleans()),
            draw(st.just(0) | st.integers(0, sides.MAX_STATUS)),
        )
        for first, count in draw(tag_runs(tags))
    )


def has_values(schema: Schema, frame: Frame) -> list[bool]:
    """The reference for `planes.valued`: which tags of the row have a value."""
    chosen = [bool(bit) for bit in selection(frame.present, len(schema.tags))]
    for run in frame.quality:
        for tag in range(run.first, run.first + run.count):
            chosen[tag] = chosen[tag] and not run.null
    return chosen[: schema.fixed_tags]


@st.composite
def rows(draw: st.DrawFn, schema: Schema, frame: Frame) -> bytes:
    """A row as drivers make it: zeros where a tag has no value, and no row where none has."""
    chosen = has_values(schema, frame)
    if not any(chosen):
        return b""
    row = bytearray(draw(st.binary(min_size=schema.row_bytes, max_size=schema.row_bytes)))
    for tag, has in enumerate(chosen):
        if not has:
            row[schema.edges[tag] : schema.edges[tag + 1]] = bytes(schema.tags[tag].row_bytes)
    return bytes(row)


@st.composite
def frames(draw: st.DrawFn, schema: Schema, n: int, plain: bool) -> Frame:
    tags = len(schema.tags)
    texts = tags - schema.fixed_tags
    frame = Frame(
        n,
        draw(st.integers(0, 1 << 40) | st.integers(0, sides.MAX_MONO_NS)),
        draw(st.integers(1_700_000_000_000, 1_800_000_000_000) | st.integers(0, sides.MAX_WALL_MS)),
        b"",
        read=0,
        suppressed=draw(st.sampled_from([0, 0, 3, 1 << 40])),
    )
    if texts and draw(st.booleans()):
        frame.text = tuple(draw(JSON_VALUES) for _ in range(texts))
    if not plain:
        bits = draw(st.none() | st.lists(st.booleans(), min_size=tags, max_size=tags))
        frame.present = None if bits is None or all(bits) else bitmap(bits)
        frame.quality = draw(quality_runs(tags))
        low = st.integers(sides.MIN_SOURCE_MS, sides.MAX_WALL_MS)
        frame.source = tuple(SourceRun(*run, draw(low)) for run in draw(tag_runs(tags)))
    frame.read = frame.suppressed + sum(selection(frame.present, tags))
    frame.row = draw(rows(schema, frame))
    return frame


@st.composite
def frames_parts(draw: st.DrawFn) -> FramesPart:
    schema = draw(schemas())
    plain = draw(st.booleans())
    numbers = sorted(draw(st.sets(st.integers(1, 12) | st.integers(1, 1 << 40), min_size=1, max_size=6)))
    made = [draw(frames(schema, n, plain)) for n in numbers]
    return FramesPart(schema, made, draw(st.sampled_from([Layout.ROWS, Layout.COLUMNS])))


@st.composite
def records_parts(draw: st.DrawFn) -> RecordsPart:
    kind = draw(st.sampled_from([Kind.LOSS, Kind.EVENT, Kind.CLOCK]))
    records = st.dictionaries(st.text(max_size=6), JSON_VALUES, max_size=4)
    return RecordsPart(kind, draw(st.lists(records, max_size=3)))


PARTS = st.lists(frames_parts() | frames_parts() | records_parts(), max_size=4)


def opened(sealed: EncodedBatch) -> Batch:
    return Batch.open(sealed.body, sealed.codec, sealed.raw_bytes)


# --- what goes in comes out ------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(ORIGINS, PARTS, st.sampled_from(Codec))
def test_a_batch_gives_back_what_was_put_in(
    origin: Origin, parts: list[FramesPart | RecordsPart], codec: Codec
) -> None:
    sealed = encode(origin, parts, 1_750_000_000_000, codec)
    batch = opened(sealed)
    assert batch.origin == origin
    assert batch.kind == sealed.kind
    assert len(batch.sections) == len(parts)
    samples = 0
    for index, part in enumerate(parts):
        if isinstance(part, RecordsPart):
            continue
        assert batch.frames(index, part.schema) == part.frames
        samples += sum(frame.samples for frame in part.frames)
    for kind in (Kind.LOSS, Kind.EVENT, Kind.CLOCK):
        wanted = [dict(r) for p in parts if isinstance(p, RecordsPart) and p.kind is kind for r in p.records]
        assert batch.records(kind) == wanted
    contents = batch.contents()
    assert sum(count for _, count in contents.values()) == sealed.samples == samples
    assert set(contents) == batch.schema_hashes()


@given(frames_parts())
@settings(max_examples=100, deadline=None)
def test_contents_are_the_numbers_of_the_frames(part: FramesPart) -> None:
    batch = opened(encode(Origin("d", "r", "b"), [part], 0))
    numbers, samples = batch.contents()[part.schema.hash]
    assert numbers == ranges.of_numbers(frame.n for frame in part.frames)
    assert samples == sum(frame.samples for frame in part.frames)


@given(schemas())
@settings(deadline=None)
def test_a_schema_survives_its_bytes(schema: Schema) -> None:
    again = Schema.from_bytes(schema.canonical)
    assert (again, again.hash) == (schema, schema.hash)
    assert sum(band.end - band.start for band in schema.bands) == schema.row_bytes
    assert [band.element_bytes for band in schema.bands] == sorted(
        {tag.type.size for tag in schema.tags} - {0}, reverse=True
    )


@given(st.data(), schemas())
@settings(deadline=None)
def test_the_valued_tags_are_those_that_a_loop_finds(data: st.DataObject, schema: Schema) -> None:
    frame = data.draw(frames(schema, 1, plain=False))
    found = {tag for first, last in planes.valued(schema, frame) for tag in range(first, last + 1)}
    assert found == {tag for tag, has in enumerate(has_values(schema, frame)) if has}


# --- uploads ---------------------------------------------------------------------------------------------

NUMBERS = st.integers(0, (1 << 62) - 1)
SEQS = st.integers(1, 1 << 40)
HEADS = st.builds(
    Head,
    epoch=st.text(min_size=1, max_size=64),
    no=st.integers(0, (1 << 23) - 1),
    run=st.text(min_size=1, max_size=64),
    boot=st.text(max_size=60),
    floor=SEQS,
    next=SEQS,
    held=st.lists(st.tuples(NUMBERS, NUMBERS), max_size=3),
    now=NUMBERS,
    sync=st.none() | st.booleans(),
    term=st.none() | NUMBERS,
)
TIMES = st.integers(0, sides.MAX_WALL_MS)


@st.composite
def items(draw: st.DrawFn) -> BatchItem:
    t0, t1 = sorted((draw(TIMES), draw(TIMES)))
    u32 = st.integers(0, (1 << 32) - 1)
    return BatchItem(
        draw(st.integers(1, (1 << 40) - 1)),
        draw(st.integers(0, 255)),
        draw(st.integers(0, 255)),
        draw(u32),
        draw(u32),
        t0,
        t1,
        draw(st.binary(min_size=16, max_size=16)),
        draw(st.binary(max_size=60)),
    )


@settings(deadline=None)
@given(HEADS, st.lists(items(), min_size=1, max_size=4))
def test_an_upload_comes_back(head: Head, sent: list[BatchItem]) -> None:
    found_head, found = decode_upload(encode_upload(head, sent))
    assert found_head == head
    assert found == sent


# --- a stranger's bytes ----------------------------------------------------------------------------------


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Bits flipped, stretches cut out, bytes put in or repeated."""
    result = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(result) - 1)))
        match draw(st.sampled_from(["flip", "set", "cut", "insert", "repeat"])):
            case "flip" if result:
                result[at] ^= 1 << draw(st.integers(0, 7))
            case "set" if result:
                result[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
            case "cut":
                del result[at : at + draw(st.integers(1, 9))]
            case "insert":
                result[at:at] = draw(st.binary(min_size=1, max_size=9))
            case _:
                result[at:at] = result[at : at + draw(st.integers(1, 9))]
    return bytes(result)


def read_all(body: bytes, codec: int, raw_bytes: int, known: list[Schema]) -> None:
    """Everything that a centre asks of a batch. Only WireError may come out, and sound frames."""
    try:
        batch = Batch.open(body, codec, raw_bytes)
    except WireError:
        return
    batch.contents()
    batch.schema_hashes()
    for kind in Kind:
        try:
            batch.records(kind)
        except WireError:
            continue
    by_hash = {schema.hash: schema for schema in known}
    for index, entry in enumerate(batch.sections):
        schema = by_hash.get(entry["s"], known[0])
        try:
            found = batch.frames(index, schema)
        except WireError:
            continue
        for frame in found:
            check_frame(schema, frame)


def check_frame(schema: Schema, frame: Frame) -> None:
    tags = len(schema.tags)
    assert len(frame.row) in (0, schema.row_bytes)
    assert bool(frame.row) or not any(has_values(schema, frame))
    assert frame.present is None or len(frame.present) == (tags + 7) // 8
    assert frame.text is None or len(frame.text) == tags - schema.fixed_tags
    assert 1 <= frame.n < 1 << 62
    assert 0 <= frame.suppressed <= frame.read
    assert 0 <= frame.wall_ms <= sides.MAX_WALL_MS
    end = 0
    for run in frame.quality:
        assert end <= run.first < run.first + run.count <= tags
        end = run.first + run.count


@settings(max_examples=100, deadline=None)
@given(st.data(), st.lists(frames_parts(), min_size=1, max_size=2), records_parts())
def test_a_damaged_batch_is_read_or_refused(
    data: st.DataObject, parts: list[FramesPart], records: RecordsPart
) -> None:
    sealed = encode(Origin("d", "r", "b"), [*parts, records], 0, Codec.NONE)
    body = data.draw(mutated(sealed.body))
    read_all(body, Codec.NONE, len(body), [part.schema for part in parts])


@settings(max_examples=100, deadline=None)
@given(st.data(), frames_parts(), st.sampled_from([Codec.ZSTD, Codec.DEFLATE]))
def test_a_damaged_body_is_read_or_refused(data: st.DataObject, part: FramesPart, codec: Codec) -> None:
    sealed = encode(Origin("d", "r", "b"), [part], 0, codec)
    body = data.draw(mutated(sealed.body))
    read_all(body, data.draw(st.sampled_from([codec, 0, 1, 2, 3, 255])), sealed.raw_bytes, [part.schema])


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 4), st.integers(-1, 1 << 33))
def test_any_bytes_are_a_batch_or_a_wire_error(body: bytes, codec: int, raw_bytes: int) -> None:
    known = Schema.of("c", "g", None, [TagSchema("t", ValueType.UINT16)])
    read_all(body, codec, raw_bytes, [known])


@settings(max_examples=100, deadline=None)
@given(st.data(), HEADS, st.lists(items(), min_size=1, max_size=2))
def test_a_damaged_upload_is_read_or_refused(data: st.DataObject, head: Head, sent: list[BatchItem]) -> None:
    body = data.draw(mutated(encode_upload(head, sent)))
    try:
        _, found = decode_upload(body)
    except WireError:
        return
    assert found


@settings(max_examples=100, deadline=None)
@given(st.data(), schemas())
def test_a_damaged_schema_is_read_or_refused(data: st.DataObject, schema: Schema) -> None:
    body = data.draw(mutated(schema.canonical))
    try:
        found = Schema.from_bytes(body)
    except WireError:
        return
    assert found.canonical == body
    assert len(found.edges) == found.fixed_tags + 1
