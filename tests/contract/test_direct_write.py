"""A write without an agent: over a link of its own, by the same rules, and never beside an agent."""

import asyncio
from pathlib import Path

import orjson
import pytest

from edge_agent.app.direct_write import write_once
from edge_agent.app.settings import load_config
from edge_agent.config.load import Loaded
from edge_agent.drivers.modbus.simulator.server import Simulator, SimulatorConfig
from edge_agent.runtime.errors import InUse
from edge_agent.runtime.lock import FileLock
from tests.contract.test_agent_writes import ENTRY, document


def loaded(directory: Path, port: int) -> Loaded:
    config = directory / "edge-agent.yaml"
    config.write_text(document(port, directory / "run", [ENTRY]))
    return load_config(config)


@pytest.mark.writes
async def test_what_the_file_permits_is_written_read_back_and_journalled(tmp_path: Path) -> None:
    async with Simulator(SimulatorConfig(writable=True)) as plc:
        config = loaded(tmp_path, plc.ports[0])
        report = await write_once(config, "plc.set", "4.5", "ada")
        assert (report.state, report.raw, plc.held("holding", 3)) == ("confirmed", 45, 45)
        assert (await write_once(config, "plc.other", "1", "ada")).code == "not_writable"
        assert (await write_once(config, "plc.set", "50.1", "ada")).code == "out_of_range"
        assert plc.counters.write_requests == 1
    lines = [orjson.loads(each) for each in (tmp_path / "data" / "writes.jsonl").read_bytes().splitlines()]
    assert [(each["phase"], each.get("by")) for each in lines] == [("begin", "ada"), ("end", None)]


async def test_nothing_is_sent_while_an_agent_has_the_buffer_whether_its_socket_is_there_or_not(
    tmp_path: Path,
) -> None:
    async with Simulator(SimulatorConfig(writable=True)) as plc:
        config = loaded(tmp_path, plc.ports[0])
        (tmp_path / "data").mkdir()
        with FileLock(tmp_path / "data" / "buffer.db.lock"), pytest.raises(InUse, match="stop it"):
            await write_once(config, "plc.set", "4.5", "ada")
        assert plc.counters.write_requests == 0


async def test_a_plc_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
    report = await write_once(loaded(tmp_path, port), "plc.set", "4.5", "ada")
    assert (report.state, report.code) == ("refused", "not_connected")
