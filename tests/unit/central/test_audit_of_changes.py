"""Every change that the operators' API makes leaves exactly one entry in the audit trail.

The routes come from the table; each that changes something needs a scene here: what has to be there first,
and the smallest request that succeeds. A route without a scene fails.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from central_sync.api.route import Route
from central_sync.api.server import ROUTES
from central_sync.services.access.roles import Scope
from tests.unit.central.config_samples import connection, sections
from tests.unit.central.conftest import Answer, House, OpenHouse
from tests.unit.central.fake_agent import TAKES_ALL, fake_agent
from tests.unit.central.hands import command, order
from tests.unit.central.test_central_people import PASSWORD, add_user, log_in, send
from tests.unit.central.test_enrolment import Box, prepare
from tests.unit.central.test_scripts import body as script_body
from tests.unit.central.test_scripts import make as make_script
from tests.unit.central.test_tag_templates import TEMPLATE, made, with_press

OPERATORS: Final = {Scope.VIEWER, Scope.OPERATOR, Scope.ENGINEER, Scope.ADMIN}
CHANGING: Final = [route for route in ROUTES if route.method != "GET" and route.scope in OPERATORS]
# What answers a question with POST changes nothing.
QUESTIONS: Final = {"validate_config", "dry_run_script"}
# An account and the link to set its password are two things, and come together.
TWO: Final = {"create_user"}
PRESS: Final = sections(connection("press1"))


@dataclass(frozen=True)
class Ask:
    """The request: path parameters, body, query, whose session it is."""

    place: dict[str, str] = field(default_factory=dict)
    body: Any = None
    query: str = ""
    cookie: str | None = None


Scene = Callable[[House], Awaitable[Ask]]


def plain(place: dict[str, str] | None = None, body: Any = None, query: str = "") -> Scene:
    async def scene(_house: House) -> Ask:
        return Ask(place or {}, body, query)

    return scene


async def session(house: House) -> tuple[str, str]:
    await add_user(house, "kim", "admin")
    cookie = await log_in(house, "kim")
    return cookie, cookie.split("_")[1]


async def logging_out(house: House) -> Ask:
    return Ask(cookie=(await session(house))[0])


async def changing_password(house: House) -> Ask:
    body = {"current": PASSWORD, "new": "nine loud storms pass"}
    return Ask(cookie=(await session(house))[0], body=body)


async def ending_session(house: House) -> Ask:
    cookie, _ = await session(house)
    other = await log_in(house, "kim")
    return Ask({"session": other.split("_")[1]}, cookie=cookie)


async def about_user(house: House) -> dict[str, str]:
    return {"user": await add_user(house, "lee", "viewer")}


async def patching_user(house: House) -> Ask:
    return Ask(await about_user(house), {"role": "operator"})


async def linking_user(house: House) -> Ask:
    return Ask(await about_user(house))


async def revoking_token(house: House) -> Ask:
    return Ask({"token": house.tokens["viewer"].split("_")[1]})


async def deleting_pre_registration(house: House) -> Ask:
    found = await prepare(house, device_id="press-9")
    return Ask({"pre": found["id"]})


async def waiting_box(house: House) -> dict[str, str]:
    answer = await Box("machine-w", device_id="press-w").ask(house)
    assert answer.status == 202, answer.body
    page = await house.get("/api/fleet/provision/pending", "admin")
    return {"request": page["items"][0]["id"]}


async def accepting(house: House) -> Ask:
    return Ask(await waiting_box(house), {"device_id": "press-w"})


async def rejecting(house: House) -> Ask:
    return Ask(await waiting_box(house), {"reason": "unknown"})


async def decommissioned(house: House) -> Ask:
    assert (await house.ask("DELETE", "/api/fleet/devices/dev-2")).status == 200
    return Ask({"id": "dev-2"})


async def cancelling_command(house: House) -> Ask:
    return Ask({"command": await command(house)})


async def cancelling_order(house: House) -> Ask:
    return Ask({"order": (await order(house))["order"]["id"]})


async def rolling_back(house: House) -> Ask:
    await with_press(house)
    path = "/api/fleet/edge/dev-1/config"
    assert (await house.ask("PUT", path, "admin", sections(connection("press2")))).status == 201
    return Ask({"id": "dev-1", "version": "1"})


async def importing(house: House) -> Ask:
    await with_press(house)
    place = {"id": "dev-1", "connection": "press1"}
    return Ask(place, b"name,address,type\nt9,holding:9,uint16\n", "group=fast")


async def template(house: House) -> dict[str, str]:
    await with_press(house)
    return {"template": (await made(house))["id"], "connection": "dev-1:press1"}


async def replacing_template(house: House) -> Ask:
    return Ask(await template(house), {**TEMPLATE, "company": "new"})


async def deleting_template(house: House) -> Ask:
    return Ask(await template(house))


async def using_template(house: House) -> Ask:
    return Ask(await template(house), {"parameters": {"n": 3}})


async def using_template_often(house: House) -> Ask:
    place = await template(house)
    return Ask(place, {"each": [{"connection": "dev-1:press1", "parameters": {"n": 3}}]})


MAPPING: Final = {"v1_name": "OIL_1", "device": "dev-1", "connection": "press1", "tag": "t0"}


async def mapping(house: House) -> dict[str, str]:
    answer = await house.ask("POST", "/api/fleet/v1-mappings", "admin", orjson.dumps(MAPPING))
    assert answer.status == 201, answer.body
    return {"mapping": answer.json["id"]}


async def replacing_mapping(house: House) -> Ask:
    return Ask(await mapping(house), {**MAPPING, "tag": "t1"})


async def deleting_mapping(house: House) -> Ask:
    return Ask(await mapping(house))


async def one_credential(house: House) -> Ask:
    return Ask({"id": "dev-1", "credential": house.tokens["dev-1"].split("_")[1]})


def about_script(given: Any = None, version: str = "1") -> Scene:
    """Of two versions, the second in force."""

    async def scene(house: House) -> Ask:
        place = {"script": (await make_script(house))["id"], "version": version}
        changed = orjson.dumps(script_body(source="def transform(frame):\n    pass\n"))
        path = f"/api/fleet/scripts/{place['script']}"
        assert (await house.ask("PUT", path, "admin", changed)).status == 201
        return Ask(place, given)

    return scene


SIGNATURES: Final = {"signatures": [{"key": "plant", "signature": "c2ln"}]}
DEVICE: Final = {"devices": ["dev-1"]}
SCENES: Final[dict[str, Scene]] = {
    "logout": logging_out,
    "change_password": changing_password,
    "end_session": ending_session,
    "create_user": plain(body={"login": "park", "role": "viewer"}),
    "patch_user": patching_user,
    "create_setup_link": linking_user,
    "create_token": plain(body={"name": "grafana", "role": "viewer"}),
    "revoke_token": revoking_token,
    "pre_register": plain(body={"device_id": "press-9"}),
    "delete_pre_registered": deleting_pre_registration,
    "accept_request": accepting,
    "reject_request": rejecting,
    "revoke_credentials": plain({"id": "dev-1"}),
    "revoke_credential": one_credential,
    "register_device": plain(body={"device_id": "press-9"}),
    "patch_device": plain({"id": "dev-1"}, {"name": "Press"}),
    "decommission_device": plain({"id": "dev-2"}),
    "recommission_device": decommissioned,
    "order_commands": plain(body={"type": "ping", "targets": DEVICE}),
    "cancel_command": cancelling_command,
    "cancel_order": cancelling_order,
    "put_config": plain({"id": "dev-1"}, PRESS),
    "config_rollback": rolling_back,
    "import_tags": importing,
    "validate_config": plain(body=PRESS),
    "apply_configs": plain(body={"targets": DEVICE, "sections": {"connections": []}}),
    "create_tag_template": plain(body=TEMPLATE),
    "replace_tag_template": replacing_template,
    "delete_tag_template": deleting_template,
    "apply_tag_template": using_template,
    "apply_tag_template_to_many": using_template_often,
    "create_v1_mapping": plain(body=MAPPING),
    "replace_v1_mapping": replacing_mapping,
    "delete_v1_mapping": deleting_mapping,
    "create_script": plain(body=script_body()),
    "replace_script": about_script(script_body()),
    "patch_script": about_script({"enabled": False}),
    "delete_script": about_script(),
    "sign_script": about_script(SIGNATURES, version="2"),
    "script_rollback": about_script(),
    "assign_script": about_script(DEVICE),
    "dry_run_script": plain(body={"script": script_body()}),
}


def test_every_route_that_changes_something_has_a_scene_and_no_scene_is_left_over() -> None:
    assert {route.name for route in CHANGING} == set(SCENES)
    assert set(SCENES) >= QUESTIONS


async def perform(house: House, route: Route[Any], ask: Ask) -> Answer:
    path = route.path.format(**ask.place) + (f"?{ask.query}" if ask.query else "")
    if ask.cookie is not None:
        return await send(house, route.method, path, ask.body, ask.cookie)
    body = ask.body if ask.body is None or isinstance(ask.body, bytes) else orjson.dumps(ask.body)
    headers = {} if route.body is None else {"Content_Type": route.body.content_type}
    return await house.ask(route.method, path, "admin", body, **headers)


async def entries(house: House) -> list[Any]:
    """Newest first."""
    page = await house.get("/api/fleet/audit-logs?limit=1000", "admin")
    return list(page["items"])


@pytest.mark.parametrize("route", CHANGING, ids=lambda route: route.name)
async def test_a_change_leaves_exactly_one_entry(
    open_house: OpenHouse, tmp_path: Path, route: Route[Any]
) -> None:
    # That they are judged has tests of its own.
    quick = {"agent_command": fake_agent(tmp_path, TAKES_ALL)} if route.tag == "scripts" else {}
    async with open_house(enrolment={"pending": True}, **quick) as house:
        ask = await SCENES[route.name](house)
        before = await entries(house)
        answer = await perform(house, route, ask)
        assert answer.status in route.answers, answer.body
        after = await entries(house)
        new = [
            (entry["action"], entry["entity"], entry["name"]) for entry in after[: len(after) - len(before)]
        ]
        assert len(new) == (0 if route.name in QUESTIONS else 1 + (route.name in TWO)), new
        if new:
            actor = after[0]["actor"]
            assert (actor["kind"], actor["address"]) == ("user" if ask.cookie else "token", "127.0.0.1")
            assert all(after[0][key] for key in ("action", "entity", "name"))


async def test_what_is_refused_leaves_none(open_house: OpenHouse) -> None:
    async with open_house() as house:
        before = await entries(house)
        for route in CHANGING:
            path = re.sub(r"\{\w+\}", "dev-1", route.path)
            headers = {} if route.body is None else {"Content_Type": route.body.content_type}
            body = None if route.body is None else b"{}"
            assert (await house.ask(route.method, path, None, body, **headers)).status == 401
            assert (await house.ask(route.method, path, "dev-1", body, **headers)).status == 403
        assert await entries(house) == before
