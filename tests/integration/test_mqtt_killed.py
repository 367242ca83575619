"""QoS 1 over a session that goes on: what mosquitto sent to an agent that was killed is not lost."""

import asyncio
import contextlib
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import yaml

from edge_agent.web.client import LocalClient
from edge_agent.web.errors import AgentNotRunning
from tests.integration.every_driver import Program
from tests.integration.mqtt_broker import Mosquitto

WITHIN_SECONDS = 20.0
TOPIC = "press/1/count"
ME = "killed-agent"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_SECONDS):
        while not condition():
            await asyncio.sleep(0.02)


class Agent:
    """Takes one topic of the broker. `kill` is SIGKILL."""

    def __init__(self, broker: Mosquitto, directory: Path, runtime: str, interval: str, version: str) -> None:
        self._config = directory / "agent.yaml"
        transport = {
            "host": "127.0.0.1", "port": broker.port, "version": version,
            "client_id": ME, "session": "persistent",
        }  # fmt: skip
        tags = [{"name": "count", "topic": TOPIC, "type": "int64"}]
        groups = [{"name": "g", "interval": interval, "liveness": "1d", "tags": tags}]
        document: dict[str, Any] = {
            "agent": {"id": "killed", "runtime_dir": runtime, "page_listen": None},
            "buffer": {"path": str(directory / "buffer.db"), "flush_interval": "1s"},
            "connections": [{"name": "b", "driver": "mqtt", "transport": transport, "groups": groups}],
        }
        self._config.write_text(yaml.safe_dump(document))
        run = [sys.executable, "-m", "edge_agent", "run", "-c", str(self._config)]
        self._program = Program(run, 0, directory / "agent.log")
        self._broker = broker
        self._local = LocalClient(Path(runtime) / "agent.sock")

    async def start(self) -> None:
        before = self._broker.logged(f"Received SUBSCRIBE from {ME}")
        await self._program.start()
        await until(lambda: self._broker.logged(f"Received SUBSCRIBE from {ME}") > before)

    async def kill(self) -> None:
        await self._program.kill()

    async def latest(self) -> Any:
        with contextlib.suppress(AgentNotRunning):  # not listening yet
            for each in await asyncio.to_thread(self._local.latest):
                return each.value
        return None

    async def stored(self) -> list[int]:
        """The good values, in the order of the file, after an orderly stop."""
        self._program.send(signal.SIGTERM)
        assert await self._program.ended(30) == 0
        export = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge_agent", "buffer", "export", "-c", str(self._config),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        lines = (await export.communicate())[0].splitlines()
        values = [json.loads(line)["value"] for line in lines]
        return [value for value in values if value is not None]


Make = Callable[[str, str], Agent]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    made = Mosquitto(tmp_path)
    await made.prepare()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def make(broker: Mosquitto, tmp_path: Path) -> AsyncIterator[Make]:
    runtime = tempfile.mkdtemp(prefix="holdfast-killed-", dir="/dev/shm")
    agents: list[Agent] = []

    def agent(interval: str, version: str) -> Agent:
        agents.append(Agent(broker, tmp_path, runtime, interval, version))
        return agents[-1]

    yield agent
    for each in agents:
        await each.kill()
    shutil.rmtree(runtime)


async def test_what_no_frame_had_comes_again_after_a_kill(broker: Mosquitto, make: Make) -> None:
    agent = make("1h", "5")
    await agent.start()
    await broker.publish((TOPIC, 0))
    await until(lambda: broker.logged(f"Received PUBACK from {ME}") == 1)  # the first read is over
    await broker.publish(*((TOPIC, n) for n in range(1, 6)))
    await until(lambda: broker.logged(f"Sending PUBLISH to {ME}") == 6)
    await agent.kill()
    assert broker.logged(f"Received PUBACK from {ME}") == 1
    await agent.start()
    await until(lambda: broker.logged(f"Sending PUBLISH to {ME}") == 11)
    assert await agent.stored() == [0, 1, 2, 3, 4, 5]
    await until(lambda: broker.logged(f"Received PUBACK from {ME}") == 6)


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_a_broker_that_waits_for_acknowledgements_is_not_kept_waiting(
    broker: Mosquitto, make: Make, version: str
) -> None:
    """Mosquitto has at most 20 messages on the way to a client of 3.1.1."""
    agent = make("1h", version)
    await agent.start()
    await broker.publish(*((TOPIC, n) for n in range(1000)))
    await until(lambda: broker.logged(f"Sending PUBLISH to {ME}") == 1000)
    await until(lambda: broker.logged(f"Received PUBACK from {ME}") > 980)
    assert await agent.stored() == list(range(1000))


async def test_kills_in_a_stream_lose_nothing_and_change_no_order(broker: Mosquitto, make: Make) -> None:
    agent = make("500ms", "5")
    await agent.start()
    sent = 0
    over = asyncio.Event()

    async def publish() -> None:
        nonlocal sent
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            while not over.is_set():
                await client.publish(TOPIC, str(sent), qos=1)
                sent += 1
                await asyncio.sleep(0.005)

    publishing = asyncio.ensure_future(publish())
    try:
        for more in (130, 205, 99):
            wanted = sent + more
            await until(lambda wanted=wanted: sent >= wanted)  # type: ignore[misc]
            await agent.kill()
            await agent.start()
    finally:
        over.set()
        await publishing
    await broker.publish((TOPIC, -1))
    async with asyncio.timeout(WITHIN_SECONDS):
        while await agent.latest() != -1:
            await asyncio.sleep(0.05)
    stored = await agent.stored()
    assert set(range(sent)) <= set(stored)
    firsts = list(dict.fromkeys(stored))
    assert firsts == [*range(sent), *firsts[sent:]]
