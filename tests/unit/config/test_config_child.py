"""Loading in a child process. A fresh one imports the lookup by its name."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edge_agent.config.child import Fork, call_in_child
from edge_agent.config.errors import ChildFailed, ConfigErrors
from edge_agent.config.load import Loaded, load
from edge_agent.config.models import ConnectionSettings
from edge_agent.config.validate import SettingsLookup
from tests.unit.config.conftest import DOCUMENT
from tests.unit.config.sample_driver import SampleConnection, lookup

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def noisy(name: str) -> type[ConnectionSettings]:
    print("a driver's library says hello")
    return lookup(name)


def deadly(name: str) -> type[ConnectionSettings]:
    os.kill(os.getpid(), signal.SIGKILL)
    return lookup(name)


def broken(name: str) -> type[ConnectionSettings]:
    raise ZeroDivisionError(name)


def endless(name: str) -> type[ConnectionSettings]:
    Path("child.pid").write_text(str(os.getpid()))
    while True:
        signal.pause()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(
        DOCUMENT + "remote: {manage: [connections]}\ncentral: {url: 'https://x', token: '${T}'}\n"
    )
    return path


Call = Callable[..., Awaitable[Loaded]]


async def in_child(path: Path, names: SettingsLookup, environ: dict[str, str]) -> Loaded:
    return await call_in_child(load, (path, names, environ), str(path))


async def in_fork(path: Path, names: SettingsLookup, environ: dict[str, str]) -> Loaded:
    return Fork(load, (path, names, environ), str(path)).result()


@pytest.fixture(params=[in_child, in_fork])
def call(request: pytest.FixtureRequest) -> Call:
    function: Call = request.param
    return function


async def test_the_result_is_that_of_load(path: Path, call: Call) -> None:
    loaded = await call(path, lookup, {"T": "abc"})
    assert loaded == load(path, lookup, {"T": "abc"})
    assert type(loaded.document.connections[0]) is SampleConnection


async def test_errors_come_back_with_their_places(path: Path, call: Call) -> None:
    with pytest.raises(ConfigErrors) as caught:
        await call(path, lookup, {})
    assert caught.value.problems[0].place.line == 11
    assert "T is not set" in str(caught.value)


async def test_what_a_driver_prints_does_not_reach_the_answer(path: Path) -> None:
    assert (await in_child(path, noisy, {"T": "abc"})).document.agent.id == "press-shop-01"


async def test_a_child_that_dies_is_an_error(path: Path, call: Call) -> None:
    with pytest.raises(ChildFailed, match="the process that reads it ended with code -9"):
        await call(path, deadly, {"T": "abc"})


async def test_a_child_that_cannot_be_started_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(path))
    with pytest.raises(ChildFailed, match="no process can be started to read it: Permission denied"):
        await in_child(path, lookup, {"T": "abc"})


def test_a_parent_that_dies_leaves_no_child_and_no_trace_behind(tmp_path: Path) -> None:
    """The answer is longer than a pipe holds, and nobody takes it."""
    script = (
        "import os, signal, sys; from pathlib import Path; from edge_agent.config.child import Fork\n"
        "fork = Fork(bytes, (1 << 20,), ''); Path(sys.argv[1]).write_text(str(fork._child))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    pid_file = tmp_path / "child.pid"
    done = subprocess.run(
        [sys.executable, "-c", script, str(pid_file)], cwd=ROOT, check=False, capture_output=True
    )
    assert done.stderr == b"", "a signal during the start is no fault to be traced"
    deadline = time.monotonic() + 10
    while is_running(int(pid_file.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def test_a_child_that_fails_says_why_and_is_an_error(
    path: Path, call: Call, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigErrors, match="the process that reads it ended with code"):
        await call(path, broken, {"T": "abc"})
    assert "ZeroDivisionError" in capfd.readouterr().err


async def test_the_child_gives_way_to_polling(path: Path) -> None:
    assert await call_in_child(os.nice, (0,), "nice") == min(19, os.nice(0) + 10)


def is_running(pid: int) -> bool:
    """Not ended, though perhaps not yet waited for by its new parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_child_that_takes_too_long_is_ended(path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"reading it took longer than 5 s"):
        await call_in_child(load, (path, endless, {"T": "abc"}), "", timeout_seconds=5)
    assert not is_alive(int(Path("child.pid").read_text()))


async def test_cancelling_ends_the_child(path: Path) -> None:
    task = asyncio.ensure_future(in_child(path, endless, {"T": "abc"}))
    pid_file = Path("child.pid")
    async with asyncio.timeout(30):
        while not (pid_file.exists() and pid_file.read_text()):
            await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_alive(int(pid_file.read_text()))
