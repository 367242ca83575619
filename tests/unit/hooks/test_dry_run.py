"""What a dry run answers, with real workers: the same file is what the centre and people are shown."""

import io
from collections.abc import Mapping
from typing import Any

import pytest

from edge_agent.app import hook_test
from edge_agent.contracts.errors import ConfigError, Unavailable
from edge_agent.hooks import dry_run
from edge_agent.hooks.samples import Sampled, frames_of
from edge_agent.wire.dry_run import MAX_ANSWER_BYTES, MAX_REQUEST_BYTES, DryFrame, DryRun, DryRunAnswer
from edge_agent.wire.scripts import HookPoint, OnFailure, Script

AT = 1_767_225_600_000
DOUBLE = """
OUTPUTS = {"oil": "float64", "sum": "float64 °C", "zone[1..2]_f": "float32"}

def transform(frame, state):
    if frame["oil"] > 100:
        print("hot", frame["oil"])
        alert("hot", "too hot", oil=frame["oil"])
    state["sum"] = state.get("sum", 0) + frame["oil"]
    frame["oil"] = frame["oil"] * 2
    frame["sum"] = state["sum"]
    if "lot" in frame:
        frame.drop("lot")
    if frame["x"] == 0:
        frame["sum"] = 1 / frame["x"]
"""


def script(source: str, point: HookPoint = HookPoint.TRANSFORM, **more: Any) -> Script:
    return Script(name="try", hook_type=point, source=source, **more)


def samples(*rows: Mapping[str, Any], group: str = "fast") -> list[Sampled]:
    return frames_of(
        [
            DryFrame(connection="press1", group=group, time=AT + 1_000 * at, values=dict(row))
            for at, row in enumerate(rows)
        ],
        [],
    )


async def answer(source: str, given: list[Sampled], **more: Any) -> DryRunAnswer:
    point = more.pop("point", HookPoint.TRANSFORM)
    settings = more.pop("settings", {})
    return await dry_run.run(dry_run.Order(script(source, point, **settings), given, **more))


async def test_each_frame_tells_what_became_of_it() -> None:
    rows = ({"oil": 41.5, "x": 1, "lot": "A"}, {"oil": 141.5, "x": 2, "lot": "A"})
    found = await answer(DOUBLE, samples(*rows))
    assert (found.ok, found.error) == (True, None)
    assert found.declared == ["oil float64", "sum float64 °C", "zone[1..2]_f float32"]
    first, second = found.outputs
    assert {name: each.value for name, each in first.before.items()} == rows[0]
    assert {name: each.value for name, each in first.after.items()} == {"oil": 83.0, "x": 1, "sum": 41.5}
    assert (first.made, first.dropped) == (["oil", "sum"], ["lot"])
    assert (first.prints, second.prints) == ("", "hot 141.5\n")
    assert [(each.code, each.data, each.index) for each in found.alerts] == [("hot", {"oil": 141.5}, 1)]
    assert found.state == {"sum": 183.0}
    assert [each["hooks"] for each in found.schemas] == [[found.script]]
    assert found.milliseconds.calls == 2
    assert first.milliseconds is not None
    assert found.layers["seccomp"]


async def test_a_frame_that_failed_goes_on_as_it_was_and_the_next_is_run_with_the_state_before() -> None:
    rows = ({"oil": 1.0, "x": 1}, {"oil": 200.0, "x": 0}, {"oil": 3.0, "x": 1})
    found = await answer(DOUBLE, samples(*rows))
    _, failed, last = found.outputs
    assert found.error == failed.error
    assert failed.error is not None
    assert (failed.error.kind, failed.error.type, failed.error.line) == ("failed", "ZeroDivisionError", 14)
    assert failed.error.source == '        frame["sum"] = 1 / frame["x"]'
    assert {name: (each.value, each.quality) for name, each in failed.after.items()} == {
        "oil": (200.0, "bad_hook"), "x": (0, "bad_hook"),
    }  # fmt: skip
    assert found.alerts == []  # of a call that failed none counts
    assert last.after["sum"].value == 4.0
    assert found.state == {"sum": 4.0}


async def test_what_a_failing_hook_withholds_is_withheld_here_too() -> None:
    found = await answer(
        DOUBLE, samples({"oil": 1.0, "x": 0}), settings={"on_failure": OnFailure.WITHHOLD, "keep_raw": True}
    )
    assert {(each.value, each.quality) for each in found.outputs[0].after.values()} == {(None, "bad_hook")}


async def test_a_script_that_does_not_compile_is_refused_with_its_line() -> None:
    found = await answer("x = 1\nimport os\ndef transform(frame):\n    pass\n", samples({"a": 1}))
    assert found.error is not None
    assert (found.ok, found.error.kind, found.error.line, found.error.source) == (
        False, "refused", 2, "import os",
    )  # fmt: skip
    assert found.outputs == []


