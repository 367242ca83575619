"""Versions of configs: kept, compared, rolled back, judged before they are saved; desired, applied and
reported apart."""

from pathlib import Path
from typing import Any

import pytest

from edge_agent.wire.messages import ConfigReport, ConfigState
from tests.unit.central.config_samples import connection, sections
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import Edge

PATH = "/api/fleet/edge/dev-1/config"
DEVICE = "/api/fleet/devices/dev-1/config"


async def put(house: House, *connections: dict[str, Any], note: str = "") -> Any:
    query = f"?note={note}" if note else ""
    answer = await house.ask("PUT", PATH + query, "admin", sections(*connections))
    assert answer.status in (200, 201), answer.body
    return answer.json


async def test_a_bad_config_is_refused_before_it_is_saved_with_the_place_of_each_problem(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        bad = connection(groups=[{"name": "fast", "interval": "soon", "tags": []}])
        refused = await house.ask("PUT", PATH, "admin", sections(bad))
        assert (refused.status, refused.json["code"]) == (400, "bad_config")
        paths = [problem["path"] for problem in refused.json["problems"]]
        assert "connections[press1].groups[fast].interval" in paths
        assert "connections[press1].groups[fast].tags" in paths
        assert (await house.ask("GET", PATH, "admin")).status == 404


async def test_a_dry_run_says_the_same_and_saves_nothing(open_house: OpenHouse) -> None:
    async with open_house() as house:
        path = "/api/fleet/configs/validate"
        bad = await house.ask("POST", path, "admin", b'{"connection": []}')
        assert (bad.status, bad.json["valid"]) == (200, False)
        assert "did you mean 'connections'?" in bad.json["problems"][0]["message"]
        host = {"type": "tcp", "host": {"secret": "plc-host"}}
        good = await house.ask("POST", path, "admin", sections(connection(transport=host)))
        assert (good.json["valid"], good.json["problems"]) == (True, [])
        assert [each["path"] for each in good.json["warnings"]] == ["connections[press1].transport.host"]


async def test_without_the_agents_rules_nothing_is_valid(open_house: OpenHouse, tmp_path: Path) -> None:
    missing = str(tmp_path / "no-agent")
    async with open_house(agent_command=[missing]) as house:
        refused = await house.ask("PUT", PATH, "admin", sections())
        assert (refused.status, refused.json["code"]) == (503, "no_checker")
        assert refused.headers["Retry-After"] == "5"
    async with open_house(agent_command=["/bin/false"]) as house:
        refused = await house.ask("POST", "/api/fleet/configs/validate", "admin", sections())
        assert (refused.status, refused.json["code"]) == (503, "checker_failed")


async def test_versions_say_who_made_them_why_and_what_became_of_them(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await put(house, note="first")
        applied = ConfigReport(state=ConfigState.APPLIED, seen_version=1, applied_version=1)
        await house.beat(Edge(), config=applied)
        await put(house, connection())
        refused = ConfigReport(
            state=ConfigState.REJECTED, seen_version=2, applied_version=1, code="invalid", message="no"
        )
        await house.beat(Edge(), config=refused)
        listed = (await house.get(f"{DEVICE}/versions"))["items"]
        assert [(each["version"], each["note"], each["desired"]) for each in listed] == [
            (2, "", True),
            (1, "first", False),
        ]
        assert [each["outcome"]["state"] for each in listed] == ["rejected", "applied"]
        assert listed[0]["author"].startswith("admin:")
        await put(house, connection("press2"))
        await house.beat(
            Edge(), config=ConfigReport(seen_version=3, applied_version=3, state=ConfigState.APPLIED)
        )
        kept = (await house.get(f"{DEVICE}/versions/2"))["outcome"]
        assert (kept["state"], kept["code"]) == ("rejected", "invalid")


async def test_versions_come_in_pages_and_old_ones_go_but_for_the_applied(open_house: OpenHouse) -> None:
    async with open_house(config_versions=2) as house:
        await put(house)
        await house.beat(
            Edge(), config=ConfigReport(seen_version=1, applied_version=1, state=ConfigState.APPLIED)
        )
        for number in range(2, 6):
            await put(house, connection(f"press{number}"))
        first = await house.get(f"{DEVICE}/versions?limit=2")
        rest = await house.get(f"{DEVICE}/versions?limit=2&cursor={first['next']}")
        assert [each["version"] for each in first["items"] + rest["items"]] == [5, 4, 1]
        gone = await house.ask("GET", f"{DEVICE}/versions/3", "viewer")
        assert (gone.status, gone.json["code"]) == (404, "unknown_version")


async def test_a_rollback_is_a_higher_version_with_the_old_content(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await put(house, connection())
        await put(house, connection(host="192.0.2.11"))
        back = await house.ask("POST", f"{DEVICE}/rollback/1", "admin", Idempotency_Key="once")
        assert (back.status, back.json["version"]) == (201, 3)
        again = await house.ask("POST", f"{DEVICE}/rollback/1", "admin", Idempotency_Key="once")
        assert again.json["version"] == 3
        found = await house.get(f"{DEVICE}/versions/3")
        assert (found["source"], found["note"]) == ("rollback", "back to version 1")
        assert found["sections"] == (await house.get(f"{DEVICE}/versions/1"))["sections"]
        stale = await house.ask("POST", f"{DEVICE}/rollback/2", "admin", If_Match='"other"')
        assert stale.status == 412
        for unknown in ("9", "0", "x", "9" * 30):
            assert (await house.ask("POST", f"{DEVICE}/rollback/{unknown}", "admin")).status == 404


async def test_a_diff_names_connections_groups_and_tags_with_before_and_after(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await put(house, connection("a", tags=2), connection("gone"))
        changed = connection("a", host="192.0.2.99", tags=3)
        changed["groups"][0]["tags"][0]["scale"] = 0.5
        await put(house, changed, connection("new"))
        found = await house.get(f"{DEVICE}/diff")
        assert (found["from"], found["to"]) == (1, 2)
        listed = found["connections"]
        assert (listed["added"], listed["removed"]) == (["new"], ["gone"])
        (one,) = listed["changed"]
        assert one["changes"] == [{"path": "transport.host", "before": "192.0.2.10", "after": "192.0.2.99"}]
        (group,) = one["groups"]["changed"]
        assert group["tags"]["added"] == ["t2"]
        assert group["tags"]["changed"][0]["changes"] == [{"path": "scale", "before": None, "after": 0.5}]
        assert "~ connections[a].transport.host: 192.0.2.10 → 192.0.2.99" in found["text"].splitlines()
        whole = await house.get(f"{DEVICE}/diff?from=0&to=1")
        assert whole["connections"]["added"] == ["a", "gone"]


async def test_desired_applied_and_reported_are_apart(open_house: OpenHouse) -> None:
    async with open_house() as house:
        nothing = await house.get(f"{DEVICE}/state")
        assert (nothing["desired"], nothing["applied"], nothing["in_sync"]) == (None, None, True)
        await put(house)
        await put(house, connection())
        text = "centre config version 2: remote:connections[press1].transport.host: needs a host"
        report = ConfigReport(
            state=ConfigState.REJECTED, seen_version=2, applied_version=1, code="invalid", message=text,
            running_hash="ab",
        )  # fmt: skip
        await house.beat(Edge(), config=report)
        found = await house.get(f"{DEVICE}/state")
        assert (found["desired"]["version"], found["applied"], found["in_sync"]) == (
            2,
            {"version": 1, "hash": "ab"},
            False,
        )
        assert found["reported"]["problems"] == [
            {"path": "connections[press1].transport.host", "message": "needs a host"}
        ]
        # Of another centre, or of this one before a backup was restored, version 2 is another config.
        for etag, in_sync in (("another", False), (found["desired"]["etag"], True)):
            done = ConfigReport(
                state=ConfigState.APPLIED_WITH_WARNINGS, seen_version=2, applied_version=2, etag=etag
            )
            await house.beat(Edge(), config=done)
            assert (await house.get(f"{DEVICE}/state"))["in_sync"] is in_sync


async def test_every_change_of_a_config_is_in_the_audit_trail_without_its_contents(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await put(house, connection(), note="why")
        (entry,) = [
            each
            for each in (await house.get("/api/fleet/audit-logs", "admin"))["items"]
            if each["action"] == "config.put"
        ]
        assert (entry["device"], entry["before"]) == ("dev-1", None)
        assert entry["after"]["note"] == "why"
        assert entry["after"]["connections"]["added"] == ["press1"]
        assert "192.0.2.10" not in str(entry)


@pytest.mark.parametrize("path", ["versions", "versions/1", "diff", "state"])
async def test_configs_of_unknown_devices_are_404(open_house: OpenHouse, path: str) -> None:
    async with open_house() as house:
        answer = await house.ask("GET", f"/api/fleet/devices/nobody/config/{path}", "viewer")
        assert (answer.status, answer.json["code"] in ("unknown_device", "no_config")) == (404, True)


async def test_operators_and_viewers_change_no_config(open_house: OpenHouse) -> None:
    async with open_house() as house:
        for who in ("operator", "viewer"):
            assert (await house.ask("PUT", PATH, who, sections())).status == 403
