"""Rules for every test: no leftover task, no blocking call in the loop, no warning, 60 s at most.

Warnings are errors and the time limit is set in pyproject.toml; the other two are fixtures here.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator

import pytest
from blockbuster import BlockBuster, BlockBusterFunction


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
