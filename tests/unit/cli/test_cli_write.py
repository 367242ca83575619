"""`edge-agent write`: who does it, what is asked before, and what its exit codes say."""

import json
from typing import Any

import pytest

from edge_agent.contracts.writing import WriteReport
from tests.unit.cli.conftest import Terminal

WRITE = ("write", "-c", "a.yaml", "press1.set", "42.5")


def test_the_running_agent_writes_and_says_what_came_of_it(cli: Any, app: Any) -> None:
    app.running = True
    app.written = WriteReport(
        tag="press1.set", state="confirmed", value=42.5, raw=425, before=40.0, after=42.5
    )
    assert cli(*WRITE, "--yes") == 0
    assert app.asked[-1] == ("press1.set", "42.5")
    assert cli.out == "confirmed: press1.set = 42.5 (raw 425), before 40.0\n"
    assert cli(*WRITE, "--yes", "--json") == 0
    assert json.loads(cli.out)["raw"] == 425


def test_an_array_is_given_as_json_and_a_negative_number_as_it_is(cli: Any, app: Any) -> None:
    app.running = True
    assert cli("write", "-c", "a.yaml", "press1.set", "[1, 2.5]", "--yes") == 0
    assert app.asked[-1] == ("press1.set", [1, 2.5])
    assert cli("write", "-c", "a.yaml", "press1.set", "-7", "--yes") == 0
    assert app.asked[-1] == ("press1.set", "-7")
    assert cli("write", "-c", "a.yaml", "press1.set", "[1,", "--yes") == 2


def test_without_an_agent_nothing_is_written_unless_a_link_of_its_own_is_asked_for(
    cli: Any, app: Any
) -> None:
    assert cli(*WRITE, "--yes") == 3
    assert "no agent is running" in cli.err
    assert ("press1.set", "42.5") not in app.asked
    assert cli(*WRITE, "--yes", "--direct") == 0
    assert app.asked[-1] == ("press1.set", "42.5", "direct")


def test_no_second_link_is_opened_beside_an_agent_that_runs(cli: Any, app: Any) -> None:
    app.running = True
    assert cli(*WRITE, "--yes", "--direct") == 2
    assert ("press1.set", "42.5", "direct") not in app.asked


@pytest.mark.parametrize(
    ("answer", "code", "written"), [("y\n", 0, True), ("\n", 1, False), ("no\n", 1, False)]
)
def test_a_person_is_asked_first(cli: Any, app: Any, answer: str, code: int, written: bool) -> None:
    app.running = True
    cli.stdin = Terminal(answer)
    assert cli(*WRITE) == code
    assert "write press1.set = 42.5? [y/N]" in cli.err
    assert (("press1.set", "42.5") in app.asked) is written


def test_a_script_must_say_that_it_means_it(cli: Any, app: Any) -> None:
    app.running = True
    assert cli(*WRITE) == 2
    assert "--yes" in cli.err
    assert ("press1.set", "42.5") not in app.asked


@pytest.mark.parametrize(
    ("state", "code", "message", "exit_code"),
    [
        ("confirmed", "", "", 0),
        ("unconfirmed", "", "", 0),
        ("unconfirmed", "", "it could not be read back", 1),
        ("differs", "differs", "it holds 3", 1),
        ("unknown", "unknown", "no answer", 1),
        ("refused", "not_writable", "it may not be written", 2),
        ("refused", "too_often", "again in 3 s", 2),
        ("refused", "device_refused", "illegal data value", 2),
        ("refused", "not_connected", "the connection is down", 3),
    ],
)
def test_the_exit_code_says_how_it_ended(
    cli: Any, app: Any, state: str, code: str, message: str, exit_code: int
) -> None:
    app.running = True
    app.written = WriteReport(tag="press1.set", value=42.5, state=state, code=code, message=message)
    assert cli(*WRITE, "--yes") == exit_code
    assert cli.out.startswith(f"{state}: press1.set = 42.5")
    assert message in cli.out


def test_what_is_no_tag_is_wrong_use(cli: Any, app: Any) -> None:
    app.running = True
    assert cli("write", "-c", "a.yaml", "press1", "1", "--yes") == 2
