"""Frames put together from slices and runs, against a naive reading tag by tag, and through a batch."""

from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.hooks.derive import RAW_SUFFIX, Derived, declared, derive
from edge_agent.hooks.merge import merge
from edge_agent.model.failed import mark_failed
from edge_agent.wire.batch import Batch, FramesPart, Origin, encode
from edge_agent.wire.frame import Frame, JsonValue, bitmap, selection
from edge_agent.wire.quality import Quality, QualityRun, SourceRun
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType
from edge_agent.wire.scripts import HookPoint, Script

_TYPES = [ValueType.BOOL, ValueType.UINT16, ValueType.FLOAT32, ValueType.INT64, ValueType.STRING]


class Cell(NamedTuple):
    """A sample: bytes of the row, or text; None: null. Source: the protocol's time."""

    data: bytes | None
    text: JsonValue
    quality: Quality
    source: int | None


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    types = draw(st.lists(st.sampled_from(_TYPES), min_size=1, max_size=12))
    tags = [
        TagSchema(f"t{index}", type_, Order.ABCD, unit=draw(st.sampled_from(["", "bar"])))
        for index, type_ in enumerate(types)
    ]
    return Schema.of("press1", "fast", 1, draw(st.permutations(tags)))


@st.composite
def frames(draw: st.DrawFn, schema: Schema) -> Frame:
    tags = schema.tag_count
    present = draw(st.none() | st.lists(st.booleans(), min_size=tags, max_size=tags))
    if present is not None and all(present):
        present = None
    quality = draw(runs(tags))
    held = tags if present is None else sum(present)
    row = b"" if draw(st.booleans()) else b"".join(
        bytes([index & 1]) if tag.type is ValueType.BOOL else bytes([index + 1]) * tag.row_bytes
        for index, tag in enumerate(schema.tags)
    )  # fmt: skip
    if not row and any(tag.type.size for tag in schema.tags):
        quality = [QualityRun(0, tags, Quality.BAD_COMM)]
    text = tuple(f"x{index}" for index in range(tags - schema.fixed_tags)) or None
    source = (SourceRun(0, max(1, tags // 2), 77),) if draw(st.booleans()) else ()
    hidden = draw(st.integers(0, 3))
    bits = None if present is None else bitmap(present)
    return Frame(7, 8, 9, row, held + hidden, hidden, bits, text, tuple(quality), source)


@st.composite
def runs(draw: st.DrawFn, tags: int) -> list[QualityRun]:
    found: list[QualityRun] = []
    at = 0
    while at < tags and draw(st.booleans()):
        first = draw(st.integers(at, tags - 1))
        count = draw(st.integers(1, tags - first))
        quality = draw(st.sampled_from([Quality.UNCERTAIN, Quality.BAD_VALUE, Quality.BAD_HOOK]))
        found.append(QualityRun(first, count, quality, draw(st.booleans())))
        at = first + count
    return found


def cells(schema: Schema, frame: Frame) -> dict[str, Cell]:
    """All samples of a frame, read one by one."""
    found: dict[str, Cell] = {}
    for index, (tag, held) in enumerate(
        zip(schema.tags, selection(frame.present, schema.tag_count), strict=True)
    ):
        if not held:
            continue
        mark = next((run for run in frame.quality if run.first <= index < run.first + run.count), None)
        source = next(
            (run.time_ms for run in frame.source if run.first <= index < run.first + run.count), None
        )
        quality = Quality.GOOD if mark is None else mark.quality
        data: bytes | None = None
        text: JsonValue = None
        if mark is None or not mark.null:
            if tag.type.size:
                data = frame.row[schema.edges[index] : schema.edges[index + 1]]
            elif frame.text is not None:
                text = frame.text[index - schema.fixed_tags]
        found[tag.name] = Cell(data, text, quality, source)
    return found


class Answer(NamedTuple):
    result: dict[str, Any]
    values: bytes
    cells: dict[str, Cell]
    dropped: set[str]


@st.composite
def answers(draw: st.DrawFn, derived: Derived) -> Answer:
    outputs = derived.outputs()
    present = [draw(st.booleans()) for _ in outputs] if draw(st.booleans()) else [True] * len(outputs)
    quality = draw(runs(len(outputs)))
    dropped = draw(st.sets(st.integers(0, derived.source.tag_count - 1), max_size=3))
    values, texts, expected = b"", [], {}
    for index, (name, type_, _, _) in enumerate(outputs):
        mark = next((run for run in quality if run.first <= index < run.first + run.count), None)
        null = mark is not None and mark.null
        size = ValueType(type_).size
        data = bytes(size) if null or type_ == "bool" else bytes([0x40 + index]) * size
        values += data
        text = None if null or size else f"made{index}"
        if not size:
            texts.append(text)
        if present[index]:
            kind = Quality.GOOD if mark is None else mark.quality
            expected[name] = Cell(data if size and not null else None, text, kind, None)
    result: dict[str, Any] = {"n": len(values), "p": bitmap(present).hex() if present else ""}
    if quality:
        result["q"] = [[run.first, run.count, int(run.quality), int(run.null)] for run in quality]
    if texts:
        result["x"] = texts
    if dropped:
        result["d"] = bitmap([index in dropped for index in range(derived.source.tag_count)]).hex()
    return Answer(result, values, expected, {derived.source.tags[index].name for index in dropped})


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_frame_has_what_it_had_and_what_the_hook_made(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    replaced = data.draw(
        st.lists(st.sampled_from([tag.name for tag in schema.tags]), unique=True, max_size=4)
    )
    names = [*replaced, *data.draw(st.lists(st.sampled_from(["new", "mean", "a.b"]), unique=True))]
    outputs = [[name, str(data.draw(st.sampled_from(_TYPES)))] for name in names]
    keep = data.draw(st.booleans())
    script = Script(name="h", hook_type=HookPoint.TRANSFORM, source="x", keep_raw=keep)
    derived = derive(schema, declared(outputs), script)
    frame = data.draw(frames(schema))
    answer = data.draw(answers(derived))
    made = merge(derived, frame, answer.result, memoryview(answer.values))

    before = cells(schema, frame)
    expected: dict[str, Cell] = {}
    for name, cell in before.items():
        if name not in answer.dropped and (name not in replaced or keep):
            expected[name + RAW_SUFFIX if name in replaced else name] = cell
    for name, cell in answer.cells.items():
        index = schema.index(name)
        source = None
        if index is not None:
            covering = [run.time_ms for run in frame.source if run.first <= index < run.first + run.count]
            source = covering[0] if covering else None
        expected[name] = cell._replace(source=source)
    assert cells(derived.schema, made.frame) == expected

    after = made.frame
    assert after.samples == len(expected)
    assert (after.read - frame.read, after.suppressed - frame.suppressed) == (made.computed, made.dropped)
    assert (after.n, after.mono_ns, after.wall_ms) == (7, 8, 9)
    if not derived.schema.tags:
        return
    assert Schema.from_bytes(derived.schema.canonical).hash == derived.schema.hash
    sealed = encode(Origin("d", "r", "b"), [FramesPart(derived.schema, [after])], 0)
    assert sealed.samples == len(expected)
    (again,) = Batch.open(sealed.body, sealed.codec, sealed.raw_bytes).frames(0, derived.schema)
    assert cells(derived.schema, again) == expected


@settings(max_examples=60, deadline=None)
@given(st.data(), st.booleans())
def test_of_a_hook_that_failed_every_sample_is_marked_and_none_is_better_than_it_was(
    data: st.DataObject, withhold: bool
) -> None:
    schema = data.draw(schemas())
    frame = data.draw(frames(schema))
    marked = mark_failed(frame, schema.tag_count, withhold=withhold)
    before, after = cells(schema, frame), cells(schema, marked)
    assert before.keys() == after.keys()
    for name, cell in before.items():
        was_bad = cell.quality >= Quality.BAD_CONFIG
        assert after[name].quality is (cell.quality if was_bad else Quality.BAD_HOOK)
        kept = (None, None) if withhold else (cell.data, cell.text)
        assert (after[name].data, after[name].text) == kept
    assert (marked.read, marked.suppressed, marked.n) == (frame.read, frame.suppressed, frame.n)
    sealed = encode(Origin("d", "r", "b"), [FramesPart(schema, [marked])], 0)
    (again,) = Batch.open(sealed.body, sealed.codec, sealed.raw_bytes).frames(0, schema)
    assert cells(schema, again) == after
