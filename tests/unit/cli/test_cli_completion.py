"""What the arguments of a line can be, and when argcomplete is asked. Shells are in tests/integration."""

import argparse
import io
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.app.hook_commands import HookDesk
from edge_agent.cli.context import Context
from edge_agent.cli.offers import Finder, Values
from edge_agent.contracts.errors import ConfigError, NotConnected
from edge_agent.contracts.status import LatestValue

ROOT = Path(__file__).parents[3]
Offered = Callable[..., list[str]]


@pytest.fixture
def offered(app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offered:
    """(metavar, what is typed of the word, the arguments before it) → what is offered."""
    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()

    def ask(metavar: str | None, prefix: str = "", **given: str) -> list[str]:
        values = Values(Context(
            stdin=io.StringIO(), out=io.StringIO(), err=io.StringIO(), environ={}, wall_ms=lambda: 0,
            load_app=lambda: app, run_demo=lambda _, __: 0,
        ))  # fmt: skip
        action = argparse.Action([], "it", metavar=metavar)
        found = values(prefix=prefix, action=action, parser=parser, parsed_args=argparse.Namespace(**given))
        return sorted(word for word in found if word.startswith(prefix))

    return ask


@pytest.mark.parametrize(
    ("metavar", "prefix", "expected"),
    [
        ("CONNECTION", "", ["meter", "press1"]),
        ("CONNECTION", "p", ["press1"]),
        ("CONNECTION[.TAG]", "", ["meter", "press1"]),
        ("CONNECTION[.TAG]", "p", ["press1", "press1.oil_temp", "press1.온도"]),
        ("CONNECTION[.TAG]", "press1.온", ["press1.온도"]),
        ("CONNECTION[.TAG]", "nothing.", []),
        ("DRIVER", "", ["modbus"]),
        ("N", "", []),
        (None, "", []),
    ],
)
def test_names(offered: Offered, metavar: str | None, prefix: str, expected: list[str]) -> None:
    assert offered(metavar, prefix, config="a.yaml") == expected


def test_names_come_from_the_config_on_the_line_or_where_it_usually_is(
    offered: Offered, app: Any, tmp_path: Path
) -> None:
    assert offered("CONNECTION") == [], "there is none"
    (tmp_path / "edge-agent.yaml").touch()
    assert offered("CONNECTION") == ["meter", "press1"]
    offered("CONNECTION", config="a.yaml")
    assert app.asked == [Path("edge-agent.yaml"), Path("a.yaml")]


def test_scripts_and_groups_are_those_of_the_config(tmp_path: Path, offered: Offered, app: Any) -> None:
    app.desk = HookDesk()
    (tmp_path / "edge-agent.yaml").write_text(
        "agent: {id: a}\n"
        "hooks:\n  scripts: [{name: oil, point: on_cycle, source: 'def on_cycle(cycle): pass'}]\n"
        "connections:\n  - {name: p, driver: modbus, transport: {type: tcp, host: h, unit_id: 1}, groups: "
        "[{name: g, interval: 1s, tags: [{name: t, address: holding:0, type: int16}]}]}\n"
    )
    assert offered("HOOK") == ["oil"]
    assert offered("CONNECTION.GROUP") == ["p.g"]
    assert offered("HOOK", config="none.yaml") == []


def test_names_come_from_the_running_agent_where_its_socket_is_named(offered: Offered, app: Any) -> None:
    app.values = [
        LatestValue(connection="live", group="g", tag=tag, value=1, quality="good", time=1)
        for tag in ("a", "b")
    ]
    assert offered("CONNECTION[.TAG]", socket="s") == ["live", "live.a", "live.b"]


@pytest.mark.parametrize("metavar", ["FILE", "PATH"])
def test_files_and_directories(offered: Offered, tmp_path: Path, metavar: str) -> None:
    (tmp_path / "a.yaml").touch()
    (tmp_path / "b").mkdir()
    assert offered(metavar) == ["a.yaml", "b/"]
    assert offered("DIR") == ["b/"]


@pytest.mark.parametrize("error", [ConfigError("wrong"), NotConnected("gone"), OSError(5, "io")])
def test_who_presses_tab_sees_no_error(offered: Offered, app: Any, error: Exception) -> None:
    app.error = error
    assert offered("CONNECTION", config="a.yaml") == []


def test_many_words_are_told_apart_at_once() -> None:
    words = [f"press1.t{number}" for number in range(50_000)]
    assert Finder().filter_completions([*words, *words]) == words


def _tab(module: str, line: str, cwd: Path) -> list[str]:
    """What a shell's function reads."""
    command = f"{shlex.quote(sys.executable)} -m {module} 8>&1 9>/dev/null >/dev/null"
    environ = {
        **os.environ, "PYTHONPATH": str(ROOT), "COMP_LINE": line, "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
    }  # fmt: skip
    result = subprocess.run(
        ["sh", "-c", command], cwd=cwd, env=environ, capture_output=True, text=True, check=True, timeout=30
    )
    assert result.stderr == ""
    return result.stdout.splitlines()


@pytest.mark.parametrize(
    ("module", "line", "expected"),
    [
        ("edge_agent", "edge-agent re", ["read", "reload"]),
        ("edge_agent", "edge-agent status --json -c there --", ["--help", "--socket", "--all", "--check"]),
        ("edge_agent", "edge-agent status --config=th", ["--config=there"]),
        ("edge_agent", "edge-agent docs --root ", ["folder/"]),
        ("edge_agent", "edge-agent doctor --only dns c", ["config", "clock", "centre", "connections"]),
        ("central_sync", "central-sync token create --role ", ["admin", "engineer", "operator", "viewer"]),
        ("central_sync", "central-sync run -c th", ["there"]),
        ("central_sync", "central-sync run --data ", ["folder/"]),
        ("central_sync", "central-sync run --listen ", []),
    ],
)
def test_a_line_is_answered_to_the_shell(tmp_path: Path, module: str, line: str, expected: list[str]) -> None:
    (tmp_path / "there").touch()
    (tmp_path / "folder").mkdir()
    assert _tab(module, line, tmp_path) == expected


@pytest.mark.parametrize(
    ("module", "program"), [("edge_agent", "edge-agent"), ("central_sync", "central-sync")]
)
@pytest.mark.parametrize(
    ("argv", "needed"), [(["completion", "fish"], True), (["check", "-c", "none"], False)]
)
def test_argcomplete_is_loaded_by_who_needs_it(
    module: str, program: str, argv: list[str], needed: bool
) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", module, *argv],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert ("argcomplete" in result.stderr) is needed
    assert (f"--command {program}" in result.stdout) is needed
