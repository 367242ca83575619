"""What a transform may do with a frame, and what is stored of what it sets."""

from typing import Any

import pytest

from edge_agent.wire.schema import Order, TagSchema, ValueType
from tests.unit.hooks.worker.desk import ALL, Desk, InProcess, failure, good, script

NAIVE = """
OUTPUTS = {"oil_f": "float64 °F", "water_f": "float64 °F"}
def transform(frame):
    frame["oil_f"] = frame["oil"] * 1.8 + 32
    frame["water_f"] = frame["water"] * 1.8 + 32
"""


async def test_values_are_engineering_values_and_outputs_stand_beside_them() -> None:
    desk = await Desk.of(NAIVE)
    made = await desk.frame(ALL)
    assert good(made, "oil_f", "water_f", "oil", "batch") == [77.0, 50.0, 25.0, "B7"]


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("int16", "40_000"), ("uint8", "-1"), ("int32", "1.5"), ("int32", "'7'"), ("float32", "1e39"),
        ("float64", "math.nan"), ("float64", "math.inf"), ("float64", "10 ** 400"), ("bool", "2"),
        ("string", "7"), ("string", "'\\ud800'"), ("json", "{1: 2}"), ("json", "[math.nan]"),
        ("json", "1 << 64"), ("string", "'x' * 70000"), ("int32[3]", "[1, 2]"),
        ("int32[3]", "[1, 2, 1 << 40]"), ("string[2]", "['a']"),
        ("uint16", "None"), ("json", "{1, 2}"),
    ],
)  # fmt: skip
async def test_what_a_type_cannot_hold_is_null_and_bad(type_: str, value: str) -> None:
    desk = await Desk.of(script(f"'a': '{type_}', 'b': 'int32'", f"frame['a'] = {value}", "frame['b'] = 1"))
    made = await desk.frame(ALL)
    assert isinstance(made, dict), made
    assert (made["a"].value, made["a"].quality) == (None, "bad_value")
    assert good(made, "b") == 1


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("int16", "-7.0", -7), ("bool", "1", True), ("bool", "False", False), ("float32", "True", 1.0),
        ("uint64", "(1 << 64) - 1", (1 << 64) - 1), ("int64", "-(1 << 63)", -(1 << 63)),
        ("string", "'한글'", "한글"),
        ("json", "{'a': [1, None, 'x']}", {"a": [1, None, "x"]}), ("int16[3]", "(1, -2, 3.0)", [1, -2, 3]),
        ("string[2]", "['a', 'b']", ["a", "b"]), ("bool[2]", "[True, 0]", [True, False]),
    ],
)  # fmt: skip
async def test_what_a_type_holds_is_stored(type_: str, value: str, expected: Any) -> None:
    desk = await Desk.of(f"OUTPUTS = {{'a': '{type_}'}}\ndef transform(frame):\n    frame['a'] = {value}\n")
    assert good(await desk.frame(ALL), "a") == expected


async def test_a_replaced_tag_that_is_not_set_keeps_its_value_and_quality() -> None:
    desk = await Desk.of("OUTPUTS = {'oil': 'float64', 'new': 'int8'}\ndef transform(frame):\n    pass\n")
    made = await desk.frame(ALL)
    assert good(made, "oil") == 25.0
    assert isinstance(made, dict)
    assert "new" not in made
    bad = await desk.frame({**ALL, "oil": None}, {"oil": "bad_comm"})
    assert isinstance(bad, dict)
    assert (bad["oil"].value, bad["oil"].quality) == (None, "bad_comm")


async def test_dropped_tags_and_outputs_are_left_out() -> None:
    desk = await Desk.of("""
OUTPUTS = {"oil": "float64", "new": "int8"}
def transform(frame):
    frame["oil"] = 1
    frame["new"] = 2
    if frame["running"]:
        frame.drop("oil")
        frame.drop("wa*")
    else:
        frame.drop()
""")
    made = await desk.frame(ALL)
    assert isinstance(made, dict)
    assert sorted(made) == ["batch", "count", "new", "running", "status"]
    assert await desk.frame({**ALL, "running": False}) == {}


async def test_a_tag_that_did_not_change_has_the_value_that_it_had() -> None:
    desk = await Desk.of("""
OUTPUTS = {"sum": "float64", "age": "float64", "here": "bool"}
def transform(frame):
    frame["sum"] = frame["oil"] + frame["water"]
    frame["age"] = frame.age("oil")
    frame["here"] = "oil" in frame
""")
    first, second, third = await desk.run([ALL, {"water": 11.0}, {"water": 12.0, "oil": 26.0}])
    assert good(first, "sum", "age", "here") == [35.0, 0.0, True]
    assert good(second, "sum", "age", "here") == [36.0, 1.0, False]
    assert good(third, "sum", "age", "here") == [38.0, 0.0, True]
    assert isinstance(second, dict)
    assert "oil" not in second, "remembered, and not sent again"


async def test_nothing_is_remembered_over_a_hole_between_frames() -> None:
    desk = await Desk.of("""
OUTPUTS = {"sum": "float64", "water_f": "float64"}
def transform(frame):
    frame["sum"] = frame["oil"] + frame["water"]
    frame["water_f"] = frame["water"] * 1.8 + 32
""")
    await desk.frame(ALL)
    made = await desk.frame({"water": 11.0})
    assert isinstance(made, dict)
    assert "sum" not in made, "oil may have changed meanwhile"
    assert good(made, "water_f") == pytest.approx(51.8)