async def test_outputs_that_cannot_be_are_refused() -> None:
    found = await answer(
        'OUTPUTS = {"oil": "float33"}\ndef transform(frame):\n    pass\n', samples({"oil": 1.0})
    )
    assert found.error is not None
    assert found.error.kind == "refused"
    assert "float33" in found.error.message


async def test_a_call_that_takes_too_long_is_killed_and_nothing_more_is_run() -> None:
    source = "def transform(frame):\n    while frame['a'] == 2:\n        pass\n"
    found = await answer(source, samples({"a": 1}, {"a": 2}, {"a": 1}), settings={"timeout_ms": 50})
    assert found.error is not None
    assert (found.error.kind, found.error.type) == ("killed", "TimedOut")
    assert "longer than 50 ms" in found.error.message
    # The frame that it was killed on says so, and went on as on a gateway.
    assert [each.error for each in found.outputs] == [None, found.error]
    assert [each.after["a"].quality for each in found.outputs] == ["good", "bad_hook"]


async def test_all_of_it_has_an_end() -> None:
    source = "def transform(frame):\n    for number in range(200_000):\n        number + 1\n"
    found = await answer(source, samples({"a": 1}), repeat=1_000, seconds=0.1)
    assert found.error is not None
    assert found.error.kind == "killed"
    assert found.milliseconds.calls < 1_000


async def test_groups_that_a_script_is_not_for_are_not_run() -> None:
    source = 'OUTPUTS = {"b": "int64"}\ndef transform(frame):\n    frame["b"] = 1\n'
    given = [*samples({"a": 1}), *samples({"a": 1}, group="slow")]
    found = await answer(source, given, settings={"groups": ["press1.slow"]})
    untouched, run = found.outputs
    assert (untouched.milliseconds, untouched.before, untouched.made) == (None, untouched.after, [])
    assert run.made == ["b"]
    assert found.milliseconds.calls == 1


@pytest.mark.parametrize(
    ("point", "runs"),
    [(HookPoint.TRANSFORM, False), (HookPoint.ON_CYCLE, False), (HookPoint.BEFORE_FORWARD, True)],
)
async def test_what_hooks_computed_is_for_before_forward_alone(point: HookPoint, runs: bool) -> None:
    given = frames_of([DryFrame(connection="hooks", group="other", time=AT, values={"a": 1})], [])
    found = await answer(f"def {point}(given):\n    pass\n", given, point=point)
    assert found.error is None
    assert (found.outputs[0].milliseconds is not None) == runs


async def test_rounds_are_for_the_times_and_the_first_is_shown() -> None:
    given = samples({"oil": 1.0, "x": 1}, {"oil": 2.0, "x": 1})
    found = await answer(DOUBLE, given, repeat=50, state={"sum": 10.0})
    assert (found.milliseconds.calls, len(found.outputs), found.state) == (100, 2, {"sum": 13.0})
    times = found.milliseconds
    assert times.p50_ms is not None
    assert times.p99_ms is not None
    assert 0 < times.p50_ms <= times.p99_ms <= times.total_ms


async def test_a_cycle_sees_groups_that_it_is_not_run_on() -> None:
    source = (
        'OUTPUTS = {"total": "float64"}\nINPUTS = ["press1.*"]\n'
        'def on_cycle(cycle):\n    cycle["total"] = cycle["press1.a"] + cycle["press1.b"]\n'
    )
    given = [*samples({"a": 1.5}, group="slow"), *samples({"b": 2}), *samples({"a": 4.0}, group="slow")]
    found = await answer(source, given, point=HookPoint.ON_CYCLE, settings={"groups": ["*.fast"]})
    assert found.error is None
    assert [each.milliseconds is None for each in found.outputs] == [True, False, True]
    cycle = found.outputs[1]
    assert {name: each.value for name, each in cycle.after.items()} == {"total": 3.5}
    assert (cycle.made, cycle.dropped) == (["total"], [])
    assert [(each["connection"], each["group"]) for each in found.schemas] == [("hooks", "try")]


