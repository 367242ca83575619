"""The API as a whole: tokens, problem documents, the document that describes it."""

import asyncio
import re
from typing import Any

import jsonschema
import orjson
import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator

from central_sync import app
from central_sync.api.openapi import openapi
from central_sync.api.server import ROUTES, make_application
from central_sync.console.pages import FILES, add_pages
from tests.unit.central.conftest import Answer, OpenHouse
from tests.unit.central.edge import Edge


def _check_problem(answer: Answer) -> None:
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == answer.status
    assert answer.json["type"] == f"urn:holdfast:problem:{answer.json['code']}"
    assert answer.json["detail"]
    assert answer.json["title"]


@pytest.mark.parametrize(
    "token",
    [
        "", "Bearer", "Bearer x", "Basic aGY6eA==", "Bearer hf_000000000000_" + "A" * 43,
        "Bearer hf_000000000000_", "bearer  ",
    ],
)  # fmt: skip
async def test_a_token_that_is_none_is_a_401_with_a_challenge(open_house: OpenHouse, token: str) -> None:
    async with open_house() as house:
        answer = await house.ask("GET", "/api/fleet/devices", None, Authorization=token)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_the_right_id_with_another_secret_is_a_401(open_house: OpenHouse) -> None:
    async with open_house() as house:
        good = house.tokens["admin"]
        forged = good[:-1] + ("A" if good[-1] != "A" else "B")
        answer = await house.ask("GET", "/api/fleet/devices", None, Authorization=f"Bearer {forged}")
        assert (answer.status, answer.json["code"]) == (401, "bad_token")


async def test_a_token_in_the_query_opens_nothing(open_house: OpenHouse) -> None:
    async with open_house() as house:
        answer = await house.ask("GET", f"/api/fleet/stats?token={house.tokens['admin']}", None)
        assert answer.status == 401


async def test_a_token_made_beside_the_running_centre_works_at_once(open_house: OpenHouse) -> None:
    async with open_house() as house:
        text, _ = await asyncio.to_thread(app.create_token, house.data, None, "new-device")
        house.tokens["new-device"] = text
        await house.beat(Edge(device="new-device"))
        assert (await house.get("/api/fleet/devices/new-device"))["state"] == "online"


async def test_the_routers_own_answers_are_problem_documents(open_house: OpenHouse) -> None:
    async with open_house() as house:
        missing = await house.ask("GET", "/api/fleet/nothing")
        assert (missing.status, missing.json["code"]) == (404, "no_such_route")
        wrong = await house.ask("DELETE", "/api/fleet/devices")
        assert (wrong.status, wrong.json["code"]) == (405, "method_not_allowed")
        assert "GET" in wrong.headers["Allow"]
        for answer in (missing, wrong):
            _check_problem(answer)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "colour=red",
        "limit=1&limit=2",
        "state=asleep",
        "cursor=%21",
        "cursor=WzFd",
    ],
)
async def test_parameters_are_checked(open_house: OpenHouse, query: str) -> None:
    async with open_house() as house:
        answer = await house.ask("GET", f"/api/fleet/devices?{query}")
        assert answer.status == 400
        assert answer.json["code"] in ("bad_query", "bad_cursor")


async def test_unknown_devices_are_404(open_house: OpenHouse) -> None:
    async with open_house() as house:
        paths = ("", "/latest-values", "/events", "/tags/t0/timeseries")
        for path in (
            *(f"/api/fleet/devices/nobody{rest}" for rest in paths),
            "/api/fleet/data/stats?device=nobody",
        ):
            answer = await house.ask("GET", path)
            assert (answer.status, answer.json["code"]) == (404, "unknown_device"), path


async def test_the_document_describes_every_route_and_no_other(open_house: OpenHouse) -> None:
    document = app.openapi_document()
    OpenAPIV31SpecValidator(document).validate()
    paths = document["paths"]
    assert isinstance(paths, dict)
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert described == {(route.method, route.path) for route in ROUTES}
    async with open_house() as house:
        served = await house.ask("GET", "/api/openapi.json", None)
        assert orjson.loads(served.body) == orjson.loads(orjson.dumps(document))


