"""The built distribution in an environment of its own, as a user installs it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a fresh environment with the bare distribution."""
    home = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
    binaries = home / "venv" / "bin"
    subprocess.run([binaries / "pip", "install", "--quiet", "--disable-pip-version-check", ROOT], check=True)
    return binaries


def run(*arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(a) for a in arguments], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.timeout(180)
def test_both_commands_run_from_the_bare_distribution(installed: Path, tmp_path: Path) -> None:
    for command in ("edge-agent", "central-sync"):
        answer = run(installed / command, "--version", cwd=tmp_path)
        assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.timeout(180)
def test_a_first_config_is_written_valid_and_planned(installed: Path, tmp_path: Path) -> None:
    agent = installed / "edge-agent"
    written = run(agent, "init", "--host", "127.0.0.1", "--port", "9", "--id", "press-shop-01", cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    assert run(agent, "check", cwd=tmp_path).returncode == 0
    assert "holding" in run(agent, "plan", "--requests", cwd=tmp_path).stdout
    assert run(agent, "read", cwd=tmp_path).returncode == 3
    assert run(agent, "status", cwd=tmp_path).returncode == 3


@pytest.mark.timeout(180)
def test_a_modbus_agent_loads_no_other_protocols_library(installed: Path, tmp_path: Path) -> None:
    code = (
        "import sys, edge_agent.app.agent; from edge_agent.drivers import registry\n"
        "registry.lookup('modbus')\n"
        "foreign = {'asyncua', 'snap7', 'aiomqtt', 'RestrictedPython', 'sqlalchemy'}\n"
        "print(sorted(foreign & set(sys.modules)))"
    )
    assert run(installed / "python", "-c", code, cwd=tmp_path).stdout.strip() == "[]"
