"""Whatever a script does: an output that is good does not depend on a value that is not.

Scripts are made up of assignments, conditions, loops, lists and helpers. Each runs on frames that differ in
one tag alone, which is stale or has no value: an output that is good on two of them is the same on both.
"""

import textwrap
from array import array
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from edge_agent.hooks.worker.layout import Layout
from edge_agent.hooks.worker.program import Program
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType

SCHEMA = Schema.of(
    "c", "g", None, [TagSchema(name, ValueType.FLOAT64, Order.DCBA) for name in ("oil", "water")]
)
OUTPUTS: list[list[Any]] = [["a", "float64", 1, -1], ["b", "float64", 1, -1], ["l", "json", 1, -1]]
HEAD = """
KEPT = []
OUTPUTS = {"a": "float64", "b": "float64", "l": "json"}
def twice(value):
    return value * 2
def put(frame, name, value):
    frame[name] = value
def kept(value):
    KEPT.append(value)
    return KEPT[0]
def transform(frame):
    KEPT.clear()
    x = y = 0
"""
STALE, BAD = [[0, 1, int(Quality.STALE), 0]], [[0, 1, int(Quality.BAD_COMM), 1]]
OILS = ((1.0, STALE), (2.0, STALE), (5.0, STALE), (0.0, BAD))

LEAVES = st.sampled_from(
    ["0", "1", "3", "x", "y", "n",
     "frame['oil']", "frame['oil']", "frame['water']", "frame['a']", "frame['b']",
     "frame.get('oil', 1)", "frame.get('a', 1)", "frame.columns('oil')[0]", "frame.columns('*').max()",
     "len(frame['l'])", "frame['l'][-1]", "(frame.columns('oil').good().max() or 0)"]
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.tuples(parts, st.sampled_from("+-*"), parts).map(lambda each: f"({each[0]} {each[1]} {each[2]})"),
        st.tuples(parts, parts, parts).map(lambda each: f"({each[0]} if {each[1]} > 1 else {each[2]})"),
        st.tuples(st.sampled_from(["twice", "kept", "abs"]), parts).map(lambda each: f"{each[0]}({each[1]})"),
    ),
    max_leaves=4,
)
NAMES = st.sampled_from(["a", "b"])
LINES = st.one_of(
    st.tuples(NAMES, VALUES).map(lambda each: f"frame['{each[0]}'] = {each[1]}"),
    st.tuples(NAMES, VALUES).map(lambda each: f"frame['{each[0]}'] = {each[1]}"),
    st.tuples(NAMES, VALUES).map(lambda each: f"frame['{each[0]}'] += {each[1]}"),
    st.tuples(NAMES, VALUES).map(lambda each: f"frame.set('{each[0]}', {each[1]})"),
    st.tuples(NAMES, VALUES).map(lambda each: f"frame.set_columns('{each[0]}*', {each[1]})"),
    st.tuples(NAMES, VALUES).map(lambda each: f"put(frame, '{each[0]}', {each[1]})"),
    st.tuples(VALUES, VALUES).map(lambda each: f"frame['ab'[int({each[0]}) % 2]] = {each[1]}"),
    st.tuples(st.sampled_from(["x", "y"]), VALUES).map(lambda each: f"{each[0]} = {each[1]}"),
    VALUES.map(lambda value: f"x += {value}"),
    VALUES.map(lambda value: f"frame['l'] = [{value}]"),
    VALUES.map(lambda value: f"frame['l'].append({value})"),
    VALUES.map(lambda value: f"frame['a'] = frame['l'].append({value})"),
    st.just("x = [1]\nframe['l'] = x\nx.append(frame['oil'])\nx = 2"),
    VALUES.map(lambda value: f"if {value} > 1: return"),
    VALUES.map(lambda value: f"1 / ({value} - 2)"),
    VALUES.map(lambda value: f"assert {value} != 2"),
    st.just("frame['oil'] > 1 and frame.set('a', 3)"),
)


def _blocks(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def within(head: str, body: str) -> str:
        return head + "\n" + textwrap.indent(body, "    ")

    return st.one_of(
        st.tuples(parts, parts).map("\n".join),
        st.tuples(VALUES, parts).map(lambda each: within(f"if {each[0]} > 1:", each[1])),
        st.tuples(parts, parts).map(lambda each: within("if 'oil' in frame:", each[0]) + "\n" + each[1]),
        parts.map(lambda body: within("for n in (1, 2, 3):", body)),
        st.tuples(VALUES, parts).map(lambda each: within(f"for n in range(int({each[0]}) % 4):", each[1])),
        st.tuples(VALUES, parts).map(
            lambda each: within("for n in (1, 2, 3):", f"{each[1]}\nif {each[0]} > n: break")
        ),
        st.tuples(parts, parts).map(
            lambda each: within("try:", each[0]) + "\n" + within("except Exception:", each[1])
        ),
    )


BODIES = st.recursive(LINES, _blocks, max_leaves=7)


def made_of(program: Program, layout: Layout, oil: float, runs: list[list[int]]) -> dict[str, Any] | None:
    """The values of the outputs that are good; None where the call failed."""
    row = array("d", [oil, 7.0]).tobytes()
    head = {"s": 0, "t": 1, "m": 1, "n": len(row), "q": runs}
    (result,), rows = program.frames([head], memoryview(row), {0: layout})
    if "error" in result:
        return None
    present = int.from_bytes(bytes.fromhex(result["p"]), "little")
    spoilt = {tag for first, count, *_ in result.get("q", ()) for tag in range(first, first + count)}
    numbers = array("d", rows[0])
    values: list[Any] = [*numbers, *result["x"]]
    return {
        name: values[at]
        for at, (name, *_) in enumerate(OUTPUTS)
        if present >> at & 1 and at not in spoilt
    }  # fmt: skip


@given(BODIES)
@example("frame['a'] = 1\nif frame['oil'] > 3: frame['a'] = 2")
@example("frame['l'] = []\nframe['l'].append(frame['oil'])")
@example("for n in (1, 2, 3):\n    if frame['oil'] > n: break\nframe['a'] = n")
@example("try:\n    for n in (1, 2, 3): 1 / (frame['oil'] - n)\nexcept Exception: pass\nframe['a'] = n")
def test_what_is_good_does_not_depend_on_what_is_not(body: str) -> None:
    program = Program("hook", "transform", HEAD + textwrap.indent(body, "    ") + "\n")
    layout = Layout(SCHEMA)
    program.plan(0, layout, OUTPUTS)
    made = [each for each in (made_of(program, layout, oil, runs) for oil, runs in OILS) if each is not None]
    for name in ("a", "b", "l"):
        good = [each[name] for each in made if name in each]
        assert all(each == good[0] for each in good), (name, good)
