"""Tab in the shells themselves: bash, zsh and fish complete both programs' lines.

Each shell is the real one; what it would show or insert is read from it.
"""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = """
agent: {id: press-1}
connections:
  - name: press1
    driver: modbus
    transport: {type: tcp, host: 127.0.0.1, port: 1}
    groups:
      - name: fast
        interval: 1s
        tags: [{name: oil_temp, address: "holding:1"}, {name: 온도, address: "holding:2"}]
"""
# The line that is typed, and what Tab offers.
CASES = [
    ("edge-agent sta", ["status"]),
    ("edge-agent top --on", ["--once"]),
    ("edge-agent completion ", ["bash", "zsh", "fish"]),
    ("edge-agent read press1.", ["press1.oil_temp", "press1.온도"]),
    ("edge-agent read press1.o", ["press1.oil_temp"]),
    ("edge-agent top --connection ", ["press1"]),
    ("edge-agent simulate ", ["modbus", "opcua", "s7", "xgt"]),
    ("edge-agent read -c edge-a", ["edge-agent.yaml"]),
    ("central-sync token create --role v", ["viewer"]),
    ("central-sync token ", ["create", "list", "revoke"]),
    ("edge-agent status --al", ["--all"]),
    ("edge-agent status --all --al", []),
    ("edge-agent read p", ["press1", "press1.oil_temp", "press1.온도"]),
    ("edge-agent read nothing.", []),
    ("edge-agent top --count ", []),
]

BASH = """
source <(edge-agent completion bash); source <(central-sync completion bash)
COMP_LINE={line}; COMP_POINT=${{#COMP_LINE}}
command={program}
$(complete -p "$command" | sed 's/.*-F \\([^ ]*\\).*/\\1/') "$command"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

ZSH = """
PROMPT='$ '
autoload -U compinit && compinit -u -d {dump}
source <(edge-agent completion zsh); source <(central-sync completion zsh)
clear; print ready
"""

FISH = "edge-agent completion fish | source; central-sync completion fish | source; complete -C{line}"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A directory with a config, and both programs on the path."""
    (tmp_path / "edge-agent.yaml").write_text(CONFIG, encoding="utf-8")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in (("edge-agent", "edge_agent"), ("central-sync", "central_sync")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {module} "$@"\n')
        program.chmod(0o755)
    found = {
        **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        "LC_ALL": "C.UTF-8", "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }  # fmt: skip
    found.pop("HOLDFAST_CONFIG", None)
    return found


@pytest.fixture
def run(tmp_path: Path, environ: dict[str, str]) -> Callable[..., str]:
    def run(*command: str) -> str:
        result = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=50, check=False
        )
        assert result.stderr == ""
        return result.stdout

    return run


@pytest.fixture
def zsh(tmp_path: Path, environ: dict[str, str]) -> Iterator[Callable[[str, Callable[[str], bool]], str]]:
    """A zsh on a terminal: it completes on no other. Types a line and Tab, and waits for what is wanted."""
    (tmp_path / ".zshrc").write_text(ZSH.format(dump=tmp_path / "dump"))
    tmux = ["tmux", "-S", str(tmp_path / "tmux.sock"), "-f", "/dev/null"]

    def ask(*words: str) -> str:
        return subprocess.run(
            [*tmux, *words], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True, timeout=20
        ).stdout

    def wait(wanted: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + 30
        while not wanted(screen := ask("capture-pane", "-p")):
            assert time.monotonic() < deadline, screen
            time.sleep(0.05)
        return screen

    def complete(line: str, wanted: Callable[[str], bool]) -> str:
        wait(lambda screen: "ready" in screen)
        ask("send-keys", "-l", line)
        ask("send-keys", "Tab")
        return wait(wanted)

    ask("new-session", "-d", "-x", "100", "-y", "24", "zsh", "-i")
    yield complete
    ask("kill-server")


@pytest.mark.parametrize(("line", "offered"), CASES)
def test_bash_completes(run: Callable[..., str], line: str, offered: list[str]) -> None:
    text = BASH.format(line=shlex.quote(line), program=line.split(maxsplit=1)[0])
    assert run("bash", "-c", text).split() == offered


@pytest.mark.parametrize(("line", "offered"), CASES)
def test_fish_completes(run: Callable[..., str], line: str, offered: list[str]) -> None:
    found = run("fish", "-c", FISH.format(line=shlex.quote(line))).splitlines()
    assert sorted(word.split("\t")[0] for word in found) == sorted(offered)


def test_fish_shows_what_each_word_is_for(run: Callable[..., str]) -> None:
    assert "\t" in run("fish", "-c", FISH.format(line="'edge-agent sta'"))


def test_bash_completes_the_value_behind_an_equals_sign_and_a_colon(run: Callable[..., str]) -> None:
    text = BASH.format(line="'central-sync token create --role=v'", program="central-sync")
    assert run("bash", "-c", text).split() == ["viewer"], "bash replaces what stands behind the = alone"


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("edge-agent sta", "edge-agent status"),
        ("edge-agent read press1.o", "edge-agent read press1.oil_temp"),
        ("edge-agent read -c edge-a", "edge-agent read -c edge-agent.yaml"),
        ("central-sync token create --role v", "central-sync token create --role viewer"),
    ],
)
def test_zsh_completes(zsh: Callable[..., str], line: str, completed: str) -> None:
    zsh(line, lambda screen: completed in screen)


def test_zsh_lists_what_there_is(zsh: Callable[..., str]) -> None:
    screen = zsh("edge-agent read press1.", lambda screen: "press1.온도" in screen)
    assert "press1.oil_temp" in screen
