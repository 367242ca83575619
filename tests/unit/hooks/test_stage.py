"""All hooks of a flush: order, failures, breakers, states and deadlines, without a process."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from edge_agent.contracts.hooks import LinkChange, Tick
from edge_agent.hooks.errors import BadReply, TimedOut, WorkerGone
from edge_agent.wire.batch import Kind
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.scripts import HOOKS_CONNECTION, OnFailure
from tests.unit.hooks.house import (
    BREAKS,
    COUNTS,
    CYCLE,
    DOUBLE,
    FAST,
    SLOW,
    SUM,
    WIDE,
    House,
    frame,
    newest,
    script,
    until,
    values,
)

# --- what becomes of frames --------------------------------------------------------------------------------


async def test_a_transform_replaces_and_computes_and_others_pass(house: House) -> None:
    await house.run(script("sum", SUM, groups=["press1.*"]))
    hooked = await house.flush((FAST, frame(1, [1, 2, 3])), (SLOW, frame(1, [9])))
    assert values(hooked) == [{"t0": 1, "t1": 2, "t2": 3, "sum": 3.0}]
    assert values(hooked, "press2") == [{"speed": 9}]
    (made,) = hooked.schemas
    assert made.hooks == (script("sum", SUM, groups=["press1.*"]).mark,)
    assert house.stage.adjusted() == {"press1": (1, 0)}


async def test_hooks_of_one_group_come_after_one_another_and_each_leaves_its_mark(house: House) -> None:
    both = script("double", DOUBLE), script("sum", SUM)
    await house.run(*both)
    hooked = await house.beat([1, 2, 3], [4, 5, 6])
    assert [each["sum"] for each in values(hooked)] == [6.0, 18.0]
    (made,) = hooked.schemas
    assert made.hooks == tuple(each.mark for each in both)


async def test_a_batch_of_frames_is_one_call(house: House) -> None:
    await house.run(script("sum", SUM))
    await house.beat([1, 2, 3])
    before = house.worker("sum").asked.count("frames")
    await house.beat(*([n, 2, 3] for n in range(50)))
    assert house.worker("sum").asked.count("frames") == before + 1


async def test_a_frame_that_is_dropped_whole_keeps_its_number(house: House) -> None:
    await house.run(
        script("none", "OUTPUTS = {}\ndef before_forward(frame):\n    frame.drop()\n", "before_forward")
    )
    hooked = await house.beat([1, 2, 3])
    ((_, frames),) = hooked.frames.values()
    assert [(one.n, one.samples, one.read, one.suppressed) for one in frames] == [(1, 0, 3, 3)]
    assert house.stage.adjusted() == {"press1": (0, 3)}


async def test_keep_raw_stores_the_original_beside(house: House) -> None:
    await house.run(script("double", DOUBLE, keep_raw=True))
    (made,) = values(await house.beat([1, 2, 3]))
    assert (made["t1"], made["t1.raw"]) == (4.0, 2)


# --- failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "shown"), [("raw", 100), ("withhold", None)])
async def test_a_frame_that_a_hook_failed_on_goes_on_as_it_was_and_is_marked(
    house: House, policy: str, shown: int | None
) -> None:
    await house.run(script("breaks", BREAKS, on_failure=OnFailure(policy)))
    good, bad = values(await house.beat([1, 2, 3], [100, 0, 0]))
    assert good == {"t0": 1, "t1": 2, "t2": 3}
    assert bad["t0"] == (shown, "bad_hook")
    report = house.report("breaks")
    assert (report.state, report.failures, report.bad_samples, report.line) == ("running", 1, 3, 4)
    assert "ZeroDivisionError" in report.error


async def test_a_later_hook_still_sees_what_an_earlier_one_failed_on(house: House) -> None:
    """A filter that keeps something private must not be left out because a computation failed."""
    private = 'OUTPUTS = {}\ndef before_forward(frame):\n    frame.drop("t2")\n'
    await house.run(script("breaks", BREAKS), script("private", private, "before_forward"))
    good, bad = values(await house.beat([1, 2, 3], [100, 0, 0]))
    assert set(good) == {"t0", "t1"}
    assert bad == {"t0": (100, "bad_hook"), "t1": (0, "bad_hook")}


async def test_three_calls_in_vain_switch_a_hook_off_and_a_good_one_on_again(house: House) -> None:
    await house.run(script("breaks", BREAKS))
    events: list[dict[str, Any]] = []
    for _ in range(3):
        events += (await house.beat([100, 0, 0])).records.get(Kind.EVENT, [])  # type: ignore[arg-type]
    assert [event["code"] for event in events] == ["hook_off"]
    assert events[0]["data"]["sha256"] == house.report("breaks").sha256
    assert house.report("breaks").state == "off"
    calls = len(house.worker("breaks").asked)
    (shown,) = values(await house.beat([1, 2, 3]))
    assert shown["t0"] == (1, "bad_hook")
    assert len(house.worker("breaks").asked) == calls
    await house.clock.advance(60)
    hooked = await house.beat([1, 2, 3])
    assert values(hooked) == [{"t0": 1, "t1": 2, "t2": 3}]
    assert [event["code"] for event in hooked.records[Kind.EVENT]] == ["hook_on"]
    assert house.report("breaks").state == "running"


async def test_a_hook_that_fails_now_and_then_is_not_switched_off(house: House) -> None:
    await house.run(script("breaks", BREAKS))
    for _ in range(5):
        await house.beat([100, 0, 0], [1, 2, 3])
    assert house.report("breaks").state == "running"


@pytest.mark.parametrize(
    "fault", [TimedOut("too late"), WorkerGone("it ended by SIGKILL"), BadReply("nonsense")]
)
async def test_a_worker_that_is_gone_costs_one_flush_and_no_frame(house: House, fault: WorkerGone) -> None:
    await house.run(script("counts", COUNTS))
    assert values(await house.beat([1, 2, 3]))[0]["calls"] == 1
    house.worker("counts").faults.append(fault)
    hooked = await house.beat([4, 5, 6], [7, 8, 9])
    assert [each["t0"] for each in values(hooked)] == [(4, "bad_hook"), (7, "bad_hook")]
    assert hooked.states == {}
    await until(lambda: len(house.workers.begun) == 2)
    hooked = await house.beat([1, 2, 3])
    assert values(hooked)[0]["calls"] == 2
    assert hooked.states == {"counts": b'{"n":2}'}
    assert house.report("counts").kills == 1


async def test_a_hook_that_hangs_costs_its_neighbour_nothing(house: House) -> None:
    await house.run(script("sum", SUM, groups=["press1.*"]), script("hangs", COUNTS, groups=["press2.*"]))
    await house.flush((FAST, frame(1, [1, 2, 3])), (SLOW, frame(1, [9])))
    house.worker("hangs").gate.clear()
    house.worker("hangs").faults.append(TimedOut("too late"))
    flush = asyncio.ensure_future(house.flush((FAST, frame(2, [4, 5, 6])), (SLOW, frame(2, [9]))))
    await until(lambda: house.worker("sum").asked.count("frames") == 2)
    house.worker("hangs").gate.set()
    hooked = await flush
    assert values(hooked)[0]["sum"] == 9.0
    assert values(hooked, "press2") == [{"speed": (9, "bad_hook")}]
    assert house.report("sum").failures == 0


async def test_a_stop_waits_for_no_script_that_hangs_in_the_flush_that_runs(house: House) -> None:
    await house.run(script("hangs", COUNTS), script("next", SUM))
    await house.beat([1, 2, 3])
    house.worker("hangs").gate.clear()
    flush = asyncio.ensure_future(house.beat([4, 5, 6]))
    await until(lambda: house.worker("hangs").asked.count("frames") == 2)
    house.stage.hurry(0)
    (shown,) = values(await flush)
    assert shown["t0"] == (4, "bad_hook")
    house.stage.hurry(0)
    (shown,) = values(await house.beat([7, 8, 9]))
    assert shown["t0"] == 7, "without a flush there is nothing to cut"


async def test_time_that_others_have_used_up_is_not_held_against_a_hook(house: House) -> None:
    await house.run(script("slow", SUM, timeout_ms=450), script("next", COUNTS))
    await house.beat([1, 2, 3])
    house.worker("slow").takes = 0.46
    for _ in range(4):
        (shown,) = values(await house.beat([1, 2, 3]))
        assert shown["t0"] == (1, "bad_hook")
    report = house.report("next")
    assert (report.state, report.failures, report.kills) == ("running", 0, 0)
    assert report.bad_samples == 4 * 4
    house.worker("slow").takes = 0.0
    assert values(await house.beat([1, 2, 3]))[0]["calls"] == 2


async def test_an_answer_that_lies_ends_the_worker_and_changes_nothing(house: House) -> None:
    await house.run(script("sum", SUM))
    await house.beat([1, 2, 3])

    def lie(answer: dict[str, Any]) -> Any:
        answer["results"][0]["p"] = "ff"
        return answer

    house.worker("sum").twist = lie
    assert values(await house.beat([1, 2, 3]))[0]["t0"] == (1, "bad_hook")
    assert house.workers.begun[0].fault is not None
    assert "BadReply" in house.report("sum").error


async def test_hooks_that_make_more_than_fits_are_stopped_in_time(house: House) -> None:
    await house.run(script("wide", WIDE))
    await house.stage.expect([FAST])
    hooked = await house.beat(*([n, 0, 0] for n in range(400)))
    made = sum(len(one.row) for _, frames in hooked.frames.values() for one in frames)
    assert 32 << 20 < made < 33 << 20
    assert sum(len(frames) for _, frames in hooked.frames.values()) == 400


async def test_what_hooks_compute_and_texts_of_theirs_count_for_what_fits(house: House) -> None:
    source = """
