"""Scripts in the transaction of a config: judged before anything is touched, changed between the connections
that go and those that come."""

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.app.compiled import Compiled, compile_file
from edge_agent.app.connections import ConnectionSet
from edge_agent.app.transaction import ConfigKeeper
from edge_agent.config.last_good import LastGood
from edge_agent.contracts.errors import ConfigError, Unavailable
from edge_agent.pipeline.build import Workshop
from edge_agent.runtime.atomic import write_atomic
from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.crew import Crew
from edge_agent.runtime.errors import EssentialFailed
from edge_agent.runtime.progress import Progress
from edge_agent.runtime.supervise import Components
from tests.unit.app.test_transaction import Frames


class Hooks:
    """Notes which connections were there at each step. refuses: what `check` raises."""

    def __init__(self, connections: ConnectionSet) -> None:
        self._connections = connections
        self.steps: list[tuple[str, list[str], list[str]]] = []
        self.refuses: Exception | None = None

    def _note(self, step: str, wanted: Compiled) -> None:
        names = [local.script.name for local in wanted.hooks]
        self.steps.append((step, names, list(self._connections.healthy())))

    def check_names(self, connections: Collection[str]) -> None:
        if "taken" in connections:
            raise ConfigError("the name is taken")

    async def check(self, wanted: Compiled) -> None:
        self._note("check", wanted)
        if self.refuses is not None:
            raise self.refuses

    async def take(self, wanted: Compiled) -> None:
        self._note("take", wanted)


class Bench:
    def __init__(self, directory: Path, root: asyncio.TaskGroup) -> None:
        self.path = directory / "edge-agent.yaml"
        clock = SystemClock()
        crew = Crew(root, clock, Components(), Progress(10), self._gave_up)
        sink = Frames()
        self.connections = ConnectionSet(crew, Workshop(clock, sink), sink)
        self.hooks = Hooks(self.connections)
        self.write(["a", "b"], oil="1")
        self.keeper = ConfigKeeper(
            self.path, compile_file(self.path), LastGood(directory / "kept.json", write_atomic), clock,
            lambda: True, hooks=self.hooks,
        )  # fmt: skip

    def _gave_up(self, failure: EssentialFailed) -> None:
        raise failure

    def write(self, connections: list[str], require: tuple[str, ...] = (), **sources: str) -> None:
        """Connections to nobody, and scripts of these sources."""
        document: dict[str, Any] = {
            "agent": {"id": "d"},
            "connections": [
                {"name": name, "driver": "modbus",
                 "transport": {"type": "tcp", "host": "127.0.0.1", "port": ord(name[0]) - ord("a") + 2},
                 "groups": [{"name": "g", "interval": "1s", "tags": [{"name": "t", "address": "holding:0"}]}]}
                for name in connections
            ],
            "hooks": {"require": list(require), "scripts": [
                {"name": name, "point": "transform", "source": source} for name, source in sources.items()
            ]},
        }  # fmt: skip
        self.path.write_text(yaml.safe_dump(document))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with asyncio.TaskGroup() as root:
        bench = Bench(tmp_path, root)
        await bench.keeper.start()
        await bench.keeper.boot(bench.connections)
        yield bench
        await bench.connections.stop_all()


async def test_a_changed_script_alone_touches_no_connection(bench: Bench) -> None:
    tasks = {poller.name: poller for poller in bench.connections.pollers()}
    bench.write(["a", "b"], oil="2")
    result = await bench.keeper.reload()
    assert (result.hooks, result.unchanged, result.warnings) == (["oil"], ["a", "b"], [])
    assert [(step, names) for step, names, _ in bench.hooks.steps] == [("check", ["oil"]), ("take", ["oil"])]
    assert {poller.name: poller for poller in bench.connections.pollers()} == tasks


async def test_hooks_change_when_the_old_connections_are_gone_and_before_the_new_ones_begin(
    bench: Bench,
) -> None:
    bench.write(["b", "c"], water="1")
    result = await bench.keeper.reload()
    assert result.hooks == ["water", "oil"]
    assert bench.hooks.steps == [("check", ["water"], ["a", "b"]), ("take", ["water"], ["b"])]
    assert list(bench.connections.healthy()) == ["b", "c"]


@pytest.mark.parametrize("error", [ConfigError("oil.py:2: no"), Unavailable("no memory")])
async def test_a_script_that_is_refused_leaves_all_as_it_was(bench: Bench, error: Exception) -> None:
    bench.write(["c"], oil="2")
    bench.hooks.refuses = error
    result = await bench.keeper.reload()
    assert (result.applied, result.problems) == (False, [str(error)])
    assert [step for step, _, _ in bench.hooks.steps] == ["check"]
    assert list(bench.connections.healthy()) == ["a", "b"]
    assert bench.keeper.running.names == ["a", "b"]
    bench.hooks.refuses = None
    assert (await bench.keeper.reload()).hooks == ["oil"], "the same file is judged again"


async def test_a_connection_with_the_name_of_computed_tags_is_refused_whatever_else_changes(
    bench: Bench,
) -> None:
    bench.write(["a", "taken"], oil="1")
    result = await bench.keeper.reload()
    assert (result.applied, result.problems) == (False, ["the name is taken"])
    assert list(bench.connections.healthy()) == ["a", "b"]


async def test_what_is_required_of_the_sandbox_is_taken_up_too(bench: Bench) -> None:
    bench.write(["a", "b"], require=("seccomp",), oil="1")
    result = await bench.keeper.reload()
    assert (result.hooks, result.warnings) == ([], [])
    assert [step for step, _, _ in bench.hooks.steps] == ["check", "take"]


async def test_hooks_are_left_alone_where_nothing_of_them_changes(bench: Bench) -> None:
    bench.write(["a"], oil="1")
    assert (await bench.keeper.reload()).removed == ["b"]
    assert bench.hooks.steps == []
