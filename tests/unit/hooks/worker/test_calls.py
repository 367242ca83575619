"""State, prints and alerts, and the points that are given no frame of their own."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from edge_agent.hooks.errors import ScriptRefused
from edge_agent.hooks.protocol import MAX_ALERTS, MAX_PRINT_CHARACTERS
from edge_agent.hooks.worker.cells import Cells
from edge_agent.hooks.worker.events import Latest, Named
from edge_agent.hooks.worker.layout import Layout
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from tests.unit.hooks.worker.desk import Desk, failure, good

ALL: dict[str, Any] = {
    "oil": 25.0, "water": 10.0, "count": 7, "status": 5, "running": True, "batch": "B7",
}  # fmt: skip
COUNTER = """
OUTPUTS = {"n": "int32"}
def transform(frame, state):
    state["n"] = state.get("n", 0) + 1
    state["pair"] = (1, 2)
    if frame["water"] > 50:
        raise ValueError("too hot")
    frame["n"] = state["n"]
"""


async def test_state_is_kept_between_calls_and_taken_back_where_one_fails() -> None:
    desk = await Desk.of(COUNTER)
    shown = await desk.run([ALL, {**ALL, "water": 60.0}, ALL])
    assert good(shown[0], "n") == 1
    assert failure(shown[1]).message == "too hot"
    assert good(shown[2], "n") == 2
    assert orjson.loads(desk.state) == {"n": 2, "pair": [1, 2]}


async def test_state_goes_on_in_another_worker() -> None:
    before = await Desk.of(COUNTER)
    await before.frame(ALL)
    after = await Desk.of(COUNTER)
    after.state = before.state
    assert good(await after.frame(ALL), "n") == 2


@pytest.mark.parametrize(
    "line",
    ["state['x'] = {1, 2}", "state['x'] = 1e400", "state[1] = 2", "state['x'] = 'a' * 20000",
     "state['x'] = 1 << 70",
     "state['x'] = datetime.date(2026, 1, 1)", "state['x'] = state", "state['x'] = '\\ud800'",
     "state['x'] = frame", "x = []\n    for n in range(100): x = [x]\n    state['x'] = x"],
)  # fmt: skip
async def test_what_cannot_be_kept_is_an_error_and_the_state_as_it_was(line: str) -> None:
    desk = await Desk.of(f"def transform(frame, state):\n    {line}\n")
    told = failure(await desk.frame(ALL))
    assert told.kind == "StateRefused"
    assert desk.state == b""


async def test_a_script_that_wants_no_state_leaves_it_alone() -> None:
    desk = await Desk.of("OUTPUTS = {'a': 'int8'}\ndef transform(frame):\n    frame['a'] = 1\n")
    desk.state = b'{"n":1}'
    assert good(await desk.frame(ALL), "a") == 1
    assert desk.state == b'{"n":1}'


async def test_prints_are_kept_the_last_of_them() -> None:
    desk = await Desk.of("def transform(frame):\n    print('a', 1, sep='-')\n    print('b', end='!')\n")
    await desk.run([ALL, ALL])
    assert desk.prints == "a-1\nb!a-1\nb!"
    noisy = await Desk.of(
        "def transform(frame):\n    for n in range(5000): print(n)\n    print('\\ud800 end')\n"
    )
    await noisy.run([ALL])
    assert len(noisy.prints) == MAX_PRINT_CHARACTERS
    assert noisy.prints.endswith("4999\n? end\n")


async def test_alerts_are_told_with_their_frame_and_forgotten_where_it_failed() -> None:
    desk = await Desk.of("""
def transform(frame):
    alert("oil_hot", f"oil is {frame['oil']}", limit=20, tags=("oil",))
    if frame["water"] > 50:
        raise ValueError
""")
    await desk.run([ALL, {**ALL, "water": 60.0}, ALL])
    assert desk.ran is not None
    assert [(each.code, each.message, each.data, each.index) for each in desk.ran.alerts] == [
        ("oil_hot", "oil is 25.0", {"limit": 20, "tags": ["oil"]}, 0),
        ("oil_hot", "oil is 25.0", {"limit": 20, "tags": ["oil"]}, 2),
    ]


async def test_alerts_beyond_a_number_are_left_out_and_that_is_said() -> None:
    desk = await Desk.of("def transform(frame):\n    for n in range(30): alert('x', str(n))\n")
    await desk.frame(ALL)
    assert desk.ran is not None
    assert len(desk.ran.alerts) == MAX_ALERTS
    assert desk.prints == f"10 alerts beyond {MAX_ALERTS} were left out\n"


@pytest.mark.parametrize(
    "call", ["alert('Not A Code')", "alert(7)", "alert('x', y={1})", "alert('x', y='a' * 9999)"]
)
async def test_an_alert_that_cannot_travel_is_an_error(call: str) -> None:
    desk = await Desk.of(f"def transform(frame):\n    {call}\n")
    failure(await desk.frame(ALL))
    assert desk.ran is not None
    assert desk.ran.alerts == []


BOILER = Schema.of(
    "boiler", "slow", None, [TagSchema("steam", ValueType.FLOAT64), TagSchema("other", ValueType.INT8)]
)
CYCLE = """
INPUTS = ["press1.oil", "boiler.st*"]
OUTPUTS = {"both": "float64", "age": "float64", "told": "json"}
def on_cycle(cycle):
    cycle["told"] = [cycle.connection, cycle.group, cycle.time, sorted(cycle.names), "press1.oil" in cycle]
    cycle["both"] = cycle["press1.oil"] + cycle["boiler.steam"]
    cycle["age"] = cycle.age("boiler.steam")
