"""Who may change scripts, who sees which, what the audit trail says of it, and what devices report."""

import itertools
import sqlite3
from typing import Any

import orjson
import pytest

from central_sync.services.audit.entries import Actor
from central_sync.services.configs.service import Author
from central_sync.services.scripts.store import NewScript
from central_sync.services.scripts.views import Assignment
from central_sync.store import script_sets
from central_sync.store import scripts as stored
from edge_agent.wire.messages import HookReport, HooksReport
from edge_agent.wire.scripts import Script
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import Edge
from tests.unit.central.hands import give_token, label, make_devices, meet
from tests.unit.central.test_scripts import SCRIPTS, SOURCE, assign, body, make, names, open_house

__all__ = ["open_house"]

CHANGES: list[tuple[str, str, Any]] = [
    ("PUT", "", body(source="def transform(frame):\n    pass\n")),
    ("PATCH", "", {"enabled": False}),
    ("PUT", "/versions/1/signatures", {"signatures": []}),
    ("POST", "/rollback/1", None),
    ("PUT", "/assignment", {"selector": "*"}),
    ("PUT", "/assignment?dry_run=true", {"selector": "*"}),
    ("DELETE", "", None),
]


async def change(house: House, script: Any, who: str, method: str, tail: str, sent: Any) -> Any:
    given = None if sent is None else orjson.dumps(sent)
    return await house.ask(method, f"{SCRIPTS}/{script['id']}{tail}", who, given)


async def two_sites(house: House) -> None:
    """dev-1 is in the north, dev-2 in the south; `north` is an engineer who sees the north alone."""
    await meet(house)
    await label(house, "dev-1", site="north")
    await label(house, "dev-2", site="south")
    await give_token(house, "north", "engineer", site="north")


async def test_operators_and_viewers_read_scripts_and_change_none(open_house: OpenHouse) -> None:
    async with open_house() as house:
        script = await make(house)
        for who in ("operator", "viewer"):
            assert (await house.get(f"{SCRIPTS}/{script['id']}", who))["script"]["source"] == SOURCE
            assert (await house.ask("POST", SCRIPTS, who, orjson.dumps(body("more")))).status == 403
            for method, tail, sent in CHANGES:
                assert (await change(house, script, who, method, tail, sent)).status == 403