@pytest.mark.parametrize(
    ("point", "call", "given", "prints"),
    [
        (HookPoint.ON_CONNECT, {"connection": "p", "driver": "modbus", "address": "h:1", "state": "down"},
         "given.connection, given.driver, given.address, given.state", "p modbus h:1 down"),
        (HookPoint.ON_ALERT, {"code": "c", "message": "m", "connection": "p", "data": {"a": 1}},
         "given.code, given.message, given.connection, given.data['a']", "c m p 1"),
        (HookPoint.ON_SCHEDULE, {"time": AT, "scheduled": AT - 5}, "given.time - given.scheduled", "5"),
        (HookPoint.ON_SCHEDULE, {}, "given.time == given.scheduled", "True"),
    ],
)  # fmt: skip
async def test_calls_are_given_what_happened_and_the_newest_values(
    point: HookPoint, call: dict[str, Any], given: str, prints: str
) -> None:
    source = (
        'OUTPUTS = {"seen": "float64"}\nINPUTS = ["press1.a"]\n'
        f'def {point}(given, state):\n    print({given})\n    given["seen"] = given["press1.a"]\n'
        '    state["n"] = state.get("n", 0) + 1\n'
    )
    found = await answer(
        source, samples({"a": 1.5, "b": 1}, {"a": 2.5, "b": 1}), point=point, calls=[call, call]
    )
    assert found.error is None
    calls = found.outputs[2:]
    assert [each.prints for each in calls] == [f"{prints}\n"] * 2
    assert [(each.connection, each.group, each.index) for each in calls] == [
        ("hooks", "try", 0),
        ("hooks", "try", 1),
    ]
    assert calls[0].after["seen"].value == 2.5
    assert found.state == {"n": 2}


async def test_a_call_cannot_look_at_what_inputs_do_not_name() -> None:
    source = 'INPUTS = ["press1.a"]\ndef on_schedule(tick):\n    print(tick["press1.b"])\n'
    found = await answer(source, samples({"a": 1, "b": 2}), point=HookPoint.ON_SCHEDULE, calls=[{}])
    assert found.error is not None
    assert "INPUTS" in found.error.message


async def test_an_answer_is_bounded_and_says_what_was_left_out() -> None:
    source = (
        f'OUTPUTS = {{"t[001..500]_{"한" * 300}": "string"}}\ndef transform(frame):\n'
        '    frame.set_columns("t*", "글" * 300)\n    print("y" * 5_000)\n'
        '    for number in range(20):\n        alert("many", data="한" * 600)\n'
    )
    given = [each for at in range(10) for each in samples({"a": at}, {"a": at}, group=f"g{at}")]
    found = await answer(source, given)
    assert found.ok
    assert len(found.model_dump_json().encode()) < MAX_ANSWER_BYTES
    assert 0 < len(found.outputs) < 20
    assert len(found.outputs) + found.left_out == 20
    assert [each.index for each in found.outputs] == list(range(len(found.outputs)))
    assert len(found.prints) <= 20_000
    assert found.alerts
    assert found.schemas


async def test_where_the_sandbox_lacks_what_is_required_nothing_is_run() -> None:
    with pytest.raises(Unavailable, match=r"hooks.require names what is not on here \(teleport"):
        await answer(DOUBLE, samples({"oil": 1.0, "x": 1}), require=("teleport",))


# --- programs ------------------------------------------------------------------------------------------


def test_a_programs_request_is_answered() -> None:
    request = DryRun(
        script=script(DOUBLE),
        frames=[DryFrame(connection="press1", group="fast", time=AT, values={"oil": 2, "x": 1})],
        schemas=[{"connection": "press1", "group": "fast", "tags": [
            {"name": "oil", "type": "int16", "scale": 0.5}, {"name": "x", "type": "int16"},
        ]}],
        state={"sum": 1},
    )  # fmt: skip
    found = hook_test.answer(io.StringIO(request.model_dump_json()))
    assert (found.ok, found.outputs[0].after["oil"].value, found.state) == (True, 4.0, {"sum": 3.0})


@pytest.mark.parametrize(("point", "seen"), [(HookPoint.TRANSFORM, 7), (HookPoint.BEFORE_FORWARD, 1)])
def test_what_was_before_hooks_is_for_transform_alone(point: HookPoint, seen: int) -> None:
    request = DryRun(
        script=script(f"def {point}(frame):\n    print(frame['oil'], len(frame.names))\n", point),
        frames=[DryFrame(connection="press1", group="fast", time=AT, values={"oil": 1, "oil.raw": 7})],
        schemas=[{"connection": "press1", "group": "fast", "hooks": ["other@12"], "tags": [
            {"name": "oil", "type": "int16"}, {"name": "oil.raw", "type": "int16"},
        ]}],
    )  # fmt: skip
    found = hook_test.answer(io.StringIO(request.model_dump_json()))
    assert found.prints == f"{seen} {1 if seen == 7 else 2}\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the request is not one: it: Invalid JSON"),
        ('{"frames": []}', "the request is not one: script: Field required"),
        (
            '{"script": {"name": "a", "hook_type": "dance", "source": "x"}}',
            "script.hook_type: Input should be",
        ),
        ("[" * (MAX_REQUEST_BYTES + 1), "the request has more than 8 MiB"),
        ("[" * 100_000, "the request is not one"),
        (
            '{"script": {"name": "a", "hook_type": "transform", "source": "x"}, "calls": [{}]}',
            "calls: transform is given frames, and no calls",
        ),
    ],
    ids=["empty", "no script", "no point", "long", "deep", "calls"],
)
def test_what_is_no_request_is_said(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        hook_test.answer(io.StringIO(text))
