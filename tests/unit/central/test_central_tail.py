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
