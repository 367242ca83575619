"""The section `central` from a centre: a working connection first, and back where it stops working.

pains.md: tb#2102, tb#1910, tb#1211 - a push kills connectors, drops the link or never arrives.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.app.compiled import compile_file
from edge_agent.app.connections import ConnectionSet
from edge_agent.app.transaction import CentreMove, ConfigKeeper
from edge_agent.config.last_good import LastGood
from edge_agent.config.models import CentralSettings
from edge_agent.drivers.modbus.simulator.server import Simulator, SimulatorConfig
from edge_agent.pipeline.build import Workshop
from edge_agent.runtime.atomic import write_atomic
from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.crew import Crew
from edge_agent.runtime.progress import Progress
from edge_agent.runtime.supervise import Components
from edge_agent.uplink.beat import DocumentPoll
from edge_agent.uplink.client import NewDocument
from edge_agent.uplink.errors import Unreachable
from edge_agent.wire.messages import ConfigEnvelope, ConfigState
from tests.unit.app.test_transaction import Frames

HERE, THERE = "http://127.0.0.1:1", "http://127.0.0.1:2"


class Centres:
    """Which addresses answer, and where the agent is."""

    def __init__(self) -> None:
        self.answering = {HERE, THERE}
        self.at = HERE
        self.moves: list[str] = []

    async def probe(self, settings: CentralSettings) -> str:
        return "" if settings.url in self.answering else "no route"

    async def move(self, settings: CentralSettings) -> None:
        self.at = settings.url
        self.moves.append(settings.url)

    def answers(self) -> bool:
        return self.at in self.answering


class Desk:
    def __init__(self, directory: Path, port: int) -> None:
        self.path = directory / "edge-agent.yaml"
        self.kept = directory / "central-config.json"
        self.centres = Centres()
        self.sink = Frames()
        self.connections: ConnectionSet
        transport = {"type": "tcp", "host": "127.0.0.1", "port": port}
        tags = [{"name": "t", "address": "holding:0"}]
        group = {"name": "g", "interval": "50ms", "tags": tags}
        self.connection: dict[str, Any] = {
            "name": "local", "driver": "modbus", "transport": transport, "groups": [group],
        }  # fmt: skip
        self.path.write_text(
            yaml.safe_dump(
                {
                    "agent": {"id": "d"},
                    "central": {"url": HERE, "token": "own", "ca_file": "own.pem"},
                    "remote": {"manage": ["central", "connections"]},
                    "connections": [self.connection],
                }
            )
        )
        self.keeper = self.new_keeper()

    def new_keeper(self) -> ConfigKeeper:
        return ConfigKeeper(
            self.path, compile_file(self.path), LastGood(self.kept, write_atomic), SystemClock(),
            self.centres.answers, 0.1, 0.3, CentreMove(self.centres.probe, self.centres.move),
        )  # fmt: skip

    async def push(self, version: int, **sections: Any) -> None:
        envelope = ConfigEnvelope(version=version, sections=sections)
        await self.keeper.take(envelope.model_dump_json().encode(), f'"{version}"')


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with Simulator(SimulatorConfig()) as simulator, asyncio.TaskGroup() as root:
        desk = Desk(tmp_path, simulator.ports[0])
        clock = SystemClock()
        crew = Crew(root, clock, Components(), Progress(10), lambda _: None)
        desk.connections = ConnectionSet(crew, Workshop(clock, desk.sink), desk.sink)
        await desk.keeper.start()
        await desk.keeper.boot(desk.connections)
        yield desk
        await desk.connections.stop_all()


async def test_a_centre_that_does_not_answer_is_refused_before_anything_changes(desk: Desk) -> None:
    desk.centres.answering = {HERE}
    await desk.push(1, central={"url": THERE})
    report = desk.keeper.report
    assert (report.state, report.code, desk.centres.moves) == (ConfigState.REJECTED, "unreachable", [])
    assert "no route" in report.message


async def test_a_centre_that_answers_is_moved_to_and_kept_for_the_next_boot(desk: Desk) -> None:
    await desk.push(1, central={"url": THERE, "heartbeat_interval": "5s"})
    assert (desk.keeper.report.state, desk.centres.moves) == (ConfigState.APPLIED, [THERE])
    again = desk.new_keeper()
    await again.start()
    central = again.running.head.central
    assert central is not None
    assert (central.url, central.token, central.ca_file) == (THERE, "own", "own.pem")


async def test_a_config_that_cut_the_agent_off_is_taken_back_by_itself(desk: Desk) -> None:
    class Fading(Centres):
        async def move(self, settings: CentralSettings) -> None:
            await Centres.move(self, settings)
            self.answering = {HERE}

    desk.centres = Fading()
    desk.keeper = desk.new_keeper()
    await desk.keeper.start()
    await desk.keeper.boot(desk.connections)
    await desk.push(1, central={"url": THERE})
    report = desk.keeper.report
    assert (report.state, report.code) == (ConfigState.ROLLED_BACK, "unreachable")
    assert desk.centres.moves == [THERE, HERE]
    central = desk.keeper.running.head.central
    assert central is not None
    assert central.url == HERE


async def test_tb_2102_a_push_to_another_centre_touches_no_connection(desk: Desk) -> None:
    async with asyncio.timeout(10):
        while len(desk.sink.numbers("local")) < 3:
            await asyncio.sleep(0.01)
    await desk.push(1, central={"url": THERE}, connections=[desk.connection])
    numbers = desk.sink.numbers("local")
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert [report.rebuilds for report in desk.connections.reports()] == [0]


@pytest.mark.parametrize("section", [{"ca_file": "/etc/passwd"}, {"token": "stolen"}, {"enrol_token": "x"}])
async def test_tb_1211_a_centre_names_no_file_and_sends_no_token(desk: Desk, section: dict[str, str]) -> None:
    await desk.push(1, central={"url": THERE, **section})
    (name,) = section
    assert (desk.keeper.report.state, desk.centres.moves) == (ConfigState.REJECTED, [])
    assert f"remote:central.{name}" in desk.keeper.report.message


class Lossy:
    """A centre whose first answers are lost."""

    def __init__(self, lost: int) -> None:
        self.lost = lost
        self.asked = 0

    async def config(self, etag: str | None) -> NewDocument | None:
        self.asked += 1
        if self.asked <= self.lost:
            raise Unreachable("lost on the way")
        return NewDocument(b"{}", "new")


async def test_tb_1910_a_push_that_was_lost_is_asked_for_until_it_arrives() -> None:
    class Impatient(SystemClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(0)

    arrived: list[str] = []
    centre = Lossy(3)

    async def take(found: NewDocument) -> None:
        arrived.append(found.etag)

    poll = DocumentPoll("config", centre.config, lambda: None, take, 60.0, Impatient())
    task = asyncio.ensure_future(poll.run())
    async with asyncio.timeout(10):
        while not arrived:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    assert (arrived[0], centre.asked >= 4) == ("new", True)
