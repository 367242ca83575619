"""What several crash tests of the agent need beside it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_agent.demo.children import Child


@pytest.fixture
async def plc(tmp_path: Path) -> AsyncIterator[int]:
    """The port of a simulated PLC."""
    simulator = Child(
        "simulator", ["edge_agent", "simulate", "modbus", "--json", "--ports", "1"], tmp_path / "plc.log"
    )
    await simulator.start()
    (port,) = (await simulator.ready())["ports"]
    yield port
    await simulator.stop()
