"""Getting in at a server from npm, node-opcua: both sides accept certificates as people do."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from socket import socket
from typing import Any

import pytest

from edge_agent.app.browsing import browse
from edge_agent.app.offline import read_once
from edge_agent.app.opcua import trust_lists
from edge_agent.app.settings import load_config
from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.opcua.security_settings import Mode, Policy

# Building its address space takes seconds, and a minute where the machine is busy.
pytestmark = pytest.mark.timeout(300)
SERVER = Path(__file__).parent / "servers" / "node_opcua_secured.mjs"
SECURED = [(policy, mode) for policy in Policy if policy is not Policy.NONE for mode in Mode]
CONFIG = """
agent: {{id: gate-1}}
connections:
  - name: press1
    driver: opcua
    transport:
      url: opc.tcp://127.0.0.1:{port}
      timeout: 10s
      security: {{policy: {policy}, mode: {mode}, user: holdfast, password: {password}}}
    groups:
      - name: a
        interval: 1s
        mode: poll
        tags: [{{name: oil, address: "nsu=urn:holdfast:secured;s=Oil", type: float32}}]
"""


class Server:
    """node-opcua, and what an operator does there."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    async def trust(self, certificate: Path) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{certificate}\n".encode())
        await self._process.stdin.drain()
        assert json.loads(await self.line()) == {"trusted": str(certificate)}

    async def line(self) -> bytes:
        assert self._process.stdout is not None
        async with asyncio.timeout(240):
            return await self._process.stdout.readline()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    with closing(socket()) as found:
        found.bind(("127.0.0.1", 0))
        number = int(found.getsockname()[1])
    process = await asyncio.create_subprocess_exec(
        "node", str(SERVER), str(number), str(tmp_path / "server"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    server = Server(process, number)
    try:
        assert json.loads(await server.line()) == {"port": number}
        yield server
    finally:
        process.kill()
        await process.wait()


def config(
    directory: Path, port: int, policy: str = "basic256sha256", mode: str = "sign_and_encrypt",
    password: str = "geheim-4711",
) -> Path:  # fmt: skip
    path = directory / "edge-agent.yaml"
    path.write_text(CONFIG.format(port=port, policy=policy, mode=mode, password=password))
    return path


async def value(path: Path) -> Any:
    (found,) = await read_once(load_config(path), "press1", lambda _: None)
    return found.value


async def refusal(path: Path) -> str:
    with pytest.raises(NotConnected) as refused:
        await value(path)
    return str(refused.value)


async def test_both_sides_accept_each_other_and_each_policy_reads(server: Server, tmp_path: Path) -> None:
    port = server.port
    path = config(tmp_path, port)
    text = await refusal(path)
    accept = re.search(r"`edge-agent opcua trust accept (\w{40})`", text)
    assert accept is not None, text
    lists = trust_lists(path)
    lists.accept(accept[1])
    assert "it may not trust this agent yet" in await refusal(path)
    await server.trust(tmp_path / "pki" / "own" / "certificate.der")
    for policy, mode in SECURED:
        assert await value(config(tmp_path, port, policy, mode)) == 81.5, f"{policy} {mode}"
    assert await value(config(tmp_path, port, "none")) == 81.5, "the password alone is encrypted"
    assert "Bad" in await refusal(config(tmp_path, port, password="wrong"))

    found = {
        each.path: each
        for each in await browse(load_config(config(tmp_path, port)), "press1", "", 5, lambda _: None)
    }
    oil, zones = found["Press", "Oil"], found["Press", "Zones"]
    assert (oil.address, oil.type, oil.unit) == ("nsu=urn:holdfast:secured;s=Oil", "float32", "°C")
    assert (zones.type, zones.count) == ("int16", 4)

    lists.reject(accept[1])
    assert "not trusted" in await refusal(path)
