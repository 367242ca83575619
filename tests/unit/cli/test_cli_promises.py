"""What every command of both programs promises: --json, an example, exit codes, errors of one line."""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from central_sync.cli.arguments import parser as central_parser
from edge_agent.cli.main import build_parser
from edge_agent.contracts.errors import ConfigError, NotConnected

ROOT = Path(__file__).parents[3]
# Commands that print, and still have no --json of their own.
NO_JSON = {
    "edge-agent run": "its output is the log, which is JSON lines wherever it is not a terminal",
    "edge-agent simulate": "the arguments are the simulator's, and each simulator has --json",
    "edge-agent completion": "a script for the shell",
    "central-sync completion": "a script for the shell",
    "central-sync openapi": "the document is JSON in any case",
}


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The commands without commands of their own."""
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not found:
        yield parser
    for action in found:
        for child in action.choices.values():
            yield from commands(child)


EVERY = [*commands(build_parser()), *commands(central_parser())]


def test_the_walk_finds_the_commands() -> None:
    names = {parser.prog for parser in EVERY}
    assert {"edge-agent top", "edge-agent completion", "central-sync token create"} <= names
    assert set(NO_JSON) <= names, "an exception that is no command any more"


@pytest.mark.parametrize("parser", EVERY, ids=lambda parser: parser.prog)
def test_what_prints_has_json(parser: argparse.ArgumentParser) -> None:
    has = "--json" in parser._option_string_actions
    assert has != (parser.prog in NO_JSON), NO_JSON.get(parser.prog, "add --json, or a reason")


@pytest.mark.parametrize("parser", EVERY, ids=lambda parser: parser.prog)
def test_help_ends_with_an_example_that_is_one_line_and_parses(parser: argparse.ArgumentParser) -> None:
    example = (parser.epilog or "").removeprefix("example: ")
    line = example.removeprefix("source <(").removesuffix(")")
    assert line.startswith(parser.prog)
    assert "\n" not in line
    program, *words = shlex.split(line.partition(" >> ")[0])
    whole = build_parser() if program == "edge-agent" else central_parser()
    assert whole.parse_args(words) is not None


@pytest.mark.parametrize("parser", EVERY, ids=lambda parser: parser.prog)
def test_every_argument_says_what_it_is_for(parser: argparse.ArgumentParser) -> None:
    assert [action.dest for action in parser._actions if not action.help] == []


@pytest.mark.parametrize("module", ["edge_agent", "central_sync"])
@pytest.mark.parametrize("argv", [("dance",), ("check", "--jsn"), ()])
def test_wrong_use_of_either_program_is_exit_code_2_and_one_line(module: str, argv: tuple[str, ...]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", module, *argv],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=30, env=os.environ,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1


LOADING = ["check", "plan", "read", "status", "top", "reload", "run"]
ASKING = ["status", "top", "reload"]


def argv_of(command: str) -> list[str]:
    return [command, "-c", "a.yaml", *(["--once"] if command == "top" else [])]


@pytest.mark.parametrize("command", LOADING)
def test_an_invalid_config_is_exit_code_2_everywhere(cli: Any, app: Any, command: str) -> None:
    app.error = ConfigError("a.yaml:3:5: agent.id: wrong")
    assert cli(*argv_of(command)) == 2


@pytest.mark.parametrize("command", ASKING)
def test_an_agent_that_is_not_there_is_exit_code_3_everywhere(cli: Any, app: Any, command: str) -> None:
    app.after_load = NotConnected("no agent is running")
    assert cli(*argv_of(command)) == 3


@pytest.mark.parametrize("command", [*LOADING])
def test_all_well_is_exit_code_0(cli: Any, app: Any, plans: Any, command: str) -> None:
    app.planned = plans[:1]
    assert cli(*argv_of(command)) == 0
