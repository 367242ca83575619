"""`top` as a command: what it prints without a terminal, and what it refuses."""

import json
import time
from typing import Any

import pytest

from edge_agent.cli.context import Client
from edge_agent.cli.live.figures import Snapshot, figures
from edge_agent.cli.live.screen import render
from edge_agent.cli.live.view import View
from edge_agent.cli.live.watch import Watcher, ask
from edge_agent.contracts.errors import NotConnected, Unsupported
from edge_agent.contracts.status import LatestValue

VALUE = LatestValue(
    connection="press1", group="a", tag="온도", value=7, quality="good", time=1_767_237_121_000
)


def test_once_prints_one_screen(cli: Any) -> None:
    assert cli("top", "--socket", "s", "--once", "--interval", "500ms") == 0
    assert cli.out.startswith("press-shop-01  online")
    assert cli.slept == [0.5]
    assert "\x1b[" not in cli.out
    assert all(f"\n{name}" in cli.out for name in ("samples/s", "latency", "buffer", "losses", "press1"))


def test_once_prints_the_values_of_a_connection(cli: Any, app: Any) -> None:
    app.values = [VALUE]
    assert cli("top", "--socket", "s", "--once", "--connection", "press1") == 0
    assert "온도" in cli.out


def test_json_is_a_line_an_interval(cli: Any) -> None:
    assert cli("top", "--socket", "s", "--json", "--count", "3", "--interval", "2s") == 0
    lines = [json.loads(line) for line in cli.out.splitlines()]
    assert len(lines) == 3
    assert cli.slept == [2.0] * 3
    assert lines[0]["device"] == "press-shop-01"
    assert set(lines[0]) >= {"rates", "lateness", "delay_ms", "backlog", "sinks", "connections", "values"}
    assert cli("top", "--socket", "s", "--json", "--once") == 0
    assert cli.out.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("--interval", "1"), "--interval needs a duration"),
        (("--once", "--interval", "10ms"), "--interval 10ms is too short"),
        (("--count", "3"), "--count takes a number from 1 on, and goes with --json"),
        (("--json", "--count", "0"), "--count takes a number"),
        ((), "there is no terminal to watch this on; use --once or --json"),
    ],
)
def test_wrong_use_is_said(cli: Any, argv: tuple[str, ...], text: str) -> None:
    assert cli("top", "--socket", "s", *argv) == 2
    assert text in cli.err


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {}])
def test_a_terminal_without_a_cursor_is_refused(cli: Any, environ: dict[str, str]) -> None:
    cli.terminal, cli.environ = True, environ
    cli.stdin.isatty = lambda: True
    assert cli("top", "--socket", "s") == 2
    assert "cannot move its cursor" in cli.err


@pytest.mark.parametrize("argv", [("--once",), ("--json",)])
def test_no_running_agent_is_exit_code_3(cli: Any, app: Any, argv: tuple[str, ...]) -> None:
    app.error = NotConnected("s: no agent is running; start it with `edge-agent run`")
    assert cli("top", "--socket", "s", *argv) == 3


def test_the_watcher_asks_in_its_thread_and_goes_on_after_a_failure(app: Any) -> None:
    client: Client = app.local_client("s")
    watcher = Watcher(client, Snapshot(app.shown), 0.01)
    watcher.start()
    try:
        _until(lambda: watcher.turns >= 2)
        assert ask(client, None).status == watcher.watch.history[-1].status
        app.error = NotConnected("gone")
        _until(lambda: watcher.watch.trouble == "gone")
        app.error, app.values = None, [VALUE]
        watcher.look_at("press1")
        _until(lambda: bool(watcher.watch.history[-1].values))
        assert watcher.watch.trouble == ""
    finally:
        watcher.stop()


def test_a_connection_that_a_reload_took_away_does_not_stop_the_rest(app: Any) -> None:
    watcher = Watcher(app.local_client("s"), Snapshot(app.shown, [VALUE]), 0.01, "press1")
    app.refuses = Unsupported("there is no connection 'press1'")
    watcher.start()
    try:
        _until(lambda: watcher.turns >= 2)
    finally:
        watcher.stop()
    shown = figures(watcher.watch.history, 1_767_237_121_500)
    assert (watcher.watch.trouble, shown.values) == ("", [])
    text = [part.text for row in render(shown, View(opened="gone"), 80, 24).rows for part in row]
    assert "the agent has no such connection any more" in text


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
