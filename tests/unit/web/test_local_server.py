import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from edge_agent.contracts.errors import ConfigError
from edge_agent.contracts.status import AgentStatus, ComponentReport, LatestValue, ReloadResult
from edge_agent.web.errors import BadListenAddress, SocketTaken
from edge_agent.web.routes import ROUTES
from edge_agent.web.server import LocalServer, parse_listen


@pytest.fixture
async def http(server: LocalServer, socket_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.UnixConnector(str(socket_path))
    async with aiohttp.ClientSession("http://agent", connector=connector) as session:
        yield session


async def test_the_status_is_the_whole_snapshot(http: aiohttp.ClientSession, agent: Any) -> None:
    async with http.get("/status") as response:
        assert response.content_type == "application/json"
        assert AgentStatus.model_validate(await response.json()) == agent.shown


def _value(connection: str, tag: str, value: Any = 1) -> LatestValue:
    return LatestValue(
        connection=connection, group="fast", tag=tag, value=value, quality="good", time=5, unit="°C"
    )


async def test_latest_values_are_sent_whole_in_however_many_pieces(
    http: aiohttp.ClientSession, agent: Any
) -> None:
    for count in (0, 1, 500, 501, 1_234):
        agent.values = [_value("press1", f"온도{number}", [number, None, "\n"]) for number in range(count)]
        async with http.get("/latest") as response:
            items = (await response.json())["items"]
        assert [LatestValue.model_validate(item) for item in items] == agent.values


async def test_values_that_hooks_computed_are_of_a_connection_of_their_own(
    http: aiohttp.ClientSession, agent: Any, ill: AgentStatus
) -> None:
    agent.values = [_value("press1", "oil", 1), _value("hooks", "batch", 2)]
    async with http.get("/latest", params={"connection": "hooks"}) as response:
        assert response.status == 404
    agent.shown = ill
    queries: list[dict[str, str]] = [{"connection": "hooks"}, {}]
    for query in queries:
        async with http.get("/latest", params=query) as response:
            assert (await response.json())["items"][-1]["value"] == 2


async def test_latest_values_of_one_connection(http: aiohttp.ClientSession, agent: Any) -> None:
    agent.values = [_value("press1", "a"), _value("unlisted", "b")]
    async with http.get("/latest", params={"connection": "press1"}) as response:
        assert [item["tag"] for item in (await response.json())["items"]] == ["a"]
    async with http.get("/latest", params={"connection": "oven"}) as response:
        assert (await response.json())["items"] == [], "it is configured and has no value yet"
    async with http.get("/latest", params={"connection": "nobody"}) as response:
        assert response.status == 404
        assert response.content_type == "application/problem+json"
        assert "press1, oven" in (await response.json())["detail"]


@pytest.mark.parametrize("applied", [True, False])
async def test_a_reload_says_whether_it_was_applied(
    http: aiohttp.ClientSession, agent: Any, applied: bool
) -> None:
    agent.result = ReloadResult(applied=applied, problems=[] if applied else ["a.yaml:3:5: wrong"])
    async with http.post("/reload") as response:
        assert response.status == (200 if applied else 422)
        assert ReloadResult.model_validate(await response.json()) == agent.result
    assert agent.reloads == 1


async def test_a_reload_is_no_get(http: aiohttp.ClientSession, agent: Any) -> None:
    async with http.get("/reload") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert (await response.json())["status"] == 405
    assert agent.reloads == 0


async def test_an_unknown_path_is_a_problem_document(http: aiohttp.ClientSession) -> None:
    async with http.get("/nothing") as response:
        assert response.status == 404
        assert response.content_type == "application/problem+json"


async def test_a_bug_becomes_a_500_and_a_line_in_the_log(http: aiohttp.ClientSession, agent: Any) -> None:
    agent.broken = True
    with structlog.testing.capture_logs() as lines:
        async with http.get("/status") as response:
            assert response.status == 500
            assert "a bug" not in await response.text()
    assert [line["event"] for line in lines] == ["a request to the local API failed"]


async def test_a_silent_plc_does_not_ask_for_a_restart_and_a_part_that_gave_up_does(
    http: aiohttp.ClientSession, agent: Any, ill: AgentStatus
) -> None:
    agent.shown = ill
    async with http.get("/healthz") as response:
        assert (response.status, await response.json()) == (200, {"alive": True})
    part = ComponentReport(name="writer", state="stopped", error="disk is gone")
    agent.shown = ill.model_copy(update={"components": [part]})
    async with http.get("/healthz") as response:
        assert (response.status, await response.json()) == (503, {"alive": False})


async def test_every_route_is_served_and_tcp_serves_the_public_ones_alone(
    http: aiohttp.ClientSession, server: LocalServer
) -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.metrics_port}") as tcp:
        for route in ROUTES:
            async with http.request(route.method, route.path) as response:
                # Of a write that is none, the route says so.
                assert response.status == (422 if route.name == "write" else 200)
            async with tcp.request(route.method, route.path) as response:
                assert response.status == (200 if route.public else 404)


