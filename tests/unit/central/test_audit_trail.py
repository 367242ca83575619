"""The audit trail as admins read it: filters, pages, figures, export; and who may not."""

import json
from typing import Any

from central_sync.services.audit.entries import Actor, Entry
from central_sync.store.audit import record
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import T0

KIM = Actor("user", "7f3a", "kim", "192.0.2.7")
RETENTION = Actor("system", "retention")


async def write(house: House, *entries: tuple[Actor, int, Entry]) -> None:
    def work(connection: Any) -> None:
        # What making the house's tokens left.
        connection.execute("DELETE FROM audit WHERE action LIKE 'token.%' OR action LIKE 'api_token.%'")
        for actor, time, entry in entries:
            record(connection, actor, time, entry)

    await house.centre.store.write(work)


def patch(device: str, line: str) -> Entry:
    return Entry("device.patch", "device", device, device, {"line": "?"}, {"line": line})


async def fill(house: House) -> None:
    await write(
        house,
        (KIM, T0, patch("dev-1", "a")),
        (KIM, T0 + 10, patch("dev-2", "b")),
        (RETENTION, T0 + 20, Entry("audit.prune", "audit", "", None, None, {"entries": 5})),
        (KIM, T0 + 30, patch("dev-1", "c")),
    )


async def numbers(house: House, query: str) -> list[int]:
    return [item["no"] for item in (await house.get(f"/api/fleet/audit-logs?{query}", "admin"))["items"]]


async def test_the_newest_entry_is_first_and_tells_all(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await fill(house)
        newest = (await house.get("/api/fleet/audit-logs?limit=1", "admin"))["items"][0]
        assert len(newest.pop("hash")) == 64
        assert newest == {
            "no": 4, "time": T0 + 30, "action": "device.patch", "entity": "device", "name": "dev-1",
            "device": "dev-1", "before": {"line": "?"}, "after": {"line": "c"},
            "actor": {"kind": "user", "id": "7f3a", "name": "kim", "address": "192.0.2.7"},
        }  # fmt: skip


async def test_each_filter_keeps_what_it_names(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await fill(house)
        assert await numbers(house, "") == [4, 3, 2, 1]
        assert await numbers(house, "actor=system:retention") == [3]
        assert await numbers(house, "action=device.patch") == [4, 2, 1]
        assert await numbers(house, "entity=audit") == [3]
        assert await numbers(house, "name=dev-2") == [2]
        assert await numbers(house, "device=dev-1") == [4, 1]
        assert await numbers(house, f"from={T0 + 10}&to={T0 + 20}") == [3, 2]
        assert await numbers(house, f"device=dev-1&to={T0}&action=device.patch") == [1]


async def test_pages_join_without_a_gap_while_entries_arrive(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await fill(house)
        first = await house.get("/api/fleet/audit-logs?limit=3", "admin")
        await write(house, (KIM, T0 + 40, patch("dev-1", "d")))
        rest = await house.get(f"/api/fleet/audit-logs?limit=3&cursor={first['next']}", "admin")
        assert [item["no"] for item in first["items"] + rest["items"]] == [4, 3, 2, 1]
        assert rest["next"] is None


async def test_figures_count_by_action_actor_and_kind_within_the_span(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await fill(house)
        stats = await house.get(f"/api/fleet/audit-logs/stats?from={T0 + 10}&to={T0 + 30}", "admin")
        assert stats == {
            "from": T0 + 10, "to": T0 + 30, "entries": 3,
            "by_action": [{"name": "device.patch", "entries": 2}, {"name": "audit.prune", "entries": 1}],
            "by_actor": [{"name": "user:7f3a", "entries": 2}, {"name": "system:retention", "entries": 1}],
            "by_entity": [{"name": "device", "entries": 2}, {"name": "audit", "entries": 1}],
        }  # fmt: skip
        bad = await house.ask("GET", "/api/fleet/audit-logs/stats?from=5&to=4")
        assert (bad.status, bad.json["code"]) == (400, "bad_span")


async def test_the_export_has_every_entry_once_however_many_pages_it_takes(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await write(house, *((KIM, T0 + i, patch("dev-1", str(i))) for i in range(1_203)))
        answer = await house.ask("GET", "/api/fleet/audit-logs/export?device=dev-1")
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        lines = [json.loads(line) for line in answer.body.splitlines()]
        assert [line["no"] for line in lines] == list(range(1_203, 0, -1))


async def test_nobody_below_admin_reads_it(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await fill(house)
        for path in ("audit-logs", "audit-logs/stats", "audit-logs/export"):
            for who, status in (("operator", 403), ("viewer", 403), ("dev-1", 403), (None, 401)):
                assert (await house.ask("GET", f"/api/fleet/{path}", who)).status == status
