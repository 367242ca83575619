"""Heartbeats: states, problems, connections, clocks, identity; lists and figures."""

from typing import Any

import pytest

from edge_agent.wire.messages import (
    BufferReport,
    ClockReport,
    ConfigReport,
    ConfigState,
    ConnectionReport,
    UnitReport,
)
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import T0, Edge


async def _device(house: House, device: str = "dev-1") -> Any:
    return await house.get(f"/api/fleet/devices/{device}")


async def _codes(house: House) -> list[str]:
    return [event["code"] for event in (await house.get("/api/fleet/devices/dev-1/events"))["items"]]


async def test_a_device_that_only_has_a_token_was_never_seen(open_house: OpenHouse) -> None:
    async with open_house() as house:
        device = await _device(house)
        assert (device["state"], device["last_seen"], device["connections"]) == ("never_seen", None, [])
        house.clock.advance(1_000)
        await house.centre.offline.look()
        assert (await _device(house))["state"] == "never_seen"


async def test_a_heartbeat_is_answered_and_shown(open_house: OpenHouse) -> None:
    async with open_house(heartbeat_interval="5s") as house:
        edge = Edge(next=4)
        answer = await house.beat(
            edge,
            labels={"site": "north"},
            connections=[ConnectionReport(name="press1", driver="modbus", state="connected")],
            connections_ok=1,
            connections_total=1,
            now=T0 + 1500,
        )
        assert (answer["centre"], answer["now"]) == (house.centre.centre, T0)
        assert (answer["heartbeat_interval"], answer["config_etag"]) == (5.0, None)
        device = await _device(house)
        assert (device["state"], device["version"], device["problems"]) == ("online", "1.2.3", [])
        assert (device["clock_offset_ms"], device["labels"]) == (1500, {"site": "north"})
        assert device["connections"][0]["name"] == "press1"
        (epoch,) = device["epochs"]
        assert (epoch["epoch"], epoch["pending"], epoch["complete_through"]) == ("epoch-a", 3, 0)


async def test_three_missed_heartbeats_are_offline_and_the_next_one_is_online(open_house: OpenHouse) -> None:
    async with open_house() as house:
        house.clock.advance(1)
        await house.beat(Edge())
        house.clock.advance(90)
        await house.centre.offline.look()
        assert (await _device(house))["state"] == "online"
        house.clock.advance(1)
        await house.centre.offline.look()
        assert (await _device(house))["state"] == "offline"
        await house.beat(Edge())
        assert (await _device(house))["state"] == "online"
        assert await _codes(house) == ["device_online", "device_offline", "device_online"]


async def test_a_device_is_offline_after_three_of_its_own_intervals(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.beat(Edge(), interval_seconds=300)
        house.clock.advance(899)
        await house.centre.offline.look()
        assert (await _device(house))["state"] == "online"
    async with open_house() as house:
        house.clock.advance(899)
        await house.centre.offline.look()
        assert (await _device(house))["state"] == "online"
        house.clock.advance(2)
        await house.centre.offline.look()
        assert (await _device(house))["state"] == "offline"


async def test_a_wall_clock_that_is_set_makes_nobody_offline(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.beat(Edge())
        for step in (86_400, -2 * 86_400):
            house.clock.set_wall(step)
            await house.centre.offline.look()
            assert (await _device(house))["state"] == "online"
        house.clock.advance(91)
        await house.centre.offline.look()
        assert (await _device(house))["state"] == "offline"


async def test_a_centre_that_was_down_waits_before_it_calls_anybody_offline(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.beat(Edge())
    async with open_house() as house:
        house.clock.advance(89)
        await house.centre.offline.look()
        assert (await _device(house))["state"] == "online"
        house.clock.advance(2)
        await house.centre.offline.look()
        assert (await _device(house))["state"] == "offline"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"connections": [ConnectionReport(name="p", driver="modbus", state="down", error="no route")]},
            "connection p is down: no route",
        ),
        (
            {
                "connections": [
                    ConnectionReport(
                        name="p",
                        driver="modbus",
                        state="connected",
                        units=[UnitReport(unit_id=7, state="silent")],
                    )
                ]
            },
            "connection p: unit 7 does not answer",
        ),
        ({"clock": ClockReport(sync=False)}, "the clock is not synchronised"),
        (
            {"buffer": BufferReport(pending_bytes=51, quota_bytes=100)},
            "the buffer is over half its quota",
        ),
        ({"lost_samples": 3}, "samples were lost within the last hour"),
    ],
)
async def test_what_makes_a_device_degraded(
    open_house: OpenHouse, changes: dict[str, Any], problem: str
) -> None:
    async with open_house() as house:
        await house.beat(Edge(), **changes)
        device = await _device(house)
        assert (device["state"], device["problems"]) == ("degraded", [problem])


