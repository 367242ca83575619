"""What somebody with label limits sees of the fleet: his devices, in every list, figure and stream."""

import asyncio
from typing import Any

import orjson

from central_sync.services.access.roles import Role
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.devices import give_token
from tests.unit.central.edge import Edge
from tests.unit.central.test_central_people import add_user, log_in
from tests.unit.central.test_device_registry import ids, patch, register


async def _limited(house: House) -> None:
    """dev-1 is in the north, dev-2 is not; `north` sees the north."""
    await house.beat(Edge())
    await house.beat(Edge("dev-2"), labels={"site": "north"})
    await patch(house, "dev-1", labels={"site": "north"})
    await give_token(house, "north", Role.ENGINEER, site="north")


async def test_lists_and_figures_count_only_what_is_seen(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _limited(house)
        assert await ids(house, "", "north") == ["dev-1"]
        stats = await house.get("/api/fleet/stats", "north")
        assert (stats["devices"]["total"], stats["devices"]["online"]) == (1, 1)
        assert (stats["database_bytes"], stats["arrival"]) == (None, None)
        data = await house.get("/api/fleet/data/stats", "north")
        assert [entry["device_id"] for entry in data["devices"]] == ["dev-1"]
        for path in ("topology", "plc-status"):
            items = (await house.get(f"/api/fleet/{path}", "north"))["items"]
            assert {item["device_id"] for item in items} <= {"dev-1"}, path


async def test_a_label_that_a_device_claims_itself_gives_no_sight(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _limited(house)
        assert "dev-2" not in await ids(house, "selector=site%3Dnorth", "north")


async def test_a_foreign_device_does_not_exist(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _limited(house)
        for path in (
            "devices/dev-2", "devices/dev-2/heartbeats", "devices/dev-2/metrics", "devices/dev-2/topology",
            "devices/dev-2/availability", "devices/dev-2/registry", "data/stats?device=dev-2",
        ):  # fmt: skip
            answer = await house.ask("GET", f"/api/fleet/{path}", "north")
            assert (answer.status, answer.json["code"]) == (404, "unknown_device"), path
        for method in ("PATCH", "DELETE"):
            assert (await house.ask(method, "/api/fleet/devices/dev-2", "north", b"{}")).status == 404


async def test_who_is_limited_makes_and_keeps_devices_within_his_limits(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _limited(house)
        outside = await register(house, "new-1", "north")
        assert (outside.status, outside.json["code"]) == (403, "limited")
        assert (await register(house, "new-1", "north", labels={"site": "north"})).status == 201
        body = orjson.dumps({"labels": {"site": "south"}})
        moved = await house.ask("PATCH", "/api/fleet/devices/new-1", "north", body)
        assert (moved.status, moved.json["code"]) == (403, "limited")


async def _events(house: House, who: str, count: int) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {house.tokens[who]}"}
    found: list[dict[str, Any]] = []
    async with house.session.get(house.url("/api/fleet/events"), headers=headers) as response:
        async for line in response.content:
            if line.startswith(b"data: "):
                found.append(orjson.loads(line[6:]))
            if len(found) == count:
                break
    return found


async def _listening(house: House) -> None:
    async with asyncio.timeout(10):
        while not house.centre.hub.listeners:
            await asyncio.sleep(0.005)


async def test_a_stream_tells_of_devices_in_sight_alone(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _limited(house)
        reading = asyncio.ensure_future(_events(house, "north", 1))
        await _listening(house)
        await house.beat(Edge("dev-2"), uptime_seconds=77.0)
        await house.beat(Edge(), uptime_seconds=78.0)
        (event,) = await asyncio.wait_for(reading, 20)
        assert event["device_id"] == "dev-1"


async def test_a_stream_follows_labels_that_change(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _limited(house)
        reading = asyncio.ensure_future(_events(house, "north", 1))
        await _listening(house)
        await patch(house, "dev-2", labels={"site": "north"})
        async with asyncio.timeout(30):
            while not reading.done():
                await house.beat(Edge("dev-2"))
                await asyncio.sleep(0.05)
        assert reading.result()[0]["device_id"] == "dev-2"


async def test_figures_on_a_stream_are_those_of_ones_sight(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _limited(house)
        reading = asyncio.ensure_future(_events(house, "north", 1))
        await _listening(house)
        await house.centre.live.publish()
        (figures,) = await asyncio.wait_for(reading, 20)
        assert figures["devices"]["total"] == 1


async def test_a_stream_ends_when_its_listener_is_limited(open_house: OpenHouse) -> None:
    """It went on telling him of all devices for as long as he kept it open."""
    async with open_house() as house:
        user = await add_user(house, "kim", "viewer")
        cookie = {"Cookie": f"__Host-holdfast={await log_in(house, 'kim')}"}
        async with house.session.get(house.url("/api/fleet/events"), headers=cookie) as response:
            await _listening(house)
            body = orjson.dumps({"labels": {"site": "north"}})
            assert (await house.ask("PATCH", f"/api/fleet/users/{user}", "admin", body)).status == 200
            async with asyncio.timeout(10):
                while house.centre.hub.listeners:
                    await asyncio.sleep(0.02)
                await response.read()
