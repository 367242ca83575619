"""What a transform may do with a frame, and what becomes of values that are not good."""

from typing import Any

import pytest

from edge_agent.wire.schema import Order, TagSchema, ValueType
from tests.unit.hooks.worker.desk import Desk, InProcess, failure, good

ALL: dict[str, Any] = {
    "oil": 25.0, "water": 10.0, "count": 7, "status": 5, "running": True, "batch": "B7",
}  # fmt: skip


def script(outputs: str, *lines: str) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f"OUTPUTS = {{{outputs}}}\ndef transform(frame):\n{body}"


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


async def test_a_missing_value_spoils_its_own_line_alone() -> None:
    desk = await Desk.of(NAIVE)
    made = await desk.frame({**ALL, "oil": None}, {"oil": "bad_comm"})
    assert isinstance(made, dict)
    assert (made["oil_f"].value, made["oil_f"].quality) == (None, "bad_comm")
    assert good(made, "water_f") == 50.0


@pytest.mark.parametrize("before", [False, True], ids=["in its line", "behind a variable"])
@pytest.mark.parametrize(
    "expression",
    ["-v", "v + 1", "1 < v", "round(v)", "int(v)", "math.sqrt(v)", "v.strip()", "v[0]", "{1: 2}[v]", "[1][v]",
     "max(v, 1)", "sum([v])", "f'{v:02d}'", "'%d' % v", "list(v)", "1 in v", "json.loads(v)", "str.upper(v)",
     "re.sub('a', 'b', v)", "datetime.date.fromordinal(v)", "statistics.mean([v])", "range(v)", "v()"],
)  # fmt: skip
async def test_whatever_is_done_with_a_missing_value_is_no_failure(expression: str, before: bool) -> None:
    line = expression.replace("v", 'frame["oil"]') if not before else expression
    name = "" if not before else "v = frame['oil']\n    "
    source = f"OUTPUTS = {{'a': 'json', 'b': 'int8'}}\ndef transform(frame):\n    {name}frame['a'] = {line}\n"
    desk = await Desk.of(source + "    frame.set('b', 1)\n")
    made = await desk.frame({**ALL, "oil": None}, {"oil": "bad_comm"})
    assert isinstance(made, dict), made
    assert (made["a"].value, made["a"].quality) == (None, "bad_comm")
    assert made["b"].quality == ("bad_comm" if before else "good")


async def test_a_missing_value_behind_a_variable_spoils_all_that_follows() -> None:
    desk = await Desk.of("""
OUTPUTS = {"oil_f": "float64", "water_f": "float64"}
def transform(frame, state):
    state["seen"] = True
    oil = frame["oil"]
    frame["oil_f"] = oil * 1.8 + 32
    frame["water_f"] = frame["water"] * 1.8 + 32
""")
    made = await desk.frame({**ALL, "oil": None}, {"oil": "bad_device"})
    assert isinstance(made, dict)
    for name in ("oil_f", "water_f"):
        assert (made[name].value, made[name].quality) == (None, "bad_device")
    assert desk.state == b"", "the call came to nothing, and so did what it remembered"


@pytest.mark.parametrize(
    "line", ["oil = frame['oil']\n    frame['a'] = oil * 2", "frame['a'] = frame['oil'] * 2"]
)
async def test_an_output_is_no_better_than_what_it_was_made_of(line: str) -> None:
    desk = await Desk.of(f"OUTPUTS = {{'a': 'float64'}}\ndef transform(frame):\n    {line}\n")
    made = await desk.frame(ALL, {"oil": "stale"})
    assert isinstance(made, dict)
    assert (made["a"].value, made["a"].quality) == (50.0, "stale")