"""


def boiler(time: int, **values: Any) -> dict[str, Any]:
    return {":": {"connection": "boiler", "group": "slow", "time": time}, **values}


async def test_a_cycle_sees_the_newest_values_of_several_connections() -> None:
    desk = await Desk.of(CYCLE, "on_cycle", more=[BOILER])
    shown = await desk.run(
        [boiler(500, steam=100.0, other=1), ALL, boiler(1_500, other=2), {**ALL, "oil": 26.0}],
        only_known=["boiler"],
    )
    assert [shown[0], shown[2]] == [None, None]
    names = ["boiler.steam", "press1.oil"]
    assert good(shown[1], "both", "age", "told") == [125.0, 1.5, ["press1", "fast", 2_000, names, True]]
    assert good(shown[3], "both", "age") == [126.0, 3.5]


async def test_a_cycle_without_all_values_computes_nothing_yet() -> None:
    desk = await Desk.of(CYCLE, "on_cycle", more=[BOILER])
    (shown,) = await desk.run([ALL])
    assert isinstance(shown, dict)
    assert "both" not in shown


async def test_a_cycle_may_not_look_at_what_inputs_do_not_name() -> None:
    desk = await Desk.of(
        "INPUTS = ['press1.oil']\ndef on_cycle(cycle):\n    cycle['press1.water']\n", "on_cycle"
    )
    (shown,) = await desk.run([ALL])
    assert failure(shown).message == "'press1.water' is not named in INPUTS"


async def test_a_bad_input_makes_bad_outputs() -> None:
    desk = await Desk.of(CYCLE, "on_cycle", more=[BOILER])
    shown = await desk.run([boiler(500, steam=None, other=1), ALL], only_known=["boiler"])
    assert isinstance(shown[1], dict)
    assert (shown[1]["both"].value, shown[1]["both"].quality) == (None, "bad_value")
    assert good(shown[1], "age") == 1.5


@pytest.mark.parametrize(
    ("point", "call", "expected"),
    [
        ("on_connect", {"connection": "press1", "driver": "modbus", "address": "h:502", "state": "connected"},
         ["press1", "modbus", "h:502", "connected"]),
        ("on_alert", {"code": "tag_bad", "message": "m", "connection": "press1", "data": {"tag": "oil"}},
         ["tag_bad", "m", "press1", {"tag": "oil"}]),
        ("on_schedule", {"scheduled": 900}, [900]),
    ],
)  # fmt: skip
async def test_events_have_their_fields_and_the_newest_values(
    point: str, call: dict[str, Any], expected: list[Any]
) -> None:
    names = {"on_connect": "connection driver address state", "on_alert": "code message connection data"}
    fields = ", ".join(f"given.{name}" for name in names.get(point, "scheduled").split())
    desk = await Desk.of(
        f"""
INPUTS = ["press1.*"]
OUTPUTS = {{"told": "json", "oil": "float64", "n": "int32", "mean": "float64"}}
def {point}(given, state):
    given["told"] = [{fields}, given.time]
    given["oil"] = given["press1.oil"] + given.age("press1.oil")
    given["mean"] = given.columns("press1.[ow]*").mean() if False else given.columns("*").mean()
    state["n"] = state.get("n", 0) + 1
    given.set("n", state["n"])
""",
        point,
    )
    values = {"press1.oil": [20.0, 0, 500], "press1.water": [30.0, 0, 900]}
    shown = await desk.call({"t": 1_000, "v": values, **call})
    assert good(shown, "told", "oil", "n", "mean") == [[*expected, 1_000], 20.5, 1, 25.0]
    bad = await desk.call({"t": 1_000, "v": {"press1.oil": [None, 5, 500]}, **call})
    assert isinstance(bad, dict)
    assert (bad["oil"].value, bad["oil"].quality) == (None, "bad_comm")


async def test_a_point_without_a_frame_has_no_patterns_of_outputs() -> None:
    with pytest.raises(ScriptRefused, match="only transform and before_forward have patterns"):
        await Desk.of("OUTPUTS = {'t*': 'int8'}\ndef on_schedule(tick): pass\n", "on_schedule")


class Asked(Named):
    """About how many names it was asked."""

    times = 0

    def among(self, names: Sequence[str]) -> set[str]:
        self.times += len(names)
        return super().among(names)


def test_a_new_worker_looks_once_at_each_tag_of_many_groups() -> None:
    """It looked at all again with each group: of a hundred its first call never came to an end."""
    inputs = Asked(["*.t1", "press7.t[2..3]"])
    latest = Latest(inputs)
    for number in range(30):
        tags = [TagSchema(f"t{at}", ValueType.UINT16) for at in range(10)]
        layout = Layout(Schema.of(f"press{number}", "fast", 1, tags))
        latest.push(Cells(layout, {"t": 1, "m": 1}, bytes([number, 0] * 10)), 1)
    assert inputs.times == 30 * 10
    assert len(latest.names) == 30 + 2
    found = latest.find("press7.t3")
    assert found is not None
    assert found.value == 7
