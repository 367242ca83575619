"""What an agent loads for hooks: nothing where it has none, and in the daemon never what runs scripts."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.crash.hook_judge import COUNTED
from tests.crash.rig import until
from tests.crash.watched import Site, Watched

ROOM = re.compile(r"edge_agent\.hooks(\.|$)")
# What reads or runs Python, and what of us does that in a worker.
RUNS_SCRIPTS = re.compile(
    r"RestrictedPython(\.|$)|edge_agent\.hooks\.worker\.(compiling|guards|loop|modules|program)$"
)
_LINE = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)


@pytest.fixture
async def loaded(
    tmp_path: Path, plc: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[set[str], list[list[str]]]]:
    """Modules that an agent's daemon has imported when it has stored samples, and its children's commands."""
    sections: dict[str, Any] = request.param
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    site = Site(tmp_path, plc, **sections)

    async def has_stored() -> bool:
        return await site.stored() > 0

    try:
        async with Watched(tmp_path, site.arguments) as agent:
            await agent.ready()
            await until(has_stored, 30)
            children = psutil.Process(agent.process.pid).children(recursive=True)
            commands = [child.cmdline() for child in children]
            yield set(_LINE.findall(agent.log_file.read_text(errors="replace"))), commands
    finally:
        site.clear()


WITHOUT: dict[str, Any] = {}
WITH: dict[str, Any] = {
    "hooks": {"scripts": [{"name": "counted", "point": "transform", "keep_raw": True, "source": COUNTED}]}
}


@pytest.mark.parametrize("loaded", [WITHOUT], indirect=True, ids=["no hooks"])
def test_an_agent_without_hooks_loads_nothing_of_them(loaded: tuple[set[str], list[list[str]]]) -> None:
    modules, commands = loaded
    assert "edge_agent.buffer.store" in modules
    assert [name for name in modules if ROOM.match(name) or RUNS_SCRIPTS.match(name)] == []
    assert commands == []


@pytest.mark.parametrize("loaded", [WITH], indirect=True, ids=["a hook"])
def test_the_daemon_never_loads_what_could_run_a_script(loaded: tuple[set[str], list[list[str]]]) -> None:
    modules, commands = loaded
    assert [name for name in modules if ROOM.match(name)]
    assert [name for name in modules if RUNS_SCRIPTS.match(name)] == []
    assert len([command for command in commands if "edge_agent.hooks.worker" in " ".join(command)]) == 1
