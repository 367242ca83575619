"""A device whose database is another one than at its last heartbeat: what nobody can know is said."""

from typing import Any

from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import Edge


async def _unknown(house: House) -> list[dict[str, Any]]:
    events = (await house.get("/api/fleet/devices/dev-1/events"))["items"]
    return [event["data"] for event in events if event["code"] == "tail_unknown"]


async def test_a_lost_database_is_told_with_the_first_batch_that_is_not_known(open_house: OpenHouse) -> None:
    async with open_house() as house:
        old, new = Edge(floor=7, next=9), Edge(epoch="epoch-b", no=2, run="run-b")
        await house.beat(old)
        since = house.clock.wall_ms()
        house.clock.advance(60)
        for _ in range(2):
            await house.beat(new)
        assert await _unknown(house) == [{"epoch": "epoch-a", "from": 9, "since": since}]


async def test_an_epoch_that_ends_in_order_has_no_unknown_tail(open_house: OpenHouse) -> None:
    async with open_house() as house:
        old, new = Edge(floor=9, next=9), Edge(epoch="epoch-b", no=2)
        await house.beat(old)
        await house.beat(new, heads=[old.head(), new.head()])
        await house.beat(new, heads=[new.head()])
        assert await _unknown(house) == []


async def test_two_agents_with_one_identity_do_not_fill_the_events_with_tails(open_house: OpenHouse) -> None:
    async with open_house() as house:
        one, two = Edge(), Edge(epoch="epoch-b", no=2, run="run-b")
        for _ in range(5):
            await house.beat(one)
            await house.beat(two)
        assert len(await _unknown(house)) <= 1


async def _shows(house: House, edge: Edge, value: int) -> bool:
    """Uploads a batch with this raw value; whether it is the latest one then."""
    item = edge.make([value] * 3)
    answer = (await house.post(edge, edge.upload(item))).json
    if answer["need_schemas"]:
        await house.put_schema(edge)
        await house.post(edge, edge.upload(item))
    page = await house.get("/api/fleet/devices/dev-1/latest-values")
    return bool({entry["value"] for entry in page["items"]} == {round(value * 0.1, 1)})


async def test_a_database_lost_under_a_clock_of_1970_does_not_freeze_the_latest_values(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        old = Edge(no=46_000)
        assert await _shows(house, old, 10)
        await house.beat(old)
        new, next_boot = Edge(epoch="epoch-b", no=1, run="run-b"), Edge(epoch="epoch-c", no=2, run="run-c")
        await house.beat(new)
        assert await _shows(house, new, 20)
        await house.beat(next_boot, heads=[new.head(), next_boot.head()])
        assert await _shows(house, next_boot, 30)
        # What comes late of the epoch before stays behind.
        assert not await _shows(house, new, 40)


async def test_epochs_that_a_restored_centre_hears_of_late_stay_behind_the_current_one(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        new, old = Edge(epoch="epoch-b", no=9, run="run-b"), Edge(no=8)
        assert await _shows(house, new, 20)
        await house.beat(new, heads=[old.head(), new.head()])
        assert not await _shows(house, old, 10)
        await house.beat(new, heads=[new.head()])
        assert await _shows(house, new, 30)