async def test_the_router_serves_the_table_and_the_page_alone() -> None:
    application = make_application(None, None, False)  # type: ignore[arg-type]
    add_pages(application)
    served = {
        (entry.method, entry.resource.canonical)
        for entry in application.router.routes()
        if isinstance(entry, web.ResourceRoute) and entry.method != "HEAD" and entry.resource
    }
    assert served == {(route.method, route.path) for route in ROUTES} | {("GET", path) for path in FILES}


async def test_the_page_for_reading_names_every_route(open_house: OpenHouse) -> None:
    async with open_house() as house:
        page = await house.ask("GET", "/api/docs", None)
        assert page.headers["Content-Type"].startswith("text/html")
        for route in ROUTES:
            assert f"{route.method} {route.path}" in page.body.decode()


async def test_the_page_runs_under_a_policy_without_inline_code(open_house: OpenHouse) -> None:
    async with open_house() as house:
        for path, (_, content_type) in FILES.items():
            answer = await house.ask("GET", path, None)
            assert (answer.status, answer.headers["Content-Type"]) == (200, f"{content_type}; charset=utf-8")
            policy = answer.headers["Content-Security-Policy"]
            assert "unsafe" not in policy
            assert "default-src 'none'" in policy
        shell = (await house.ask("GET", "/", None)).body.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style|https?://", shell)
        assert set(re.findall(r'(?:src|href)="(/[^"]*)"', shell)) <= {*FILES, "/api/docs"}


async def test_every_answer_carries_the_security_headers(open_house: OpenHouse) -> None:
    async with open_house() as house:
        for path, who in (
            ("/", None),
            ("/api/fleet/stats", "viewer"),
            ("/api/fleet/stats", None),
            ("/x", None),
        ):
            headers = (await house.ask("GET", path, who)).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert headers["Cache-Control"] == ("no-store" if path.startswith("/api") else "no-cache")


async def test_behind_a_proxy_loopback_is_let_in(open_house: OpenHouse) -> None:
    async with open_house(behind_proxy="192.0.2.0/28") as house:
        answer = await house.ask("GET", "/api/fleet/health", None)
        assert answer.status == 200
        assert "Strict-Transport-Security" in answer.headers


async def test_health_says_its_status_and_nothing_else(open_house: OpenHouse) -> None:
    async with open_house() as house:
        answer = await house.ask("GET", "/api/fleet/health", None)
        assert (answer.status, answer.json) == (200, {"status": "ok"})


async def test_a_head_whose_floor_is_above_its_next_is_refused(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge(floor=7, next=6)
        refused = await house.post(edge, edge.upload())
        assert (refused.status, refused.json["code"]) == (400, "bad_upload")
        path = "/api/fleet/edge/dev-1/heartbeat"
        refused = await house.ask("POST", path, "dev-1", edge.heartbeat(heads=[Edge().head(), edge.head()]))
        assert (refused.status, refused.json["code"]) == (400, "bad_heartbeat")
        assert refused.json["detail"].startswith("heads.1: the floor 7")


def _with_examples() -> list[tuple[str, dict[str, Any], Any]]:
    """Place, schema and example of every body and answer."""
    document = openapi(ROUTES, "0")
    found: list[tuple[str, dict[str, Any], Any]] = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts = {"body": operation.get("requestBody", {}), **operation["responses"]}
            for part, holder in parts.items():
                for kind, content in holder.get("content", {}).items():
                    if content.get("schema") and kind in ("application/json", "application/problem+json"):
                        schema = {**content["schema"], "components": document["components"]}
                        found.append((f"{method} {path} {part}", schema, content.get("example", MISSING)))
    return found


MISSING = object()


@pytest.mark.parametrize(("place", "schema", "value"), [pytest.param(*e, id=e[0]) for e in _with_examples()])
def test_every_body_and_answer_has_an_example_that_is_valid(
    place: str, schema: dict[str, Any], value: Any
) -> None:
    assert value is not MISSING, place
    jsonschema.Draft202012Validator(schema).validate(value)
