"""Configs as transactions (DESIGN §3, invariant 10): against real simulators, a fake sink and a fake centre.

pains.md: tb#1331, #2102, #1910, #1211 - a push drops the link, kills connectors or never arrives.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.app.compiled import compile_file
from edge_agent.app.connections import ConnectionSet
from edge_agent.app.transaction import ConfigKeeper
from edge_agent.config.last_good import LastGood
from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.modbus.simulator.server import Simulator, SimulatorConfig
from edge_agent.pipeline.build import Workshop
from edge_agent.runtime.atomic import write_atomic
from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.crew import Crew
from edge_agent.runtime.errors import EssentialFailed
from edge_agent.runtime.progress import Progress
from edge_agent.runtime.supervise import Components
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import ConfigEnvelope, ConfigState
from edge_agent.wire.schema import Schema

WATCH_SECONDS, GRACE_SECONDS = 0.3, 0.6


class Frames:
    """A frame sink that remembers."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, Frame]] = []

    def append(self, schema: Schema, frame: Frame) -> None:
        self.frames.append((schema.connection, frame))

    def record(self, kind: object, record: dict[str, Any]) -> None: ...

    async def announce(self, schemas: list[Schema]) -> None: ...

    def numbers(self, connection: str) -> list[int]:
        return [frame.n for name, frame in self.frames if name == connection]


class Bench:
    """An agent's connections without the rest of it."""

    def __init__(self, directory: Path, port: int) -> None:
        self.path = directory / "edge-agent.yaml"
        self.port = port
        self.reachable = True
        self.sink = Frames()
        self.kept = directory / "central-config.json"
        self.write([self.connection("local")])
        self.connections: ConnectionSet
        self.keeper: ConfigKeeper

    def connection(self, name: str, port: int | None = None, interval: str = "50ms") -> dict[str, Any]:
        return {
            "name": name,
            "driver": "modbus",
            "transport": {
                "type": "tcp", "host": "127.0.0.1", "port": port or self.port, "timeout": "200ms",
            },
            "groups": [
                {"name": "g", "interval": interval, "tags": [{"name": "t", "address": "holding:0"}]}
            ],
        }  # fmt: skip

    def write(self, connections: list[dict[str, Any]], manage: tuple[str, ...] = ("connections",)) -> None:
        document = {"agent": {"id": "d"}, "remote": {"manage": list(manage)}, "connections": connections}
        self.path.write_text(yaml.safe_dump(document))

    async def begin(self, root: asyncio.TaskGroup) -> None:
        clock = SystemClock()
        crew = Crew(root, clock, Components(), Progress(10), self._gave_up)
        self.connections = ConnectionSet(crew, Workshop(clock, self.sink), self.sink)
        last_good = LastGood(self.kept, write_atomic)
        self.keeper = ConfigKeeper(
            self.path,
            compile_file(self.path),
            last_good,
            clock,
            lambda: self.reachable,
            WATCH_SECONDS,
            GRACE_SECONDS,
        )
        await self.keeper.start()
        await self.keeper.boot(self.connections)

    def _gave_up(self, failure: EssentialFailed) -> None:
        raise failure

    async def push(self, version: int, **sections: Any) -> None:
        envelope = ConfigEnvelope(version=version, sections=sections)
        await self.keeper.take(envelope.model_dump_json().encode(), f'"{version}"')

    def state(self) -> ConfigState:
        """What became of the centre's config."""
        return self.keeper.report.state

    def states(self) -> dict[str, str]:
        return {report.name: report.state for report in self.connections.reports()}

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with Simulator(SimulatorConfig()) as simulator, asyncio.TaskGroup() as root:
        bench = Bench(tmp_path, simulator.ports[0])
        await bench.begin(root)
        await bench.until(lambda: bench.states() == {"local": "connected"})
        yield bench
        await bench.connections.stop_all()


