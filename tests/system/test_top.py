"""`edge-agent top` on a real terminal (tmux), against a real agent that polls a simulated PLC."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 20.0
CONFIG = """
agent: {{id: press-shop-01, runtime_dir: run}}
connections:
  - name: press1
    driver: modbus
    transport: {{type: tcp, host: 127.0.0.1, port: {port}}}
    groups:
      - name: fast
        interval: 100ms
        tags:
          - {{name: oil_temp, address: "holding:100", unit: °C}}
          - {{name: "온도[01..40]", address: "holding:200..239"}}
  - name: lost
    driver: modbus
    transport: {{type: tcp, host: 127.0.0.1, port: 1}}
    groups:
      - {{name: fast, interval: 1s, tags: [{{name: lost_tag, address: "holding:1"}}]}}
"""


class Site:
    """A simulator, an agent that can be killed and started, and a terminal of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environ = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
        self.environ.pop("HOLDFAST_CONFIG", None)
        self.simulator = self._process("simulate", "modbus", "--port", "0", "--json")
        assert self.simulator.stdout is not None
        ready = json.loads(self.simulator.stdout.readline())
        text = CONFIG.format(port=ready["ports"][0])
        (directory / "edge-agent.yaml").write_text(text, encoding="utf-8")
        (directory / "run").mkdir(mode=0o700)
        self.agent: subprocess.Popen[str] | None = None
        self._tmux = ["tmux", "-S", str(directory / "tmux.sock"), "-f", "/dev/null"]

    def _process(self, *argv: str) -> "subprocess.Popen[str]":
        with (self.directory / f"{argv[0]}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "edge_agent", *argv],
                cwd=self.directory, env=self.environ, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip

    def start_agent(self) -> None:
        self.agent = self._process("run")
        until(lambda: self.run("status", "--json").returncode == 0)

    def kill_agent(self) -> None:
        assert self.agent is not None
        end(self.agent, signal.SIGKILL)

    def run(self, *argv: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "edge_agent", *argv],
            cwd=self.directory, env={**self.environ, **environ}, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=40, check=False,
        )  # fmt: skip

    def tmux(self, *argv: str) -> str:
        return subprocess.run(
            [*self._tmux, *argv], cwd=self.directory, env=self.environ,
            capture_output=True, text=True, timeout=20, check=True,
        ).stdout  # fmt: skip

    def open_terminal(self, command: str, columns: int = 110, lines: int = 30) -> None:
        self.tmux("new-session", "-d", "-x", str(columns), "-y", str(lines), "sh")
        self.keys("-l", f"{sys.executable} -m edge_agent {command}; echo ended $?")
        self.keys("Enter")

    def keys(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def shows(self, pattern: str) -> str:
        """Waits until the screen has that. The screen."""
        until(lambda: re.search(pattern, self.screen()) is not None, lambda: f"{pattern}\n{self.screen()}")
        return self.screen()

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, timeout=20, check=False)
        for process in (self.agent, self.simulator):
            if process is not None:
                end(process, signal.SIGTERM)


def end(process: "subprocess.Popen[str]", how: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(how)
    process.wait(20)
    if process.stdout is not None:
        process.stdout.close()


def until(condition: Callable[[], bool], said: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, said()
        time.sleep(0.05)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    try:
        yield found
    finally:
        found.close()


@pytest.mark.timeout(150)
def test_the_live_view_on_a_terminal(site: Site) -> None:
    site.start_agent()
    site.open_terminal("top --interval 200ms")
    # 41 tags ten times a second.
    screen = site.shows(r"read (39|4[0-3])\d ")
    assert re.search(r"cycles late p50 [≤>] \d+ ms", screen)
    assert re.search(r"^lost +(down|connecting) [^\n]*\n^press1 +connected ", screen, re.MULTILINE), (
        "ill first"
    )

    site.keys("Down", "Enter")
    screen = site.shows(r"press1: 41 values")
    rows = [line for line in screen.splitlines() if line.endswith("fast")]
    assert "oil_temp" in rows[0]
    site.keys("End")
    site.shows(r"온도40 ")
    site.keys("/")
    site.keys("-l", "온도3")
    site.keys("Enter")
    screen = site.shows(r"press1: 10 values")
    assert "온도29" not in screen
    site.keys("Escape")
    site.shows(r"press1: 41 values")
    site.keys("Escape")
    site.shows(r"2 connections, sorted by ill")
    site.keys("s")
    site.shows(r"sorted by name")

    site.tmux("resize-window", "-x", "44", "-y", "12")
    until(lambda: max(map(len, site.screen().splitlines())) <= 44)
    site.shows(r"q end")
    site.tmux("resize-window", "-x", "110", "-y", "30")
    site.shows(r"what is wrong")

    site.kill_agent()
    site.shows(r"no answer, trying again.*no agent is running")
    site.start_agent()
    site.shows(r"the agent has restarted, ")
    site.shows(r"read (39|4[0-3])\d ")

    site.keys("q")
    screen = site.shows(r"ended 0")
    assert "Traceback" not in screen


@pytest.mark.timeout(120)
def test_pipes_dumb_terminals_and_no_agent(site: Site) -> None:
    missing = site.run("top", "--once")
    assert (missing.returncode, missing.stdout) == (3, "")
    assert "no agent is running; start it with `edge-agent run`" in missing.stderr

    site.start_agent()
    once = site.run("top", "--once", "--interval", "1s")
    assert once.returncode == 0
    assert re.search(r"^press1 +connected", once.stdout, re.MULTILINE)
    lines = site.run("top", "--json", "--interval", "1s", "--count", "2")
    shown = [json.loads(line) for line in lines.stdout.splitlines()]
    assert [round(each["rates"]["read"], -2) for each in shown] == [400, 400]

    pipe = site.run("top")
    assert (pipe.returncode, pipe.stderr.count("\n")) == (2, 1)
    site.open_terminal("top")
    site.shows("q end")
    site.keys("q")
    site.shows("ended 0")
    site.keys("-l", f"clear; TERM=dumb {sys.executable} -m edge_agent top; echo then $?")
    site.keys("Enter")
    screen = site.shows(r"then 2")
    assert "cannot move its cursor" in screen
    site.keys("-l", f"clear; NO_COLOR=1 TERM=vt100 {sys.executable} -m edge_agent top; echo last $?")
    site.keys("Enter")
    site.shows(r"press1 +connected")
    site.keys("C-c")
    site.shows(r"last 130")


@pytest.mark.timeout(90)
def test_read_leaves_a_single_client_plc_to_its_agent(site: Site) -> None:
    direct = site.run("read", "press1.oil_temp", "--json")
    assert (direct.returncode, direct.stderr) == (0, ""), "no agent runs: the PLC is asked"
    site.start_agent()
    until(lambda: bool(site.run("read", "press1.oil_temp", "--json").stdout.strip("[]\n ")))
    running = site.run("read", "press1.oil_temp", "--json")
    assert "values of the running agent, up to " in running.stderr
    (value,) = json.loads(running.stdout)
    assert (value["tag"], value["quality"]) == ("oil_temp", "good")
    assert site.run("read", "press1.oil_temp", "--direct").stderr == ""
