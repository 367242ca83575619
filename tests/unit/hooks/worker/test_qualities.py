"""What becomes of values that are not good: no way by which a script makes good ones of them unasked."""

import pytest

from tests.unit.hooks.worker.desk import ALL, Desk, failure, good, script

NAIVE = """
OUTPUTS = {"oil_f": "float64 °F", "water_f": "float64 °F"}
def transform(frame):
    frame["oil_f"] = frame["oil"] * 1.8 + 32
    frame["water_f"] = frame["water"] * 1.8 + 32
"""


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
        "frame['a'] = 25.0\n    if frame['oil'] > 80: frame['a'] = 1.0",
        "frame['a'] = 25.0\n    if frame['oil'] > 80: frame.set('a', 1.0)",
        "frame['a'] = 25.0\n    if frame['oil'] > 80: frame.set_columns('a*', 1.0)",
        "frame['a'] = 25.0\n    frame['oil'] > 80 and frame.set('a', 1.0)",
        "x = 25.0\n    frame['a'] = x\n    while frame['oil'] > 80: frame['a'] = 1.0",
        "frame['a'] = 25.0\n    for n in range(int(frame['oil'] - 25)): frame['a'] = n",
        "frame['a'] = 25.0\n    if frame['oil'] > 80: put(frame, 'a', 1.0)",
        "frame['a'] = 25.0\n    f = frame.set\n    if frame['oil'] > 80: f('a', 1.0)",
        "frame['b'] = 25.0\n    if frame['oil'] > 80: frame['b'] = 1.0\n    frame['a'] = frame['b']",
        "try: 1 / (frame['oil'] - 25)\n    except ArithmeticError: frame['a'] = 25.0",
        "try:\n        for n in (1.0, 25.0, 3.0): 1 / (frame['oil'] - n)\n    except ArithmeticError: pass\n"
        "    frame['a'] = n",
        "frame['ba'[int(frame['oil'] - 24)]] = 25.0",
        "old(frame['oil'])\n    frame['a'] = old(1.0)",
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
def put(frame, name, value):
    frame[name] = value
def remembering(function):
    return lambda value, seen=[]: (seen.append(value), seen[0])[1]
@remembering
def old(value):
    return value
def transform(frame, state):
    {way}
""")
    made = await desk.frame(ALL, {"oil": "stale"})
    assert isinstance(made, dict), made
    assert (made["a"].value, made["a"].quality) == (25.0, "stale")


@pytest.mark.parametrize(
    "way",
    [
        "frame['a'] = []\n    frame['a'].append(frame['oil'])",
        "a = []\n    frame['a'] = a\n    a.append(frame['oil'])",
        "a = []\n    frame.set_columns('a*', [a])\n    a.append(frame['oil'])",
        "frame['a'] = []\n    frame['b'] = frame['a'].append(frame['oil'])\n    frame['a'] += [frame['oil']]",
    ],
)
async def test_a_list_that_is_changed_behind_its_line_is_no_better_than_what_it_holds(way: str) -> None:
    desk = await Desk.of(f"OUTPUTS = {{'a': 'json', 'b': 'json'}}\ndef transform(frame):\n    {way}\n")
    made = await desk.frame(ALL, {"oil": "stale"})
    assert isinstance(made, dict), made
    assert (made["a"].value, made["a"].quality) == ([25.0], "stale")


@pytest.mark.parametrize("name", ["time", "names", "group"])
async def test_what_a_frame_tells_of_itself_is_not_the_scripts_to_change(name: str) -> None:
    desk = await Desk.of(script("'a': 'json'", f"frame.{name} = frame['oil']", f"frame['a'] = frame.{name}"))
    assert failure(await desk.frame(ALL)).message == "Frame cannot be changed by a script"


@pytest.mark.parametrize("first", ["frame['hot'] = False", "x = False\n    frame['hot'] = x"])
@pytest.mark.parametrize(
    "then", ["if frame['oil'] > 80: frame['hot'] = True", "frame['hot'] = frame['oil'] * KEPT[0]"]
)
async def test_a_default_is_not_good_where_it_would_have_been_set_again(first: str, then: str) -> None:
    desk = await Desk.of(f"""
