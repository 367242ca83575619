"""All hooks of a flush: order, failures, breakers, states and deadlines, without a process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest

from edge_agent.contracts.hooks import Frames, Hooked, LinkChange, Tick
from edge_agent.contracts.status import LatestValue
from edge_agent.hooks.errors import BadReply, TimedOut, WorkerGone
from edge_agent.hooks.stage import Stage
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame, selection
from edge_agent.wire.messages import HookReport
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.scripts import HOOKS_CONNECTION, HookPoint, OnFailure, Script
from edge_agent.wire.values import read_value
from tests.unit.hooks.in_process import InProcess, Workers

FAST = Schema.of("press1", "fast", 1, [TagSchema(f"t{index}", ValueType.UINT16) for index in range(3)])
SLOW = Schema.of("press2", "slow", 1, [TagSchema("speed", ValueType.UINT16)])
DOUBLE = """
OUTPUTS = {"t*": "float64"}
def transform(frame):
    frame.set_columns("t*", frame.columns("t*") * 2)
"""
SUM = 'OUTPUTS = {"sum": "float64"}\ndef transform(frame):\n    frame["sum"] = frame["t0"] + frame["t1"]\n'
WIDE = """
OUTPUTS = {"w[1..20000]": "float64"}
def transform(frame):
    frame.set_columns("w[1..20000]", 1.0)
"""
BREAKS = 'OUTPUTS = {"x": "int64"}\ndef transform(frame):\n    if frame["t0"] >= 100:\n        1 / 0\n'
COUNTS = """
OUTPUTS = {"calls": "int64"}
def transform(frame, state):
    state["n"] = state.get("n", 0) + 1
    frame["calls"] = state["n"]
"""


def script(
    name: str, source: str, point: str = "transform", groups: Sequence[str] = ("*",), **more: Any
) -> Script:
    return Script(name=name, hook_type=HookPoint(point), source=source, groups=list(groups), **more)


def frame(n: int, values: Sequence[int], **more: Any) -> Frame:
    row = b"".join(value.to_bytes(2, "little") for value in values)
    return Frame(n, n * 10**9, 1_767_225_600_000 + n * 1_000, row, len(values), **more)


def given(*pairs: tuple[Schema, Frame]) -> Frames:
    frames: Frames = {}
    for schema, one in pairs:
        frames.setdefault(schema.hash, (schema, []))[1].append(one)
    return frames


def newest(stage: Stage, connection: str) -> list[LatestValue]:
    return [
        value
        for schema in stage.schemas()
        if schema.connection == connection
        for value in stage.latest_of(schema, range(schema.tag_count))
    ]


def values(hooked: Hooked, connection: str = "press1") -> list[dict[str, Any]]:
    """Of each frame of the connection, in the order of their numbers: value and quality of what it has."""
    found = []
    for schema, frames in hooked.frames.values():
        if schema.connection == connection:
            found += [(one.n, _values(schema, one)) for one in frames]
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]


def _values(schema: Schema, one: Frame) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for index, (tag, there) in enumerate(
        zip(schema.tags, selection(one.present, schema.tag_count), strict=True)
    ):
        if not there:
            continue
        mark = next((run for run in one.quality if run.first <= index < run.first + run.count), None)
        if mark is not None and mark.null:
            value = None
        elif index >= schema.fixed_tags:
            value = (one.text or ())[index - schema.fixed_tags]
        else:
            value = read_value(tag, one.row[schema.edges[index] : schema.edges[index + 1]])
        shown[tag.name] = value if mark is None else (value, mark.quality.label)
    return shown


class House:
    """A stage, its workers and what happens beside frames. Implements contracts.hooks.HookSources."""

    def __init__(self, saved: Mapping[str, bytes] | None = None) -> None:
        self.clock = ManualClock()
        self.workers = Workers(self.clock)
        self.new_links: list[LinkChange] = []
        self.new_ticks: list[Tick] = []
        self.stage = Stage(self.clock, self, saved or {}, self.workers.start)
        self._n = 0

    def links(self) -> list[LinkChange]:
        links, self.new_links = self.new_links, []
        return links

    def ticks(self) -> list[Tick]:
        ticks, self.new_ticks = self.new_ticks, []
        return ticks

    async def run(self, *scripts: Script, require: Sequence[str] = ()) -> None:
        await self.stage.replace(scripts, require, 0.25)

    async def flush(self, *pairs: tuple[Schema, Frame], records: Any = None) -> Hooked:
        return await self.stage.apply(given(*pairs), records or {}, 0.5)

    async def beat(self, *rows: Sequence[int]) -> Hooked:
        """A flush with frames of `fast`."""
        self._n += len(rows)
        first = self._n - len(rows) + 1
        return await self.flush(*((FAST, frame(first + at, row)) for at, row in enumerate(rows)))

    def worker(self, hook: str) -> InProcess:
        """Where the hook lives, hooks having one each."""
        names = [one.name for one in self.stage.report().hooks]
        return self.workers.begun[names.index(hook)]

    def report(self, hook: str) -> HookReport:
        return next(one for one in self.stage.report().hooks if one.name == hook)


@pytest.fixture
async def houses() -> AsyncIterator[Callable[..., House]]:
    built: list[House] = []

    def build(saved: Mapping[str, bytes] | None = None) -> House:
        built.append(House(saved))
        return built[-1]

    yield build
    for house in built:
        await house.stage.close()


@pytest.fixture
def house(houses: Callable[..., House]) -> House:
    return houses()


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


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0)


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


CYCLE = """
OUTPUTS = {"both": "float64"}
INPUTS = ["press1.t0", "press2.speed"]
def on_cycle(cycle):
    cycle["both"] = cycle["press1.t0"] + cycle["press2.speed"]
