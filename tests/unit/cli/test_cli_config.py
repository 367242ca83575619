"""init, check and plan: what happens before anything runs."""

import io
import json
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace as Record
from typing import Any

import pytest

from edge_agent.cli.headroom import bar, judge
from edge_agent.cli.init import device_id
from edge_agent.cli.plan import render
from edge_agent.cli.text import Palette, width
from edge_agent.contracts.driver import RequestSummary
from edge_agent.contracts.errors import ConfigError

GOLDEN = Path(__file__).parents[2] / "golden"


class Typed(io.StringIO):
    """A terminal at which somebody types these lines."""

    def isatty(self) -> bool:
        return True


def _problem(message: str, line: int | None = 3) -> Any:
    place = Record(file="a.yaml", line=line, column=line and 5)
    return Record(place=place, path="agent.id", message=message, of_machine=False)


def test_check_counts_what_is_configured(cli: Any, app: Any, plans: Any) -> None:
    app.planned = plans[:2]
    assert cli("check", "-c", "a.yaml") == 0
    assert cli.out.splitlines()[-1].startswith("ok: 2 connections, 30 tags")


def test_check_refuses_what_this_machine_does_not_have(cli: Any, app: Any, plans: Any) -> None:
    app.planned = plans[:1]
    missing = _problem("ca.pem cannot be read")
    missing.of_machine = True
    app.warnings = [_problem("is the host name"), missing]
    assert cli("check", "-c", "a.yaml") == 1
    assert cli.out == (
        "a.yaml:3:5: agent.id: ca.pem cannot be read\n"
        "warning: a.yaml:3:5: agent.id: is the host name\n"
        "not valid: 1 problem\n"
    )
    assert cli("check", "-c", "a.yaml", "--json") == 1
    answer = json.loads(cli.out)
    assert answer["valid"] is False
    assert [each["message"] for each in answer["problems"]] == ["ca.pem cannot be read"]
    assert [each["message"] for each in answer["warnings"]] == ["is the host name"]


def test_check_names_the_line_of_a_script_that_does_not_compile(cli: Any, app: Any, plans: Any) -> None:
    app.planned = plans[:1]
    app.script_faults = [_problem("invalid syntax: x = = 1")]
    assert cli("check", "-c", "a.yaml") == 2
    assert cli.out == "a.yaml:3:5: agent.id: invalid syntax: x = = 1\nnot valid: 1 problem\n"
    app.script_faults[0].of_machine = True
    assert cli("check", "-c", "a.yaml") == 1, "an agent runs with it"


def test_check_refuses_what_the_wire_forbids(cli: Any, app: Any, plans: Any) -> None:
    app.planned = plans
    assert cli("check", "-c", "a.yaml") == 1
    assert cli.out.splitlines()[-1].startswith("not valid: ")
    assert cli("check", "-c", "a.yaml", "--json") == 1
    answer = json.loads(cli.out)
    assert answer["valid"] is False
    assert any("the wire alone takes" in each["message"] for each in answer["problems"])
    assert not any("the wire alone" in each["message"] for each in answer["warnings"])


def test_check_warns_and_is_content(cli: Any, app: Any, plans: Any) -> None:
    app.planned = plans[:1]
    app.warnings = [_problem("is the host name")]
    assert cli("check", "-c", "a.yaml") == 0
    assert cli.out == (
        "warning: a.yaml:3:5: agent.id: is the host name\nok: 1 connection, 20 tags, 1 warning\n"
    )
    assert cli("check", "-c", "a.yaml", "--json") == 0
    assert json.loads(cli.out) == {
        "valid": True,
        "problems": [],
        "warnings": [
            {"file": "a.yaml", "line": 3, "column": 5, "path": "agent.id", "message": "is the host name"}
        ],
    }


class _Errors(ConfigError):
    def __init__(self, *problems: Any) -> None:
        super().__init__("several")
        self.problems = problems