@pytest.mark.parametrize(
    "way",
    [
        "x = frame['oil']\n    frame['a'] = x",
        "state['x'] = frame['oil']\n    frame['a'] = state['x']",
        "KEPT.append(frame['oil'])\n    frame['a'] = KEPT[-1]",
        "def f(): return x\n    x = frame['oil']\n    frame['a'] = f()",
        "for x in [frame['oil']]:\n        frame['a'] = x",
        "for x in (1,):\n        x = frame['oil']\n        frame['a'] = x",
        "v = frame['oil']\n    frame['a'] = [v for w in (1,)][0]",
        "v = frame['oil']\n    frame['a'] = ([v for v in ()] or [v])[0]",
        "c = frame.columns('oil')\n    frame['a'] = c.sum()",
        "c = frame.columns('oil')\n    frame['a'] = c[0]",
        "c = frame.columns('oil')\n    frame.set_columns('a', c)",
        "c = frame.columns('oil')\n    frame.set_columns('a', list(c))",
        "frame['b'] = frame['oil']\n    frame['a'] = frame['b']",
        "x = frame.get('oil')\n    frame.set('a', x)",
        "if frame['oil'] > 0:\n        frame.set('a', 25.0)",
        "keep(frame['oil'])\n    frame['a'] = kept()",
        "frame['a'] = (lambda: frame['oil'])()",
        "other = frame\n    x = other['oil']\n    other['a'] = x",
        "frame['a'] = 0.0\n    frame['a'] += frame['oil']",
        "frame.set('a', 25.0, of='oil')",
        "if frame['oil'] > 0:\n        frame['a'] = 25.0",
        "if frame['oil'] < 0:\n        return\n    frame['a'] = 25.0",
        "for n in (1, 2):\n        if frame['oil'] < 0:\n            break\n        frame['a'] = 25.0",
        "while frame['oil'] > 0:\n        frame['a'] = 25.0\n        return",
        "try:\n        1 / (frame['oil'] - 25)\n    except ZeroDivisionError:\n        frame['a'] = 25.0",
        "assert frame['oil'] > 0\n    frame['a'] = 25.0",
        "if frame['oil'] in (25.0, 26.0):\n        frame['a'] = 25.0",
        "if 'oil' in frame and frame['oil'] > 0:\n        frame['a'] = 25.0",
        "if frame.get('oil'):\n        frame['a'] = 25.0",
        "if frame.columns('oil').any():\n        frame['a'] = 25.0",
        "o = frame\n    if 25.0 in o.columns('oil'):\n        frame['a'] = 25.0",
        "for n in range(int(frame['oil'])):\n        frame['a'] = n + 1.0",
        "for n in frame.columns('oil'):\n        frame['a'] = 25.0",
        "k = frame['oil']\n    frame.set_columns('a', frame.columns('water') * 0 + k)",
        "c = frame.columns('water') * 2.5\n    if frame['oil'] > 0: frame.set_columns('a', c)",
        "c = frame.columns('water') * (2.5 if frame['oil'] > 0 else 1)\n    frame.set_columns('a', c)",
        "frame['a'] = float(repr(frame.columns('oil'))[8:12])",
        "c = repr(frame.columns('oil'))\n    frame['a'] = float(c[8:12])",
        "c = f\"{frame.columns('oil')}\"\n    frame['a'] = float(c[8:12])",
        "frame['b'] = frame['oil'] * 2\n    b = frame['b']\n    frame['a'] = b / 2",
    ],
)
async def test_there_is_no_way_by_which_a_stale_value_becomes_good(way: str) -> None:
    desk = await Desk.of(f"""
OUTPUTS = {{"a": "float64", "b": "float64"}}
KEPT = []
def keep(value):
    KEPT.append(value)
def kept():
    return KEPT[-1]
def transform(frame, state):
    {way}
""")
    made = await desk.frame(ALL, {"oil": "stale"})
    assert isinstance(made, dict), made
    assert (made["a"].value, made["a"].quality) == (25.0, "stale")


@pytest.mark.parametrize(
    "before",
    [
        "if 'oil' not in frame: return",
        "if frame.quality('water') == 'bad_comm':\n        return",
        "if frame.age('oil') > 3600: return",
        "if frame.group != 'fast': raise ValueError",
        "for name in frame.names:\n        if name == 'nothing': break",
    ],
)
async def test_lines_behind_a_question_that_is_about_no_value_stand_alone(before: str) -> None:
    lines = [before, "frame['a'] = frame['oil'] * 2", "if 'water' in frame: frame['b'] = frame['water'] * 2"]
    desk = await Desk.of(script("'a': 'float64', 'b': 'float64'", *lines))
    made = await desk.frame({**ALL, "oil": None}, {"oil": "bad_comm"})
    assert isinstance(made, dict), made
    assert (made["a"].value, made["a"].quality) == (None, "bad_comm")
    assert good(made, "b") == 20.0


@pytest.mark.parametrize("loop", ["NAMES", "frame.names"])
async def test_lines_that_use_constants_loops_and_own_functions_stand_alone(loop: str) -> None:
    desk = await Desk.of(f"""
NAMES = ("oil", "water")
FACTOR = 1.8
SHORT = False
OUTPUTS = {{"oil_f": "float64", "water_f": "float64"}}
def fahrenheit(value):
    return value * FACTOR + 32
def transform(frame):
    for name in {loop}:
        if not SHORT and name in ("oil", "water"):
            frame[name + "_f"] = fahrenheit(frame[name])
""")
    made = await desk.frame({**ALL, "oil": None}, {"oil": "bad_comm"})
    assert isinstance(made, dict)
    assert (made["oil_f"].value, made["oil_f"].quality) == (None, "bad_comm")
    assert good(made, "water_f") == 50.0


async def test_a_script_may_say_which_quality_a_value_has() -> None:
    desk = await Desk.of("""
OUTPUTS = {"a": "float64", "b": "float64", "c": "float64"}
def transform(frame):
    oil = frame["oil"]
    frame.set("a", 0.0 if oil is None else oil, quality="uncertain")
    frame.set("b", 1.0, of=["water"])
    frame.set("c", 2.0, quality="bad_device")
""")
    made = await desk.frame({**ALL, "oil": None}, {"oil": "bad_comm"})
    assert isinstance(made, dict)
    assert [(made[name].value, made[name].quality) for name in "abc"] == [
        (0.0, "uncertain"), (1.0, "good"), (None, "bad_device"),
    ]  # fmt: skip


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
        ("frame.drop('nope*')", "'nope*' stands for no tag of press1.fast and for no output"),
        ("frame['a']", "the output 'a' is not set yet"),
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