OUTPUTS = {"s[1..60]": "string"}
def on_cycle(cycle):
    cycle.set_columns("s*", "x" * 10_000)
"""
    await house.run(script("texts", source, "on_cycle"))
    hooked = await house.beat(*([n, 0, 0] for n in range(100)))
    # 32 MiB, and what one more request makes.
    assert 50 < len(values(hooked, "hooks")) < 75


# --- states ------------------------------------------------------------------------------------------------


async def test_a_state_goes_on_where_the_last_run_ended(houses: Callable[..., House]) -> None:
    house = houses({"counts": b'{"n":41}'})
    await house.run(script("counts", COUNTS))
    hooked = await house.beat([1, 2, 3])
    assert values(hooked)[0]["calls"] == 42
    assert hooked.states == {"counts": b'{"n":42}'}


async def test_a_state_that_does_not_change_is_not_written(house: House) -> None:
    await house.run(script("sum", SUM))
    assert (await house.beat([1, 2, 3])).states == {}


async def test_a_new_version_has_the_state_of_the_one_before(house: House) -> None:
    await house.run(script("counts", COUNTS))
    await house.beat([1, 2, 3], [1, 2, 3])
    await house.run(script("counts", COUNTS.replace('state["n"]\n', 'state["n"] * 10\n')))
    assert values(await house.beat([1, 2, 3]))[0]["calls"] == 30


# --- points without frames ---------------------------------------------------------------------------------


async def test_a_cycle_sees_the_newest_values_of_other_groups_after_transform(house: House) -> None:
    await house.run(
        script("double", DOUBLE, groups=["press1.*"]), script("both", CYCLE, "on_cycle", ["press2.*"])
    )
    hooked = await house.flush((FAST, frame(1, [5, 0, 0])), (SLOW, frame(2, [1])), (SLOW, frame(4, [2])))
    assert values(hooked, "hooks") == [{"both": 11.0}, {"both": 12.0}]
    hooked = await house.flush((FAST, frame(5, [7, 0, 0])))
    assert values(hooked, "hooks") == []
    hooked = await house.flush((SLOW, frame(6, [3])))
    assert values(hooked, "hooks") == [{"both": 17.0}]
    ((_, frames),) = [each for each in hooked.frames.values() if each[0].connection == "hooks"]
    assert [one.n for one in frames] == [3]


async def test_a_cycle_of_a_new_worker_knows_what_the_old_one_knew(house: House) -> None:
    await house.run(script("both", CYCLE, "on_cycle", ["press2.*"]))
    await house.flush((FAST, frame(1, [5, 0, 0])), (SLOW, frame(2, [1])))
    house.worker("both").kill()
    hooked = await house.flush((SLOW, frame(3, [2])))
    assert values(hooked, "hooks") == [{"both": 7.0}]
    assert len(house.workers.begun) == 2


async def test_computed_tags_of_a_hook_that_fails_do_not_stay_good(house: House) -> None:
    """Nobody would see that a value is old: its group says so itself, at once and then once a minute."""
    await house.run(script("both", CYCLE, "on_cycle", ["press2.*"]))
    await house.flush((FAST, frame(1, [5, 0, 0])), (SLOW, frame(2, [1])))
    house.workers.refusing = True
    house.worker("both").kill()
    shown = [values(await house.flush((SLOW, frame(n, [1]))), "hooks") for n in range(3, 6)]
    assert shown == [[{"both": (None, "bad_hook")}], [], []]
    await house.clock.advance(60)
    hooked = await house.flush((SLOW, frame(6, [1])))
    assert values(hooked, "hooks") == [{"both": (None, "bad_hook")}]
    (made,) = house.stage.schemas()
    assert [one.n for one in hooked.frames[made.hash][1]] == [3]
    assert [one.quality for one in house.stage.latest_of(made, [0])] == ["bad_hook"]


LINK = """
OUTPUTS = {"up": "string"}
def on_connect(link):
    link["up"] = link.connection + " " + link.state