async def test_a_limited_engineer_makes_scripts_for_his_devices_alone(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await two_sites(house)
        script = await make(house, "own", who="north")
        assert script["scope"] == {"site": "north"}
        found = await assign(house, script, who="north", selector="*")
        assert (found["matched"], found["added"]) == (1, ["dev-1"])
        assert (await names(house), await names(house, "dev-2")) == (["own"], [])
        named = await change(house, script, "north", "PUT", "/assignment", {"devices": ["dev-2"]})
        assert (named.status, named.json["code"]) == (404, "unknown_device")
        # Nor does it reach further when somebody else assigns it, or when a device says it is of the site.
        await assign(house, script, selector="*")
        await house.beat(Edge(device="dev-2"), labels={"site": "north"})
        assert await names(house, "dev-2") == []
        beyond = await change(house, script, "admin", "PUT", "/assignment", {"devices": ["dev-2"]})
        assert beyond.json["code"] == "unknown_device"


async def test_a_limited_engineer_sees_scripts_of_his_devices_and_changes_none_that_reaches_further(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await two_sites(house)
        script = await make(house)
        await assign(house, script, devices=["dev-2"])
        path = f"{SCRIPTS}/{script['id']}"
        tails = ("", "/versions", "/versions/1", "/diff", "/devices")
        for tail in tails:
            assert (await house.ask("GET", path + tail, "north")).json["code"] == "unknown_script"
        for method, tail, sent in CHANGES:
            assert (await change(house, script, "north", method, tail, sent)).status == 404
        assert (await house.get(SCRIPTS, "north"))["items"] == []
        await assign(house, script, devices=["dev-1"], mode="add")
        for tail in tails:
            answer = await house.ask("GET", path + tail, "north")
            assert (answer.status, b"dev-2" in answer.body) == (200, False), tail
        (listed,) = (await house.get(SCRIPTS, "north"))["items"]
        assert (listed["devices"], listed["assignment"]["devices"]) == (1, ["dev-1"])
        for method, tail, sent in CHANGES:
            answer = await change(house, script, "north", method, tail, sent)
            assert (answer.status, answer.json["code"]) == (403, "limited"), (method, tail)
        assert (await house.get(path))["version"] == 1


async def test_scripts_of_different_scopes_never_share_a_process(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await two_sites(house)
        everywhere = await make(house, "everywhere", worker="shared")
        await make(house, "beside", worker="shared")
        taken = orjson.dumps(body("own", worker="shared"))
        answer = await house.ask("POST", SCRIPTS, "north", taken)
        assert (answer.status, answer.json["code"]) == (409, "worker_taken")
        own = await make(house, "own", who="north", worker="north")
        answer = await change(house, own, "north", "PUT", "", body("own", worker="shared"))
        assert (answer.status, answer.json["code"]) == (409, "worker_taken")
        # Nor by going back to a time at which the name was free.
        free = await change(house, own, "north", "PUT", "", body("own"))
        assert free.status == 201
        moved = await change(house, everywhere, "admin", "PUT", "", body("everywhere", worker="north"))
        assert moved.status == 201
        answer = await change(house, own, "north", "POST", "/rollback/1", None)
        assert (answer.status, answer.json["code"]) == (409, "worker_taken")


async def entries(house: House) -> list[Any]:
    found = (await house.get("/api/fleet/audit-logs?entity=script", "admin"))["items"]
    return list(reversed(found))


async def test_every_change_is_in_the_audit_trail_with_what_was_and_became(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        script = await make(house, note="why")
        for method, tail, sent in CHANGES:
            assert (await change(house, script, "admin", method, tail, sent)).status < 300
        found = await entries(house)
        assert [(each["action"], each["name"]) for each in found] == [
            ("script.create", "oil"), ("script.put", "oil"), ("script.patch", "oil"),
            ("script.rollback", "oil"), ("script.assign", "oil"), ("script.delete", "oil"),
        ]  # fmt: skip
        # What one leaves is what the next finds, and each says something new.
        for earlier, later in itertools.pairwise(found):
            assert {key: value for key, value in earlier["after"].items() if key != "note"} == later["before"]
            assert later["before"] != later["after"]
        assert found[0]["before"] is None
        assert found[1]["after"]["sha256"] != found[0]["after"]["sha256"] == found[3]["after"]["sha256"]
        assert found[4]["after"]["assignment"]["selector"] == "*"
        # Digests and settings, not sources: whoever reads the trail looks the version up.
        assert SOURCE not in str(found)
        assert found[1]["after"]["settings"]["groups"] == ["*"]


async def test_signatures_of_an_old_version_are_told_with_it(open_house: OpenHouse) -> None:
    async with open_house() as house:
        script = await make(house)
        await change(house, script, "admin", "PUT", "", body(source="def transform(frame):\n    pass\n"))
        given = [{"key": "plant", "signature": "c2ln"}]
        signed = await change(house, script, "admin", "PUT", "/versions/1/signatures", {"signatures": given})
        assert (signed.status, signed.json["signed_by"]) == (200, [])
        entry = (await entries(house))[-1]
        assert entry["action"] == "script.sign"
        assert entry["before"]["signed"] == {"version": 1, "signatures": []}
        assert entry["after"]["signed"] == {"version": 1, "signatures": given}


async def test_devices_that_left_the_sight_of_who_asks_keep_a_script_unseen(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await two_sites(house)
        script = await make(house, who="north")
        await assign(house, script, who="north", devices=["dev-1"])
        moved = b'{"labels": {"site": "south"}}'
        assert (await house.ask("PATCH", "/api/fleet/devices/dev-1", "admin", moved)).status == 200
        assert await names(house) == []
        found = await assign(house, script, who="north", devices=[], mode="add")
        assert (found["matched"], found["assignment"]["devices"]) == (0, [])
        assert (await assign(house, script, devices=[], mode="add"))["assignment"]["devices"] == ["dev-1"]


async def test_a_change_that_changes_nothing_leaves_no_entry_and_the_same_etag(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        script = await make(house)
        await assign(house, script, devices=["dev-1"])
        before = await house.get(f"{SCRIPTS}/{script['id']}")
        for method, tail, sent in (
            ("PUT", "", body()), ("PATCH", "", {"enabled": True, "position": 100}),
            ("POST", "/rollback/1", None), ("PUT", "/assignment", {"devices": ["dev-1"]}),
        ):  # fmt: skip
            assert (await change(house, script, "admin", method, tail, sent)).status == 200
        assert await house.get(f"{SCRIPTS}/{script['id']}") == before
        assert len(await entries(house)) == 2


# --- devices ----------------------------------------------------------------------------------------


async def test_a_device_shows_what_it_is_to_run_beside_what_it_reports(open_house: OpenHouse) -> None:
    async with open_house() as house:
        path = "/api/fleet/devices/dev-1/scripts"
        await meet(house)
        found = await house.get(path)
        assert (found["desired"], found["etag"], found["in_sync"]) == ([], None, True)
        script, off = await make(house), await make(house, "off")
        for each in (script, off):
            await assign(house, each, devices=["dev-1"])
        await change(house, off, "admin", "PATCH", "", {"enabled": False})
        found = await house.get(path)
        assert (found["in_sync"], found["disabled"]) == (False, ["off"])
        (desired,) = found["desired"]
        assert (desired["name"], desired["mark"], desired["reported"]) == ("oil", script["mark"], None)
        hook = HookReport(
            name="oil", hook_type="transform", state="running", origin="centre", version=1,
            sha256=script["sha256"],
        )  # fmt: skip
        local = hook.model_copy(update={"name": "own", "origin": "local"})
        for etag, state, in_sync in (
            ("another", "applied", False), (found["etag"], "rejected", False),
            (found["etag"], "applied", True), (found["etag"] + "-gzip", "applied", True),
        ):  # fmt: skip
            report = HooksReport(hooks=[hook, local], layers={"seccomp": "on"}, etag=etag, state=state)
            await house.beat(Edge(), hooks=report)
            seen = await house.get(path)
            assert seen["in_sync"] is in_sync, (etag, state)
        assert seen["desired"][0]["reported"]["state"] == "running"
        assert [each["name"] for each in seen["hooks"]] == ["oil", "own"]
        assert seen["reported"]["layers"] == {"seccomp": "on"}
        (device,) = (await house.get(f"{SCRIPTS}/{script['id']}/devices"))["items"]
        assert (device["device_id"], device["in_sync"]) == ("dev-1", True)
        await change(house, script, "admin", "PUT", "", body(source=SOURCE + "# new\n"))
        (device,) = (await house.get(f"{SCRIPTS}/{script['id']}/devices"))["items"]
        assert device["in_sync"] is False


async def test_a_large_fleet_is_told_in_parts_and_every_device_of_it(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await make_devices(house, [f"many-{number:04}" for number in range(1_234)])
        script = await make(house)
        found = await assign(house, script, selector="*")
        assert found["matched"] == 1_236
        path = f"{SCRIPTS}/{script['id']}"
        assert (await house.get(path))["devices"] < 1_236
        await house.centre.scripts.spread.look()
        assert (await house.get(path))["devices"] == 1_236
        etags: set[str] = set()
        for device in ("many-0000", "many-1233"):
            answer = await house.ask("GET", f"/api/fleet/edge/{device}/scripts", "viewer")
            etags.add(answer.headers["ETag"])
        assert len(etags) == 1
        page = await house.get(f"{path}/devices?limit=1000")
        rest = await house.get(f"{path}/devices?limit=1000&cursor={page['next']}")
        assert (len(page["items"]), len(rest["items"]), rest["next"]) == (1_000, 236, None)


async def test_devices_that_come_and_go_get_and_lose_what_is_meant_for_all(open_house: OpenHouse) -> None:
    async with open_house() as house:
        script = await make(house)
        await assign(house, script, selector="*")
        await make_devices(house, ["late-1"])
        await house.centre.scripts.spread.look()
        path = f"{SCRIPTS}/{script['id']}/devices"
        assert "late-1" in [each["device_id"] for each in (await house.get(path))["items"]]
        assert (await house.ask("DELETE", "/api/fleet/devices/late-1", "admin")).status == 200
        await house.centre.scripts.spread.look()
        assert "late-1" not in [each["device_id"] for each in (await house.get(path))["items"]]


@pytest.mark.parametrize(("scripts", "patterns", "first"), [(65, 1, 64), (3, 240, 2)])
async def test_a_device_for_which_too_many_are_meant_gets_the_first_and_that_is_told(
    open_house: OpenHouse, scripts: int, patterns: int, first: int
) -> None:
    async with open_house() as house:
        await meet(house)
        named = [f"s{number:02}" for number in range(scripts)]
        groups = [f"press{number}.*" for number in range(patterns)]
        author, now = Author("cli:test", Actor("cli", "test")), house.clock.wall_ms()

        def work(connection: sqlite3.Connection) -> None:
            """In one transaction: many requests are not what this is about."""
            for name in named:
                content = Script.model_validate(body(name, groups=groups))
                stored.create(connection, NewScript(f"sc-{name}", content, {}, "", author, now))
            for (number,) in connection.execute("SELECT no FROM script").fetchall():
                stored.set_assignment(connection, number, Assignment(devices=["dev-1"]))
                script_sets.mark_stale(connection, number)
            script_sets.settle(connection, now)

        await house.centre.store.write(work)
        assert await names(house) == named[:first]
        events = (await house.get("/api/fleet/devices/dev-1/events"))["items"]
        told = [each for each in events if each["code"] == "too_many_scripts"]
        assert [each["data"] for each in told] == [{"scripts": scripts}]
        assert f"the first {first}" in str(told[0])


@pytest.mark.parametrize("tail", ["/devices/nobody/scripts", "/edge/nobody/scripts"])
async def test_scripts_of_unknown_devices_are_404(open_house: OpenHouse, tail: str) -> None:
    async with open_house() as house:
        assert (await house.ask("GET", f"/api/fleet{tail}", "viewer")).status == 404
