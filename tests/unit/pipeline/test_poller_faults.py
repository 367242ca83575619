"""What a PLC, a bus or a driver can do, and that it stays where it is."""

import asyncio
from itertools import pairwise

from structlog.testing import capture_logs

from edge_agent.contracts.driver import Plan, Reading
from edge_agent.wire.quality import Quality, QualityRun
from tests.unit.pipeline.plant import Plant, group, until


def qualities(plant: Plant, name: str) -> list[str]:
    """The quality of each frame of a group, by the first run."""
    return [frame.quality[0].quality.label if frame.quality else "good" for frame in plant.sink.of(name)]


# --- units ---------------------------------------------------------------------------------------


async def test_tb_458_a_dead_unit_costs_its_neighbours_three_timeouts_and_then_one_for_each_probe() -> None:
    plant = Plant([group("dead", "1s", 1), group("alive", "1s", 2)])
    plant.driver.moods["dead"] = plant.driver.dead_unit
    async with plant.running():
        await plant.clock.advance(300)
    tries = [at - 1000 for at in plant.driver.of("dead")]
    assert len(tries) <= 3 + 60 / 5 + 300 / 48
    assert all(later - earlier >= 5 * 0.8 for earlier, later in pairwise(tries[2:]))
    assert qualities(plant, "alive") == ["good"] * len(plant.sink.of("alive"))
    # A time-out is as long as the neighbour's interval: at most one cycle is lost for each.
    assert len(plant.driver.of("alive")) >= 300 - len(tries)
    # A probe may be under way just now: their times have jitter.
    assert plant.unit(1).state in ("silent", "probing")
    assert plant.unit(1).error == "no answer within 1 s"
    assert plant.unit(2).state == "answering"
    assert plant.poller.report().state == "stopped"


async def test_a_dead_unit_says_bad_comm_at_once_and_once_a_minute_probes_included() -> None:
    plant = Plant([group("dead", "1s", 1), group("alive", "1s", 2)])
    plant.driver.moods["dead"] = plant.driver.dead_unit
    async with plant.running():
        # Probes come with jitter, and a frame waits for the next of them.
        await plant.clock.advance(190)
    assert qualities(plant, "dead") == ["bad_comm"] * 4


async def test_on_a_line_without_transaction_ids_a_dead_unit_costs_its_neighbour_no_cycle() -> None:
    """The driver drops the link after a time-out there; it is opened again for the neighbour at once."""
    plant = Plant([group("dead", "5s", 1), group("alive", "2s", 2)])
    plant.driver.moods["dead"] = plant.driver.dead_unit_on_a_serial_line
    async with plant.running():
        await plant.clock.advance(60)
        assert plant.poller.report().state == "connected"
    assert set(qualities(plant, "alive")) == {"good"}
    assert len(plant.sink.of("alive")) >= 30


async def test_a_gateway_that_hangs_up_on_one_unit_still_serves_the_others() -> None:
    plant = Plant([group("poison", "1s", 1), group("alive", "1s", 2)])
    async with plant.running():
        await plant.clock.advance(2)
        plant.driver.moods["poison"] = plant.driver.hang_up
        await plant.clock.advance(60)
        assert plant.poller.report().state == "connected"
    assert plant.unit(1).state == "silent"
    assert (plant.unit(2).state, plant.unit(2).bad_cycles) == ("answering", 0)
    # One soon after the start, and one a second from then on.
    assert qualities(plant, "alive") == ["good"] * 63


async def test_a_gateway_that_hangs_up_before_anything_was_read_still_serves_the_others() -> None:
    """The poison is due a hundred times as often as the group that would work."""
    plant = Plant([group("poison", "100ms", 1), group("alive", "10s", 2)])
    plant.driver.moods["poison"] = plant.driver.hang_up
    async with plant.running():
        await plant.clock.advance(15)
    assert "good" in qualities(plant, "alive")
    assert len(plant.driver.connects) < 20


async def test_a_group_that_breaks_the_link_of_its_only_unit_does_not_keep_the_others_out() -> None:
    plant = Plant([group("poison", "100ms"), group("alive", "10s")])
    plant.driver.moods["poison"] = plant.driver.hang_up
    async with plant.running():
        await plant.clock.advance(120)
    assert qualities(plant, "alive").count("good") >= 6