async def test_a_managed_section_replaces_the_local_one_and_is_kept_for_the_next_boot(bench: Bench) -> None:
    await bench.push(1, connections=[bench.connection("a"), bench.connection("b")])
    assert bench.state() == ConfigState.APPLIED
    assert bench.keeper.report.applied_version == 1
    assert bench.states() == {"a": "connected", "b": "connected"}
    again = ConfigKeeper(
        bench.path, compile_file(bench.path), LastGood(bench.kept, write_atomic), SystemClock(), lambda: False
    )
    await again.start()
    assert again.running.names == ["a", "b"]
    assert again.report.applied_version == 1
    assert again.report.running_hash == again.running.outline.digest == bench.keeper.report.running_hash


async def test_tb_1331_an_unchanged_connection_is_not_touched_by_a_push(bench: Bench) -> None:
    before = bench.sink.numbers("local")[-1]
    since = next(report.since for report in bench.connections.reports())
    await bench.push(1, connections=[bench.connection("local"), bench.connection("new")])
    report = next(report for report in bench.connections.reports() if report.name == "local")
    assert report.since == since
    numbers = bench.sink.numbers("local")
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers[-1] > before


async def test_a_changed_connection_goes_on_with_its_frame_numbers(bench: Bench) -> None:
    await bench.push(1, connections=[bench.connection("local", interval="20ms")])
    count = len(bench.sink.numbers("local"))
    await bench.until(lambda: len(bench.sink.numbers("local")) > count + 3)
    numbers = bench.sink.numbers("local")
    assert numbers == list(range(1, len(numbers) + 1))


async def test_an_invalid_push_changes_nothing_and_is_reported_with_its_place(bench: Bench) -> None:
    await bench.push(1, connections=[{**bench.connection("a"), "drivr": "modbus"}])
    report = bench.keeper.report
    assert (report.state, report.seen_version, report.applied_version) == (ConfigState.REJECTED, 1, None)
    assert "drivr" in report.message
    assert "connections[a]" in report.message
    assert bench.states() == {"local": "connected"}
    assert bench.keeper.known_etag == '"1"'


async def test_what_is_no_config_at_all_changes_nothing_and_is_asked_for_again_later(bench: Bench) -> None:
    await bench.keeper.take(b'{"sections": {', '"cut"')
    report = bench.keeper.report
    assert (report.state, report.code, report.seen_version) == (ConfigState.REJECTED, "unreadable", None)
    assert bench.keeper.known_etag == '"cut"'
    assert bench.states() == {"local": "connected"}
    await bench.push(1, connections=[bench.connection("a")])
    assert bench.state() == ConfigState.APPLIED


async def test_a_section_that_is_not_managed_is_a_rejection(bench: Bench) -> None:
    await bench.push(1, buffer={"flush_interval": "1s"})
    assert bench.state() == ConfigState.REJECTED
    assert "buffer" in bench.keeper.report.message


async def test_a_new_connection_that_does_not_answer_is_applied_with_warnings(bench: Bench) -> None:
    await bench.push(1, connections=[bench.connection("local"), bench.connection("dead", port=9)])
    assert bench.state() == ConfigState.APPLIED_WITH_WARNINGS
    assert "dead" in bench.keeper.report.message
    assert bench.states()["local"] == "connected"


async def test_a_push_that_costs_the_centre_is_taken_back_and_tried_again_after_a_while(
    bench: Bench,
) -> None:
    pushing = asyncio.ensure_future(bench.push(1, connections=[bench.connection("a")]))
    await bench.until(lambda: "a" in bench.states())
    bench.reachable = False
    await pushing
    assert bench.state() == ConfigState.ROLLED_BACK
    assert bench.keeper.report.code == "unreachable"
    assert bench.keeper.running.names == ["local"]
    await bench.until(lambda: bench.states() == {"local": "connected"})
    assert bench.keeper.known_etag == '"1"'
    bench.reachable = True
    await bench.push(1, connections=[bench.connection("a")])
    assert bench.state() == ConfigState.APPLIED