"""


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


# --- which scripts run -------------------------------------------------------------------------------------


async def test_a_change_leaves_what_stays_its_worker_and_figures(house: House) -> None:
    counts = script("counts", COUNTS)
    await house.run(counts, script("sum", SUM))
    await house.beat([1, 2, 3])
    stays = house.worker("counts")
    await house.run(counts, script("sum", SUM.replace("+", "-")))
    assert (stays.closed, stays.asked.count("load")) == (False, 1)
    assert house.workers.begun[1].closed
    (shown,) = values(await house.beat([1, 2, 3]))
    assert (shown["calls"], shown["sum"]) == (2, -1.0)
    assert house.report("counts").calls == 2
    await house.run()
    assert all(worker.closed for worker in house.workers.begun)
    assert values(await house.beat([1, 2, 3])) == [{"t0": 1, "t1": 2, "t2": 3}]


async def test_hooks_of_one_worker_share_a_process(house: House) -> None:
    await house.run(script("sum", SUM, worker="own"), script("counts", COUNTS, worker="own"))
    assert values(await house.beat([1, 2, 3])) == [{"t0": 1, "t1": 2, "t2": 3, "sum": 3.0, "calls": 1}]
    assert len(house.workers.begun) == 1


async def test_a_script_that_does_not_compile_is_refused_with_its_line(house: House) -> None:
    await house.run(script("bad", "OUTPUTS = {}\nimport os\ndef transform(frame):\n    pass\n"))
    report = house.report("bad")
    assert (report.state, report.line) == ("refused", 2)
    assert values(await house.beat([1, 2, 3]))[0]["t0"] == (1, "bad_hook")


async def test_outputs_that_cannot_be_are_refused(house: House) -> None:
    await house.run(
        script(
            "bad",
            'OUTPUTS = {"x": "float64", "x[1..2]": "int64", "x1": "int8"}\ndef transform(frame):\n    pass\n',
        )
    )
    assert values(await house.beat([1, 2, 3]))[0]["t0"] == (1, "bad_hook")
    assert "OUTPUTS" in house.report("bad").error


async def test_no_hook_runs_without_a_layer_that_is_required(house: House) -> None:
    await house.run(script("sum", SUM), require=["landlock"])
    assert values(await house.beat([1, 2, 3]))[0]["t0"] == (1, "bad_hook")
    report = house.report("sum")
    assert "landlock: not supported" in report.error
    assert "load" not in house.workers.begun[0].asked
    assert house.stage.report().layers["landlock"] == "not supported"
    await house.run(script("sum", SUM), require=["seccomp"])
    assert values(await house.beat([1, 2, 3]))[0]["sum"] == 3.0


async def test_a_worker_that_cannot_be_begun_is_tried_again(house: House) -> None:
    house.workers.refusing = True
    await house.run(script("sum", SUM))
    assert values(await house.beat([1, 2, 3]))[0]["t0"] == (1, "bad_hook")
    house.workers.refusing = False
    await house.clock.advance(1)
    await house.beat([1, 2, 3])
    await until(lambda: house.report("sum").state == "running")
    assert values(await house.beat([1, 2, 3]))[0]["sum"] == 3.0


async def test_a_worker_that_ends_over_a_schema_is_begun_less_and_less_often(house: House) -> None:
    """Such as one whose memory a plant's schemas do not fit into: each flush began another."""
    await house.run(script("sum", SUM))
    house.workers.ends_over_schemas = True
    house.worker("sum").kill()
    for _ in range(30):
        await house.beat([1, 2, 3])
        await house.clock.advance(0.5)
    assert 3 <= len(house.workers.begun) <= 9


