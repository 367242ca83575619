"""What of Python scripts may use, and what they are told where they use more."""

import pytest

from edge_agent.hooks.errors import ScriptRefused
from edge_agent.hooks.worker.compiling import Refused, compile_script
from tests.unit.hooks.worker.desk import ALL, Desk, failure, good

END = "\ndef transform(frame):\n    pass\n"


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("x = 1\ny = open('x')" + END, 2, "there is no open in scripts"),
        ("x = '{}'.format(1)" + END, 1, "str.format is not allowed: write an f-string"),
        ("_x = 1" + END, 1, "names that begin with an underscore are not allowed: '_x'"),
        (
            "\nx = (1).__class__" + END,
            2,
            "attributes that begin with an underscore are not allowed: '__class__'",
        ),
        ("x = 1\nx.f_back" + END, 2, "this attribute is not allowed: 'f_back'"),
        ("import os" + END, 1, "scripts cannot import 'os': there are math, re"),
        ("from math import tricks" + END, 1, "scripts have no math.tricks"),
        ("from math import *" + END, 1, '"*" imports are not allowed'),
        ("x = eval('1')" + END, 1, "eval calls are not allowed"),
        ("from . import x" + END, 1, "scripts cannot import '.'"),
        ("def f(x):\n    match x:\n        case 1: pass" + END, 2, "not allowed: match statements"),
        ("async def f(): pass" + END, 1, "not allowed: async functions"),
        ("def f():\n    x = 1\n    def g():\n        nonlocal x" + END, 4, "not allowed: nonlocal"),
        ("x = {}\ndef f(): return x\nf()['a'] += 1" + END, 3, "name its parts first"),
        ("def transform(frame):\n    x = = 1\n", 2, "invalid syntax: x = = 1"),
        ("print = 1" + END, 1, "this name is reserved: 'print'"),
        ("x = 1\0" + END, None, "null bytes"),
        ("", None, "the script defines no function transform"),
        ("def transform(): pass\n", 1, "transform takes what it is given and, if it wants it, the state"),
        ("def transform(a, b, c): pass\n", 1, "transform takes what it is given"),
        ("def transform(*a): pass\n", 1, "transform takes what it is given"),
        ("\nOUTPUTS = 7" + END, 2, "OUTPUTS is a dict"),
        ("OUTPUTS = dict(a='int8')" + END, 1, "OUTPUTS is read before the script runs"),
        ("OUTPUTS = {\n  'a': 'int8',\n  'b': T,\n}" + END, 3, "OUTPUTS is read before the script runs"),
        ("OUTPUTS = {\n  'a': 7}" + END, 2, "OUTPUTS: 'a' is of a type and a unit"),
        ("OUTPUTS = {\n  7: 'int8'}" + END, 2, "a key of OUTPUTS is the name of a tag"),
        ("OUTPUTS = {\n  'a': 'int8',\n  'a': 'int16'}" + END, 3, "'a' stands twice in OUTPUTS"),
        ("INPUTS = ['press1.oil']" + END, 1, "transform is given its frame's own tags"),
    ],
)
def test_a_refusal_names_the_line_and_what_to_do(source: str, line: int | None, message: str) -> None:
    with pytest.raises(Refused) as refused:
        compile_script("hook", "transform", source)
    assert refused.value.errors[0][0] == line
    assert message in refused.value.errors[0][1]


def test_inputs_are_names_of_connections_tags() -> None:
    with pytest.raises(Refused) as refused:
        compile_script("hook", "on_cycle", "INPUTS = [\n'a.b',\n'oil']\ndef on_cycle(c): pass\n")
    assert refused.value.errors == ((3, "INPUTS: 'oil' is not CONNECTION.TAG"),)


async def test_every_wrong_line_is_told_of_at_once() -> None:
    with pytest.raises(ScriptRefused, match=r"cannot import 'os'.*; 1 more in line 2$") as refused:
        await Desk.of("import os\n_x = 1" + END)
    assert refused.value.line == 1
    with pytest.raises(Refused) as all_of_it:
        compile_script("hook", "transform", "import os\n_x = 1" + END)
    assert [line for line, _ in all_of_it.value.errors] == [1, 2]