async def test_metrics_are_the_text_format(http: aiohttp.ClientSession) -> None:
    async with http.get("/metrics") as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "holdfast_uptime_seconds 11520.5\n" in await response.text()


async def _answers(socket_path: Path) -> bool:
    connector = aiohttp.UnixConnector(str(socket_path))
    async with (
        aiohttp.ClientSession("http://agent", connector=connector) as session,
        session.get("/healthz") as response,
    ):
        return response.status == 200


async def test_only_the_owner_may_open_the_socket(server: LocalServer, socket_path: Path) -> None:
    assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600


async def test_the_mode_does_not_hang_on_the_umask(agent: Any, socket_path: Path) -> None:
    server = LocalServer(agent, socket_path)
    before = os.umask(0)
    try:
        await server.start()
        assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600
    finally:
        os.umask(before)
        await server.stop()


async def test_a_stop_removes_the_socket_and_may_come_twice(agent: Any, socket_path: Path) -> None:
    server = LocalServer(agent, socket_path)
    await server.start()
    await server.stop()
    assert not socket_path.exists()
    await server.stop()


async def test_a_stop_leaves_the_socket_of_a_successor(server: LocalServer, socket_path: Path) -> None:
    successor = socket_path.with_name("new.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(successor))
        successor.rename(socket_path)
        await server.stop()
        assert socket_path.exists()


async def test_a_socket_on_which_nobody_answers_is_replaced(agent: Any, socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path))
    server = LocalServer(agent, socket_path)
    await server.start()
    assert await _answers(socket_path)
    await server.stop()


async def test_a_second_agent_does_not_start(server: LocalServer, agent: Any, socket_path: Path) -> None:
    with pytest.raises(SocketTaken, match="another agent runs here"):
        await LocalServer(agent, socket_path).start()
    assert await _answers(socket_path), "the first one is not disturbed"


async def test_a_file_in_the_place_of_the_socket_is_left_alone(agent: Any, socket_path: Path) -> None:
    socket_path.write_text("notes")
    with pytest.raises(SocketTaken, match="not a socket"):
        await LocalServer(agent, socket_path).start()
    assert socket_path.read_text() == "notes"


@pytest.mark.parametrize("name", ["x" * 120, "missing/agent.sock"], ids=["too long", "no directory"])
async def test_a_path_that_cannot_hold_a_socket_is_refused(agent: Any, tmp_path: Path, name: str) -> None:
    with pytest.raises(SocketTaken):
        await LocalServer(agent, tmp_path / name).start()


async def test_a_taken_port_leaves_nothing_open(agent: Any, socket_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        server = LocalServer(agent, socket_path, f"127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(SocketTaken, match="Address already in use"):
            await server.start()
    assert not socket_path.exists()


async def test_a_slow_reader_of_values_does_not_hold_a_stop(agent: Any, socket_path: Path) -> None:
    agent.values = [_value("press1", f"tag{number}", "x" * 500) for number in range(5_000)]
    server = LocalServer(agent, socket_path)
    await server.start()
    reader, writer = await asyncio.open_unix_connection(socket_path, limit=1_024)
    writer.write(b"GET /latest HTTP/1.1\r\nHost: agent\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    async with asyncio.timeout(10):
        await server.stop()
    writer.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("localhost:9464", ("127.0.0.1", 9464)),
        ("[::1]:0", ("::1", 0)),
        ("127.9.9.9:65535", ("127.9.9.9", 65535)),
    ],
)
def test_loopback_addresses_are_taken(text: str, expected: tuple[str, int]) -> None:
    assert parse_listen(text) == expected


@pytest.mark.parametrize(
    "text", ["0.0.0.0:9464", "192.0.2.1:9464", "[::]:9464", "127.0.0.1", "9464", "127.0.0.1:x", ":9464",
             "127.0.0.1:65536", "example.com:80"],
)  # fmt: skip
def test_other_addresses_are_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write 127\.0\.0\.1:9464") as caught:
        parse_listen(text)
    assert isinstance(caught.value, BadListenAddress)


async def test_names_travel_as_utf_8(http: aiohttp.ClientSession, agent: Any, ill: AgentStatus) -> None:
    agent.shown = ill
    async with http.get("/status") as response:
        assert "프레스".encode() in await response.read()


async def test_a_write_names_who_is_at_the_other_end_of_the_socket(
    http: aiohttp.ClientSession, agent: Any
) -> None:
    """Whatever the request says: the kernel tells."""
    async with http.post("/write", json={"tag": "press1.set", "value": "42.5"}) as response:
        assert (response.status, (await response.json())["state"]) == (200, "confirmed")
    [order] = agent.orders
    assert (order.tag, order.value) == ("press1.set", "42.5")
    assert f"uid {os.getuid()}" in order.by
    assert order.source == f"this machine, pid {os.getpid()}"
    assert order.command == ""


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"tag": "a.b"}', b'{"tag": "a.b", "value": 1, "by": "somebody else"}', b"[1]"]
)
async def test_what_is_no_write_is_not_one(http: aiohttp.ClientSession, agent: Any, body: bytes) -> None:
    async with http.post("/write", data=body) as response:
        assert response.status == 422
    assert agent.orders == []
