"""What a worker reads of a row and writes into one, against `wire.values`, which all others read with."""

import struct
from array import array
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.hooks.worker.cells import ABSENT, NULL, Cells, History
from edge_agent.hooks.worker.layout import Layout
from edge_agent.hooks.worker.outputs import UNSET, Outputs
from edge_agent.hooks.worker.patterns import choose, expand
from edge_agent.wire.frame import bitmap, selection
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType
from edge_agent.wire.values import read_value

FIXED = [type_ for type_ in ValueType if type_.size]
SCALES = st.sampled_from([1.0, 1.0, 0.1, 0.01, 10.0**-12, 0.25, 3.0, -0.1, 1e300])
OFFSETS = st.sampled_from([0.0, 0.0, -40.0, 0.3])


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Runs of equal tags, as groups have them, between tags that are like no other."""
    tags: list[TagSchema] = []
    for _ in range(draw(st.integers(1, 5))):
        type_, order = draw(st.sampled_from(FIXED)), draw(st.sampled_from(Order))
        count = draw(st.sampled_from([1, 1, 1, 3]))
        scale, offset = (1.0, 0.0) if type_ is ValueType.BOOL else (draw(SCALES), draw(OFFSETS))
        for _ in range(draw(st.integers(1, 4))):
            tags.append(TagSchema(f"t{len(tags)}", type_, order, count, scale, offset))
    return Schema.of("c", "g", None, tags)


def same(one: Any, other: Any) -> bool:
    """Equal in value and type: a whole number is not a float, 0.0 is not -0.0."""
    return repr(one) == repr(other)


@given(schemas(), st.data())
def test_every_way_of_reading_gives_the_engineering_value(schema: Schema, data: st.DataObject) -> None:
    row = data.draw(st.binary(min_size=schema.row_bytes, max_size=schema.row_bytes))
    layout = Layout(schema)
    cells = Cells(layout, {"t": 1, "m": 1}, memoryview(row))
    edges = schema.edges
    expected = [read_value(tag, row[edges[at] : edges[at + 1]]) for at, tag in enumerate(schema.tags)]
    indices = range(len(expected))
    assert same([cells.value(index) for index in indices], expected)
    assert same(cells.column(layout.selection(indices))[0], expected)
    first = data.draw(st.integers(0, len(expected) - 1))
    last = data.draw(st.integers(first, len(expected) - 1))
    assert same(cells.column(layout.selection(range(first, last + 1)))[0], expected[first : last + 1])
    mixed = data.draw(st.permutations(indices))
    assert same(cells.column(layout.selection(mixed))[0], [expected[index] for index in mixed])


@given(st.lists(st.integers(-(1 << 31), (1 << 32) - 1), min_size=1), st.integers(1, 12))
def test_dividing_by_a_power_of_ten_is_what_rounding_the_product_is(raw: list[int], power: int) -> None:
    for type_, least, most in (
        (ValueType.INT32, -(1 << 31), (1 << 31) - 1),
        (ValueType.UINT32, 0, (1 << 32) - 1),
    ):
        tags = [TagSchema(f"t{n}", type_, scale=10.0**-power) for n in range(len(raw))]
        schema = Schema.of("c", "g", None, tags)
        row = array(type_.typecode, [min(max(value, least), most) for value in raw]).tobytes()
        cells = Cells(Layout(schema), {"t": 1, "m": 1}, row)
        expected = [read_value(tag, row[4 * at : 4 * at + 4]) for at, tag in enumerate(tags)]
        assert same(cells.column(cells.layout.selection(range(len(raw))))[0], expected)


@given(schemas(), st.data())
def test_bits_and_runs_say_of_each_tag_whether_it_is_there_and_how_good(
    schema: Schema, data: st.DataObject
) -> None:
    tags = schema.tag_count
    here = data.draw(st.lists(st.booleans(), min_size=tags, max_size=tags))
    marks: dict[int, tuple[int, bool]] = {}
    runs: list[list[int]] = []
    at = 0
    while at < tags and data.draw(st.booleans()):
        first = data.draw(st.integers(at, tags - 1))
        count = data.draw(st.integers(1, tags - first))
        quality, null = data.draw(st.integers(0, 7)), data.draw(st.booleans())
        runs.append([first, count, quality, int(null)])
        marks |= dict.fromkeys(range(first, first + count), (quality, null))
        at = first + count
    head = {"t": 1, "m": 1, "p": bitmap(here).hex(), "q": runs}
    cells = Cells(Layout(schema), head, bytes(schema.row_bytes))
    for index in range(tags):
        code = cells.code(index)
        if not here[index]:
            assert code & ABSENT
            assert cells.read(index).value is None
        else:
            quality, null = marks.get(index, (0, False))
            assert (code & 0x0F, bool(code & NULL), bool(code & ABSENT)) == (quality, null, False)
            assert (cells.read(index).value is None) >= null


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=80), st.data())
def test_the_newest_value_of_a_tag_is_found_behind_any_number_of_frames(
    frames: list[list[bool]], data: st.DataObject
) -> None:
    schema = Schema.of("c", "g", None, [TagSchema(f"t{n}", ValueType.INT32) for n in range(3)])
    layout, history = Layout(schema), History()
    known: dict[int, int] = {}
    number = 0
    for value, here in enumerate(frames):
        hole = data.draw(st.integers(0, 20)) == 0
        number += 2 if hole else 1
        if hole:
            known = {}
        head: dict[str, Any] = {"t": value, "m": value, "n": 12}
        if not all(here):
            head["p"] = bitmap(here).hex()
        history.push(Cells(layout, head, array("i", [value] * 3).tobytes()), number)
        known |= {index: value for index in range(3) if here[index]}
        if data.draw(st.booleans()):
            for index in range(3):
                read = history.find(index)
                assert (None if read is None else (read.value, read.time)) == (
                    (known[index], known[index]) if index in known else None
                )


VALUES = st.one_of(
    st.just(UNSET), st.none(), st.booleans(), st.integers(-(1 << 65), 1 << 65), st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(-5, 5), max_size=3), st.sets(st.integers(), max_size=1),
)  # fmt: skip
PLAIN = st.one_of(st.integers(0, 100), st.floats(0, 100), st.booleans())


def stored(type_: ValueType, value: Any) -> Any:
    """What a type keeps of a value, one at a time; None: it cannot hold it."""
    if isinstance(value, bool | int | float):
        try:
            if type_ is ValueType.BOOL:
                return bool(value) if value in (0, 1) else None
            if not type_.is_float and value != int(value):
                return None
            packed = struct.pack("<" + type_.typecode, value if type_.is_float else int(value))
        except (struct.error, OverflowError, ValueError):
            return None
        return read_value(TagSchema("t", type_), packed)
    return None


@given(st.lists(st.tuples(st.sampled_from(FIXED), st.integers(1, 4)), min_size=1, max_size=4), st.data())
def test_what_is_written_is_what_the_types_hold(
    groups: list[tuple[ValueType, int]], data: st.DataObject
) -> None:
    types = sorted((type_ for type_, count in groups for _ in range(count)), key=lambda type_: -type_.size)
    outputs = Outputs([[f"o{at}", str(type_), 1, -1] for at, type_ in enumerate(types)])
    some = PLAIN if data.draw(st.booleans()) else VALUES
    values = data.draw(st.lists(some, min_size=len(types), max_size=len(types)))
    codes = None
    if data.draw(st.booleans()):
        marked = st.sampled_from([0, 0, 2, 5 | NULL, NULL])
        codes = bytearray(data.draw(st.lists(marked, min_size=len(types), max_size=len(types))))
    given_codes = bytes(codes) if codes is not None else bytes(len(types))
    row, fields = outputs.encode(list(values), codes)
    assert len(row) == fields["n"] == outputs.row_bytes
    present = selection(bytes.fromhex(fields["p"]), len(types))
    marks = {at: run for run in fields.get("q", ()) for at in range(run[0], run[0] + run[1])}
    at = 0
    for place, type_ in enumerate(types):
        cell = row[at : at + type_.size]
        at += type_.size
        if values[place] is UNSET:
            assert not present[place]
            assert not any(cell)
            continue
        assert present[place]
        code = given_codes[place]
        expected = None if code & NULL else stored(type_, values[place])
        if expected is None:
            quality = 6 if not code or (values[place] is not None and not code & NULL) else code & 0x0F
            assert marks[place][2:] == [quality, 1]
            assert not any(cell), "a null output's bytes are zeros"
        else:
            assert same(read_value(TagSchema("t", type_), cell), expected)
            assert (marks[place][2:] if place in marks else [0, 0]) == [code, 0]


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 4))
def test_a_range_stands_for_its_names_in_order(first: int, count: int, width: int) -> None:
    pattern = f"zone[{first:0{width}}..{first + count}]_f"
    names = expand(pattern)
    assert [int(name[4:-2]) for name in names] == list(range(first, first + count + 1))
    shuffled = tuple(sorted(names, key=hash))
    index = {name: place for place, name in enumerate(shuffled)}
    assert [shuffled[place] for place in choose(pattern, shuffled, index)] == names
