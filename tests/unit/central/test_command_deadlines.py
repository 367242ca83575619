"""Deadlines of commands: expiry, silence, and a clock that somebody sets."""

from tests.unit.central.conftest import OpenHouse
from tests.unit.central.edge import T0
from tests.unit.central.hands import Hands, command, make_devices, meet, order, pass_time, show, state


async def test_what_is_not_fetched_in_time_expires(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known = await command(house, expires_seconds=60)
        await pass_time(house, 59)
        assert await state(house, known) == "queued"
        await pass_time(house, 2)
        assert await state(house, known) == "expired"
        assert await Hands(house).offered() == []


async def test_what_was_offered_and_never_acknowledged_is_unknown_and_not_expired(
    open_house: OpenHouse,
) -> None:
    """Its answer may have been lost behind the device, which may have run it."""
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house, expires_seconds=60), Hands(house)
        assert await hands.offered() == [known]
        await pass_time(house, 61)
        assert (await state(house, known), await hands.offered()) == ("queued", [])
        await pass_time(house, 10 + 300)
        shown = await show(house, known)
        assert (shown["state"], shown["code"]) == ("unknown", "not_acknowledged")
        await hands.report(known, "delivered", "running", "succeeded")
        shown = await show(house, known)
        assert [step["state"] for step in shown["history"]] == [
            "queued", "unknown", "delivered", "running", "succeeded",
        ]  # fmt: skip


async def test_an_acknowledgement_that_crosses_the_expiry_is_taken(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house, expires_seconds=60), Hands(house)
        await hands.offers()
        await pass_time(house, 61)
        await hands.report(known, "delivered", "expired")
        assert await state(house, known) == "expired"


async def test_a_running_command_of_which_nothing_is_heard_becomes_unknown_and_may_come_back(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        await hands.report(known, "delivered", "accepted", "running")
        await pass_time(house, 309)
        assert await state(house, known) == "running"
        await pass_time(house, 2)
        shown = await show(house, known)
        assert (shown["state"], shown["code"], shown["ended"]) == ("unknown", "not_heard", T0 + 311_000)
        house.clock.advance(10)
        await hands.report(known, "timed_out")
        shown = await show(house, known)
        assert (shown["state"], shown["ended"]) == ("timed_out", T0 + 321_000)


async def test_the_end_counts_though_the_agents_disk_lost_the_numbers_before_it(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        await hands.offered()
        await hands.report(known, "delivered", "accepted", "running")
        await hands.send(known, "accepted", 2)
        assert await state(house, known) == "running"
        await hands.send(known, "succeeded", 2)
        assert await state(house, known) == "succeeded"


async def test_setting_the_clock_expires_nothing(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known = await command(house, expires_seconds=60)
        house.clock.set_wall(86_400)
        await pass_time(house, 59)
        (offer,) = (await Hands(house).offers())["commands"]
        assert (offer["id"], offer["start_seconds"]) == (known, 1)
        house.clock.set_wall(-200_000)
        await pass_time(house, 0.5)
        assert await Hands(house).offered() == [known]


async def test_a_thousand_deadlines_at_once_are_all_kept(open_house: OpenHouse) -> None:
    async with open_house() as house:
        names = [f"many-{number}" for number in range(998)]
        await make_devices(house, names)
        made = await order(house, targets={"selector": "*"}, expires_seconds=60)
        assert (made["order"]["total"], len(made["commands"])) == (1_000, 100)
        rest = await house.get(
            f"/api/fleet/commands?order={made['order']['id']}&limit=1000&cursor={made['next']}"
        )
        assert len({item["id"] for item in (*made["commands"], *rest["items"])}) == 1_000
        await pass_time(house, 61)
        shown = await house.get(f"/api/fleet/orders/{made['order']['id']}")
        assert (shown["states"], shown["finished"]) == ({"expired": 1_000}, True)
        assert house.centre.commands.board.next_due is None
