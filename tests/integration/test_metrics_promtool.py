"""Prometheus' own tool accepts and does not criticise the exposition (Debian package `prometheus`)."""

import subprocess
from pathlib import Path

import pytest

from edge_agent.contracts.status import AgentStatus
from edge_agent.web.metrics import render

GOLDEN = Path(__file__).parents[1] / "golden"


def _promtool(exposition: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["promtool", "check", "metrics"], input=exposition, capture_output=True, check=False
    )


@pytest.mark.parametrize("name", ["agent-status-well.json", "agent-status-ill.json"])
def test_promtool_accepts_the_metrics(name: str) -> None:
    status = AgentStatus.model_validate_json((GOLDEN / name).read_bytes())
    result = _promtool(render(status))
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_promtool_would_have_said_so() -> None:
    assert _promtool(b"holdfast_x_total not a number\n").returncode != 0