async def test_an_unknown_clock_and_a_starting_connection_are_no_problem(open_house: OpenHouse) -> None:
    async with open_house() as house:
        connecting = ConnectionReport(name="p", driver="modbus", state="connecting")
        await house.beat(Edge(), clock=ClockReport(sync=None), connections=[connecting])
        assert (await _device(house))["state"] == "online"


async def test_runs_that_alternate_are_an_identity_conflict(open_house: OpenHouse) -> None:
    async with open_house() as house:
        first, second = Edge(), Edge(run="run-b", epoch="epoch-b", no=2)
        await house.beat(first)
        await house.beat(second)
        assert "identity_conflict" not in await _codes(house)
        for edge in (first, second, first):
            await house.beat(edge)
        assert (await _codes(house)).count("identity_conflict") == 1


async def test_restarts_are_no_identity_conflict(open_house: OpenHouse) -> None:
    async with open_house() as house:
        for number in range(20):
            await house.beat(Edge(run=f"run-{number}"))
        assert "identity_conflict" not in await _codes(house)


async def test_what_the_agent_says_of_its_config_is_shown_beside_the_wanted_one(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        path = "/api/fleet/edge/dev-1/config"
        await house.ask("PUT", path, "admin", b'{"connections": []}')
        report = ConfigReport(
            state=ConfigState.REJECTED, seen_version=1, code="not_managed", message="connections: not managed"
        )
        answer = await house.beat(Edge(), config=report)
        config = (await _device(house))["config"]
        assert (config["desired_version"], config["reported"]["state"]) == (1, "rejected")
        assert config["reported"]["message"] == "connections: not managed"
        assert answer["config_etag"] == config["desired_etag"]


async def test_devices_are_listed_in_pages_and_by_state_and_label(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.beat(Edge(), labels={"site": "north"})
        listed = await house.get("/api/fleet/devices?limit=1")
        assert [item["device_id"] for item in listed["items"]] == ["dev-1"]
        rest = await house.get(f"/api/fleet/devices?limit=1&cursor={listed['next']}")
        assert ([item["device_id"] for item in rest["items"]], rest["next"]) == (["dev-2"], None)

        async def ids(query: str) -> list[str]:
            return [item["device_id"] for item in (await house.get(f"/api/fleet/devices?{query}"))["items"]]

        assert await ids("state=online") == ["dev-1"]
        assert await ids("state=never_seen") == ["dev-2"]
        assert await ids("label=site") == ["dev-1"]
        assert await ids("label=site=north") == ["dev-1"]
        assert await ids("label=site=south") == []


async def test_a_heartbeat_that_is_none_is_refused_with_its_place(open_house: OpenHouse) -> None:
    async with open_house() as house:
        path = "/api/fleet/edge/dev-1/heartbeat"
        answer = await house.ask("POST", path, "dev-1", b'{"now": 1}')
        assert (answer.status, answer.json["code"]) == (400, "bad_heartbeat")
        assert answer.json["detail"].startswith("version")


async def test_numbers_beyond_all_bounds_are_refused_with_their_place(open_house: OpenHouse) -> None:
    async with open_house() as house:
        house.centre.hub.subscribe()
        path = "/api/fleet/edge/dev-1/heartbeat"
        body = Edge().heartbeat().replace(b'"read_samples":0', b'"read_samples":%d' % 10**30)
        answer = await house.ask("POST", path, "dev-1", body)
        assert (answer.status, answer.json["code"]) == (400, "bad_heartbeat")
        assert answer.json["detail"].startswith("read_samples")


async def test_the_largest_numbers_are_stored_and_shown_live(open_house: OpenHouse) -> None:
    async with open_house() as house:
        listener = house.centre.hub.subscribe()
        largest = (1 << 62) - 1
        buffer = BufferReport(pending_bytes=largest, pending_batches=largest)
        await house.beat(Edge(), buffer=buffer, lost_samples=largest, connections_total=largest, now=largest)
        assert str(largest).encode() in (await listener.take() or b"")
        assert (await _device(house))["state"] == "degraded"


async def test_fleet_figures_add_up(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        await house.post(edge, edge.upload(edge.make(), edge.make()))
        await house.beat(edge)
        stats = await house.get("/api/fleet/stats")
        assert stats["devices"] == {"total": 2, "never_seen": 1, "online": 1, "degraded": 0, "offline": 0}
        assert (stats["batches"], stats["samples"], stats["duplicates"]) == (2, 6, 0)
        assert stats["arrival"] == stats["read_model_arrival"] == 2


async def test_the_centre_keeps_its_id(open_house: OpenHouse) -> None:
    async with open_house() as house:
        first = house.centre.centre
    async with open_house() as house:
        assert house.centre.centre == first