async def test_a_centre_that_restarts_during_the_watch_is_no_reason_to_go_back(bench: Bench) -> None:
    pushing = asyncio.ensure_future(bench.push(1, connections=[bench.connection("a")]))
    await bench.until(lambda: "a" in bench.states())
    bench.reachable = False
    await asyncio.wait([pushing], timeout=WATCH_SECONDS + GRACE_SECONDS / 3)
    assert not pushing.done()
    bench.reachable = True
    await pushing
    assert bench.state() == ConfigState.APPLIED


async def test_a_push_that_is_watched_when_the_agent_stops_is_neither_kept_nor_refused(bench: Bench) -> None:
    pushing = asyncio.ensure_future(bench.push(1, connections=[bench.connection("a")]))
    await bench.until(lambda: "a" in bench.states())
    pushing.cancel()
    await asyncio.wait([pushing])
    await bench.connections.stop_all()
    assert bench.state() == ConfigState.LOCAL
    assert not bench.kept.exists()
    result = await bench.keeper.reload()
    assert not result.applied or not bench.states()


async def test_a_stopping_agent_starts_no_connection(bench: Bench) -> None:
    await bench.connections.stop_all()
    bench.write([bench.connection("local"), bench.connection("more")])
    result = await bench.keeper.reload()
    assert (result.applied, bench.states()) == (False, {})
    assert "stopping" in result.problems[0]


async def test_a_config_that_cannot_be_kept_on_disk_is_taken_back(bench: Bench) -> None:
    bench.kept.mkdir()
    await bench.push(1, connections=[bench.connection("a")])
    assert (bench.state(), bench.keeper.report.code) == (ConfigState.ROLLED_BACK, "not_stored")
    assert bench.keeper.report.applied_version is None
    assert list(bench.states()) == ["local"]


async def test_a_refused_config_is_asked_for_again_after_a_local_reload(bench: Bench) -> None:
    wanted = bench.connection("a")
    wanted["transport"]["host"] = {"secret": "plc"}
    await bench.push(1, connections=[wanted])
    assert (bench.state(), bench.keeper.known_etag) == (ConfigState.REJECTED, '"1"')
    document = yaml.safe_load(bench.path.read_text())
    bench.path.write_text(yaml.safe_dump({**document, "secrets": {"plc": "127.0.0.1"}}))
    assert (await bench.keeper.reload()).applied
    assert bench.keeper.known_etag is None
    await bench.push(1, connections=[wanted])
    assert bench.state() == ConfigState.APPLIED


async def test_a_reload_takes_control_back_from_the_centre(bench: Bench) -> None:
    await bench.push(1, connections=[bench.connection("a")])
    bench.write([bench.connection("local")], manage=("hooks",))
    result = await bench.keeper.reload()
    assert result.applied
    assert any("does not fit" in warning for warning in result.warnings)
    assert list(bench.states()) == ["local"]
    assert bench.keeper.report.applied_version is None


async def test_a_reload_that_hands_nothing_over_any_more_is_told_and_undone_by_another(bench: Bench) -> None:
    await bench.push(1, connections=[bench.connection("a")])
    bench.write([bench.connection("local")], manage=())
    assert (await bench.keeper.reload()).applied
    report = bench.keeper.report
    assert (report.state, report.applied_version, bench.keeper.known_etag) == (ConfigState.LOCAL, None, None)
    await bench.push(1, connections=[bench.connection("a")])
    assert (bench.state(), bench.keeper.known_etag) == (ConfigState.REJECTED, '"1"')
    bench.write([bench.connection("local")])
    assert (await bench.keeper.reload()).applied
    report = bench.keeper.report
    assert (report.state, report.applied_version) == (ConfigState.APPLIED, 1)
    assert list(bench.states()) == ["a"]


