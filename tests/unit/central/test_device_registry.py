"""The registry of devices: registration, names and labels, service, purge, search and order."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from central_sync.services.access.roles import Role
from central_sync.services.data.ingest import IngestService
from central_sync.services.devices.service import read_heartbeat
from central_sync.services.errors import Forbidden
from central_sync.store.database import connect, prepare
from central_sync.store.registry import purge_step
from central_sync.store.rows import require_device
from tests.unit.central.conftest import Answer, House, OpenHouse
from tests.unit.central.devices import give_token
from tests.unit.central.edge import T0, Edge

REGISTER = "/api/fleet/devices/register"


async def register(house: House, device: str, who: str = "admin", **fields: Any) -> Answer:
    return await house.ask("POST", REGISTER, who, orjson.dumps({"device_id": device, **fields}))


async def patch(house: House, device: str, etag: str | None = None, **fields: Any) -> Answer:
    headers = {"If_Match": f'"{etag}"'} if etag else {}
    return await house.ask("PATCH", f"/api/fleet/devices/{device}", "admin", orjson.dumps(fields), **headers)


async def ids(house: House, query: str = "", who: str = "viewer") -> list[str]:
    page = await house.get(f"/api/fleet/devices?{query}", who)
    return [item["device_id"] for item in page["items"]]


async def actions(house: House) -> list[str]:
    items = (await house.get("/api/fleet/audit-logs?entity=device", "admin"))["items"]
    return [item["action"] for item in reversed(items)]


async def until(done: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not await done():
            await asyncio.sleep(0.01)


async def test_a_registered_device_is_there_and_was_never_seen(open_house: OpenHouse) -> None:
    async with open_house() as house:
        made = await register(house, "new-1", name="Press 1", labels={"site": "north"}, notes="by the door")
        assert (made.status, made.json["name"], made.json["labels"]) == (201, "Press 1", {"site": "north"})
        assert made.headers["ETag"] == f'"{made.json["etag"]}"'
        device = await house.get("/api/fleet/devices/new-1")
        assert (device["state"], device["name"], device["labels"]) == (
            "never_seen", "Press 1", {"site": "north"},
        )  # fmt: skip
        assert "device.register" in await actions(house)


async def test_a_device_is_registered_once(open_house: OpenHouse) -> None:
    async with open_house() as house:
        assert (await register(house, "new-1")).status == 201
        again = await register(house, "new-1")
        assert (again.status, again.json["code"]) == (409, "device_exists")


async def test_a_repeat_with_the_same_key_gets_the_same_answer(open_house: OpenHouse) -> None:
    async with open_house() as house:
        body = orjson.dumps({"device_id": "new-1"})
        first = await house.ask("POST", REGISTER, "admin", body, Idempotency_Key="a")
        second = await house.ask("POST", REGISTER, "admin", body, Idempotency_Key="a")
        assert (second.status, second.json) == (201, first.json)


async def test_only_engineers_change_the_registry(open_house: OpenHouse) -> None:
    async with open_house() as house:
        for who in ("viewer", "operator"):
            assert (await register(house, "new-1", who)).status == 403
            assert (await house.ask("DELETE", "/api/fleet/devices/dev-1", who)).status == 403


async def test_a_patch_merges_labels_and_null_deletes_one(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await register(house, "new-1", labels={"site": "north", "line": "a"}, notes="kept")
        changed = await patch(house, "new-1", labels={"line": None, "zone": "z1"}, name="P")
        assert changed.status == 200
        assert changed.json["labels"] == {"site": "north", "zone": "z1"}
        assert (changed.json["name"], changed.json["notes"]) == ("P", "kept")


async def test_a_patch_of_an_old_version_is_refused(open_house: OpenHouse) -> None:
    async with open_house() as house:
        etag = (await register(house, "new-1")).json["etag"]
        assert (await patch(house, "new-1", etag, name="P")).status == 200
        late = await patch(house, "new-1", etag, name="Q")
        assert (late.status, late.json["code"]) == (412, "stale")
        assert (await house.get("/api/fleet/devices/new-1/registry"))["name"] == "P"


async def test_the_registrys_label_counts_and_its_end_brings_back_what_is_reported(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await house.beat(Edge(), labels={"site": "claimed", "own": "yes"})
        await patch(house, "dev-1", labels={"site": "north"})
        assert await ids(house, "label=site=north") == ["dev-1"]
        assert await ids(house, "label=site=claimed") == []
        await house.beat(Edge(), labels={"site": "claimed", "own": "yes"})
        assert await ids(house, "label=site=north") == ["dev-1"]
        assert (await house.get("/api/fleet/devices/dev-1"))["labels"] == {"site": "north", "own": "yes"}
        await patch(house, "dev-1", labels={"site": None})
        assert await ids(house, "label=site=claimed") == ["dev-1"]


async def test_a_decommissioned_device_is_refused_on_its_next_request_and_keeps_its_history(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await house.beat(Edge())
        gone = await house.ask("DELETE", "/api/fleet/devices/dev-1")
        assert (gone.status, gone.json["decommissioned"]) == (200, T0)
        for path, body in (("heartbeat", Edge().heartbeat()), ("data", b"")):
            answer = await house.ask("POST", f"/api/fleet/edge/dev-1/{path}", "dev-1", body)
            assert (answer.status, answer.json["code"]) == (403, "decommissioned")
        assert await ids(house) == ["dev-2"]
        assert await ids(house, "decommissioned=true") == ["dev-1"]
        assert (await house.get("/api/fleet/devices/dev-1"))["version"] == "1.2.3"
        stats = await house.get("/api/fleet/stats")
        assert (stats["devices"]["total"], stats["decommissioned"]) == (1, 1)


async def test_a_recommissioned_device_needs_a_new_credential(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.ask("DELETE", "/api/fleet/devices/dev-1")
        back = await house.ask("POST", "/api/fleet/devices/dev-1/recommission")
        assert (back.status, back.json["decommissioned"]) == (200, None)
        answer = await house.ask("POST", "/api/fleet/edge/dev-1/heartbeat", "dev-1", Edge().heartbeat())
        assert (answer.status, answer.json["code"]) == (401, "bad_token")
        assert await ids(house) == ["dev-1", "dev-2"]
        assert await actions(house) == ["device.decommission", "device.recommission"]


async def test_decommissioning_twice_changes_nothing(open_house: OpenHouse) -> None:
    async with open_house() as house:
        first = await house.ask("DELETE", "/api/fleet/devices/dev-1")
        house.clock.advance(5)
        assert (await house.ask("DELETE", "/api/fleet/devices/dev-1")).json == first.json
        assert await actions(house) == ["device.decommission"]


async def test_a_purge_deletes_what_the_device_sent_in_the_background_and_keeps_its_account(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        assert (await house.post(edge, edge.upload(edge.make(), edge.make()))).status == 200
        await house.beat(edge)
        values = "/api/fleet/devices/dev-1/latest-values"
        assert (await house.get(values))["items"]
        before = await house.stats()
        going = await house.ask("DELETE", "/api/fleet/devices/dev-1?purge=true")
        assert going.status == 202
        refused = await house.ask("POST", "/api/fleet/devices/dev-1/recommission")
        assert (refused.status, refused.json["code"]) == (409, "purging")

        async def purged() -> bool:
            house.clock.advance(6)
            return (await house.get("/api/fleet/devices/dev-1/registry"))["purging"] is None

        await until(purged)
        assert (await house.get(values))["items"] == []
        events = (await house.get("/api/fleet/devices/dev-1/events"))["items"]
        assert [event["code"] for event in events] == ["device_purged"]
        assert (await house.get("/api/fleet/devices/dev-1"))["version"] is None
        assert (await house.ask("POST", "/api/fleet/devices/dev-1/recommission")).status == 200
        after = await house.stats()
        assert (after["batches"], after["gaps"]) == (before["batches"], before["gaps"])


async def test_what_is_on_its_way_when_a_device_leaves_service_is_not_stored(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        await house.beat(edge)
        store, beat, upload = house.centre.store, edge.heartbeat(), edge.upload(edge.make())
        await house.ask("DELETE", "/api/fleet/devices/dev-1")
        with pytest.raises(Forbidden, match="out of service"):
            await store.heartbeat("dev-1", read_heartbeat(beat), T0, beat)
        with ThreadPoolExecutor(1) as threads, pytest.raises(Forbidden, match="out of service"):
            await IngestService(store, house.clock, threads).upload("dev-1", upload)
        assert (await house.get("/api/fleet/devices/dev-1"))["state"] == "offline"


async def test_what_a_purged_device_said_last_does_not_come_back(open_house: OpenHouse) -> None:
    """Its last heartbeats said nothing new, and wait in memory while all that it sent is deleted."""
    async with open_house() as house:
        edge = Edge()
        for _ in range(2):
            await house.beat(edge)
            house.clock.advance(30)
        assert (await house.ask("DELETE", "/api/fleet/devices/dev-1?purge=true")).status == 202
        while not await house.centre.store.write(lambda c: purge_step(c, "dev-1", T0)):
            pass
        assert (await house.ask("POST", "/api/fleet/devices/dev-1/recommission")).status == 200
        shown = await house.get("/api/fleet/devices/dev-1")
        assert (shown["state"], shown["last_seen"], shown["version"]) == ("never_seen", None, None)
        sql = "SELECT count(*) FROM heartbeat_hour"
        assert await house.centre.store.read(lambda c: c.execute(sql).fetchone()) == (0,)


async def test_a_device_that_was_purged_is_heard_again(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge, now = Edge(), house.clock.wall_ms()
        for _ in range(2):
            await house.beat(edge)
        store = house.centre.store
        await store.write(lambda c: c.execute("UPDATE device SET purging = 1 WHERE id = 'dev-1'"))
        while not await store.write(lambda c: purge_step(c, "dev-1", now)):
            pass
        await house.beat(edge)
        assert (await house.get("/api/fleet/devices/dev-1"))["last_seen"] == now


def test_a_step_of_a_purge_ends_before_uploads_have_waited_for_long(tmp_path: Path) -> None:
    with closing(connect(prepare(tmp_path))) as connection:
        number = require_device(connection, "dev-1", 1)
        connection.execute(
            "INSERT INTO epoch (no, device_no, id, ordinal) VALUES (1, ?, 'epoch-a', 1)", (number,)
        )
        row = "INSERT INTO batch VALUES (?, 1, ?, ?, 0, 1, 0, 1, 1, 0, 0, 0, x'00', zeroblob(1000000))"
        connection.executemany(row, [(each, each, number) for each in range(1, 41)])
        steps = 1
        while not purge_step(connection, "dev-1", 1):
            steps += 1
        assert steps >= 3
        assert connection.execute("SELECT count(*) FROM batch").fetchone() == (0,)


async def test_a_purge_is_for_admins(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await give_token(house, "engineer", Role.ENGINEER)
        path = "/api/fleet/devices/dev-1"
        assert (await house.ask("DELETE", f"{path}?purge=true", "engineer")).status == 403
        assert (await house.ask("DELETE", path, "engineer")).status == 200


async def test_search_finds_parts_of_ids_names_and_labels(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await register(house, "press-7", name="Halle Ost", labels={"site": "north"})
        assert await ids(house, "q=RESS") == ["press-7"]
        assert await ids(house, "q=halle%20o") == ["press-7"]
        assert await ids(house, "q=NORT") == ["press-7"]
        assert await ids(house, "q=%25") == []
        assert await ids(house, "selector=site%3Dnorth") == ["press-7"]
        assert await ids(house, "selector=!site") == ["dev-1", "dev-2"]


async def test_lists_are_in_the_wanted_order_and_page_without_holes(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.beat(Edge("dev-2"))
        house.clock.advance(5)
        await house.beat(Edge("dev-1"))
        await register(house, "new-1")
        orders = {
            "id": ["dev-1", "dev-2", "new-1"],
            "last_seen": ["new-1", "dev-2", "dev-1"],
            "-last_seen": ["dev-1", "dev-2", "new-1"],
            "state": ["new-1", "dev-1", "dev-2"],
        }
        for sort, expected in orders.items():
            assert await ids(house, f"sort={sort}") == expected, sort
            found, cursor = [], ""
            while True:
                page = await house.get(f"/api/fleet/devices?sort={sort}&limit=1{cursor}")
                found += [item["device_id"] for item in page["items"]]
                if page["next"] is None:
                    break
                cursor = f"&cursor={page['next']}"
            assert found == expected, sort
