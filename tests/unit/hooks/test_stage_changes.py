"""Which scripts run: changes of them, refusals, workers that end, and what is told of all that."""

from collections.abc import Callable

import pytest

from edge_agent.contracts.hooks import LinkChange
from edge_agent.hooks.errors import OutOfTime, TimedOut, WorkerGone
from edge_agent.hooks.link import Link
from edge_agent.hooks.runner import Given, Runner
from edge_agent.hooks.states import KEPT
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.scripts import OnFailure
from tests.unit.hooks.house import (
    BREAKS,
    COUNTS,
    CYCLE,
    DOUBLE,
    FAST,
    SLOW,
    SUM,
    House,
    frame,
    newest,
    script,
    until,
    values,
)
from tests.unit.hooks.in_process import Workers

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
    assert [worker.asked.count("plan") for worker in house.workers.begun] == before == [1, 2]


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
    assert house.workers.begun[-1].asked.count("schema") == 2, "as it is read, and as the other makes it"


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


async def test_a_fault_of_ours_leaves_states_as_they_were(house: House) -> None:
    """A state that has counted frames whose values did not go on would be ahead of them."""
    await house.run(script("counts", COUNTS))
    told = house.links

    def broken() -> list[LinkChange]:
        raise RuntimeError("a bug")

    house.links = broken  # type: ignore[method-assign]
    assert (await house.beat([1, 2, 3])).states == {}
    house.links = told  # type: ignore[method-assign]
    hooked = await house.beat([1, 2, 3])
    assert values(hooked)[0]["calls"] == 1
    assert hooked.states == {"counts": b'{"n":1}'}


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


async def test_a_hook_that_was_off_when_its_worker_was_begun_anew_is_tried_again(house: House) -> None:
    """Its neighbour needs the worker at once; it itself was never compiled there, and stayed off for good."""
    await house.run(script("counts", COUNTS, worker="own"), script("breaks", BREAKS, worker="own"))
    for _ in range(3):
        await house.beat([100, 0, 0])
    assert house.report("breaks").state == "off"
    house.workers.begun[0].kill()
    await house.beat([1, 2, 3])
    await until(lambda: house.report("counts").state == "running")
    await house.clock.advance(60)
    await house.beat([1, 2, 3])
    await until(lambda: house.report("breaks").state == "running")
    assert values(await house.beat([1, 2, 3]))[0]["t0"] == 1


async def test_a_hook_that_was_off_when_its_neighbours_changed_is_tried_again(house: House) -> None:
    breaks = script("breaks", BREAKS, worker="own")
    await house.run(breaks, script("sum", SUM, worker="own"))
    for _ in range(3):
        await house.beat([100, 0, 0])
    await house.run(breaks, script("sum", SUM.replace("+", "-"), worker="own"))
    await house.clock.advance(60)
    await house.beat([1, 2, 3])
    assert values(await house.beat([1, 2, 3]))[0]["t0"] == 1
    assert house.report("breaks").state == "running"


ALIKE = [
    Schema.of(f"press{n}", "fast", n, [TagSchema(f"t{at}", ValueType.UINT16) for at in range(100)])
    for n in range(50)
]


async def test_what_groups_have_in_common_is_taught_once(house: House) -> None:
    """A hundred groups of a thousand tags took six seconds: the first frames of most went on without."""
    await house.run(script("double", DOUBLE), script("sum", SUM))
    await house.stage.expect(ALIKE)
    double, summing = house.workers.begun
    assert (double.asked.count("plan"), summing.asked.count("plan")) == (50, 100)
    assert double.told_bytes < 3 * 100 * 100, "the tags once and the outputs once, of 50 groups"
    assert summing.told_bytes < 4 * 100 * 100
    row = frame(1, range(100))
    hooked = await house.flush(*((schema, row) for schema in ALIKE))
    for schema in ALIKE:
        (shown,) = values(hooked, schema.connection)
        assert (shown["t7"], shown["sum"]) == (14.0, 2.0)


