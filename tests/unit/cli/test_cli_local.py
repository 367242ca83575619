"""read, status and reload: what is printed of values and of a running agent."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.status_text import render
from edge_agent.cli.text import Palette
from edge_agent.contracts.errors import NotConnected
from edge_agent.contracts.status import AgentStatus, CommandStatus, LatestValue, PageReport, ReloadResult

GOLDEN = Path(__file__).parents[2] / "golden"
NOW_MS = 1_767_237_121_500


def _value(tag: str, value: Any, quality: str = "good", unit: str = "") -> LatestValue:
    return LatestValue(
        connection="press1", group="fast", tag=tag, value=value, quality=quality, time=NOW_MS, unit=unit
    )


def test_read_prints_a_table(cli: Any, app: Any) -> None:
    app.values = [
        _value("oil_temp", 81.4, unit="°C"),
        _value("온도", -7, unit="도"),
        _value("running", True),
        _value("recipe", "한글\x1b[2J"),
        _value("zones", [1, 2.5, None]),
        _value("lost", None, "bad_device"),
        _value("odd", 3, "uncertain"),
        _value("long", "x" * 60),
    ]
    assert cli("read", "-c", "a.yaml", "press1") == 1
    assert app.asked == [("head", Path("a.yaml")), Path("a.yaml"), "press1"], "all of it for the PLC alone"
    assert cli.out.splitlines() == [
        f"connection  tag       {'value':>40}  unit  quality     time",
        f"press1      oil_temp  {'81.4':>40}  °C    good        2026-01-01 03:12:01.500Z",
        f"press1      온도      {'-7':>40}  도    good        2026-01-01 03:12:01.500Z",
        f"press1      running   {'true':>40}        good        2026-01-01 03:12:01.500Z",
        f"press1      recipe    {'':>29}한글\\x1b[2J        good        2026-01-01 03:12:01.500Z",
        f"press1      zones     {'[1,2.5,null]':>40}        good        2026-01-01 03:12:01.500Z",
        f"press1      lost      {'–':>40}        bad_device  2026-01-01 03:12:01.500Z",
        f"press1      odd       {'3':>40}        uncertain   2026-01-01 03:12:01.500Z",
        f"press1      long      {'x' * 39}…        good        2026-01-01 03:12:01.500Z",
    ]


def test_read_takes_what_the_running_agent_has(cli: Any, app: Any) -> None:
    app.running, app.values = True, [_value("온도", 7), _value("oil.temp", 81.4)]
    assert cli("read", "-c", "a.yaml", "press1") == 0
    assert app.asked[-1] == "press1"
    assert cli.out.count("\n") == 3
    assert cli.err == (
        "edge-agent: values of the running agent, up to 0.0s old; "
        "--direct asks the PLC over a link of its own\n"
    )
    assert cli("read", "-c", "a.yaml", "press1.oil.temp", "--json") == 0
    assert [item["tag"] for item in json.loads(cli.out)] == ["oil.temp"], "the first dot separates"
    assert cli("read", "-c", "a.yaml", "press1.nope") == 2
    assert cli.err.endswith("there is no tag 'nope' in press1; see `edge-agent read press1`\n")
    app.values = []
    assert cli("read", "-c", "a.yaml") == 0
    assert cli.out == "the running agent has read nothing yet\n"


def test_a_tag_of_which_nothing_came_yet_makes_the_others_no_older(cli: Any, app: Any) -> None:
    never = _value("never", None, "bad_comm")
    app.running, app.values = True, [_value("oil_temp", 7), never.model_copy(update={"time": 0})]
    assert cli("read", "-c", "a.yaml", "press1") == 1
    assert "up to 0.0s old" in cli.err


def test_an_agent_that_has_read_nothing_yet_says_of_no_tag_that_it_is_not_there(cli: Any, app: Any) -> None:
    app.running, app.values = True, []
    assert cli("read", "-c", "a.yaml", "press1.oil_temp") == 0
    assert (cli.out, cli.err) == ("the running agent has read nothing yet\n", "")
    app.running = False
    assert cli("read", "-c", "a.yaml", "press1.oil_temp") == 2
    assert "there is no tag 'oil_temp' in press1" in cli.err


def test_read_reads_a_config_from_a_pipe_once(cli: Any, app: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    app.running = True
    assert cli("read", "-c", "pipe") == 0
    assert app.asked == [Path("pipe"), Path("/run/holdfast/agent.sock"), None]


def test_read_asks_the_plc_where_it_is_told_to_or_no_agent_runs(cli: Any, app: Any) -> None:
    app.values = [_value("온도", 7)]
    for running, argv in ((True, ("--direct",)), (False, ())):
        app.running = running
        assert cli("read", "-c", "a.yaml", "press1.온도", *argv) == 0
        assert cli.err == ""
        assert app.asked[-1] == "press1"


def test_read_opens_no_second_link_beside_an_agent_that_it_may_not_ask(cli: Any, app: Any) -> None:
    app.running, app.values = True, [_value("온도", 7)]
    refused = NotConnected("agent.sock: belongs to another user")
    app.after_load = refused
    assert cli("read", "-c", "a.yaml", "press1") == 3
    assert (cli.out, cli.err) == ("", "edge-agent: agent.sock: belongs to another user\n")


@pytest.mark.parametrize(
    ("qualities", "code"),
    [
        ([], 0),
        (["good", "uncertain"], 0),
        (["good", "bad_value"], 1),
        (["bad_comm", "good"], 1),
        (["bad_comm", "bad_comm"], 3),
        (["bad_comm", "bad_device"], 1),
    ],
)
def test_read_says_by_its_exit_code_what_was_read(
    cli: Any, app: Any, qualities: list[str], code: int
) -> None:
    app.values = [_value(f"t{number}", None, quality) for number, quality in enumerate(qualities)]
    assert cli("read", "-c", "a.yaml") == code
    assert cli("read", "-c", "a.yaml", "--json") == code
    assert [LatestValue.model_validate(item) for item in json.loads(cli.out)] == app.values


def _golden(name: str, lines: list[str]) -> None:
    path = GOLDEN / name
    assert "\n".join(lines) + "\n" == path.read_text(encoding="utf-8")


def test_the_status_of_a_well_agent(well: AgentStatus) -> None:
    _golden("status-well.txt", render(well, NOW_MS, Palette(False)))


def test_the_status_of_an_agent_in_trouble_says_what_is_wrong_first(ill: AgentStatus) -> None:
    _golden("status-ill.txt", render(ill, NOW_MS, Palette(False)))


def test_the_whole_status_has_what_scripts_printed_last(ill: AgentStatus) -> None:
    assert ill.hooks is not None
    hooks = [report.model_copy(update={"prints": "one\ntwo\x1b[2J\n"}) for report in ill.hooks.hooks[:1]]
    shown = ill.model_copy(update={"hooks": ill.hooks.model_copy(update={"hooks": hooks})})
    printed = "oil-fahrenheit printed: two\\x1b[2J"
    assert any(printed in line for line in render(shown, NOW_MS, Palette(False), everything=True))
    assert not any("printed" in line for line in render(shown, NOW_MS, Palette(False)))


@pytest.mark.parametrize(("state", "text"), [("open", ""), ("taken", " is taken")])
def test_the_status_says_where_the_page_is(well: AgentStatus, state: str, text: str) -> None:
    page = PageReport(state=state, address="127.0.0.1:8470")
    lines = render(well.model_copy(update={"page": page}), NOW_MS, Palette(False))
    assert [line.split("  ")[-1].strip() for line in lines if line.startswith("page")] == [
        f"http://127.0.0.1:8470/{text}"
    ]


def test_the_status_shows_commands_that_wait_or_run(well: AgentStatus) -> None:
    commands = [
        CommandStatus(
            id="c1", type="support_bundle", state="running", by="anna", since=NOW_MS - 5_000, step=1, steps=2
        ),
        CommandStatus(id="c2", type="ping", state="waiting"),
    ]
    lines = render(well.model_copy(update={"commands": commands}), NOW_MS, Palette(False))
    assert [line.split(maxsplit=1)[1] for line in lines if line.startswith("command ")] == [
        "support_bundle: running for 5.0s, step 1 of 2, by anna",
        "ping: waiting",
    ]


def test_the_status_of_many_connections_stays_on_a_screen(well: AgentStatus) -> None:
    up = well.connections[0]
    down = up.model_copy(update={"name": "lost", "state": "down", "error": "refused"})
    many = [*(up.model_copy(update={"name": f"press{n}"}) for n in range(99)), down]
    status = well.model_copy(update={"connections": many})
    lines = render(status, NOW_MS, Palette(False))
    assert len(lines) < 40
    assert "… and 88 more; see them with --all" in lines
    table = [line for line in lines if " modbus " in line]
    assert table[0].startswith("lost "), "what is down is never left out for what is up"
    everything = render(status, NOW_MS, Palette(False), everything=True)
    assert len([line for line in everything if " modbus " in line]) == 100


def test_status_asks_the_socket_of_the_config(cli: Any, app: Any) -> None:
    assert cli("status", "-c", "a.yaml") == 0
    assert app.asked == [("head", Path("a.yaml")), Path("/run/holdfast/agent.sock")]
    assert cli.out.startswith("press-shop-01 is online\n")


def test_status_can_be_given_a_socket_and_needs_no_config(cli: Any, app: Any) -> None:
    assert cli("status", "--socket", "/tmp/x.sock", "--json") == 0
    assert app.asked == [Path("/tmp/x.sock")]
    assert AgentStatus.model_validate_json(cli.out) == app.shown


def test_status_is_a_check_where_it_is_asked_to_be(cli: Any, app: Any, ill: AgentStatus) -> None:
    assert cli("status", "--socket", "s", "--check") == 0
    app.shown = ill
    assert cli("status", "--socket", "s") == 0
    assert cli("status", "--socket", "s", "--check") == 1


@pytest.mark.parametrize("command", ["status", "reload"])
def test_no_running_agent_is_exit_code_3(cli: Any, app: Any, command: str) -> None:
    app.error = NotConnected("/run/agent.sock: no agent is running; start it with `edge-agent run`")
    assert cli(command, "--socket", "/run/agent.sock") == 3
    assert cli.err.endswith("start it with `edge-agent run`\n")


def test_colours_are_for_terminals_that_want_them(cli: Any) -> None:
    cli.terminal = True
    assert cli("status", "--socket", "s") == 0
    assert "\x1b[32monline\x1b[0m" in cli.out
    for variable, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        cli.environ = {variable: value}
        assert cli("status", "--socket", "s") == 0
        assert "\x1b[" not in cli.out


def test_reload_says_what_it_did(cli: Any, app: Any) -> None:
    app.result = ReloadResult(
        applied=True, added=["a", "b"], removed=["c"], unchanged=["d"], warnings=["e does not answer"]
    )
    assert cli("reload", "-c", "a.yaml") == 0
    assert cli.out == "warning: e does not answer\napplied: added a, b; removed c; 1 untouched\n"
    app.result = ReloadResult(applied=True, unchanged=["d"])
    assert cli("reload", "-c", "a.yaml") == 0
    assert cli.out == "applied: no connection changed; 1 untouched\n"


def test_a_refused_reload_names_the_problems(cli: Any, app: Any) -> None:
    app.result = ReloadResult(applied=False, problems=["a.yaml:3:5: agent.id: wrong"])
    assert cli("reload", "--socket", "s") == 2
    assert cli.out == "a.yaml:3:5: agent.id: wrong\nrefused: the config that ran before still runs\n"
    assert cli("reload", "--socket", "s", "--json") == 2
    assert ReloadResult.model_validate_json(cli.out) == app.result
