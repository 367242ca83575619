"""Commands on their way: long polls, lost and repeated answers, reports out of order, races with cancelling
and expiry. What users of other systems suffered has its name here (thingsboard#7123, #11642, #8712)."""

import asyncio
from collections.abc import Callable

import orjson
import pytest

from central_sync.services.commands.board import CommandBoard
from central_sync.services.errors import Busy
from central_sync.services.live import Hub
from edge_agent.wire.commands import CommandReport, CommandState
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import T0, Edge
from tests.unit.central.hands import Hands, cancel, command, make_devices, meet, order, pass_time, show, state


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def _held(house: House) -> int:
    return house.centre.commands.board.held


# --- offers ---------------------------------------------------------------------------------------------


async def test_delivered_means_acknowledged_by_the_device_and_not_sent_to_it(open_house: OpenHouse) -> None:
    """thingsboard#7123: commands for an offline device were shown as delivered."""
    async with open_house() as house:
        await meet(house)
        known = await command(house)
        assert await state(house, known) == "queued"
        hands = Hands(house)
        assert await hands.offered() == [known]
        assert await state(house, known) == "queued"
        await hands.report(known, "delivered")
        assert await state(house, known) == "delivered"


async def test_an_offer_says_what_to_run_and_for_how_long(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        params = {"tags": ["press1.oil_temp"]}
        made = await order(house, "read_tags", params=params, expires_seconds=60, timeout_seconds=20)
        house.clock.advance(10)
        (offer,) = (await Hands(house).offers())["commands"]
        assert (offer["type"], offer["params"]) == ("read_tags", params)
        assert (offer["start_seconds"], offer["timeout_seconds"]) == (50, 20)
        assert (offer["by"], offer["created"]) == (made["order"]["author"], T0)


async def test_a_lost_offer_is_made_again_and_an_acknowledged_one_is_not(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        assert await hands.offered() == await hands.offered() == [known]
        await hands.report(known, "delivered")
        assert await hands.offered() == []


async def test_offers_are_the_oldest_twenty_of_this_device(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        made = [await command(house) for _ in range(22)]
        hands = Hands(house)
        assert await hands.offered() == made[:20]
        await hands.report(made[0], "delivered")
        assert await hands.offered() == made[1:21]
        assert await Hands(house, "dev-2").offered() == []
        assert house.centre.commands.board.waiting("dev-1") == 21


async def test_a_command_that_hangs_holds_up_no_other(open_house: OpenHouse) -> None:
    """thingsboard#8712: one stuck command blocked those behind it."""
    async with open_house() as house:
        await meet(house)
        stuck, other = await command(house), await command(house)
        hands = Hands(house)
        await hands.offers()
        await hands.report(stuck, "delivered", "accepted", "running")
        await hands.report(other, "delivered", "accepted", "running", "succeeded")
        third = await command(house)
        assert await hands.offered() == [third]
        assert [await state(house, one) for one in (stuck, other)] == ["running", "succeeded"]


async def test_heartbeats_and_uploads_say_how_many_commands_wait(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        assert (await house.beat(edge))["commands_waiting"] == 0
        known, _ = await command(house), await command(house)
        assert (await house.beat(edge))["commands_waiting"] == 2
        await house.put_schema(edge)
        assert (await house.post(edge, edge.upload(edge.make()))).json["commands_waiting"] == 2
        await Hands(house).report(known, "delivered")
        assert (await house.beat(edge))["commands_waiting"] == 1


# --- long polls -----------------------------------------------------------------------------------------


async def test_a_waiting_device_hears_of_a_command_at_once(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        hands = Hands(house)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(hands.offers(wait=60))
            await _until(lambda: _held(house) == 1)
            known = await command(house)
        assert [offer["id"] for offer in waiting.result()["commands"]] == [known]


async def test_a_device_whose_credential_is_revoked_while_it_waits_gets_no_command(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await meet(house)
        async with asyncio.TaskGroup() as group:
            path = "/api/fleet/edge/dev-1/commands?wait=60"
            waiting = group.create_task(house.ask("GET", path, "dev-1"))
            await _until(lambda: _held(house) == 1)
            revoked = await house.ask("DELETE", "/api/fleet/devices/dev-1/credentials", "admin")
            assert revoked.status == 200
            await command(house)
        assert (waiting.result().status, waiting.result().json["code"]) == (401, "bad_token")


async def test_a_waiting_device_hears_of_a_cancelling_at_once(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        await hands.offers()
        await hands.report(known, "delivered", "running")
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(hands.offers(wait=60))
            await _until(lambda: _held(house) == 1)
            await cancel(house, known)
        assert waiting.result()["cancel"] == [known]


async def test_a_wait_ends_with_its_time(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        assert await Hands(house).offers(wait=0.05) == {"commands": [], "cancel": []}
        assert _held(house) == 0


async def test_one_request_of_a_device_is_held_and_a_newer_one_ends_it(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        hands = Hands(house)
        async with asyncio.TaskGroup() as group:
            older = group.create_task(hands.offers(wait=60))
            await _until(lambda: _held(house) == 1)
            newer = group.create_task(hands.offers(wait=60))
            assert await older == {"commands": [], "cancel": []}
            known = await command(house)
        assert [offer["id"] for offer in newer.result()["commands"]] == [known]


async def test_what_was_just_said_is_not_said_again_at_once_to_a_device_that_waits(
    open_house: OpenHouse,
) -> None:
    """Else a device whose disk cannot take the command would ask as fast as it can."""
    async with open_house() as house:
        await meet(house)
        first, hands = await command(house), Hands(house)
        assert len((await hands.offers(wait=60))["commands"]) == 1
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(hands.offers(wait=60))
            await _until(lambda: _held(house) == 1)
            second = await command(house)
        assert [offer["id"] for offer in waiting.result()["commands"]] == [first, second]


async def test_held_requests_are_bounded_and_the_rest_come_back_later() -> None:
    board = CommandBoard(Hub(), max_held=1)
    with board.polling("dev-1"):
        with pytest.raises(Busy) as refused, board.polling("dev-2"):
            pass
        assert (refused.value.code, refused.value.retry_after) == ("too_many_waiting", 10.0)
    with board.polling("dev-2"):
        pass


async def test_held_requests_end_when_the_centre_stops(open_house: OpenHouse) -> None:
    async with open_house() as house, asyncio.TaskGroup() as group:
        await meet(house)
        known = await command(house)
        waiting = group.create_task(Hands(house, "dev-2").offers(wait=60))
        path = f"/api/fleet/commands/{known}/log?wait=60"
        following = group.create_task(house.get(path))
        await _until(lambda: _held(house) == 2)
        house.centre.commands.close()
        assert await waiting == {"commands": [], "cancel": []}
        assert (await following)["text"] == ""
        late = await house.ask("GET", "/api/fleet/edge/dev-1/commands?wait=1", "dev-1")
        assert (late.status, late.headers["Retry-After"]) == (503, "10")
        assert await Hands(house).offered() == [known]


async def test_an_order_wakes_more_devices_than_the_writer_takes_at_once(open_house: OpenHouse) -> None:
    async with open_house() as house, asyncio.TaskGroup() as group:
        names = [f"many-{number}" for number in range(1_500)]
        await make_devices(house, names)
        desk = house.centre.commands.desk
        waiting = [group.create_task(desk.offers(name, 60)) for name in names]
        await _until(lambda: _held(house) == len(names))
        await order(house, targets={"selector": "*"})
        found = await asyncio.gather(*waiting)
        assert all(len(offers.commands) == 1 for offers in found)
        reports = [
            desk.report(
                name, offers.commands[0].id, CommandReport(no=1, state=CommandState.DELIVERED, time=T0)
            )
            for name, offers in zip(names, found, strict=True)
        ]
        await asyncio.gather(*reports)
        assert house.centre.commands.board.waiting("many-0") == 0


# --- reports --------------------------------------------------------------------------------------------


async def test_every_step_is_in_the_history_with_its_time_and_who_said_so(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        house.clock.advance(1)
        await hands.report(known, "delivered", "accepted")
        house.clock.advance(1)
        await hands.report(known, "running", step=1, steps=2, message="asks")
        await hands.report(known, "running", step=2, steps=2, message="waits")
        shown = await show(house, known)
        assert (shown["step"], shown["steps"], shown["message"]) == (2, 2, "waits")
        await hands.report(known, "succeeded", result={"uptime_seconds": 5.0})
        shown = await show(house, known)
        steps = [(step["state"], step["by"], step["time"] - T0) for step in shown["history"]]
        assert steps == [
            ("queued", shown["author"], 0),
            ("delivered", "device", 1_000),
            ("accepted", "device", 1_000),
            ("running", "device", 2_000),
            ("succeeded", "device", 2_000),
        ]
        assert (shown["result"], shown["step"], shown["ended"] - T0) == ({"uptime_seconds": 5.0}, 2, 2_000)


async def test_repeated_reports_change_nothing(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        for _ in range(3):
            assert (await hands.send(known, "delivered", 1)).status == 204
            assert (await hands.send(known, "failed", 2, code="broken")).status == 204
            assert (await hands.send(known, "succeeded", 3)).status == 204
        shown = await show(house, known)
        assert (shown["state"], shown["code"], len(shown["history"])) == ("failed", "broken", 3)


async def test_reports_out_of_order_end_where_the_device_ended_and_keep_their_output(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        await hands.send(known, "succeeded", 4, log={"offset": 6, "text": "last"})
        await hands.send(known, "running", 3, log={"offset": 0, "text": "first "})
        await hands.send(known, "delivered", 1)
        assert await state(house, known) == "succeeded"
        assert (await house.get(f"/api/fleet/commands/{known}/log"))["text"] == "first last"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"no": 1, "state": "queued", "time": T0}, 400, "bad_report"),
        ({"no": 0, "state": "running", "time": T0}, 400, "bad_body"),
        ({"no": 1, "state": "dancing", "time": T0}, 400, "bad_body"),
        ({"no": 1, "state": "succeeded", "time": T0, "result": "x" * (257 << 10)}, 400, "bad_report"),
    ],
)
async def test_a_bad_report_is_refused_and_moves_nothing(
    open_house: OpenHouse, body: dict[str, object], status: int, code: str
) -> None:
    async with open_house() as house:
        await meet(house)
        known = await command(house)
        path = f"/api/fleet/edge/dev-1/commands/{known}/report"
        answer = await house.ask("POST", path, "dev-1", orjson.dumps(body))
        assert (answer.status, answer.json["code"]) == (status, code)
        assert await state(house, known) == "queued"


async def test_a_result_may_be_any_json(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known = await command(house)
        path = f"/api/fleet/edge/dev-1/commands/{known}/report"
        body = b'{"no": 1, "state": "succeeded", "time": 1, "result": [12345678901234567890123, "\\u0000"]}'
        assert (await house.ask("POST", path, "dev-1", body)).status == 204
        assert (await show(house, known))["result"] == [12345678901234567890123, "\x00"]


async def test_a_device_reports_its_own_commands_alone(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, other = await command(house), Hands(house, "dev-2")
        answer = await other.send(known, "succeeded", 1)
        assert (answer.status, answer.json["code"]) == (404, "unknown_command")
        assert (await other.put(known, b"x")).status == 404
        assert (await other.send("cmd-0000000000000000", "succeeded", 1)).status == 404
        assert await state(house, known) == "queued"


# --- cancelling -----------------------------------------------------------------------------------------


async def test_what_was_never_offered_is_cancelled_at_once_and_not_offered(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known = await command(house)
        answer = await cancel(house, known)
        assert (answer.status, answer.json["state"]) == (200, "cancelled")
        assert await Hands(house).offers() == {"commands": [], "cancel": []}
        assert house.centre.commands.board.waiting("dev-1") == 0


async def test_what_was_offered_is_cancelled_by_the_device(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        await hands.offers()
        answer = await cancel(house, known)
        assert (answer.json["state"], answer.json["cancel_requested"]) == ("queued", T0)
        assert await hands.offers() == {"commands": [], "cancel": [known]}
        await hands.report(known, "delivered")
        assert await hands.cancels() == [known]
        await hands.report(known, "cancelled")
        assert await hands.cancels() == []
        assert await state(house, known) == "cancelled"
        again = await cancel(house, known)
        assert (again.status, again.json["state"]) == (200, "cancelled")


async def test_a_final_report_on_its_way_beats_the_cancelling(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        await hands.report(known, "delivered", "running")
        await cancel(house, known)
        await hands.report(known, "succeeded")
        assert await state(house, known) == "succeeded"
        assert await hands.cancels() == []
        late = await cancel(house, known)
        assert (late.status, late.json["code"], late.json["state"]) == (409, "ended", "succeeded")


async def test_an_offer_that_never_came_is_cancelled_by_a_device_that_does_not_know_it(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        await hands.offers()
        await cancel(house, known)
        await hands.send(known, "cancelled", 1, code="not_known")
        assert await state(house, known) == "cancelled"


async def test_a_device_that_lost_its_journal_leaves_the_command_unknown_for_good(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        await hands.report(known, "delivered", "running")
        await cancel(house, known)
        await hands.send(known, "cancelled", 1, code="not_known")
        assert (await state(house, known), await hands.cancels()) == ("unknown", [])


async def test_a_cancelling_that_nobody_answers_is_unknown_after_two_minutes(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        await hands.report(known, "delivered", "running")
        await cancel(house, known)
        await pass_time(house, 119)
        assert await state(house, known) == "running"
        await pass_time(house, 2)
        shown = await show(house, known)
        assert (shown["state"], shown["code"]) == ("unknown", "cancel_unanswered")
        assert await hands.cancels() == [known]
        await hands.report(known, "cancelled")
        assert (await state(house, known), await hands.cancels()) == ("cancelled", [])