async def test_frames_of_partial_changes_are_laid_together() -> None:
    desk = await Desk.of(script("'sum': 'int32'", "frame['sum'] = frame['oil'] + frame['count']"))
    shown = await desk.run([ALL, *({"count": number} for number in range(100))])
    assert [good(each, "sum") for each in shown] == [32.0, *(25.0 + number for number in range(100))]


async def test_a_frame_knows_where_it_is_from() -> None:
    desk = await Desk.of("""
OUTPUTS = {"told": "json"}
def transform(frame):
    frame["told"] = [frame.connection, frame.group, frame.unit_id, frame.time, len(frame.names),
                     frame.quality("oil"), frame.get("nothing", 3), frame.get("oil")]
""")
    told = good(await desk.frame(ALL, time=77), "told")
    assert told == ["press1", "fast", 7, 77, 6, "good", 3, 25.0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("frame['x'] = 1", "'x' is not declared in OUTPUTS, which has a"),
        ("frame.set('x', 1)", "'x' is not declared in OUTPUTS, which has a"),
        ("frame.set_columns('x*', 1)", "'x*' is not declared in OUTPUTS, which has a"),
        ("frame['nope']", "press1.fast has no tag 'nope'"),
        ("frame.columns('nope*')", "'nope*' stands for no tag of press1.fast"),
        ("frame.drop('nope')", "press1.fast has no tag 'nope', and it is no output"),
        ("frame['a']", "the output 'a' is not set yet"),
        ("frame['a'] = frame.columns('oil')", "a column is no single value: set it with set_columns"),
        ("frame.set('a', frame.columns('oil'))", "a column is no single value: set it with set_columns"),
        ("frame.columns('oil')['water']", "the column has no element 'water'"),
        ("frame.set('a', 1, quality='fine')", "'fine' is not a quality"),
        ("frame.set_columns('a', [1, 2])", "'a' stands for 1 outputs, and 2 values were given"),
    ],
)
async def test_an_error_names_what_is_wrong_and_its_line(line: str, message: str) -> None:
    desk = await Desk.of(f"OUTPUTS = {{'a': 'int32'}}\ndef transform(frame):\n    x = 1\n    {line}\n")
    told = failure(await desk.frame(ALL))
    assert message in told.message
    assert told.line == 4
    assert told.traceback == f"line 4, in transform: {line}"


async def test_a_pattern_that_stands_for_nothing_leaves_nothing_out() -> None:
    desk = await Desk.of(
        "OUTPUTS = {'a': 'int32'}\ndef transform(frame):\n    frame.drop('nope*')\n    frame['a'] = 1\n"
    )
    assert good(await desk.frame(ALL), "a") == 1


async def test_columns_put_no_replaced_tag_into_a_frame_that_its_deadband_kept_it_out_of() -> None:
    desk = await Desk.of("""
OUTPUTS = {"oil": "float32", "water": "float32", "sum": "float32"}
def transform(frame):
    both = frame.columns("oil") * 2
    frame.set_columns("oil", both)
    frame.set_columns("water", frame.columns("water") * 2)
    frame["sum"] = frame["oil"] + frame["water"]
""")
    first, second = await desk.run([ALL, {"water": 11.0}])
    assert (good(first, "oil"), good(first, "water"), good(first, "sum")) == (50.0, 20.0, 70.0)
    assert isinstance(second, dict)
    assert "oil" not in second
    assert (good(second, "water"), good(second, "sum")) == (22.0, 47.0)


async def test_every_order_of_bytes_is_read() -> None:
    tags = [TagSchema(str(order), ValueType.FLOAT32, order) for order in Order]
    desk = await Desk.of(
        script("'all': 'json'", "frame['all'] = [frame[name] for name in frame.names]"),
        tags=tags,
    )
    values = {str(order): float(number) for number, order in enumerate(Order)}
    assert good(await desk.frame(values), "all") == list(values.values())


async def test_numbers_that_are_none_have_no_value_to_a_script() -> None:
    desk = await Desk.of(
        "OUTPUTS = {'a': 'float64'}\ndef transform(frame):\n    frame['a'] = frame['water'] * 2\n"
    )
    made = await desk.frame({**ALL, "water": None}, {"water": "bad_value"})
    assert isinstance(made, dict)
    assert made["a"].value is None


async def test_what_a_script_does_to_an_input_changes_no_input() -> None:
    desk = await Desk.of(
        script("'n': 'int32', 'recipe': 'json'", "frame['recipe']['steps'].append(9)",
               "frame['recipe'].clear()", "frame['zones'].append(7)", "state_of = frame['recipe']['steps']",
               "frame['n'] = len(state_of) + len(frame['zones'])"),
        tags=[TagSchema("recipe", ValueType.JSON), TagSchema("zones", ValueType.INT8, count=2),
              TagSchema("x", ValueType.INT8)],
    )  # fmt: skip
    recipe = {"steps": [1, 2]}
    first, second = await desk.run([{"recipe": recipe, "zones": [1, 2], "x": 1}, {"x": 2}])
    assert good(first, "n", "recipe") == [4, recipe]
    assert good(second, "n") == 4


async def test_hooks_that_share_a_worker_share_nothing_else() -> None:
    worker = InProcess()
    one = await Desk.of("KEPT = [1]\n" + script("'a': 'int8'", "KEPT.append(2)", "math.x = 1"), worker=worker)
    other = await Desk.of(
        script("'a': 'json'", "frame['a'] = hasattr(math, 'x')", "KEPT"), worker=worker, name="other"
    )
    assert failure(await one.frame(ALL)).message == "Namespace cannot be changed by a script"
    assert failure(await other.frame(ALL)).message == "name 'KEPT' is not defined"
    assert failure(await one.frame(ALL)).line == 5, "the first one is still itself"
