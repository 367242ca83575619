"""An agent that is only its `Control`, and the golden statuses."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_agent.contracts.status import AgentStatus, LatestValue, ReloadResult
from edge_agent.contracts.writing import WriteOrder, WriteReport
from edge_agent.web.server import LocalServer

GOLDEN = Path(__file__).parents[2] / "golden"


class FakeAgent:
    """A `contracts.status.Control` that answers what the test put in."""

    def __init__(self, status: AgentStatus) -> None:
        self.shown = status
        self.values: list[LatestValue] = []
        self.result = ReloadResult(applied=True)
        self.reloads = 0
        self.orders: list[WriteOrder] = []
        self.broken = False

    def status(self) -> AgentStatus:
        if self.broken:
            raise RuntimeError("a bug")
        return self.shown

    def latest(self, connection: str | None = None) -> list[LatestValue]:
        return [value for value in self.values if connection in (None, value.connection)]

    async def reload(self) -> ReloadResult:
        await asyncio.sleep(0)
        self.reloads += 1
        return self.result

    async def write(self, order: WriteOrder) -> WriteReport:
        self.orders.append(order)
        return WriteReport(tag=order.tag, value=order.value, state="confirmed")


@pytest.fixture
def well() -> AgentStatus:
    return AgentStatus.model_validate_json((GOLDEN / "agent-status-well.json").read_bytes())


@pytest.fixture
def ill() -> AgentStatus:
    return AgentStatus.model_validate_json((GOLDEN / "agent-status-ill.json").read_bytes())


@pytest.fixture
def agent(well: AgentStatus) -> FakeAgent:
    return FakeAgent(well)


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "agent.sock"


@pytest.fixture
async def server(agent: FakeAgent, socket_path: Path) -> AsyncIterator[LocalServer]:
    server = LocalServer(agent, socket_path, listen="127.0.0.1:0")
    await server.start()
    yield server
    await server.stop()