"""
ALERT = """
OUTPUTS = {"what": "string"}
def on_alert(alert):
    alert["what"] = alert.code
"""
TICK = """
OUTPUTS = {"at": "int64"}
def on_schedule(tick):
    tick["at"] = tick.scheduled
    alert("shift", "over", no=1)
"""


async def test_links_alerts_and_times_are_told_to_those_who_wait_for_them(house: House) -> None:
    await house.run(
        script("link", LINK, "on_connect"), script("alarm", ALERT, "on_alert"),
        script("shift", TICK, "on_schedule", schedule="0 6 * * *"),
    )  # fmt: skip
    house.new_links = [LinkChange("press1", "modbus", "192.0.2.1", "connected", 5)]
    house.new_ticks = [Tick("shift", 77), Tick("another", 78)]
    event = {"time": 9, "code": "buffer_full", "message": "", "connection": None, "data": {}}
    hooked = await house.flush(records={Kind.EVENT: [event]})
    shown = {name: value for each in values(hooked, "hooks") for name, value in each.items()}
    assert shown == {"up": "press1 connected", "what": "buffer_full", "at": 77}
    told = hooked.records[Kind.EVENT]
    assert [one["code"] for one in told] == ["buffer_full", "hook.shift"]
    assert told[1]["data"] | {"sha256": ""} == {"no": 1, "hook": "shift", "sha256": ""}
    assert house.stage.adjusted() == {"hooks": (4, 0)}


async def test_what_inputs_name_is_looked_for_while_others_go_on(house: House) -> None:
    many = Schema.of(
        "press1", "wide", 1, [TagSchema(f"zone{index}", ValueType.UINT16) for index in range(900)]
    )
    patterns = [f"*.*z*o*n*e*{index}?x" for index in range(100)]
    await house.run(script("shift", f"INPUTS = {patterns}\n{TICK}", "on_schedule", schedule="0 6 * * *"))
    turns = 0
    flushed = asyncio.ensure_future(house.flush((many, frame(1, [1] * 900))))
    while not flushed.done():
        await asyncio.sleep(0)
        turns += 1
    assert (await flushed).frames
    assert turns > 20


async def test_a_hook_that_raises_alerts_all_the_time_fills_no_disk_and_says_what_was_left_out(
    house: House,
) -> None:
    source = 'def transform(frame):\n    for n in range(20):\n        alert("x", "y" * 500, z="z" * 4000)\n'
    await house.run(script("shouts", source))
    codes: Counter[str] = Counter()
    left_out = []
    for _ in range(90):
        hooked = await house.beat([1, 2, 3])
        for event in hooked.records.get(Kind.EVENT, []):
            codes[event["code"]] += 1
            if event["code"] == "hook_alerts_left_out":
                left_out.append(event["message"])
        await house.clock.advance(60)
    assert codes == {"hook.x": 120 + 2 * 89, "hook_alerts_left_out": 2}
    assert left_out[0] == "shouts raises too many alerts: 8 were left out"


async def test_in_a_shower_of_alarms_each_call_has_all_values_and_they_are_sent_once(house: House) -> None:
    many = Schema.of("press1", "wide", 1, [TagSchema(f"t{index}", ValueType.UINT16) for index in range(1000)])
    source = """
