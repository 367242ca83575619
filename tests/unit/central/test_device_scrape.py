"""For Prometheus: the fleet's figures and the list of targets."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from central_sync.services.access.roles import Role
from edge_agent.wire.messages import BufferReport, ConnectionReport, HookReport, HooksReport
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.devices import give_token
from tests.unit.central.edge import Edge
from tests.unit.central.test_device_registry import patch, register

PROMETHEUS, SD = "/api/fleet/prometheus", "/api/fleet/sd"


async def _scrape(house: House, query: str = "", who: str = "viewer") -> dict[tuple[str, ...], float]:
    answer = await house.ask("GET", f"{PROMETHEUS}?{query}", who)
    assert answer.status == 200, answer.body
    return dict(_samples(answer.body.decode()))


def _samples(text: str) -> Iterator[tuple[tuple[str, ...], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix("holdfast_fleet_")
            yield (name, *sorted(sample.labels.values())), sample.value


async def test_the_fleets_figures_are_scraped_with_a_viewers_token(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        await house.post(edge, edge.upload(edge.make()))
        edge.next = 9
        await house.beat(
            edge,
            connections=[ConnectionReport(name="p", driver="modbus", state="connected")],
            connections_ok=1,
            connections_total=1,
            buffer=BufferReport(pending_batches=7, size_bytes=1 << 20),
        )
        found = await _scrape(house)
        assert (found[("devices", "online")], found[("devices", "never_seen")]) == (1, 1)
        assert (found[("batches_total",)], found[("samples_total",)]) == (1, 3)
        assert (found[("pending_batches",)], found[("gap_batches",)]) == (7, 0)
        assert (found[("buffer_pending_batches",)], found[("buffer_bytes",)]) == (7, 1 << 20)
        assert (found[("connections_ok",)], found[("units", "connected", "modbus")]) == (1, 1)
        assert found[("agents", "1.2.3")] == 1
        assert (await house.ask("GET", PROMETHEUS, None)).status == 401


async def test_scripts_that_fail_are_counted_by_device_and_make_it_degraded(open_house: OpenHouse) -> None:
    def hook(name: str, state: str, failures: int = 0, error: str = "") -> HookReport:
        return HookReport(name=name, hook_type="transform", state=state, failures=failures, error=error)

    bad = [hook("oil", "off", 3, "oil.py:4: no"), hook("water", "running", 1), hook("air", "refused")]
    async with open_house() as house:
        await house.beat(Edge("dev-2"), hooks=HooksReport(hooks=[hook("oil", "running")]))
        await house.beat(Edge(), hooks=HooksReport(hooks=bad, layers={"seccomp": "on"}, state="applied"))
        found = await _scrape(house, "devices=true")
        assert (found[("hooks",)], found[("hooks_failing",)]) == (4, 2)
        assert (found[("device_hooks", "dev-1")], found[("device_hooks", "dev-2")]) == (3, 1)
        assert (found[("device_hooks_failing", "dev-1")], found[("device_hooks_failing", "dev-2")]) == (2, 0)
        assert (found[("device_hook_failures", "dev-1")], found[("device_hook_failures", "dev-2")]) == (4, 0)
        seen = await house.get("/api/fleet/devices/dev-1")
        assert (seen["state"], seen["hooks"]["layers"]) == ("degraded", {"seccomp": "on"})
        assert [each["state"] for each in seen["hooks"]["hooks"]] == ["off", "running", "refused"]
        assert seen["problems"] == ["hook oil is off: oil.py:4: no", "hook air is refused"]
        assert (await house.get("/api/fleet/devices/dev-2"))["state"] == "online"
        # The next one, in which nothing but figures and one state differ.
        await house.beat(Edge(), hooks=HooksReport(hooks=[hook("oil", "running", 9)], state="applied"))
        assert (await house.get("/api/fleet/devices/dev-1"))["state"] == "online"


async def test_series_of_each_device_come_only_where_they_are_asked_for(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.beat(Edge())
        assert ("device_up", "dev-1") not in await _scrape(house)
        found = await _scrape(house, "devices=true")
        assert found[("device_up", "dev-1")] == 1


async def test_every_metric_is_in_the_guide(open_house: OpenHouse) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
    async with open_house() as house:
        await house.beat(Edge())
        names = {key[0] for key in await _scrape(house, "devices=true")}
    assert {name for name in names if f"`{name}`" not in guide} == set()


async def test_missing_batches_are_counted_as_the_accounts_count_them(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge(floor=6, next=9)
        await house.put_schema(edge)
        await house.post(edge, edge.upload(edge.make(seq=2), edge.make(seq=7)))
        await house.beat(edge)
        stats = await house.stats()
        gaps = sum(gap["to"] - gap["from"] + 1 for gap in stats["gaps"])
        found = await _scrape(house)
        assert (found[("pending_batches",)], found[("gap_batches",)]) == (stats["pending"], gaps) == (2, 4)


async def test_targets_are_those_whose_address_is_known(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.beat(Edge(), metrics_listen="192.0.2.10:9464", labels={"site": "north"})
        await house.beat(Edge("dev-2"), metrics_listen="127.0.0.1:9464")
        (entry,) = await house.get(SD)
        assert entry["targets"] == ["192.0.2.10:9464"]
        assert entry["labels"]["__meta_holdfast_device"] == "dev-1"
        assert entry["labels"]["__meta_holdfast_label_site"] == "north"
        assert len(await house.get(f"{SD}?loopback=true")) == 2
        await patch(house, "dev-2", labels={"metrics-address": "192.0.2.20:9000"})
        assert [found["targets"] for found in await house.get(SD)] == [
            ["192.0.2.10:9464"],
            ["192.0.2.20:9000"],
        ]


async def test_a_device_that_is_offline_stays_a_target(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.beat(Edge(), metrics_listen="192.0.2.10:9464")
        house.clock.advance(91)
        await house.centre.offline.look()
        (entry,) = await house.get(SD)
        assert entry["labels"]["__meta_holdfast_state"] == "offline"


async def test_a_state_that_cannot_be_read_is_an_error_and_never_an_empty_list(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.beat(Edge(), metrics_listen="192.0.2.10:9464")

        def hide(connection: sqlite3.Connection) -> None:
            connection.execute("ALTER TABLE device_label RENAME TO hidden")

        await house.centre.store.write(hide)
        assert (await house.ask("GET", SD, "viewer")).status >= 500


async def test_who_is_limited_scrapes_his_devices_alone(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await register(house, "n-1", labels={"site": "north"})
        await house.beat(Edge(), metrics_listen="192.0.2.10:9464")
        await give_token(house, "north", Role.VIEWER, site="north")
        found = await _scrape(house, "devices=true", "north")
        assert (found[("devices", "never_seen")], found[("devices", "online")]) == (1, 0)
        assert ("database_bytes",) not in found
        assert ("device_up", "dev-1") not in found
        assert await house.get(SD, "north") == []