async def test_a_unit_that_answers_again_is_good_at_once_in_all_its_groups() -> None:
    """Also in the group that is due once an hour: it is read again as soon as the unit is there."""
    plant = Plant([group("fast", "1s"), group("hourly", "1h")])
    plant.driver.moods = {"fast": plant.driver.dead_unit, "hourly": plant.driver.dead_unit}
    async with plant.running():
        await plant.clock.advance(20)
        assert {quality for _, quality in plant.latest().values()} == {"bad_comm"}
        plant.driver.moods.clear()
        await plant.clock.advance(60)
        assert {quality for _, quality in plant.latest().values()} == {"good"}
    assert qualities(plant, "hourly") == ["bad_comm", "good"]
    assert plant.unit().state == "answering"


async def test_an_hourly_group_that_missed_one_answer_is_asked_again_within_seconds() -> None:
    plant = Plant([group("hourly", "1h")])
    plant.driver.moods["hourly"] = plant.driver.dead_unit
    async with plant.running():
        await plant.clock.advance(1)
        plant.driver.moods.clear()
        await plant.clock.advance(6)
    assert qualities(plant, "hourly") == ["bad_comm", "good"]


async def test_telegraf_8871_a_bad_tag_leaves_its_unit_and_the_other_tags_alone() -> None:
    plant = Plant([group("g", tags=[{"name": "a"}, {"name": "b"}])])

    async def one_bad(plan: Plan) -> Reading:
        quality = (QualityRun(1, 1, Quality.BAD_CONFIG),)
        return Reading(b"\x01\x00\x00\x00", None, quality, errors={"holding 1": "illegal data address"})

    plant.driver.moods["g"] = one_bad
    async with plant.running():
        await plant.clock.advance(10)
        assert plant.latest() == {"g.a": (1, "good"), "g.b": (None, "bad_config")}
        assert plant.poller.healthy
    assert plant.unit().state == "answering"
    assert plant.unit().error == "holding 1: illegal data address"
    assert len(plant.sink.of("g")) == 11


async def test_a_unit_s_outage_is_one_log_line_down_and_one_back() -> None:
    plant = Plant([group("dead", "1s", 1), group("alive", "1s", 2)])
    with capture_logs() as lines:
        async with plant.running():
            plant.driver.moods["dead"] = plant.driver.dead_unit
            await plant.clock.advance(3600)
            plant.driver.moods.clear()
            await plant.clock.advance(120)
    assert [line["event"] for line in lines] == ["unit does not answer", "unit answers again"]
    assert {(line["connection"], line["unit_id"]) for line in lines} == {("plc", 1)}


# --- links ---------------------------------------------------------------------------------------


async def test_a_connection_that_is_refused_is_tried_ever_more_slowly_and_says_so_once_a_minute() -> None:
    plant = Plant([group("a", "100ms"), group("b", "1s")])
    plant.driver.refuses = "connection refused"
    async with plant.running():
        await plant.clock.advance(300)
        report = plant.poller.report()
    assert (report.state, report.error) == ("down", "connection refused")
    assert report.overruns == 0
    gaps = [later - earlier for earlier, later in pairwise(plant.driver.connects)]
    assert gaps[0] < 0.2
    assert all(12 <= gap <= 15 for gap in gaps[9:])
    assert plant.driver.reads == []
    assert qualities(plant, "a") == ["bad_comm"] * len(plant.sink.of("a"))
    assert 5 <= len(plant.sink.of("a")) <= 6


async def test_a_link_that_opens_while_every_read_breaks_it_is_no_hot_loop() -> None:
    plant = Plant([group("g", "10ms")])
    plant.driver.moods["g"] = plant.driver.hang_up
    async with plant.running():
        await plant.clock.advance(600)
        assert plant.poller.report().state == "down"
    assert len(plant.driver.connects) < 60
    assert len(plant.sink.frames) <= 11


