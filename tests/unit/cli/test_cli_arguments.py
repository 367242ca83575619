import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_agent import __version__
from edge_agent.cli.context import Context
from edge_agent.cli.main import COMMANDS, main
from edge_agent.cli.reference import PAGE, page
from edge_agent.contracts.errors import ConfigError, NotConnected, Unsupported

ROOT = Path(__file__).parents[3]


def _process(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_agent", *argv],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=30, env={**os.environ, **environ},
    )  # fmt: skip


def test_the_program_says_its_version() -> None:
    result = _process("--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"edge-agent {__version__}\n", "")


def test_the_program_lists_its_commands_and_exit_codes() -> None:
    result = _process("--help")
    assert result.returncode == 0
    assert all(f"\n    {command.NAME}" in result.stdout for command in COMMANDS)
    assert "3 could not reach" in result.stdout


@pytest.mark.parametrize("command", [command.NAME for command in COMMANDS])
def test_every_command_has_help(cli: Any, capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli(command, "--help")
    assert ended.value.code == 0
    assert f"usage: edge-agent {command}" in capsys.readouterr().out


def test_help_waits_for_no_heavy_import() -> None:
    code = (
        "import sys; from edge_agent.cli.main import build_parser; build_parser(); "
        "print([m for m in ('pydantic', 'aiohttp', 'asyncio', 'yaml', 'structlog') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    assert result.stdout == "[]\n"


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ((), "edge-agent: the following arguments are required: COMMAND; see `edge-agent --help`"),
        (("dance",), "edge-agent: argument COMMAND: invalid choice: 'dance'"),
        (("check", "--jsn"), "edge-agent: unrecognized arguments: --jsn"),
        (("init", "--port", "x"), "edge-agent init: argument --port: invalid int value: 'x'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(argv: tuple[str, ...], text: str) -> None:
    result = _process(*argv)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(text)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("a.yaml:3:5: agent.id: wrong"), 2, "edge-agent: a.yaml:3:5: agent.id: wrong\n"),
        (ConfigError("one\ntwo"), 2, "edge-agent: one\nedge-agent: two\n"),
        (Unsupported("cannot browse"), 2, "edge-agent: cannot browse\n"),
        (NotConnected("press1: refused"), 3, "edge-agent: press1: refused\n"),
        (NotConnected("red \x1b[31m"), 3, "edge-agent: red \\x1b[31m\n"),
        (FileNotFoundError(2, "No such file or directory", "a.yaml"), 2,
         "edge-agent: a.yaml: No such file or directory\n"),
        (ExceptionGroup("", [ExceptionGroup("", [ConfigError("taken")])]), 2, "edge-agent: taken\n"),
        (ExceptionGroup("", [NotConnected("a"), ConfigError("b")]), 3, "edge-agent: a\nedge-agent: b\n"),
        (OSError("odd"), 2, "edge-agent: odd\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)  # fmt: skip
def test_errors_are_lines_and_exit_codes(
    cli: Any, app: Any, error: BaseException, code: int, text: str
) -> None:
    app.error = error
    assert cli("run", "-c", "a.yaml") == code
    assert (cli.out, cli.err) == ("", text)


@pytest.mark.parametrize(
    "bug", [ZeroDivisionError(), ExceptionGroup("", [ConfigError("wrong"), ZeroDivisionError()])]
)
def test_a_bug_is_not_hidden(cli: Any, app: Any, bug: Exception) -> None:
    app.error = bug
    with pytest.raises(type(bug)):
        cli("run", "-c", "a.yaml")


def test_a_reader_that_has_seen_enough_is_no_error(app: Any, well: Any) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", encoding="utf-8", buffering=1) as out:
        context = Context(io.StringIO(), out, io.StringIO(), {}, lambda: 0, lambda: app, lambda _, __: 0)
        assert main(["status", "--socket", "/run/agent.sock"], context) == 0


def test_the_config_is_looked_for_in_its_order(cli: Any, app: Any, tmp_path: Path) -> None:
    assert cli("run") == 2
    assert cli.err == (
        "edge-agent: there is no config in $HOLDFAST_CONFIG, ./edge-agent.yaml or "
        "/etc/holdfast/edge-agent.yaml; write one with `edge-agent init` or name it with -c FILE\n"
    )
    (tmp_path / "edge-agent.yaml").touch()
    assert cli("run") == 0
    cli.environ["HOLDFAST_CONFIG"] = "/srv/agent.yaml"
    assert cli("run") == 0
    assert cli("run", "--config", "mine.yaml") == 0
    assert cli("run", "-c", "-") == 0
    assert [str(path) for path in app.asked] == [
        "edge-agent.yaml", "/srv/agent.yaml", "mine.yaml", "/dev/stdin",
    ]  # fmt: skip


def test_the_demo_takes_a_duration(cli: Any) -> None:
    assert cli("demo") == 0
    assert cli("demo", "--for", "1m", "--json") == 0
    assert cli.demos == [(None, False), (60.0, True)]
    assert cli("demo", "--for", "30") == 2
    assert cli.err == (
        "edge-agent: --for needs a duration with a unit such as 500ms, 2s, 1m, 24h (got '30')\n"
    )


def test_a_simulator_has_arguments_of_its_own(cli: Any, app: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli("simulate", "modbus", "--port", "1502") == 0
    assert cli("simulate", "modbus", "--port", "1") == 3
    assert [args.port for args in app.simulator.seen] == [1502, 1]
    with pytest.raises(SystemExit) as ended:
        cli("simulate", "modbus")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("edge-agent simulate modbus: the following arguments are")
    with pytest.raises(SystemExit) as ended:
        cli("simulate", "modbus", "--help")
    assert ended.value.code == 0
    assert "--port" in capsys.readouterr().out
    assert cli("simulate", "abacus") == 2
    assert cli.err == "edge-agent: there is no simulator for 'abacus'; there are: modbus\n"


def test_docs_are_written_and_compared(cli: Any, app: Any, tmp_path: Path) -> None:
    app.documents = {"config/a.yaml": "온도: 1\n", "docs/b.md": "b\n"}
    assert cli("docs", "--check") == 1
    assert not (tmp_path / "config").exists()
    assert cli("docs") == 0
    assert (tmp_path / "config/a.yaml").read_text(encoding="utf-8") == "온도: 1\n"
    assert (tmp_path / PAGE).read_text() == page()
    assert cli("docs", "--check") == 0
    (tmp_path / "docs/b.md").write_text("edited\n")
    assert cli("docs", "--check", "--json") == 1
    assert json.loads(cli.out) == ["docs/b.md"]


def test_the_committed_page_of_commands_is_the_generated_one() -> None:
    assert (ROOT / PAGE).read_text() == page(), "run `edge-agent docs`"


def test_every_command_and_argument_is_documented() -> None:
    text = page()
    assert all(f"## edge-agent {command.NAME}\n" in text for command in COMMANDS)
    assert "| None |" not in text
