"""What `doctor` and `support-bundle` print, and which exit codes they end with."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contracts.diagnosis import Finding, Outcome, failed, ok, skipped, unreachable, warning

WELL = Outcome("config", (ok("a.yaml: 3 connections"),))
CLOCK = Outcome("clock", (ok("2026-11-21 08:00:00Z"), warning("not synchronised", "start a time service")))
DISK = Outcome("disk", (failed("/data is mounted read-only", "see `dmesg`"),))
AWAY = Outcome("connections", (unreachable("192.0.2.1:502: mute", "see its cable"),), "connection press1")
LEFT = Outcome("tls", (skipped("not checked: it needs what `dns centre` found broken"),))


def test_a_check_is_a_line_with_its_remedies_below(cli: Any, app: Any) -> None:
    app.outcomes = [WELL, CLOCK, DISK, LEFT, AWAY]
    assert cli("doctor", "-c", "a.yaml") == 1
    assert cli.out.splitlines() == [
        "✓ config       a.yaml: 3 connections",
        "! clock        not synchronised; 2026-11-21 08:00:00Z",
        "    → start a time service",
        "✗ disk         /data is mounted read-only",
        "    → see `dmesg`",
        "– tls          not checked: it needs what `dns centre` found broken",
        "✗ connections  connection press1: 192.0.2.1:502: mute",
        "    → see its cable",
        "2 failed, 1 to look at, 1 not checked, 1 well",
    ]


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([WELL], 0),
        ([WELL, CLOCK], 0),
        ([WELL, AWAY], 3),
        ([WELL, AWAY, DISK], 1),
        ([WELL, CLOCK, LEFT], 0),
        ([Outcome("config", (failed("a.yaml:1:1: wrong", ""),)), AWAY], 2),
    ],
)
def test_the_exit_code_says_whether_to_mend_here_or_to_look_elsewhere(
    cli: Any, app: Any, outcomes: list[Outcome], code: int
) -> None:
    app.outcomes = outcomes
    assert cli("doctor", "-c", "a.yaml") == code


def test_json_has_every_finding_and_the_exit_code(cli: Any, app: Any) -> None:
    app.outcomes = [CLOCK, AWAY]
    assert cli("doctor", "-c", "a.yaml", "--json") == 3
    found = json.loads(cli.out)
    assert found["exit_code"] == 3
    assert [check["verdict"] for check in found["checks"]] == ["warning", "failed"]
    assert found["checks"][0]["remedies"] == ["start a time service"]
    assert found["checks"][1]["findings"][0]["elsewhere"] is True


def test_only_and_direct_are_passed_on_and_an_unknown_check_is_wrong_use(cli: Any, app: Any) -> None:
    app.outcomes = [WELL]
    cli("doctor", "-c", "a.yaml", "--only", "dns", "tls", "--direct")
    assert app.asked[-1] == (Path("a.yaml"), ["dns", "tls"], True)
    with pytest.raises(SystemExit) as ended:
        cli("doctor", "-c", "a.yaml", "--only", "weather")
    assert ended.value.code == 2


def test_colours_and_progress_are_for_terminals(cli: Any, app: Any) -> None:
    app.outcomes = [DISK]
    cli("doctor", "-c", "a.yaml")
    assert "\x1b" not in cli.out + cli.err
    cli.terminal = True
    cli("doctor", "-c", "a.yaml")
    assert "\x1b[31m✗\x1b[0m" in cli.out
    assert "… disk" in cli.err
    assert cli.err.endswith("\r\x1b[2K")


def test_what_a_peer_said_cannot_move_the_cursor(cli: Any, app: Any) -> None:
    app.outcomes = [Outcome("centre", (Finding(DISK.verdict, "sent to \x1b[2J", "x\r"),))]
    cli("doctor", "-c", "a.yaml")
    assert "\x1b" not in cli.out
    assert "\r" not in cli.out


def test_a_bundle_says_what_is_in_it_and_that_it_is_to_be_looked_through(cli: Any, app: Any) -> None:
    assert cli("support-bundle", "-c", "a.yaml", "--out", "b.tar.gz") == 0
    assert app.asked[-1] == (Path("a.yaml"), Path("b.tar.gz"))
    assert "versions.json" in cli.out
    assert "without machine/clock.txt: absent" in cli.out
    assert "b.tar.gz: 2.0 KiB" in cli.out
    assert "Look through it before you send it" in cli.out
    assert cli("support-bundle", "-c", "a.yaml", "--json") == 0
    assert json.loads(cli.out)["files"][0]["name"] == "versions.json"


def test_a_bundle_that_cannot_be_written_is_one_line(cli: Any, app: Any) -> None:
    app.error = FileExistsError(17, "File exists", "b.tar.gz")
    assert cli("support-bundle", "-c", "a.yaml", "--out", "b.tar.gz") == 2
    assert cli.err == "edge-agent: b.tar.gz: File exists\n"
