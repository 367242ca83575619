import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contracts.errors import NotConnected, Unsupported
from edge_agent.contracts.status import LatestValue, ReloadResult
from edge_agent.web.client import LocalClient
from edge_agent.web.errors import AgentNotRunning, AnswerNotUnderstood, RequestRefused
from edge_agent.web.server import LocalServer


@pytest.fixture
def client(socket_path: Path) -> LocalClient:
    return LocalClient(socket_path, timeout_seconds=5)


async def test_the_client_understands_the_server(
    server: LocalServer, client: LocalClient, agent: Any
) -> None:
    value = LatestValue(connection="press1", group="a", tag="온도", value=1.5, quality="good", time=7)
    agent.values = [value]
    assert await asyncio.to_thread(client.status) == agent.shown
    assert await asyncio.to_thread(client.latest) == [value]
    assert await asyncio.to_thread(client.latest, "oven") == []
    assert "holdfast_build_info" in await asyncio.to_thread(client.metrics)


@pytest.mark.parametrize("applied", [True, False])
async def test_both_outcomes_of_a_reload_are_results(
    server: LocalServer, client: LocalClient, agent: Any, applied: bool
) -> None:
    agent.result = ReloadResult(applied=applied, problems=["a.yaml:1:1: wrong"], unchanged=["press1"])
    assert await asyncio.to_thread(client.reload) == agent.result


async def test_a_refusal_is_told_in_the_agents_words(server: LocalServer, client: LocalClient) -> None:
    with pytest.raises(RequestRefused, match="no connection 'press 9/&'") as caught:
        await asyncio.to_thread(client.latest, "press 9/&")
    assert isinstance(caught.value, Unsupported)


def test_without_a_socket_no_agent_is_running(client: LocalClient) -> None:
    with pytest.raises(AgentNotRunning, match="start it with `edge-agent run`") as caught:
        client.status()
    assert isinstance(caught.value, NotConnected)


def test_a_socket_of_a_dead_agent_is_no_agent(client: LocalClient, socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path))
    with pytest.raises(AgentNotRunning, match="no agent is running"):
        client.status()


def test_an_agent_that_hangs_is_named_so(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(socket_path))
        hung.listen()
        with pytest.raises(AgentNotRunning, match=r"did not answer within 0\.05 s"):
            LocalClient(socket_path, timeout_seconds=0.05).status()


async def test_what_is_no_agent_is_not_understood(client: LocalClient, socket_path: Path) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    async with await asyncio.start_unix_server(babble, socket_path):
        with pytest.raises(AnswerNotUnderstood, match="not an agent"):
            await asyncio.to_thread(client.status)


async def test_an_answer_of_another_version_is_not_understood(
    server: LocalServer, client: LocalClient, agent: Any
) -> None:
    agent.shown = ReloadResult(applied=True)
    with pytest.raises(AnswerNotUnderstood, match="have this version"):
        await asyncio.to_thread(client.status)


async def test_a_write_is_told_in_full(server: LocalServer, client: LocalClient, agent: Any) -> None:
    report = await asyncio.to_thread(client.write, "press1.set", "1")
    assert (report.state, report.value, len(agent.orders)) == ("confirmed", "1", 1)


def test_a_write_of_which_the_answer_is_lost_is_unknown(client: LocalClient, socket_path: Path) -> None:
    """The agent may have sent it: that it does not answer does not mean that it did nothing."""

    def end_in_the_middle() -> None:
        peer, _ = listener.accept()
        peer.recv(1)
        peer.close()

    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(1) as threads:
        listener.bind(str(socket_path))
        listener.listen(1)
        ended = threads.submit(end_in_the_middle)
        report = client.write("press1.set", 1)
        ended.result()
    assert (report.state, report.code) == ("unknown", "unknown")
    assert "journal" in report.message


def test_a_write_without_an_agent_was_not_sent(client: LocalClient) -> None:
    with pytest.raises(AgentNotRunning):
        client.write("press1.set", 1)