def test_check_names_every_problem_with_its_place(cli: Any, app: Any) -> None:
    app.error = _Errors(_problem("wrong"), _problem("no \x1b file", line=None))
    assert cli("check", "-c", "a.yaml") == 2
    assert cli.out == (
        "a.yaml:3:5: agent.id: wrong\na.yaml: agent.id: no \\x1b file\nnot valid: 2 problems\n"
    )
    assert cli("check", "-c", "a.yaml", "--json") == 2
    answer = json.loads(cli.out)
    assert (answer["valid"], answer["warnings"]) == (False, [])
    assert answer["problems"][1] == {
        "file": "a.yaml", "line": None, "column": None, "path": "agent.id", "message": "no \x1b file",
    }  # fmt: skip


def test_check_shows_a_problem_that_has_no_place(cli: Any, app: Any) -> None:
    app.error = ConfigError("press1: a serial line of 9600 baud cannot do this")
    assert cli("check", "-c", "a.yaml") == 2
    assert cli.out.splitlines()[0] == "a.yaml: press1: a serial line of 9600 baud cannot do this"


def test_check_tells_the_rest_beside_what_cannot_be_planned(cli: Any, app: Any) -> None:
    missing = _problem("there is no such file")
    missing.of_machine = True
    refused = ConfigError("meters: a serial line of 1200 baud cannot do this")

    def checked(*arguments: str) -> int:
        app.error, app.after_load = None, refused
        app.warnings = [_problem("is the host name"), missing]
        code: int = cli("check", "-c", "a.yaml", *arguments)
        return code

    assert checked() == 2, "no agent takes it"
    assert cli.out.splitlines() == [
        "a.yaml: meters: a serial line of 1200 baud cannot do this",
        "a.yaml:3:5: agent.id: there is no such file",
        "warning: a.yaml:3:5: agent.id: is the host name",
        "not valid: 2 problems",
    ]
    assert checked("--json") == 2
    answer = json.loads(cli.out)
    assert [each["message"] for each in answer["warnings"]] == ["is the host name"]


def test_plan_prints_requests_bytes_bus_time_and_headroom(cli: Any, app: Any, plans: Any) -> None:
    app.planned = plans
    assert cli("plan", "-c", "a.yaml") == 1, "the wire forbids it"
    assert cli.out == (GOLDEN / "plan.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("columns", [40, 60, 80, 100])
def test_a_plan_fits_a_narrow_terminal(cli: Any, app: Any, plans: Any, columns: int) -> None:
    verdict = judge(plans)
    lines = render(plans, verdict, Palette(False), columns=columns)
    tables = lines[: lines.index("", lines.index("") + 1)]
    assert max(width(line) for line in tables) <= columns
    assert tables[0].startswith("connection")
    assert tables[0].endswith("headroom"), "what one wants to know is left out last"


def test_plan_measures_what_it_would_have_to_assume(cli: Any, app: Any, plans: Any) -> None:
    app.planned, app.running = plans[:2], True
    app.measured = {("press1", "fast"): 0.6}
    assert cli("plan", "-c", "a.yaml", "--measure") == 0
    assert "warning: press1.fast: one cycle takes 600.0 ms as measured, more than its 500ms" in cli.out
    assert "to each request of the 1 group not measured" in cli.out
    assert cli.err.splitlines() == [
        "edge-agent: an agent is running: its requests to the same PLCs are part of what is measured",
        "edge-agent: b.slow: not measured: refused",
    ]
    app.measured |= {("프레스-2", "slow"): 0.1}
    assert cli("plan", "-c", "a.yaml", "--measure") == 0
    assert "assumed" not in cli.out


def test_connections_on_one_line_take_turns(plans: Any) -> None:
    @dataclass(frozen=True)
    class Sharing(type(plans[0])):  # type: ignore[misc]
        line: str = "/dev/ttyUSB0"

    shared = [
        Sharing("a", "g", 1.0, 1, [_request(0.6)], transport="serial"),
        Sharing("b", "g", 1.0, 1, [_request(0.3)], unit_id=2, transport="serial"),
    ]
    verdict = judge(shared)
    (line,) = verdict.lines
    assert (line.connections, line.units, round(line.bus_share, 6)) == (["a", "b"], 2, 0.9)
    assert (verdict.errors, verdict.warnings) == ([], [])
    verdict = judge(shared, {("a", "g"): 0.75})
    assert verdict.warnings == [
        "line /dev/ttyUSB0: its groups together take 106 % of the time; poll less often"
    ]
    verdict = judge([*shared, Sharing("c", "g", 1.0, 1, [_request(0.2)], transport="serial")])
    assert verdict.errors == [
        "line /dev/ttyUSB0: its groups together take 110 % of the time on the wire alone; poll less often"
    ]


def _request(bus_seconds: float) -> RequestSummary:
    return RequestSummary("holding 0..9, unit 1", 10, 8, 25, bus_seconds)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, ".........."), (0.001, "#........."), (0.5, "#####....."), (1, "##########"), (2, "#####!!!!!"),
     (1.01, "#########!"), (100, "!!!!!!!!!!")],
)  # fmt: skip
def test_a_bar_shows_a_share_at_a_glance(share: float, text: str) -> None:
    assert bar(share) == text


