"""Scripts: versions, what differs, who gets them, and what devices are served."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from central_sync.services.scripts.service import assigned
from central_sync.services.scripts.views import Assignment, AssignmentBody
from edge_agent.wire.scripts import Script, ScriptSet
from tests.unit.central.conftest import Answer, House, OpenHouse
from tests.unit.central.edge import Edge
from tests.unit.central.fake_agent import CANNOT, REFUSES_ALL, TAKES_ALL, fake_agent

SCRIPTS = "/api/fleet/scripts"
SOURCE = 'OUTPUTS = {"f": "float32"}\n\n\ndef transform(frame):\n    frame["f"] = frame["t0"] * 1.8 + 32\n'


@pytest.fixture
def open_house(open_house: OpenHouse, tmp_path: Path) -> OpenHouse:
    """Its scripts are tried by a program that takes all at once."""
    command = fake_agent(tmp_path, TAKES_ALL)

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[House]:
        async with open_house(**{"agent_command": command, **settings}) as house:
            yield house

    return opened


def body(name: str = "oil", **more: Any) -> dict[str, Any]:
    return {"name": name, "hook_type": "transform", "source": SOURCE, **more}


async def make(house: House, name: str = "oil", who: str = "admin", **more: Any) -> Any:
    answer = await house.ask("POST", SCRIPTS, who, orjson.dumps(body(name, **more)))
    assert answer.status == 201, answer.body
    return answer.json


async def assign(house: House, script: Any, who: str = "admin", **wanted: Any) -> Any:
    answer = await house.ask("PUT", f"{SCRIPTS}/{script['id']}/assignment", who, orjson.dumps(wanted))
    assert answer.status == 200, answer.body
    return answer.json


async def served(house: House, device: str = "dev-1", known: str | None = None) -> Answer:
    headers = {} if known is None else {"If_None_Match": f'"{known}"'}
    return await house.ask("GET", f"/api/fleet/edge/{device}/scripts", device, None, **headers)


async def names(house: House, device: str = "dev-1") -> list[str]:
    """Of what a device is served, in order."""
    answer = await served(house, device)
    return [each["name"] for each in answer.json["scripts"]] if answer.status == 200 else []


async def test_a_device_is_served_its_scripts_as_the_bytes_that_the_etag_names(open_house: OpenHouse) -> None:
    async with open_house() as house:
        assert (await served(house)).json["code"] == "no_scripts"
        script = await make(house, keep_raw=True)
        assert await names(house) == []
        await assign(house, script, devices=["dev-1"])
        answer = await served(house)
        etag = answer.headers["ETag"].strip('"')
        assert hashlib.sha256(answer.body).hexdigest()[:32] == etag
        (found,) = ScriptSet.model_validate_json(answer.body).scripts
        assert (found.name, found.version, found.keep_raw, found.source) == ("oil", 1, True, SOURCE)
        assert (found.sha256, found.mark) == (script["sha256"], script["mark"])
        assert (await served(house, known=etag)).status == 304
        assert (await house.beat(Edge()))["scripts_etag"] == etag
        assert (await house.beat(Edge(device="dev-2")))["scripts_etag"] is None


async def test_every_change_of_what_is_served_has_another_etag_in_heartbeats_and_uploads(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        script = await make(house)
        seen: list[str | None] = []

        async def note() -> None:
            # The second is answered out of memory, the upload by its own transaction.
            hints = [(await house.beat(edge))["scripts_etag"], (await house.beat(edge))["scripts_etag"]]
            uploaded = (await house.post(edge, edge.upload(edge.make()))).json["scripts_etag"]
            assert hints == [uploaded, uploaded]
            answer = await served(house)
            assert uploaded == (answer.headers["ETag"].strip('"') if answer.status == 200 else None)
            seen.append(uploaded)

        await note()
        await assign(house, script, devices=["dev-1"])
        await note()
        path = f"{SCRIPTS}/{script['id']}"
        for method, tail, sent in (
            ("PUT", "", body(source=SOURCE + "# more\n")),
            ("PUT", "/versions/2/signatures", {"signatures": [{"key": "plant", "signature": "c2ln"}]}),
            ("PATCH", "", {"enabled": False}),
            ("PATCH", "", {"enabled": True, "position": 7}),
            ("POST", "/rollback/1", {}),
            ("DELETE", "", {}),
        ):
            answer = await house.ask(method, path + tail, "admin", orjson.dumps(sent) if sent else None)
            assert answer.status in (200, 201, 204), answer.body
            await note()
        assert seen[0] is None
        # Without the script it is the empty set, as it was while the script was off.
        assert seen[4] == seen[7]
        assert seen[5] == seen[3]
        assert len(set(seen)) == 6
        assert await names(house) == []


async def test_versions_stay_as_they_were_and_a_rollback_is_a_higher_one(open_house: OpenHouse) -> None:
    async with open_house() as house:
        signed = [{"key": "plant", "signature": "c2ln"}]
        script = await make(house, note="first", signatures=signed)
        path = f"{SCRIPTS}/{script['id']}"
        again = await house.ask("PUT", path, "admin", orjson.dumps(body()))
        assert (again.status, again.json["version"], again.json["created_version"]) == (200, 1, False)
        assert again.json["signed_by"] == ["plant"]
        more = orjson.dumps(body(source=SOURCE.replace("+ 32", "+ 33"), timeout_ms=50, note="second"))
        changed = await house.ask("PUT", path, "admin", more)
        assert (changed.status, changed.json["version"], changed.json["signed_by"]) == (201, 2, [])
        found = await house.get(f"{path}/diff")
        assert (found["from"], found["to"], found["added"], found["removed"]) == (1, 2, 1, 1)
        assert found["settings"] == [{"name": "timeout_ms", "before": None, "after": 50}]
        assert "-    frame" in found["text"]
        back = await house.ask("POST", f"{path}/rollback/1", "admin")
        assert (back.status, back.json["version"], back.json["sha256"]) == (201, 3, script["sha256"])
        listed = (await house.get(f"{path}/versions"))["items"]
        assert [(each["version"], each["source"], each["current"]) for each in listed] == [
            (3, "rollback", True), (2, "put", False), (1, "create", False),
        ]  # fmt: skip
        assert listed[0]["signed_by"] == ["plant"]
        first = await house.get(f"{path}/versions/1")
        assert Script.model_validate(first["script"]).sha256 == first["sha256"] == script["sha256"]
        page = await house.get(f"{path}/versions?limit=2")
        rest = await house.get(f"{path}/versions?limit=2&cursor={page['next']}")
        assert [each["version"] for each in page["items"] + rest["items"]] == [3, 2, 1]


async def test_who_changes_what_somebody_else_changed_meanwhile_is_told(open_house: OpenHouse) -> None:
    async with open_house() as house:
        script = await make(house)
        path, old = f"{SCRIPTS}/{script['id']}", f'"{script["etag"]}"'
        await house.ask("PATCH", path, "admin", b'{"position": 3}', If_Match=old)
        for method, tail, sent in (
            ("PUT", "", body(source="other")), ("PATCH", "", {"enabled": False}), ("DELETE", "", None),
            ("POST", "/rollback/1", None), ("PUT", "/assignment", {"selector": "*"}),
            ("PUT", "/versions/1/signatures", {"signatures": []}),
        ):  # fmt: skip
            given = None if sent is None else orjson.dumps(sent)
            answer = await house.ask(method, path + tail, "admin", given, If_Match=old)
            assert (answer.status, answer.json["code"]) == (412, "stale"), (method, tail)
        found = await house.get(path)
        assert (found["version"], found["position"], found["enabled"]) == (1, 3, True)


async def test_labels_and_selectors_choose_devices_and_follow_them(open_house: OpenHouse) -> None:
    async with open_house() as house:
        for device, line in (("dev-1", "a"), ("dev-2", "b")):
            await house.beat(Edge(device=device), labels={"line": line, "site": "north"})
        by_labels, by_selector = await make(house, "labels"), await make(house, "selector")
        found = await assign(house, by_labels, labels={"line": "a", "site": "north"})
        assert (found["matched"], found["added"]) == (1, ["dev-1"])
        await assign(house, by_selector, selector="line in (b, c)")
        assert (await names(house), await names(house, "dev-2")) == (["labels"], ["selector"])
        # The device says so itself, and then the registry.
        await house.beat(Edge(), labels={"line": "b", "site": "north"})
        assert await names(house) == ["selector"]
        patch = b'{"labels": {"line": "a"}}'
        assert (await house.ask("PATCH", "/api/fleet/devices/dev-1", "admin", patch)).status == 200
        assert await names(house) == ["labels"]
        seen = (await house.get(f"{SCRIPTS}/{by_selector['id']}/devices"))["items"]
        assert [each["device_id"] for each in seen] == ["dev-2"]


async def test_a_preview_says_who_would_get_and_lose_it_and_changes_nothing(open_house: OpenHouse) -> None:
    async with open_house() as house:
        for device in ("dev-1", "dev-2"):
            await house.beat(Edge(device=device))
        script = await make(house)
        done = await assign(house, script, devices=["dev-1"])
        path = f"{SCRIPTS}/{script['id']}/assignment?dry_run=true"
        answer = await house.ask("PUT", path, "admin", b'{"devices": ["dev-2"]}')
        found = answer.json
        assert (found["matched"], found["added"], found["removed"]) == (1, ["dev-2"], ["dev-1"])
        assert (found["dry_run"], found["etag"]) == (True, done["etag"])
        assert (await names(house), await names(house, "dev-2")) == (["oil"], [])
        for mode, wanted in (("add", ["oil"]), ("remove", [])):
            await assign(house, script, devices=["dev-2"], mode=mode)
            assert (await names(house), await names(house, "dev-2")) == (["oil"], wanted)


async def test_scripts_run_in_the_order_of_their_positions_and_then_names(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.beat(Edge())
        for name, position in (("c", 5), ("b", 10), ("a", 10)):
            script = await make(house, name)
            path = f"{SCRIPTS}/{script['id']}"
            await house.ask("PATCH", path, "admin", orjson.dumps({"position": position}))
            await assign(house, script, selector="*")
        assert await names(house) == ["c", "a", "b"]


async def test_a_script_that_can_never_run_is_refused_with_its_line(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    command = fake_agent(tmp_path, REFUSES_ALL)
    async with open_house(agent_command=command) as house:
        answer = await house.ask("POST", SCRIPTS, "admin", orjson.dumps(body()))
        assert (answer.status, answer.json["code"]) == (400, "bad_script")
        assert answer.json["detail"] == "line 3: no"
        assert answer.json["problems"][0]["line"] == 3
        assert (await house.get(SCRIPTS))["items"] == []


async def test_a_centre_that_can_run_no_script_keeps_it_and_says_so(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    command = fake_agent(tmp_path, CANNOT)
    async with open_house(agent_command=command) as house:
        made = await make(house)
        assert "pip install holdfast[hooks]" in made["warnings"][0]
        asked = orjson.dumps({"saved": {"script": made["id"]}})
        answer = await house.ask("POST", f"{SCRIPTS}/dry-run", "admin", asked)
        assert (answer.status, answer.json["code"]) == (503, "no_sandbox")
        assert "pip install holdfast[hooks]" in answer.json["detail"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"schedule": "* * * * *"}, "bad_script"),
        ({"hook_type": "on_schedule"}, "bad_script"),
        ({"hook_type": "on_alert", "keep_raw": True}, "bad_script"),
        ({"source": "\u00e9" * 40_000}, "bad_script"),
        ({"signatures": [{"key": "a", "signature": "x"}] * 2}, "bad_script"),
        ({"groups": ["press1.\u200b*"]}, "bad_script"),
        ({"groups": ["*." * 9]}, "bad_script"),
        ({"groups": ["*"] * 501}, "bad_body"),
        ({"groups": ["g" * 301]}, "bad_body"),
        ({"name": "Oil"}, "bad_body"),
        ({"groups": []}, "bad_body"),
        ({"tiemout_ms": 5}, "bad_body"),
        ({"source": ""}, "bad_body"),
    ],
)
async def test_what_no_agent_would_take_is_refused(
    open_house: OpenHouse, more: dict[str, Any], code: str
) -> None:
    async with open_house() as house:
        answer = await house.ask("POST", SCRIPTS, "admin", orjson.dumps(body() | more))
        assert (answer.status, answer.json["code"]) == (400, code), answer.body


async def test_a_name_is_one_scripts_alone_until_it_is_deleted(open_house: OpenHouse) -> None:
    async with open_house() as house:
        first = await make(house)
        again = await house.ask("POST", SCRIPTS, "admin", orjson.dumps(body()))
        assert (again.status, again.json["code"]) == (409, "name_taken")
        path = f"{SCRIPTS}/{first['id']}"
        renamed = await house.ask("PUT", path, "admin", orjson.dumps(body("other")))
        assert (renamed.status, renamed.json["code"]) == (400, "other_name")
        assert (await house.ask("DELETE", path, "admin")).status == 204
        await make(house)
        # Records of devices name what was deleted: it stays readable, and can be found by their mark.
        assert (await house.get(path))["deleted"] is not None
        found = (await house.get(f"{SCRIPTS}?mark={first['mark']}&deleted=true"))["items"]
        assert [each["id"] for each in found] == [first["id"]]
        assert (await house.get(f"{SCRIPTS}?mark=oil@{'0' * 16}"))["items"] == []
        for method in ("PUT", "DELETE"):
            answer = await house.ask(method, path, "admin", orjson.dumps(body()))
            assert (answer.status, answer.json["code"]) == (404, "unknown_script")


async def test_a_repeated_request_makes_no_second_script(open_house: OpenHouse) -> None:
    async with open_house() as house:
        sent = orjson.dumps(body())
        first = await house.ask("POST", SCRIPTS, "admin", sent, Idempotency_Key="k")
        again = await house.ask("POST", SCRIPTS, "admin", sent, Idempotency_Key="k")
        assert (first.status, again.status, again.json) == (201, 201, first.json)
        assert len((await house.get(SCRIPTS))["items"]) == 1


async def test_a_document_that_the_agent_signed_is_taken_as_it_is(open_house: OpenHouse) -> None:
    async with open_house() as house:
        signed = Script.model_validate({**body(), "signatures": [{"key": "plant", "signature": "c2ln"}]})
        answer = await house.ask("POST", SCRIPTS, "admin", signed.model_dump_json().encode())
        assert (answer.status, answer.json["sha256"]) == (201, signed.sha256)
        await assign(house, answer.json, devices=["dev-1"])
        (found,) = ScriptSet.model_validate_json((await served(house)).body).scripts
        assert (found.canonical, found.signatures) == (signed.canonical, signed.signatures)


@pytest.mark.parametrize(
    ("wanted", "becomes"),
    [
        ({"devices": ["c"]}, (["c"], {}, None)),
        ({"mode": "add", "devices": ["b", "c"]}, (["a", "b", "c"], {"site": "n"}, "line=a")),
        ({"mode": "add", "selector": "*"}, (["a", "b"], {"site": "n"}, "*")),
        ({"mode": "remove", "devices": ["a", "z"]}, (["b"], {"site": "n"}, "line=a")),
        ({"mode": "remove", "labels": {"site": "n"}}, (["a", "b"], {}, "line=a")),
        ({"mode": "remove", "labels": {"site": "s"}}, (["a", "b"], {"site": "n"}, "line=a")),
        ({"mode": "remove", "selector": "line=a"}, (["a", "b"], {"site": "n"}, None)),
        ({"mode": "remove", "selector": "line=b"}, (["a", "b"], {"site": "n"}, "line=a")),
    ],
)
def test_an_assignment_is_replaced_or_changed_by_what_is_given(
    wanted: dict[str, Any], becomes: tuple[list[str], dict[str, str], str | None]
) -> None:
    before = Assignment(devices=["a", "b"], labels={"site": "n"}, selector="line=a")
    after = assigned(before, AssignmentBody.model_validate(wanted))
    assert (after.devices, after.labels, after.selector) == becomes


async def test_a_device_notes_each_change_of_what_it_is_to_run(open_house: OpenHouse) -> None:
    async with open_house() as house:
        script = await make(house)
        await assign(house, script, devices=["dev-1"])
        path = f"{SCRIPTS}/{script['id']}"
        await house.ask("PATCH", path, "admin", b'{"description": "nothing that a device sees"}')
        await house.ask("PATCH", path, "admin", b'{"enabled": false}')
        found = (await house.get("/api/fleet/devices/dev-1/events"))["items"]
        told = [each["data"]["scripts"] for each in found if each["code"] == "scripts_changed"]
        assert told == [0, 1]


async def test_what_devices_are_served_and_hinted_at_outlives_a_restart(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.beat(Edge())
        script = await make(house)
        await assign(house, script, devices=["dev-1"])
        etag = (await house.beat(Edge()))["scripts_etag"]
    async with open_house() as house:
        # Out of memory, as the centre read it at its start.
        assert house.centre.store.roll.get("dev-1") is not None
        assert (await house.beat(Edge()))["scripts_etag"] == etag
        assert (await served(house, known=etag)).status == 304
