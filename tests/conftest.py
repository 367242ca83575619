"""Rules for every test: no leftover task, no blocking call in the loop, no warning, 60 s at most, and no
request to write at any simulated PLC.

Warnings are errors and the time limit is set in pyproject.toml; the others are here. Nothing may write by
default (DESIGN §3, 9): so each simulator, in this process or in another, tells of every request to write,
and one that comes in a test that is not marked with `writes` fails it.
"""

import asyncio
import inspect
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster, BlockBusterFunction

from edge_agent.drivers.write_tally import VARIABLE as WRITE_TALLY

_READ_BYTES = pytest.StashKey[int]()
_TALLY = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    with tempfile.NamedTemporaryFile(prefix="holdfast-writes-", delete=False) as file:
        config.stash[_TALLY] = Path(file.name)
    config.stash[_READ_BYTES] = 0
    os.environ[WRITE_TALLY] = file.name


def pytest_unconfigure(config: pytest.Config) -> None:
    os.environ.pop(WRITE_TALLY, None)
    config.stash[_TALLY].unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def no_write(request: pytest.FixtureRequest) -> Iterator[None]:
    """A request to write that reaches a simulator in a test without the mark `writes` fails it."""
    config = request.config
    yield
    told = _newly_told(config)
    if told and request.node.get_closest_marker("writes") is None:
        pytest.fail("requests to write reached a simulated PLC: " + "; ".join(told[:5]))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What came when no test ran, such as at the end of a fixture of a whole module."""
    if told := _newly_told(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\nrequests to write reached a simulated PLC outside of any test:", *told[:5], sep="\n  ")


def _newly_told(config: pytest.Config) -> list[str]:
    """What simulators told since the last call."""
    tally, seen = config.stash[_TALLY], config.stash[_READ_BYTES]
    size = tally.stat().st_size
    if size == seen:
        return []
    config.stash[_READ_BYTES] = size
    with tally.open("rb") as file:
        file.seek(seen)
        return file.read().decode().splitlines()


def _loop_guard() -> BlockBuster:
    guard = BlockBuster()
    # Regular files are not what stalls a loop, and Python's import system reads them anywhere.
    for name in list(guard.functions):
        if name.startswith(("os.", "io.", "builtins.")) and name not in ("os.waitpid", "os.popen"):
            del guard.functions[name]
    assert isinstance(next(iter(guard.functions.values())), BlockBusterFunction)
    return guard


@pytest.fixture(autouse=True)
def no_blocking_call() -> Iterator[None]:
    """A sleep, a socket, a lock or an SQLite statement inside any event loop fails the test."""
    guard = _loop_guard()
    guard.activate()
    try:
        yield
    finally:
        guard.deactivate()


@pytest.fixture(autouse=True)
def no_leftover_task(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that leaves a task running has a hole in somebody's stop."""
    if not inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        yield
        return
    request.getfixturevalue("_count_tasks")
    yield


@pytest.fixture
async def _count_tasks() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = [task for task in asyncio.all_tasks() - before if not task.done()]
    left = [task for task in left if task is not asyncio.current_task()]
    assert not left, f"tasks left running: {left}"
