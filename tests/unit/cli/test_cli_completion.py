"""What may follow the words of a command line. The shells themselves are in tests/integration."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contracts.errors import ConfigError, NotConnected
from edge_agent.contracts.status import LatestValue

ROOT = Path(__file__).parents[3]


@pytest.fixture
def offered(cli: Any) -> Any:
    """(mode, words) after the words of a line; the last of them is being typed."""

    def ask(*words: str) -> tuple[str, list[str]]:
        assert cli("completion", "bash", *words) == 0
        assert cli.err == ""
        mode, *lines = cli.out.splitlines()
        return mode, [line.split("\t")[0] for line in lines]

    return ask


@pytest.mark.parametrize(
    ("words", "mode", "expected"),
    [
        (["re"], "words", ["read", "reload"]),
        (["status", "--"], "words", ["--help", "--config", "--socket", "--all", "--check", "--json"]),
        (["status", "--all", "--a"], "words", []),
        (["status", ""], "words", ["--help", "--config", "--socket", "--all", "--check", "--json"]),
        (["status", "-c"], "words", ["-c"]),
        (["status", "-c", "x"], "files", []),
        (["status", "--config=x"], "files", []),
        (["docs", "--root", ""], "directories", []),
        (["completion", "f"], "words", ["fish"]),
        (["read", ""], "nospace", ["meter", "press1"]),
        (["read", "-c", "a.yaml", "press1."], "words", ["press1.oil_temp", "press1.온도"]),
        (["read", "press1.온"], "words", ["press1.온도"]),
        (["read", "nothing."], "words", []),
        (["read", "press1", "--d"], "words", ["--direct"]),
        (["top", "--connection=m"], "words", ["--connection=meter"]),
        (["simulate", ""], "words", ["modbus"]),
        (["simulate", "modbus", "--p"], "words", []),
        (["dance", ""], "words", []),
        (["top", "--count", ""], "words", []),
        (["--nothing", "pl"], "words", ["plan"]),
    ],
)
def test_what_may_follow(
    offered: Any, tmp_path: Path, words: list[str], mode: str, expected: list[str]
) -> None:
    (tmp_path / "edge-agent.yaml").touch()
    assert offered(*words) == (mode, expected)


def test_names_come_from_the_running_agent_where_its_socket_is_named(offered: Any, app: Any) -> None:
    app.values = [
        LatestValue(connection="live", group="g", tag=tag, value=1, quality="good", time=1)
        for tag in ("a", "b")
    ]
    assert offered("top", "--socket", "s", "--connection", "") == ("words", ["live"])


@pytest.mark.parametrize("error", [ConfigError("wrong"), NotConnected("gone"), OSError(5, "io")])
def test_who_presses_tab_sees_no_error(offered: Any, app: Any, error: Exception) -> None:
    app.error = error
    assert offered("read", "-c", "a.yaml", "p") == ("nospace", [])


def test_without_a_config_there_is_no_name(offered: Any) -> None:
    assert offered("read", "") == ("nospace", [])


def test_each_word_has_its_help(cli: Any) -> None:
    assert cli("completion", "fish", "stat") == 0
    assert cli.out.startswith("words\nstatus\tshow how the running agent is")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_name_their_program(cli: Any, shell: str) -> None:
    assert cli("completion", shell) == 0
    assert f"completion {shell} " in cli.out
    assert "edge-agent" in cli.out
    assert "PROGRAM" not in cli.out
    assert "FUNCTION" not in cli.out


def test_the_centre_completes_too() -> None:
    def ask(*words: str) -> str:
        command = [sys.executable, "-m", "central_sync", "completion", *words]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
        ).stdout

    assert ask("bash", "token", "create", "--role", "").split() == ["words", "admin", "operator", "viewer"]
    assert "complete -F _central_sync central-sync" in ask("bash")