@pytest.mark.parametrize("depth", [300, 3_000, 100_000])
def test_a_script_nested_too_deeply_is_refused(depth: int) -> None:
    with pytest.raises(Refused):
        compile_script("hook", "transform", "x = " + "(" * depth + ")" * depth + END)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("x = [1, 2]; x[0] += 5; r = x", [6, 2]),
        ("d = {'a': {'b': 1}}; d['a']['b'] *= 4; r = d['a']['b']", 4),
        ("n: int = 3; n -= 1; r = n", 2),
        ("a, (b, c) = 1, (2, 3); r = [a, b, c]", [1, 2, 3]),
        ("r = [a + b for a, b in zip((1, 2), (3, 4), strict=True)]", [4, 6]),
        ("r = sorted({3, 1, 2}, reverse=True)", [3, 2, 1]),
        ("r = f'{3.14159:.2f} {math.floor(2.7)}'", "3.14 2"),
        ("r = re.sub('[0-9]+', 'N', 'a12b3')", "aNbN"),
        ("r = json.loads(json.dumps({'a': [1]}))", {"a": [1]}),
        ("r = datetime.datetime.fromtimestamp(0, datetime.UTC).isoformat()", "1970-01-01T00:00:00+00:00"),
        ("r = datetime.datetime.strptime('2026-11-21', '%Y-%m-%d').year", 2026),
        ("r = datetime.date(2026, 11, 21).strftime('%d.%m.%Y')", "21.11.2026"),
        ("r = statistics.median([3, 1, 2])", 2),
        ("r = list(map(lambda v: v * 2, filter(None, (0, 1, 2))))", [2, 4]),
        ("r = (y := 4) + y", 8),
        ("r = int.from_bytes(bytes([1, 2]), 'big')", 258),
        ("r = [getattr(math, 'pi') > 3, hasattr(math, 'nothing')]", [True, False]),
        ("p = Point(3); p.x += 1; r = p.twice()", 8),
        ("r = 'x'.join(reversed('abc')).upper()", "CXBXA"),
    ],
)
async def test_what_there_is_works_as_in_python(lines: str, expected: object) -> None:
    desk = await Desk.of(f"""
import math
from datetime import timedelta
from holdfast_hooks import Frame, State
OUTPUTS: dict[str, str] = {{"r": "json"}}
class Point:
    def __init__(self, x):
        self.x = x
    def twice(self):
        return self.x * 2
def transform(frame: Frame, state: State) -> None:
    {lines}
    frame["r"] = r
""")
    assert good(await desk.frame(ALL), "r") == expected


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ("x = '{0.x}'; x.format(1)", "AttributeError", "str.format is not allowed: write an f-string"),
        ("getattr(1, '__class__')", "AttributeError", "'__class__' is not allowed"),
        ("math.pi = 3", "TypeError", "Namespace cannot be changed by a script"),
        ("math.system", "AttributeError", "scripts have no math.system"),
        ("x = nothing", "NameError", "name 'nothing' is not defined"),
        ("1 / 0", "ZeroDivisionError", "division by zero"),
        ("raise SystemExit(3)", "SystemExit", "3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", ""),
        ("raise GeneratorExit", "GeneratorExit", ""),
        ("f = lambda g: g(g); f(f)", "RecursionError", "functions call each other too deeply"),
        ("raise KeyError(deep())", "KeyError", "RecursionError while it was told"),
        ("x = 'a' * (1 << 62)", "MemoryError", "more memory than a script may have"),
        ("[] + 1", "TypeError", "can only concatenate list"),
        ("None + 1", "TypeError", "unsupported operand"),
        ("raise ValueError('\\ud800')", "ValueError", "?"),
    ],
)
async def test_whatever_a_script_raises_is_told_and_ends_in_its_call(
    line: str, kind: str, message: str
) -> None:
    desk = await Desk.of(f"""
OUTPUTS = {{"r": "json"}}
def deep():
    x = []
    for n in range(100_000):
        x = [x]
    return x
def transform(frame):
    if frame["running"]:
        {line}
    frame["r"] = 1
""")
    told = failure(await desk.frame(ALL))
    assert told.kind == kind
    assert message in told.message
    assert good(await desk.frame({**ALL, "running": False}), "r") == 1


async def test_a_traceback_has_the_scripts_own_lines_alone() -> None:
    desk = await Desk.of("""
OUTPUTS = {"r": "json"}
def inner(x):
    return 1 / x
def transform(frame):
    frame["r"] = sorted([inner(v) for v in (1, 0)])
""")
    told = failure(await desk.frame(ALL))
    assert told.line == 4
    assert (
        told.traceback.splitlines()[0]
        == 'line 6, in transform: frame["r"] = sorted([inner(v) for v in (1, 0)])'
    )
    assert told.traceback.splitlines()[-1] == "line 4, in inner: return 1 / x"
    assert "/work" not in told.traceback


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("1 / 0", "division by zero"),
        ("raise SystemExit", "SystemExit"),
        ("transform = 7", "is no plain function"),
    ],
)
async def test_what_the_modules_own_lines_raise_refuses_it(source: str, kind: str) -> None:
    with pytest.raises(ScriptRefused) as refused:
        await Desk.of(END + source + "\n")
    assert kind in str(refused.value) or kind == "SystemExit"


async def test_a_transform_that_yields_is_refused() -> None:
    with pytest.raises(ScriptRefused, match="is no plain function: it has a yield"):
        await Desk.of("def transform(frame):\n    yield 1\n")


async def test_a_name_of_a_builtin_that_scripts_have_not_may_be_their_own() -> None:
    source = "def type(x):\n    return x + 1\nOUTPUTS = {'a': 'string'}\ndef transform(frame):\n"
    desk = await Desk.of(source + "    frame['a'] = bin(type(4))\n")
    assert good(await desk.frame(ALL), "a") == "0b101"