async def test_s7_143_after_an_outage_every_group_is_read_at_once_also_the_hourly_one() -> None:
    plant = Plant([group("fast", "1s"), group("hourly", "1h")])
    async with plant.running():
        await plant.clock.advance(5)
        plant.driver.drop()
        plant.driver.refuses = "no route to host"
        await plant.clock.advance(30)
        assert {quality for _, quality in plant.latest().values()} == {"bad_comm"}
        plant.driver.refuses = ""
        await plant.clock.advance(16)
        assert {quality for _, quality in plant.latest().values()} == {"good"}
        assert plant.poller.report().state == "connected"
        assert plant.poller.report().overruns == 0
        assert plant.workshop.lateness.counts[-1] == 0, "nobody was late while there was no link"
    assert qualities(plant, "hourly") == ["good", "bad_comm", "good"]


async def test_a_plc_that_closed_the_connection_costs_no_cycle() -> None:
    plant = Plant([group("g", "1s")])
    async with plant.running():
        for _ in range(10):
            await plant.clock.advance(1)
            plant.driver.drop()
    assert qualities(plant, "g") == ["good"] * 11
    assert plant.poller.report().overruns == 0


async def test_tb_1641_a_read_that_never_ends_is_cut_off_and_its_unit_held_responsible() -> None:
    plant = Plant([group("stuck", "1s", 1), group("alive", "1s", 2)], timeout="1ms")
    plant.driver.moods["stuck"] = plant.driver.hang

    async with plant.running():

        def opened() -> bool:
            return plant.unit(1).state == "silent"

        while not opened():
            tries = len(plant.driver.of("stuck"))
            await plant.clock.advance(0.5)
            if len(plant.driver.of("stuck")) > tries:
                # The cap runs on real time: 4 × 3 × 1 ms.
                await until(lambda: plant.poller.report().state == "down")
        assert len(plant.driver.of("stuck")) == 3
        alive = len(plant.driver.of("alive"))
        await plant.clock.advance(4)
        assert len(plant.driver.of("alive")) - alive == 4
    assert "did not end" in plant.unit(1).error


async def test_a_connect_that_never_ends_is_cut_off() -> None:
    plant = Plant([group("g", "1s")], timeout="1ms")

    async def hang() -> None:
        plant.driver.connects.append(plant.clock.monotonic())
        await asyncio.Event().wait()

    plant.driver.connect = hang  # type: ignore[method-assign]
    async with plant.running():
        await until(lambda: plant.poller.report().state == "down")
        assert plant.latest()["g.t"][1] == "bad_comm"
        assert "not open within" in plant.poller.report().error


async def test_a_link_s_outage_is_one_log_line_down_and_one_back() -> None:
    plant = Plant([group("g", "1s")])
    with capture_logs() as lines:
        async with plant.running():
            await plant.clock.advance(5)
            plant.driver.drop()
            plant.driver.refuses = "no route to host"
            await plant.clock.advance(3600)
            plant.driver.refuses = ""
            await plant.clock.advance(20)
    assert [line["event"] for line in lines] == ["connection is down", "connection is back"]
    assert lines[0]["error"] == "no route to host"
    assert lines[1]["outage_seconds"] > 3500


# --- bugs of drivers -------------------------------------------------------------------------------


async def test_after_an_unexpected_error_the_poller_goes_on_with_all_groups_and_their_numbers() -> None:
    plant = Plant([group("a", "1s"), group("b", "1s")])
    async with plant.running():
        await plant.clock.advance(3)
    plant.driver.moods["a"] = plant.driver.fail
    async with plant.running() as task:
        await plant.clock.advance(2)
        assert task.done()
        assert isinstance(task.exception(), ZeroDivisionError)
        # Nobody polls now: nothing may look as if somebody did.
        assert {quality for _, quality in plant.latest().values()} == {"bad_comm"}
        assert plant.poller.report().state == "down"
        assert not plant.poller.healthy
    plant.driver.moods.clear()
    before = len(plant.driver.reads)
    async with plant.running():
        await plant.clock.advance(3)
        assert {quality for _, quality in plant.latest().values()} == {"good"}
    assert {name for name, _ in plant.driver.reads[before:]} == {"a", "b"}


async def test_a_reading_that_makes_no_sense_ends_the_run_and_spoils_no_count() -> None:
    plant = Plant([group("g", "1s")])

    async def odd(plan: Plan) -> Reading:
        return Reading(b"\x01\x02\x03")

    plant.driver.moods["g"] = odd
    async with plant.running() as task:
        await plant.clock.advance(1)
        assert "3 bytes for a row of 2" in str(task.exception())
