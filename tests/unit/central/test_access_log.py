"""The access log: who changed what, what was refused, and never a secret; ids that tie line and answer."""

import json
from typing import Any

import pytest
import structlog

from central_sync.api.access_log import Refusals, is_worth_a_line
from central_sync.api.server import ROUTES
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import Edge

Lines = list[dict[str, Any]]
BY_NAME = {route.name: route for route in ROUTES}


@pytest.fixture
def lines() -> Any:
    with structlog.testing.capture_logs() as found:
        yield found


def requests(lines: Any) -> Lines:
    return [line for line in lines if line["event"] == "request"]


async def some_requests(house: House) -> None:
    edge = Edge()
    await house.put_schema(edge)
    await house.post(edge, edge.upload(edge.make()))
    await house.beat(edge)
    await house.get("/api/fleet/devices")
    await house.ask("GET", "/api/fleet/edge/dev-2/config", "dev-2")
    await house.ask("PUT", "/api/fleet/edge/dev-1/config", "admin", b'{"connections": []}')
    await house.ask("PUT", "/api/fleet/edge/dev-1/config", "viewer", b'{"connections": []}')
    await house.ask("GET", "/api/fleet/devices?cursor=hf_secret", "viewer")
    await house.ask("GET", "/api/fleet/nothing", None)


async def test_changes_and_refusals_get_a_line_and_what_agents_do_all_day_gets_none(
    open_house: OpenHouse, lines: Any
) -> None:
    async with open_house() as house:
        await some_requests(house)
    found = [(line["method"], line["route"], line["status"]) for line in requests(lines)]
    assert found == [
        ("PUT", "put_config", 201), ("PUT", "put_config", 403), ("GET", "devices", 400), ("GET", None, 404),
    ]  # fmt: skip


async def test_a_line_says_who_from_where_to_what_and_how_long(open_house: OpenHouse, lines: Any) -> None:
    async with open_house() as house:
        body = b'{"connections": []}'
        answer = await house.ask("PUT", "/api/fleet/edge/dev-1/config", "admin", body)
    (line,) = requests(lines)
    assert line["milliseconds"] > 0
    assert (line["device"], line["address"], line["log_level"]) == ("dev-1", "127.0.0.1", "info")
    assert (line["received_bytes"], line["sent_bytes"]) == (len(body), len(answer.body))
    assert house.tokens["admin"].split("_")[1] in line["who"]
    assert line["request_id"] == answer.headers["X-Request-Id"]


async def test_no_line_holds_a_secret_a_query_or_a_body(open_house: OpenHouse, lines: Any) -> None:
    async with open_house(access_log="all") as house:
        await some_requests(house)
        token = house.tokens["admin"]
        await house.ask("GET", f"/api/fleet/devices?label={token}", "admin")
        await house.ask("GET", f"/api/fleet/{token}/x", None)
        tokens = dict(house.tokens)
    assert len(requests(lines)) == 11
    text = json.dumps(lines, default=str)
    for secret in [token.split("_", 2)[2] for token in tokens.values()]:
        assert secret not in text
    assert "cursor" not in text
    assert "connections" not in text


async def test_off_means_none(open_house: OpenHouse, lines: Any) -> None:
    async with open_house(access_log="off") as house:
        await some_requests(house)
    assert requests(lines) == []


async def test_a_problem_names_its_request_and_so_does_every_answer(open_house: OpenHouse) -> None:
    async with open_house() as house:
        bad = await house.ask("GET", "/api/fleet/devices?limit=x", "viewer")
        assert bad.json["request_id"] == bad.headers["X-Request-Id"]
        good = await house.ask("GET", "/api/fleet/devices", "viewer")
        assert good.headers["X-Request-Id"] != bad.headers["X-Request-Id"]
        # Without a proxy nobody outside names requests.
        given = await house.ask("GET", "/api/fleet/devices", "viewer", X_Request_Id="mine")
        assert given.headers["X-Request-Id"] != "mine"


async def test_a_proxy_names_requests_within_bounds_and_the_client_is_behind_it(
    open_house: OpenHouse, lines: Any
) -> None:
    async with open_house(behind_proxy="192.0.2.0/28") as house:
        path = "/api/fleet/devices?limit=x"
        answer = await house.ask(
            "GET", path, "viewer", X_Request_Id="edge-7/a+b=", X_Forwarded_For="198.51.100.4"
        )
        assert answer.headers["X-Request-Id"] == answer.json["request_id"] == "edge-7/a+b="
        for wrong in ("x" * 65, "a b", '{"a":1}'):
            answer = await house.ask("GET", path, "viewer", X_Request_Id=wrong)
            assert answer.headers["X-Request-Id"] != wrong
    assert requests(lines)[0]["address"] == "198.51.100.4"
    assert requests(lines)[0]["request_id"] == "edge-7/a+b="


def test_a_storm_of_refusals_gets_so_many_lines_a_second_and_the_rest_is_counted() -> None:
    now = 5.0
    refusals = Refusals(lambda: now)
    found = [refusals.left_out() for _ in range(1_000)]
    assert (found.count(0), found.count(None)) == (50, 950)
    now = 6.0
    assert [refusals.left_out(), refusals.left_out()] == [950, 0]


@pytest.mark.parametrize(
    ("name", "status", "worth"),
    [
        ("upload", 200, False), ("upload", 503, True), ("upload", 401, True), ("get_config", 304, False),
        ("get_config", 404, False), ("put_config", 200, True), ("devices", 200, False), ("device", 404, True),
    ],
)  # fmt: skip
def test_what_is_worth_a_line(name: str, status: int, worth: bool) -> None:
    route = BY_NAME[name]
    assert is_worth_a_line(route.method, route, status) is worth