def test_plan_lists_the_requests_that_are_asked_for(cli: Any, app: Any, plans: Any) -> None:
    app.planned = plans[:1]
    assert cli("plan", "-c", "a.yaml", "--requests") == 0
    assert cli.out.splitlines()[-4:] == [
        "press1.fast",
        "  request                   tags  sent  received  bus ms",
        "  holding 100..224, unit 1    10    12       259    20.0",
        "  holding 300..310, unit 1    10    12       259     0.0",
    ]


def test_check_and_plan_say_how_reference_numbers_were_understood(cli: Any, app: Any, plans: Any) -> None:
    app.planned = [replace(plans[0], notes=("oil_temp: 40001 means holding:0",))]
    assert cli("plan", "-c", "a.yaml") == 0
    assert "note: press1.fast: oil_temp: 40001 means holding:0" in cli.out
    assert cli("check", "-c", "a.yaml") == 0
    assert "note: press1.fast: oil_temp: 40001 means holding:0" in cli.out


def test_many_notes_are_summed_up(cli: Any, app: Any, plans: Any) -> None:
    texts = [f"t{number}: {40_001 + number} means holding:{number}" for number in range(5_000)]
    app.planned = [replace(plans[0], notes=texts)]

    def printed(*argv: str) -> list[str]:
        assert cli(*argv, "-c", "a.yaml") == 0
        return [line for line in cli.out.splitlines() if line.startswith("note: ")]

    few = printed("check")
    assert few[:3] == [f"note: press1.fast: {text}" for text in texts[:3]]
    assert few[3:] == ["note: … and 4,997 more like these (`edge-agent plan --notes` shows all)"]
    assert printed("plan") == few
    assert len(printed("plan", "--notes")) == 5_000
    assert cli("plan", "-c", "a.yaml", "--json") == 0
    assert len(json.loads(cli.out)["notes"]) == 5_000
    app.planned = [replace(plans[0], notes=texts[:4])]
    assert len(printed("plan")) == 4, "a line that says «1 more» could as well be that one"


def test_plan_as_json_has_everything(cli: Any, app: Any, plans: Any) -> None:
    app.planned = plans
    assert cli("plan", "-c", "a.yaml", "--json") == 1
    answer = json.loads(cli.out)
    assert (len(answer["errors"]), len(answer["warnings"])) == (2, 1)
    assert answer["lines"][2]["busy_percent"] == pytest.approx(136.5)
    assert answer["groups"][0]["expected_seconds"] == pytest.approx(0.04)
    assert answer["totals"]["tags"] == 1_265
    assert answer["totals"]["samples_per_second"] == pytest.approx(1_281.167)
    assert answer["groups"][1]["connection"] == "프레스-2"
    assert answer["groups"][0]["requests"][0] == {
        "text": "holding 100..224, unit 1",
        "tags": 10,
        "sent_bytes": 12,
        "received_bytes": 259,
        "bus_seconds": 0.02,
    }


def test_plan_of_nothing_says_so(cli: Any) -> None:
    assert cli("plan", "-c", "a.yaml") == 0
    assert cli.out == "nothing is polled: the config has no connection with a group\n"