async def test_connections_that_begin_are_prepared_for(house: House) -> None:
    await house.run(script("double", DOUBLE), script("sum", SUM))
    await house.stage.expect([FAST])
    before = [worker.asked.count("plan") for worker in house.workers.begun]
    await house.beat([1, 2, 3])
    assert [worker.asked.count("plan") for worker in house.workers.begun] == before == [1, 1]


async def test_what_was_made_of_a_schema_goes_with_it(house: House) -> None:
    """A new worker was told of every schema that a group had ever had."""
    await house.run(script("double", DOUBLE), script("sum", SUM))
    await house.beat([1, 2, 3])
    other = Schema.of("press1", "fast", 1, [*FAST.tags, TagSchema("t3", ValueType.UINT16)])
    await house.stage.expect([other])
    assert values(await house.beat([1, 2, 3]))[0]["sum"] == 6.0, "frames of before the change"
    await house.stage.expect([other])
    house.worker("sum").kill()
    await house.flush((other, frame(9, [1, 2, 3, 4])))
    assert house.workers.begun[-1].asked.count("schema") == 1


async def test_what_fails_is_told_by_patterns(house: House) -> None:
    private = "OUTPUTS = {}\ndef before_forward(frame):\n    pass\n"
    await house.run(
        script("sum", SUM, groups=["press1.*", "*.slow"]),
        script("private", private, "before_forward", ["*.slow"], on_failure=OnFailure.WITHHOLD),
        script("both", CYCLE, "on_cycle", ["press3.*"]),
    )  # fmt: skip
    assert house.stage.failed() == {"press1.*": False, "*.slow": True}


async def test_after_its_end_frames_go_on_marked(house: House) -> None:
    await house.run(script("sum", SUM))
    await house.beat([1, 2, 3])
    await house.stage.close()
    assert values(await house.beat([1, 2, 3]))[0]["t0"] == (1, "bad_hook")
    assert house.report("sum").kills == 0


async def test_a_fault_of_ours_costs_no_sample(house: House) -> None:
    await house.run(script("sum", SUM, on_failure=OnFailure.WITHHOLD), script("shift", CYCLE, "on_cycle"))

    def broken() -> list[LinkChange]:
        raise RuntimeError("a bug")

    house.links = broken  # type: ignore[method-assign]
    assert values(await house.beat([1, 2, 3])) == [dict.fromkeys(("t0", "t1", "t2"), (None, "bad_hook"))]


async def test_newest_values_show_what_hooks_made_and_that_they_fail(house: House) -> None:
    await house.run(script("double", DOUBLE))
    await house.beat([1, 2, 3])
    assert [(one.tag, one.value, one.quality) for one in newest(house.stage, "press1")] == [
        ("t0", 2.0, "good"), ("t1", 4.0, "good"), ("t2", 6.0, "good"),
    ]  # fmt: skip
    house.worker("double").faults.append(WorkerGone("gone"))
    await house.beat([5, 5, 5])
    assert {(one.value, one.quality) for one in newest(house.stage, "press1")} == {(None, "bad_hook")}
    assert Quality.BAD_HOOK.label == "bad_hook"