OUTPUTS = {"sum": "float64"}
INPUTS = ["press1.*"]
def on_alert(alert):
    alert["sum"] = alert.columns("*").sum()
"""
    await house.run(script("sums", source, "on_alert"))
    await house.flush((many, frame(1, [1] * 1000)))
    event = {"time": 9, "code": "hot", "message": "", "connection": None, "data": {}}
    hooked = await house.flush(records={Kind.EVENT: [event] * 200})
    assert values(hooked, "hooks") == [{"sum": 1000.0}] * 200
    assert house.worker("sums").most_bytes < 100_000


async def test_computed_groups_go_through_before_forward_and_into_the_newest_values(house: House) -> None:
    private = 'OUTPUTS = {"both": "string"}\ndef before_forward(frame):\n    frame["both"] = "***"\n'
    await house.run(
        script("both", CYCLE, "on_cycle", ["press2.*"]),
        script("private", private, "before_forward", ["hooks.*"]),
    )
    hooked = await house.flush((FAST, frame(1, [5, 0, 0])), (SLOW, frame(2, [1])))
    assert values(hooked, "hooks") == [{"both": "***"}]
    shown = [(one.group, one.tag, one.value) for one in newest(house.stage, HOOKS_CONNECTION)]
    assert shown == [("both", "both", "***")]


async def test_where_a_script_withholds_no_error_names_a_value(house: House) -> None:
    """It goes to the log, to the centre with each heartbeat, and into an event."""
    tells = 'def transform(frame):\n    int("secret %d" % frame["t0"])\n'
    hides = script("hides", SUM, "before_forward", on_failure=OnFailure.WITHHOLD)
    await house.run(script("tells", tells))
    await house.beat([1234, 2, 3])
    assert "secret 1234" in house.report("tells").error
    await house.run(script("tells", tells.replace("secret", "Secret")), hides)
    events = []
    for _ in range(4):
        hooked = await house.beat([1234, 2, 3])
        events += hooked.records.get(Kind.EVENT, [])
    report = house.report("tells")
    assert (report.error.partition(":")[0], report.line, report.state) == ("ValueError", 2, "off")
    assert [event["code"] for event in events] == ["hook_off"]
    assert "1234" not in f"{events}{report}"
