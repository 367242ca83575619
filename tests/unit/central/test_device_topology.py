"""Topology and PLC status: what is known of connections and units, and what not while a device is silent."""

from typing import Any

from edge_agent.wire.messages import ConnectionReport, GroupReport, UnitReport
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import T0, Edge

PLC = "/api/fleet/plc-status"


def connections() -> list[ConnectionReport]:
    units = [
        UnitReport(unit_id=1, state="answering"),
        UnitReport(unit_id=7, state="silent", error="no answer"),
    ]
    late = [
        GroupReport(name="fast", unit_id=7, state="stale", last_data=T0 - 9_000),
        GroupReport(name="slow", unit_id=1, state="waiting"),
    ]
    return [
        ConnectionReport(
            name="press1", driver="modbus", state="connected", address="192.0.2.10:502", since=T0 - 60_000,
            latency_ms=3.5, units=units, groups=late,
        ),
        ConnectionReport(name="oven", driver="opcua", state="down", since=T0 - 5_000, error="refused"),
    ]  # fmt: skip


async def _beat(house: House, device: str = "dev-1") -> None:
    await house.beat(Edge(device), connections=connections(), connections_ok=1, connections_total=2)


async def _silence(house: House) -> None:
    house.clock.advance(91)
    await house.centre.offline.look()


async def _rows(house: House, query: str = "") -> list[tuple[Any, ...]]:
    items = (await house.get(f"{PLC}?{query}"))["items"]
    return [(row["device_id"], row["connection"], row["unit_id"], row["state"]) for row in items]


async def test_each_unit_is_a_row_with_its_state_and_last_data(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _beat(house)
        good, silent, down = (await house.get(PLC))["items"]
        assert (good["state"], good["last_data"], good["latency_ms"]) == ("answering", T0, 3.5)
        assert (silent["state"], silent["error"]) == ("silent", "no answer")
        assert (silent["last_data"], silent["since"]) == (T0 - 9_000, T0 - 9_000)
        assert (down["state"], down["unit_id"], down["error"]) == ("down", None, "refused")
        assert (down["since"], down["last_data"]) == (T0 - 5_000, None)


async def test_of_a_device_that_is_offline_every_state_is_unknown_since_it_was_heard(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await _beat(house)
        await _silence(house)
        for row in (await house.get(PLC))["items"]:
            assert (row["state"], row["since"], row["last_data"]) == ("unknown", T0, None)
            assert (row["error"], row["latency_ms"]) == ("", None)
        device = await house.get("/api/fleet/devices/dev-1/topology")
        assert [entry["state"] for entry in device["connections"]] == ["unknown", "unknown"]
        assert {unit["state"] for unit in device["connections"][0]["units"]} == {"unknown"}
        summary = await house.get(f"{PLC}/summary")
        assert summary["states"] == {"unknown": 3}


async def test_rows_are_filtered_and_paged_without_holes(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _beat(house)
        await _beat(house, "dev-2")
        every = await _rows(house)
        assert len(every) == 6
        found: list[Any] = []
        cursor = ""
        while True:
            page = await house.get(f"{PLC}?limit=1{cursor}")
            found += [
                (row["device_id"], row["connection"], row["unit_id"], row["state"]) for row in page["items"]
            ]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert found == every
        assert [row[0] for row in await _rows(house, "state=down")] == ["dev-1", "dev-2"]
        assert await _rows(house, "device=dev-2&driver=opcua") == [("dev-2", "oven", None, "down")]
        assert await _rows(house, "device=nobody") == []


async def test_the_summary_counts_rows_and_names_the_worst_devices(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _beat(house)
        await house.beat(Edge("dev-2"), connections=connections()[:1])
        summary = await house.get(f"{PLC}/summary")
        assert (summary["rows"], summary["time"]) == (5, T0)
        assert summary["states"] == {"answering": 2, "silent": 2, "down": 1}
        assert summary["drivers"] == {"modbus": {"answering": 2, "silent": 2}, "opcua": {"down": 1}}
        assert summary["worst"] == [
            {"device_id": "dev-1", "bad": 2, "rows": 3}, {"device_id": "dev-2", "bad": 1, "rows": 2},
        ]  # fmt: skip


async def test_topology_names_devices_connections_units_and_late_groups(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _beat(house)
        page = await house.get("/api/fleet/topology?limit=1")
        (device,) = page["items"]
        assert page["next"] is not None
        press, oven = device["connections"]
        assert (press["address"], press["driver"]) == ("192.0.2.10:502", "modbus")
        assert [unit["state"] for unit in press["units"]] == ["answering", "silent"]
        assert [group["name"] for group in press["groups_late"]] == ["fast"]
        assert oven["state"] == "down"
        rest = await house.get(f"/api/fleet/topology?cursor={page['next']}")
        assert ([item["device_id"] for item in rest["items"]], rest["next"]) == (["dev-2"], None)
        degraded = await house.get("/api/fleet/topology?state=degraded")
        assert [item["device_id"] for item in degraded["items"]] == ["dev-1"]


async def test_a_decommissioned_device_is_in_no_status_but_has_its_topology(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _beat(house)
        await house.ask("DELETE", "/api/fleet/devices/dev-1")
        assert await _rows(house) == []
        assert (await house.get("/api/fleet/devices/dev-1/topology"))["connections"][0]["state"] == "unknown"