def test_init_writes_and_tries_the_connection(cli: Any, app: Any, tmp_path: Path) -> None:
    argv = ["init", "--id", "press-1", "--host", "127.0.0.1", "--port", "1502", "--unit", "0"]
    assert cli(*argv, "--central", "https://c.example.com") == 0
    path = tmp_path / "edge-agent.yaml"
    assert path.read_text() == "agent: {id: press-1}  # 127.0.0.1 1502 0 https://c.example.com\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert app.asked == [("modbus", "127.0.0.1", 1502, 0)]
    assert cli.out.splitlines() == [
        "wrote edge-agent.yaml",
        "127.0.0.1:1502 answers",
        "next: list your tags in edge-agent.yaml, then run `edge-agent read -c edge-agent.yaml`",
    ]


def test_init_warns_of_a_plc_that_does_not_answer(cli: Any, app: Any) -> None:
    app.unreachable = "connection refused"
    assert cli("init", "--host", "127.0.0.1") == 0
    assert cli.err == "edge-agent: warning: 127.0.0.1:502 does not answer: connection refused\n"
    assert cli("init", "--host", "127.0.0.1", "--force", "--json") == 0
    assert json.loads(cli.out) == {
        "path": "edge-agent.yaml",
        "host": "127.0.0.1",
        "port": 502,
        "reachable": False,
        "reason": "connection refused",
    }


def test_init_does_not_overwrite_unless_forced(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "edge-agent.yaml").write_text("mine\n")
    assert cli("init", "--id", "a") == 2
    assert "edge-agent.yaml is there already; overwrite it with --force" in cli.err
    assert (tmp_path / "edge-agent.yaml").read_text() == "mine\n"
    assert cli("init", "--id", "a", "--force") == 0
    assert (tmp_path / "edge-agent.yaml").read_text() != "mine\n"


def test_init_does_not_try_an_example_address(cli: Any, app: Any) -> None:
    assert cli("init") == 0
    assert app.asked == []
    assert "not tried: this is an example address" in cli.err


def test_init_to_the_standard_output_is_the_file_alone(cli: Any, app: Any, tmp_path: Path) -> None:
    assert cli("init", "-c", "-", "--id", "a", "--host", "h", "--json") == 0
    assert cli.out == "agent: {id: a}  # h 502 1 None\n"
    assert list(tmp_path.iterdir()) == []


def test_init_asks_on_a_terminal_what_the_flags_leave_open(cli: Any, app: Any) -> None:
    cli.terminal, cli.stdin = True, Typed("\n\n3\n\n")
    assert cli("init", "--id", "press-1", "-c", "new/agent.yaml") == 0
    assert "address of the PLC [192.0.2.10]: " in cli.err
    assert Path("new/agent.yaml").read_text().startswith("agent: {id: press-1}")
    assert app.asked == [], "the empty first answer keeps the example address"


def test_init_takes_typed_answers(cli: Any, app: Any) -> None:
    cli.terminal, cli.stdin = True, Typed("line-7\n10.0.0.9\n\n3\nhttp://centre\n")
    assert cli("init", "-c", "a.yaml") == 0
    assert Path("a.yaml").read_text() == "agent: {id: line-7}  # 10.0.0.9 502 3 http://centre\n"
    assert app.asked == [("modbus", "10.0.0.9", 502, 3)]


@pytest.mark.parametrize(
    "flags", [("--port", "0"), ("--port", "65536"), ("--unit", "256"), ("--id", "Press 1"), ("--id", "-a")]
)
def test_init_refuses_what_cannot_be(cli: Any, tmp_path: Path, flags: tuple[str, str]) -> None:
    assert cli("init", f"{flags[0]}={flags[1]}") == 2
    assert flags[0] in cli.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Press Shop_01.local", "press-shop-01"), ("프레스", "edge-01"), ("", "edge-01"), ("-a-", "a"),
     ("x" * 60, "x" * 51), ("a" * 50 + "-b", "a" * 50)],
)  # fmt: skip
def test_a_device_id_is_made_of_any_host_name(name: str, expected: str) -> None:
    assert device_id(name) == expected