async def test_a_reload_survives_a_disk_that_cannot_be_written(bench: Bench) -> None:
    await bench.push(1, connections=[{**bench.connection("a"), "drivr": "modbus"}])
    bench.kept.unlink()
    bench.kept.mkdir()
    result = await bench.keeper.reload()
    assert result.applied
    assert any("stays refused" in warning for warning in result.warnings)


async def test_a_push_that_worsens_an_unchanged_connection_is_taken_back(
    bench: Bench, tmp_path: Path
) -> None:
    async with Simulator(SimulatorConfig()) as other:
        await bench.push(
            1, connections=[bench.connection("local"), bench.connection("frail", port=other.ports[0])]
        )
        assert bench.state() == ConfigState.APPLIED
        wanted = [
            bench.connection("local"),
            bench.connection("frail", port=other.ports[0]),
            bench.connection("third"),
        ]
        pushing = asyncio.ensure_future(bench.push(2, connections=wanted))
        await bench.until(lambda: "third" in bench.states())
        await other.stop()
        await pushing
        assert bench.state() == ConfigState.ROLLED_BACK
        assert "frail" in bench.keeper.report.message
        assert bench.keeper.report.applied_version == 1
        assert "third" not in bench.states()


async def test_a_child_that_fails_is_no_verdict_on_the_config(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.push(1, connections=[bench.connection("a")])
    monkeypatch.setattr("sys.executable", str(bench.path))  # no child can be started
    result = await bench.keeper.reload()
    assert not result.applied
    assert "no process can be started" in result.problems[0]
    assert bench.states() == {"a": "connected"}
    again = ConfigKeeper(
        bench.path, compile_file(bench.path), LastGood(bench.kept, write_atomic), SystemClock(), lambda: False
    )
    await again.start()
    assert again.running.names == ["a"]
    await bench.push(2, connections=[bench.connection("b")])
    assert (bench.state(), bench.keeper.report.code) == (ConfigState.REJECTED, "unreadable")
    assert bench.states() == {"a": "connected"}


async def test_a_local_reload_applies_the_smallest_diff(bench: Bench) -> None:
    bench.write([bench.connection("local"), bench.connection("more")])
    result = await bench.keeper.reload()
    assert (result.applied, result.added, result.unchanged) == (True, ["more"], ["local"])
    await bench.until(lambda: bench.states() == {"local": "connected", "more": "connected"})
    bench.write([bench.connection("more")])
    assert (await bench.keeper.reload()).removed == ["local"]
    assert list(bench.states()) == ["more"]


async def test_a_reload_of_a_bad_file_keeps_what_runs_and_names_every_place(bench: Bench) -> None:
    bench.path.write_text("agent: {id: d}\nconnections:\n  - {name: x, driver: modbs}\n  - {nam: y}\n")
    result = await bench.keeper.reload()
    assert not result.applied
    assert any(f"{bench.path}:3:" in problem for problem in result.problems)
    assert any(f"{bench.path}:4:" in problem for problem in result.problems)
    assert bench.states() == {"local": "connected"}


async def test_a_kept_config_that_no_longer_fits_leaves_the_local_file_in_force(bench: Bench) -> None:
    await bench.push(1, connections=[bench.connection("a")])
    bench.write([bench.connection("local")], manage=())
    again = ConfigKeeper(
        bench.path, compile_file(bench.path), LastGood(bench.kept, write_atomic), SystemClock(), lambda: False
    )
    await again.start()
    assert again.running.names == ["local"]


async def test_a_plan_that_cannot_work_is_refused_before_anything_is_touched(bench: Bench) -> None:
    bad = bench.connection("a")
    bad["groups"][0]["tags"] = [{"name": "t", "address": "holding:65535", "type": "float64"}]
    await bench.push(1, connections=[bad])
    assert bench.state() == ConfigState.REJECTED
    assert bench.states() == {"local": "connected"}
    bench.write([bad])
    with pytest.raises(ConfigError):
        compile_file(bench.path)
