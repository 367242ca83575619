"""What commands ask of `app` without being the agent: real rounds that are timed, and who is running."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.app import measure, plans, running_agent
from edge_agent.app.settings import load_config
from edge_agent.config.load import Loaded
from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.modbus.simulator.server import Simulator, SimulatorConfig

CONFIG = """
agent: {{id: press-1, runtime_dir: {directory}}}
connections:
  - name: press1
    driver: modbus
    transport: {{type: tcp, host: 127.0.0.1, port: {port}, timeout: 300ms}}
    groups:
      - {{name: fast, interval: 1s, tags: [{{name: a, address: "holding:1"}}]}}
      - {{name: other, interval: 1s, unit_id: 9, tags: [{{name: b, address: "holding:1"}}]}}
  - name: away
    driver: modbus
    transport: {{type: tcp, host: 127.0.0.1, port: 1, timeout: 300ms}}
    groups:
      - {{name: fast, interval: 1s, tags: [{{name: a, address: "holding:1"}}]}}
"""


def loaded(directory: Path, port: int) -> Loaded:
    path = directory / "edge-agent.yaml"
    path.write_text(CONFIG.format(directory=directory, port=port))
    return load_config(path)


async def test_a_real_round_is_timed_and_what_does_not_answer_is_said(tmp_path: Path) -> None:
    warnings: list[str] = []
    async with Simulator(SimulatorConfig(latency_seconds=0.03, units=frozenset({1}))) as simulator:
        config = await asyncio.to_thread(loaded, tmp_path, simulator.ports[0])
        found = await measure(config, warnings.append)
    assert list(found) == [("press1", "fast")]
    assert 0.03 <= found["press1", "fast"] < 0.3
    assert len(warnings) == 2
    assert any(line.startswith("away: not measured: ") for line in warnings)
    assert "press1.other: not measured: unit 9 does not answer" in warnings


def test_a_plan_names_the_line_that_groups_share(tmp_path: Path) -> None:
    found = plans(loaded(tmp_path, 502))
    assert [(plan.line, plan.transport) for plan in found] == [
        ("127.0.0.1:502", "tcp"), ("127.0.0.1:502", "tcp"), ("127.0.0.1:1", "tcp"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{tag: press1.a, min: 0, max: 9}", None),
        ("{tag: press1.a, values: [70000]}", "raw 70000 does not fit"),
        ("{tag: press1.a, values: [1.5]}", "nearest are 1 and 2"),
        ("{tag: press1.in, min: 0, max: 9}", "input is read only in Modbus"),
    ],
)
def test_what_may_be_written_and_never_can_be_is_a_problem(
    tmp_path: Path, entry: str, said: str | None
) -> None:
    path = tmp_path / "edge-agent.yaml"
    tags = """{name: a, address: "holding:1"}, {name: in, address: "input:1"}"""
    text = CONFIG.format(directory=tmp_path, port=502).replace('{name: a, address: "holding:1"}', tags)
    path.write_text(f"{text}writes: {{allow: [{entry}]}}\n")
    config = load_config(path)
    if said is None:
        assert plans(config)
        return
    with pytest.raises(ConfigError, match=rf"writes.allow\[press1.*{said}"):
        plans(config)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as found:
        yield found


def test_an_agent_runs_where_somebody_listens(tmp_path: Path, listener: socket.socket) -> None:
    config = loaded(tmp_path, 502)
    assert running_agent(config) is None, "there is no socket"
    listener.bind(str(tmp_path / "agent.sock"))
    assert running_agent(config) is None, "one that a killed agent left behind"
    listener.listen()
    assert running_agent(config) is not None