async def test_groups_with_the_same_tags_know_nothing_of_each_other(house: House) -> None:
    one, other = ALIKE[:2]
    await house.run(script("sum", SUM))
    await house.stage.expect(ALIKE[:2])
    hooked = await house.flush((one, frame(1, range(100))), (other, frame(1, range(100, 200))))
    assert values(hooked, "press1")[0]["sum"] == 201.0
    only_t1 = (2).to_bytes(13, "little")
    hooked = await house.flush(
        (one, frame(2, [0, 40], present=only_t1)), (other, frame(2, [0, 50], present=only_t1))
    )
    assert values(hooked, "press0")[0]["sum"] == 40.0
    assert values(hooked, "press1")[0]["sum"] == 150.0


async def test_a_hook_knows_its_frames_also_where_the_one_before_it_fails_on_the_first(house: House) -> None:
    """It had been told of what the other makes of them alone, and there was no time left to tell it more."""
    await house.run(script("counts", COUNTS), script("sum", SUM))
    await house.stage.expect([FAST])
    house.worker("counts").faults.append(TimedOut("too late"))
    house.worker("counts").takes = 0.25
    (shown,) = values(await house.beat([1, 2, 3]))
    assert shown["sum"] == (3.0, "bad_hook"), "of values that are marked"
    assert house.report("sum").bad_samples == 0


async def test_groups_that_are_polled_no_more_are_forgotten(house: House) -> None:
    """Their last values were shown as good for good, and each change left more of them."""
    passes = "OUTPUTS = {}\ndef transform(frame):\n    pass\n"
    await house.run(script("passes", passes), script("both", CYCLE, "on_cycle", ["press1.*"]))
    await house.flush((FAST, frame(1, [5, 0, 0])), (SLOW, frame(1, [1])))
    await house.beat([1, 2, 3])
    assert {schema.connection for schema in house.stage.schemas()} == {"press1", "press2", "hooks"}
    del house.groups["press2", "slow"]
    await house.stage.expect([])
    assert {schema.connection for schema in house.stage.schemas()} == {"press1", "hooks"}
    assert values(await house.beat([1, 2, 3]), "hooks") == [], "its other half is not polled any more"
    await house.flush((FAST, frame(9, [5, 0, 0])), (SLOW, frame(1, [1])))
    assert values(await house.beat([1, 2, 3]), "hooks") == [{"both": 2.0}]
    assert len(house.workers.begun) == 2


async def test_scripts_that_come_later_know_the_groups_that_are_polled(house: House) -> None:
    house.groups = {(each.connection, each.group): each for each in (FAST, SLOW)}
    await house.run(script("sum", SUM, groups=["press1.*"]))
    assert house.worker("sum").asked == ["load", "schema", "plan"]


async def test_states_of_hooks_that_are_gone_are_bounded(houses: Callable[..., House]) -> None:
    saved = {f"gone-{n:03}": b'{"n":1}' for n in range(KEPT + 2)} | {"counts": b'{"n":41}'}
    house = houses(saved)
    await house.run(script("counts", COUNTS))
    hooked = await house.beat([1, 2, 3])
    assert hooked.states == {"gone-000": b"", "gone-001": b"", "counts": b'{"n":42}'}


async def test_a_worker_that_took_over_is_not_asked_about_a_group_that_it_was_not_told_of() -> None:
    """A reload begins another while a flush is on its way: it was asked, and ended over it."""
    clock = ManualClock()
    worker = await Workers(clock).start()
    runner = Runner(script("sum", SUM), Link(worker), clock)
    derived = (await runner.load()).derive(FAST)
    with pytest.raises(OutOfTime, match="not told of this group"):
        await runner.frames([Given(FAST, frame(1, [1, 2, 3]), derived)], b"", 1.0)
    await runner.prepare(derived)
    assert len((await runner.frames([Given(FAST, frame(1, [1, 2, 3]), derived)], b"", 1.0)).results) == 1
    assert worker.fault is None
