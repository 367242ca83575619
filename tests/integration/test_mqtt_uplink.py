"""Centre, agent and PLCs as processes, and a real mosquitto between, with the shipped files."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from central_sync import app
from tests.crash.orders import FINAL, Orders
from tests.crash.rig import DEVICE, Rig, until
from tests.integration.mqtt_house import CENTRE, Broker

CONNECTIONS = 2
TAGS = 4
# Long enough that no last will below is explained by three heartbeats that did not come.
HEARTBEAT_SECONDS = 5
LAST_WILL_SECONDS = 8
YEARLY = {
    "name": "yearly", "hook_type": "on_schedule", "schedule": "0 0 1 1 *",
    "source": 'OUTPUTS = {"year": "int32"}\n\n\ndef on_schedule(tick):\n    pass\n',
}  # fmt: skip
LONG = os.environ.get("HOLDFAST_MQTT_LONG") == "1"
FROZEN_SECONDS = 60
# A minute of what the agent keeps in memory of batches that wait, and what any process gains at random.
GROWTH_BYTES = 24 << 20


@dataclass
class House:
    rig: Rig
    broker: Broker
    engineer: str

    async def fresh(self, seconds: float = 25) -> None:
        """Values arrive that are younger than this call."""
        before = (await self.rig.api.account()).samples

        async def more() -> bool:
            return (await self.rig.api.account()).samples > before and await self.rig.fresh_value()

        await until(more, seconds)

    def agent_bytes(self) -> int:
        """Resident memory of its process."""
        pages = Path(f"/proc/{self.rig.agent.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    async def heard(self, wanted: bool, seconds: float) -> float:
        """Until the centre says that the device is there, or that it is not."""

        async def is_it() -> bool:
            return ((await self.rig.api.device())["state"] in ("online", "degraded")) is wanted

        return await until(is_it, seconds)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        headers |= {"Authorization": f"Bearer {self.engineer}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, f"{self.rig.url}{path}", json=body) as answer,
        ):
            assert answer.status in (200, 201, 202), await answer.text()
            return await answer.json()


@asynccontextmanager
async def house(directory: Path) -> AsyncIterator[House]:
    """Running; the agent knows no address but the broker's, and has no token."""
    made = await asyncio.to_thread(Broker, directory, [DEVICE])
    try:
        await asyncio.to_thread(made.start)
        async with Rig(directory, CONNECTIONS, TAGS, "200ms") as rig:
            yield await _started(directory, made, rig)
    finally:
        await asyncio.to_thread(made.kill)


async def _started(directory: Path, made: Broker, rig: Rig) -> House:
    engineer, _ = await asyncio.to_thread(app.create_token, rig.central_data, "engineer", None)
    settings = {
        "url": made.url,
        "user": CENTRE,
        "password_file": str(made.password_file(CENTRE)),
        "ca_file": str(made.authority.ca),
    }
    file = directory / "central.yaml"
    file.write_text(yaml.safe_dump({"mqtt": settings}))
    rig.extend_centre("--config", str(file))
    document = yaml.safe_load((directory / "edge-agent.yaml").read_text())
    document["remote"] = {"manage": ["connections", "hooks"]}
    document["central"] = {
        "url": made.url,
        "ca_file": str(made.authority.ca),
        "heartbeat_interval": f"{HEARTBEAT_SECONDS}s",
        "mqtt": {"password": made.passwords[DEVICE]},
    }
    (directory / "edge-agent.yaml").write_text(yaml.safe_dump(document))
    await rig.start_centre()
    await rig.start_agent()
    return House(rig, made, engineer)


@pytest.mark.slow_limit(400 if LONG else 90)  # three processes start, broker and centre die
@pytest.mark.timeout(400 if LONG else 90)
async def test_nothing_is_lost_or_doubled_and_the_centre_rules_through_the_broker(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.fresh()
        await made.heard(True, 5)
        await _commands_config_and_scripts_come_through_the_broker(made)
        await asyncio.to_thread(made.broker.kill)
        await asyncio.sleep(1.0)  # an outage, in which batches are made
        await asyncio.to_thread(made.broker.start)
        await made.fresh()
        await made.rig.centre.kill()
        await made.rig.start_centre()
        await made.fresh()
        if LONG:
            await _centre_and_broker_die_together(made)
            await _the_broker_freezes(made)
        await made.rig.agent.kill()
        await made.heard(False, LAST_WILL_SECONDS)
        await made.rig.start_agent()
        await made.heard(True, 20)
        await made.rig.drained()
        await made.rig.agent.stop()
        account = await made.rig.settled()
        found = await made.rig.judged()
    assert (account.gaps, account.duplicates, account.pending) == (0, 0, 0)
    assert found.frames > 100, found.summary()
    assert found.holes() == [], found.summary()
    assert found.uncovered() == [], found.summary()
    assert (found.doubled, found.wrong_rows, len(found.losses)) == (0, 0, 0), found.summary()


async def _centre_and_broker_die_together(made: House) -> None:
    for _ in range(3):
        await made.rig.centre.kill()
        await asyncio.to_thread(made.broker.kill)
        await made.rig.start_centre()
        await asyncio.to_thread(made.broker.start)
        await made.fresh()


async def _the_broker_freezes(made: House) -> None:
    """What is polled meanwhile is held to no hole by who judges; here to bounded memory."""
    before = made.agent_bytes()
    made.broker.signal(signal.SIGSTOP)
    await asyncio.sleep(FROZEN_SECONDS)
    grown = made.agent_bytes() - before
    made.broker.signal(signal.SIGCONT)
    assert grown < GROWTH_BYTES, grown
    await made.fresh()


async def _commands_config_and_scripts_come_through_the_broker(made: House) -> None:
    orders = Orders(made.rig)
    command = await orders.order("read_tags", {"tags": ["plc00.t0"]})
    path = f"/api/fleet/edge/{DEVICE}/config"
    document = yaml.safe_load((made.rig.log("agent").parent / "edge-agent.yaml").read_text())
    document["connections"][1]["groups"][0]["interval"] = "300ms"
    await made.ask("PUT", path, {"connections": document["connections"]}, **{"If-None-Match": "*"})
    # One that changes no frame: whoever judges those knows of no script.
    script = await made.ask("POST", "/api/fleet/scripts", YEARLY)
    await made.ask("PUT", f"/api/fleet/scripts/{script['id']}/assignment", {"devices": [DEVICE]})

    async def has_ended() -> bool:
        return (await orders.get(command))["state"] in FINAL

    async def is_applied() -> bool:
        reported = (await made.rig.api.device())["config"]["reported"]
        return reported is not None and reported["applied_version"] == 1

    async def has_scripts() -> bool:
        hooks = (await made.rig.api.device())["hooks"]
        return hooks is not None and [hook["state"] for hook in hooks["hooks"]] == ["running"]

    await until(has_ended, 20)
    ended = await orders.get(command)
    assert ended["state"] == "succeeded", ended
    await until(is_applied, 40)
    await until(has_scripts, 40)
