"""Scripts of the local file in a real agent: their values at the centre and everywhere else, changes by
reload that touch no connection, refusals with file and line, and hooks that fail, told wherever one looks."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from edge_agent.contracts.status import ReloadResult
from edge_agent.hooks.layers import LAYERS
from edge_agent.web.client import LocalClient
from edge_agent.wire.messages import HookReport
from edge_agent.wire.scripts import HookPoint, Script
from tests.crash.rig import DEVICE, Rig, Setup, until

SECONDS = 20.0
DOUBLED = """\
OUTPUTS = {"t0": "uint32", "sum": "uint32"}

def transform(frame, state):
    state["frames"] = state.get("frames", 0) + 1
    frame["t0"] = frame["t0"] * 2
    frame["sum"] = frame.columns("t*").sum()
"""
FAILING = """\
OUTPUTS = {"t0": "uint32"}

def transform(frame):
    frame["t0"] = frame["nothing"] + 1
"""
LINKS = """\
OUTPUTS = {"state": "string", "driver": "string"}

def on_connect(link):
    link["state"] = link.state
    link["driver"] = link.driver
    alert("seen", link.connection + " is " + link.state)
"""


class House:
    """A rig whose scripts are files beside the config."""

    def __init__(self, rig: Rig, directory: Path) -> None:
        self.rig = rig
        self.directory = directory

    def write(self, name: str, source: str) -> None:
        (self.directory / f"{name}.py").write_text(source)

    async def reload(self) -> ReloadResult:
        return await asyncio.to_thread(LocalClient(self.rig.runtime / "agent.sock").reload)

    async def hook(self, name: str) -> HookReport | None:
        hooks = (await self.rig.status()).hooks
        return next((each for each in hooks.hooks if each.name == name), None) if hooks else None

    async def until_hook(self, name: str, is_so: Callable[[HookReport], bool]) -> HookReport:
        found: list[HookReport] = []

        async def looked() -> bool:
            report = await self.hook(name)
            if report is not None and is_so(report):
                found.append(report)
            return bool(found)

        await until(looked, SECONDS)
        return found[0]

    async def values(self, tag: str, connection: str = "plc00") -> dict[int, tuple[Any, str]]:
        """At the centre, by their times."""
        now = time.time_ns() // 1_000_000
        points = await self.rig.api.points(connection, tag, now - 600_000, now + 1_000)
        return {at: (value, quality) for at, value, quality in points}

    async def until_value(
        self, tag: str, is_so: Callable[[Any, str], bool], connection: str = "plc00"
    ) -> tuple[int, Any]:
        """One that the centre has. Its time too."""
        found: list[tuple[int, Any]] = []

        async def looked() -> bool:
            points = await self.values(tag, connection)
            found.extend((at, value) for at, (value, quality) in points.items() if is_so(value, quality))
            return bool(found)

        await until(looked, SECONDS)
        return found[0]

    async def ask(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.rig.operator}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{self.rig.url}/api/fleet/devices/{DEVICE}{path}") as answer,
        ):
            assert answer.status == 200, await answer.text()
            return await answer.json()


def good(value: Any, quality: str) -> bool:
    return quality == "good" and value is not None


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    doubled = {"name": "doubled", "point": "transform", "file": "doubled.py", "groups": ["plc00.*"]}
    scripts = [
        {**doubled, "keep_raw": True, "timeout": "200ms"},
        {"name": "links", "point": "on_connect", "file": "links.py"},
    ]
    setup = Setup(hooks={"scripts": scripts}, buffer={"flush_interval": "500ms"})
    async with Rig(tmp_path, 2, 4, "200ms", setup) as rig:
        house = House(rig, tmp_path)
        house.write("doubled", DOUBLED)
        house.write("links", LINKS)
        await rig.start_centre()
        await rig.start_agent()
        await until(rig.agent_answers, SECONDS)
        yield house


async def test_what_a_script_makes_reaches_the_centre_and_is_seen_wherever_one_looks(house: House) -> None:
    at, _ = await house.until_value("sum", good)
    raw, doubled, total, *rest = [
        (await house.values(tag))[at][0] for tag in ("t0.raw", "t0", "sum", "t1", "t2", "t3")
    ]
    assert doubled == 2 * raw
    assert total == raw + sum(rest), "tags that no script names pass through, and are read as they were"
    report = await house.until_hook("doubled", lambda each: each.state == "running" and each.calls > 0)
    mark = Script(
        name="doubled", hook_type=HookPoint.TRANSFORM, source=DOUBLED, groups=["plc00.*"], keep_raw=True,
        timeout_ms=200,
    )  # fmt: skip
    assert (report.sha256, report.origin, report.failures) == (mark.sha256, "local", 0)
    status = await house.rig.status()
    assert status.hooks is not None
    assert set(status.hooks.layers) == set(LAYERS)
    latest = await asyncio.to_thread(LocalClient(house.rig.runtime / "agent.sock").latest)
    shown = {(each.connection, each.tag): each for each in latest}
    assert shown["plc00", "t0"].value == 2 * shown["plc00", "t0.raw"].value  # type: ignore[operator]
    assert ("plc01", "t0") in shown
    assert ("plc01", "sum") not in shown
    # The connections came up once; the hook knows of both.
    assert (await house.until_value("state", good, "hooks"))[1] == "connected"
    assert (await house.until_value("driver", good, "hooks"))[1] == "modbus"

    async def told() -> bool:
        events = (await house.ask("/events"))["items"]
        return {"plc00 is connected", "plc01 is connected"} <= {
            each["message"] for each in events if each["code"] == "hook.seen"
        }

    await until(told, SECONDS)
    account = await house.rig.drained()
    assert (account.gaps, account.duplicates, account.lost) == (0, 0, 0)


async def test_a_reload_takes_good_scripts_refuses_bad_ones_and_touches_no_connection(house: House) -> None:
    """One agent for what is seen of a script that fails as well: its start takes most of the time."""
    await house.until_value("sum", good)
    links = {each.name: each.since for each in (await house.rig.status()).connections}
    connects = (await house.rig.plc_counters())["connections"]

    house.write("doubled", DOUBLED + "    frame.__class__\n")
    refused = await house.reload()
    assert not refused.applied
    (problem,) = refused.problems
    assert problem.startswith(f"{house.directory}/doubled.py:7: hooks.scripts[doubled]: ")
    report = await house.until_hook("doubled", lambda each: each.calls > 0)
    began, _ = max(await _sums(house))
    assert report.state == "running", "the one before goes on"

    house.write("doubled", DOUBLED.replace("* 2", "* 3"))
    taken = await house.reload()
    assert (taken.applied, taken.hooks, taken.changed) == (True, ["doubled"], [])

    async def tripled() -> bool:
        raws = await house.values("t0.raw")
        values = await house.values("t0")
        return any(
            at > began and raw and values.get(at, (None, ""))[0] == 3 * raw for at, (raw, _) in raws.items()
        )

    await until(tripled, SECONDS)
    assert {each.name: each.since for each in (await house.rig.status()).connections} == links
    assert (await house.rig.plc_counters())["connections"] == connects

    await _a_hook_that_fails_marks_its_samples_and_says_so_everywhere(house)
    document = yaml.safe_load(house.rig.config.read_text())
    house.rig.config.write_text(yaml.safe_dump({**document, "hooks": {}}))
    gone = await house.reload()
    assert gone.hooks == ["doubled", "links"]
    status = await house.rig.status()
    assert status.hooks is None or status.hooks.hooks == []
    account = await house.rig.finished()
    assert (account.gaps, account.duplicates, account.lost) == (0, 0, 0)


async def _sums(house: House) -> list[tuple[int, Any]]:
    return [(at, value) for at, (value, _) in (await house.values("sum")).items()]


async def _a_hook_that_fails_marks_its_samples_and_says_so_everywhere(house: House) -> None:
    house.write("doubled", FAILING)
    assert (await house.reload()).applied
    report = await house.until_hook("doubled", lambda each: each.state == "off")
    assert report.line == 4
    assert "nothing" in report.error
    assert report.bad_samples > 0
    assert report.next_try is not None
    await house.until_value("t0", lambda value, quality: quality == "bad_hook")
    await house.until_value("t1", lambda value, quality: quality == "bad_hook")

    async def told() -> bool:
        events = [each for each in (await house.ask("/events"))["items"] if each["code"] == "hook_off"]
        hooks = (await house.ask(""))["hooks"] or {"hooks": []}
        states = {each["name"]: each["state"] for each in hooks["hooks"]}
        return len(events) == 1 and events[0]["data"]["hook"] == "doubled" and states.get("doubled") == "off"

    await until(told, SECONDS)
    metrics = await asyncio.to_thread(LocalClient(house.rig.runtime / "agent.sock").metrics)
    assert 'holdfast_hook_up{hook="doubled"} 0.0' in metrics
    assert 'holdfast_hook_up{hook="links"} 1.0' in metrics
    # A healthy group beside it stays good.
    _, value = await house.until_value("t0", good, "plc01")
    assert value is not None

    house.write("doubled", DOUBLED)
    assert (await house.reload()).applied
    assert (await house.until_hook("doubled", lambda each: each.state == "running")).error == ""
