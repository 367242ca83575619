"""A device over time: heartbeats, condensed figures, availability."""

import pytest

from central_sync.services.devices.trends import Changes, condense, intervals, percent_up
from edge_agent.wire.messages import BufferReport, HostReport
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import T0, Edge
from tests.unit.central.test_device_registry import register

HALF_MINUTE = 30_000


async def _beats(house: House, count: int) -> None:
    for number in range(count):
        await house.beat(
            Edge(),
            host=HostReport(cpu_percent=float(number), disk_free_bytes=1000 - number),
            buffer=BufferReport(pending_batches=number),
            uptime_seconds=30.0 * number,
        )
        house.clock.advance(30)


async def test_heartbeats_are_a_series_in_pages(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _beats(house, 5)
        path = "/api/fleet/devices/dev-1/heartbeats"
        first = await house.get(f"{path}?limit=3")
        assert [item["cpu_percent"] for item in first["items"]] == [0.0, 1.0, 2.0]
        rest = await house.get(f"{path}?limit=3&cursor={first['next']}")
        assert ([item["cpu_percent"] for item in rest["items"]], rest["next"]) == ([3.0, 4.0], None)
        part = await house.get(f"{path}?from={T0 + HALF_MINUTE}&to={T0 + 2 * HALF_MINUTE}")
        assert [item["cpu_percent"] for item in part["items"]] == [1.0, 2.0]
        each_minute = await house.get(f"{path}?step=60000")
        assert [item["cpu_percent"] for item in each_minute["items"]] == [1.0, 3.0, 4.0]


async def test_metrics_are_condensed_to_so_many_points_and_name_the_newest(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _beats(house, 8)
        found = await house.get(f"/api/fleet/devices/dev-1/metrics?from={T0}&points=4")
        assert found["step"] == 60_001
        assert len(found["times"]) == 4
        assert found["cpu_percent"][0] == (0 + 1 + 2) / 3
        assert (found["disk_free_bytes"][0], found["pending_batches"][0]) == (998, 2)
        assert found["newest"]["cpu_percent"] == 7.0
        assert {len(found[name]) for name in ("cpu_percent", "uptime_seconds", "clock_offset_ms")} == {4}


def test_a_point_is_null_where_nothing_was_measured() -> None:
    assert condense([], 0, 10) == ([], {name: [] for name in condense([], 0, 10)[1]})


async def test_a_span_that_ends_before_it_begins_is_refused(open_house: OpenHouse) -> None:
    async with open_house() as house:
        for name in ("heartbeats", "metrics", "availability"):
            refused = await house.ask("GET", f"/api/fleet/devices/dev-1/{name}?from={T0 + 10_000_000}")
            assert (refused.status, refused.json["code"]) == (400, "bad_span"), name
            unknown = await house.ask("GET", f"/api/fleet/devices/nobody/{name}")
            assert (unknown.status, unknown.json["code"]) == (404, "unknown_device"), name


async def test_availability_adds_up_to_the_span(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await register(house, "new-1")
        house.clock.advance(10)
        await house.beat(Edge())
        house.clock.advance(91)
        await house.centre.offline.look()
        house.clock.advance(9)
        await house.beat(Edge())
        house.clock.advance(80)
        found = await house.get(f"/api/fleet/devices/dev-1/availability?from={T0 + 10_000}")
        assert [(part["state"], part["to"] - part["from"]) for part in found["intervals"]] == [
            ("online", 91_000), ("offline", 9_000), ("online", 80_000),
        ]  # fmt: skip
        assert found["milliseconds"] == {"online": 171_000, "offline": 9_000}
        assert (found["percent"], found["state"], found["truncated"]) == (95.0, "online", False)
        never = await house.get(f"/api/fleet/devices/new-1/availability?from={T0}")
        assert (never["milliseconds"], never["percent"]) == ({"never_seen": 190_000}, None)


async def test_time_out_of_service_counts_neither_as_good_nor_as_bad(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.beat(Edge())
        house.clock.advance(60)
        await house.ask("DELETE", "/api/fleet/devices/dev-1")
        house.clock.advance(40)
        found = await house.get(f"/api/fleet/devices/dev-1/availability?from={T0}")
        assert found["milliseconds"] == {"online": 60_000, "decommissioned": 40_000}
        assert (found["percent"], found["state"]) == (100.0, "decommissioned")


async def test_availability_stays_exact_when_events_are_evicted(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.beat(Edge())
        house.clock.advance(50)
        await house.centre.store.write(lambda connection: connection.execute("DELETE FROM event"))
        found = await house.get(f"/api/fleet/devices/dev-1/availability?from={T0}")
        assert found["milliseconds"] == {"online": 50_000}


@pytest.mark.parametrize(
    ("before", "changes", "expected"),
    [
        (None, [], [("unknown", 0, 100)]),
        ("online", [], [("online", 0, 100)]),
        (None, [(40, "online")], [("unknown", 0, 40), ("online", 40, 100)]),
        ("online", [(40, "online")], [("online", 0, 100)]),
        ("online", [(40, "offline"), (40, "online")], [("online", 0, 100)]),
        ("online", [(60, "offline"), (40, "online")], [("online", 0, 100)]),
    ],
)  # fmt: skip
def test_intervals_have_no_gap_whatever_the_clock_did(
    before: str | None, changes: list[tuple[int, str]], expected: list[tuple[str, int, int]]
) -> None:
    assert intervals(Changes(before, changes), 0, 100) == expected


def test_percent_counts_degraded_as_up() -> None:
    assert percent_up({"online": 50, "degraded": 25, "offline": 25, "never_seen": 900}) == 75.0
    assert percent_up({"never_seen": 900}) is None