OUTPUTS = {{"hot": "bool", "water_f": "float64"}}
KEPT = [0]
def transform(frame):
    {first}
    frame["water_f"] = frame["water"] * 1.8 + 32
    {then}
""")
    made = await desk.frame({**ALL, "oil": None}, {"oil": "bad_comm"})
    assert isinstance(made, dict), made
    assert (made["hot"].value, made["hot"].quality) == (None, "bad_comm")
    assert good(made, "water_f") == 50.0


async def test_an_output_that_is_set_in_one_line_is_no_worse_for_what_is_read_behind_it() -> None:
    desk = await Desk.of(
        script("'a': 'float64', 'hot': 'bool'", "x = frame['water']", "frame['a'] = x", "v = frame['oil']",
               "frame['hot'] = v > 80")
    )  # fmt: skip
    made = await desk.frame(ALL, {"oil": "stale"})
    assert isinstance(made, dict), made
    assert (made["a"].quality, made["hot"].quality) == ("good", "stale")


async def test_imports_change_nothing_of_which_lines_stand_alone() -> None:
    desk = await Desk.of(
        "import math\nfrom math import floor\n"
        + script("'a': 'float64', 'b': 'float64'", "frame['a'] = math.sqrt(frame['oil'])",
                 "frame['b'] = floor(frame['water'])")
    )  # fmt: skip
    made = await desk.frame({**ALL, "oil": None}, {"oil": "bad_comm"})
    assert isinstance(made, dict), made
    assert made["a"].quality == "bad_comm"
    assert good(made, "b") == 10.0


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


@pytest.mark.parametrize("before", [False, True], ids=["in its line", "behind a variable"])
@pytest.mark.parametrize("what", ["max()", "min()", "mean()"])
async def test_that_no_element_is_good_is_no_failure(what: str, before: bool) -> None:
    line = f"frame.columns('oil').good().{what} * 2"
    lines = [f"v = {line}", "frame['a'] = v"] if before else [f"frame['a'] = {line}"]
    desk = await Desk.of(script("'a': 'float64', 'b': 'float64'", "frame['b'] = frame['water']", *lines))
    made = await desk.frame(ALL, {"oil": "stale"})
    assert isinstance(made, dict), made
    assert (made["a"].value, made["a"].quality) == (None, "bad_value")
    assert good(made, "b") == 10.0
    assert good(await desk.frame(ALL), "a") == 50.0


async def test_a_mistake_with_none_is_a_failure_where_every_value_is_there() -> None:
    desk = await Desk.of(script("'a': 'float64'", "x = {}.get('nothing')", "frame['a'] = frame['oil'] + x"))
    assert failure(await desk.frame(ALL)).line == 4


@pytest.mark.parametrize(
    "drop", ["frame.drop('batch')", "redact(frame)", "if 'batch' in frame: frame.drop('batch')"]
)
async def test_a_call_that_ends_before_it_leaves_tags_out_is_a_failure(drop: str) -> None:
    """What is to be withheld then is not sent as it is, for a sensor that is gone."""
    source = """
OUTPUTS = {{"a": "float64"}}
def redact(frame):
    frame.drop("batch")
def before_forward(frame):
    {}
    oil = frame["oil"]
    frame["a"] = oil * 2
    {}
"""
    desk = await Desk.of(source.format("pass", drop), "before_forward")
    assert failure(await desk.frame({**ALL, "oil": None}, {"oil": "bad_comm"})).line == 8
    desk = await Desk.of(source.format(drop, "pass"), "before_forward")
    made = await desk.frame({**ALL, "oil": None}, {"oil": "bad_comm"})
    assert isinstance(made, dict), made
    assert made["a"].quality == "bad_comm"
    assert "batch" not in made


async def test_a_question_about_a_missing_value_that_decides_on_a_drop_is_no_failure() -> None:
    desk = await Desk.of(script("'a': 'int8'", "if frame['oil'] - 20 < 1:", "    frame.drop('oil')"))
    made = await desk.frame({**ALL, "oil": None}, {"oil": "bad_comm"})
    assert isinstance(made, dict), made
    assert made["oil"].quality == "bad_comm"
