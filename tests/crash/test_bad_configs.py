"""A config that agents refuse, pushed to many of them (20 in the long form): each keeps its own, polls on and
says why; and a config that would cut an agent off from its centre is not taken, or taken back by itself.

pains.md: tb#1331, #2102, #1910, #1211, #1550, #1795.
"""

import asyncio
import contextlib
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from central_sync.app import create_token
from edge_agent.demo.children import Child
from tests.crash.fault_proxy import Fault, FaultProxy, Mode
from tests.crash.forms import size
from tests.crash.rig import free_port, until

AGENTS = size(20, 6)
# What an agent may miss of its own rhythm while all of them share two cores with everybody else.
MOST_FRAMES_LATE = 3
_INTERVAL_SECONDS = 1


class Fleet:
    """A centre and agents as processes, and simulated PLCs; all ended by `fleet`."""

    def __init__(self, directory: Path, stack: contextlib.AsyncExitStack) -> None:
        self.directory = directory
        self.stack = stack
        self.url = f"http://127.0.0.1:{free_port()}"
        self.session: aiohttp.ClientSession
        self.plcs: list[int] = []
        self.tokens: dict[str, str] = {}
        self.runtimes: list[Path] = []

    def child(self, name: str, *arguments: str) -> Child:
        child = Child(name, arguments, self.directory / f"{name}.log")
        self.stack.push_async_callback(child.stop)
        return child

    async def start(self, devices: list[str]) -> None:
        ports = ("--ports", str(len(devices)))
        simulator = self.child("plcs", "edge_agent", "simulate", "modbus", "--json", *ports)
        await simulator.start()
        self.plcs = (await simulator.ready())["ports"]
        data = ("--data", str(self.directory / "central"))
        admin, _ = await asyncio.to_thread(create_token, self.directory / "central", "admin", None)
        for device in devices:
            token, _ = await asyncio.to_thread(create_token, self.directory / "central", None, device)
            self.tokens[device] = token
        headers = {"Authorization": f"Bearer {admin}"}
        self.session = await self.stack.enter_async_context(aiohttp.ClientSession(headers=headers))
        address = self.url.removeprefix("http://")
        centre = self.child("centre", "central_sync", "run", *data, "--listen", address, "--json")
        await centre.start()
        await centre.ready()

    async def start_agent(self, device: str, port: int, manage: list[str], url: str | None = None) -> None:
        home = self.directory / device
        home.mkdir()
        runtime = Path(tempfile.mkdtemp(prefix="holdfast-bad-", dir="/dev/shm"))
        self.runtimes.append(runtime)
        document = {
            "agent": {"id": device, "runtime_dir": str(runtime), "page_listen": None},
            "central": {
                "url": url or self.url, "token": self.tokens[device],
                "heartbeat_interval": "1s", "config_interval": "1s",
            },
            "remote": {"manage": manage},
            "buffer": {"flush_interval": "500ms"},
            "connections": [connection(port)],
        }  # fmt: skip
        path = home / "edge-agent.yaml"
        path.write_text(yaml.safe_dump(document))
        await self.child(device, "edge_agent", "run", "-c", str(path)).start()

    def forget(self) -> None:
        for runtime in self.runtimes:
            shutil.rmtree(runtime, ignore_errors=True)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        async with self.session.request(method, self.url + path, json=body) as response:
            answer = await response.json(content_type=None)
            assert response.status < 300, answer
            return answer

    async def state(self, device: str) -> Any:
        return await self.ask("GET", f"/api/fleet/devices/{device}/config/state")

    async def reported(self, device: str) -> str:
        reported = (await self.state(device))["reported"]
        return "" if reported is None else f"{reported['state']} {reported['seen_version']}"

    async def polls(self, device: str) -> bool:
        """Whether a value of its has come."""
        return bool((await self.ask("GET", f"/api/fleet/devices/{device}/latest-values"))["items"])

    async def points(self, device: str) -> list[Any]:
        path = f"/api/fleet/devices/{device}/tags/t0/timeseries?limit=10000"
        found: list[Any] = (await self.ask("GET", path))["points"]
        return found


@asynccontextmanager
async def fleet(directory: Path, devices: list[str]) -> AsyncIterator[Fleet]:
    async with contextlib.AsyncExitStack() as stack:
        made = Fleet(directory, stack)
        stack.callback(made.forget)
        await made.start(devices)
        yield made


def connection(port: int, **transport: Any) -> dict[str, Any]:
    return {
        "name": "plc",
        "driver": "modbus",
        "transport": {"type": "tcp", "host": "127.0.0.1", "port": port, **transport},
        "groups": [
            {
                "name": "all",
                "interval": f"{_INTERVAL_SECONDS}s",
                "tags": [{"name": "t0", "address": "holding:0"}],
            }
        ],
    }


def all_of(conditions: list[Callable[[], Awaitable[bool]]]) -> Callable[[], Awaitable[bool]]:
    """Each once, one after the other: a few series are read at a time."""
    left = list(conditions)

    async def hold() -> bool:
        while left and await left[0]():
            left.pop(0)
        return not left

    return hold


def gaps(points: list[Any]) -> list[float]:
    """The pauses between samples that are longer than the rhythm allows, in seconds."""
    times = [time for time, _, quality in points if quality == "good"]
    pauses = [(later - earlier) / 1000 for earlier, later in itertools.pairwise(times)]
    return [pause for pause in pauses if pause > MOST_FRAMES_LATE * _INTERVAL_SECONDS]


@pytest.mark.timeout(240)
async def test_a_bad_config_is_refused_by_each_of_many_agents_which_poll_on(
    tmp_path: Path,
) -> None:
    """Half are sent a secret that they do not have, half a section that their files do not hand over: the
    centre's check cannot know of either."""
    devices = [f"dev-{number:02d}" for number in range(AGENTS)]
    async with fleet(tmp_path, devices) as made:
        managed = [["connections"] if number % 2 else [] for number in range(AGENTS)]
        for device, port, manage in zip(devices, made.plcs, managed, strict=True):
            await made.start_agent(device, port, manage)
        await until(all_of([partial(made.polls, device) for device in devices]), 60)
        bad = connection(made.plcs[0])
        bad["transport"]["host"] = {"secret": "nobody-has-this"}
        request = {"targets": {"devices": devices}, "sections": {"connections": [bad]}, "note": "bad"}
        job = await made.ask("POST", "/api/fleet/configs/apply", request)

        async def refused(device: str) -> bool:
            return await made.reported(device) == "rejected 1"

        await until(all_of([partial(refused, device) for device in devices]), 60)
        done = await made.ask("GET", f"/api/fleet/configs/jobs/{job['id']}")
        assert (done["changed"], done["refused"]) == (AGENTS, 0)
        for device, manage in zip(devices, managed, strict=True):
            reported = (await made.state(device))["reported"]
            (problem, *_) = reported["problems"]
            reason = "has no 'nobody-has-this'" if manage else "the centre may not manage 'connections' here"
            assert reason in reported["message"], reported
            assert problem["path"].startswith("connections"), problem
            (version,) = (await made.ask("GET", f"/api/fleet/devices/{device}/config/versions"))["items"]
            assert version["outcome"]["state"] == "rejected"
        counted = {device: len(await made.points(device)) for device in devices}

        async def polls_on(device: str) -> bool:
            return len(await made.points(device)) >= counted[device] + 3

        await until(all_of([partial(polls_on, device) for device in devices]), 30)
        found = {device: gaps(await made.points(device)) for device in devices}
        assert {device: pauses for device, pauses in found.items() if pauses} == {}


@pytest.mark.timeout(200)
async def test_a_config_that_would_cut_an_agent_off_from_its_centre_is_taken_back(tmp_path: Path) -> None:
    """First a centre that does not answer: it is refused before anything changes. Then one that answers
    until it is trusted: the agent comes back by itself, and says so."""
    async with fleet(tmp_path, ["dev-1"]) as made:
        port = int(made.url.rsplit(":", 1)[1])
        await made.start_agent("dev-1", made.plcs[0], ["central"])
        await until(partial(made.polls, "dev-1"), 60)
        path = "/api/fleet/edge/dev-1/config"
        nowhere = f"http://127.0.0.1:{free_port()}"
        await made.ask("PUT", path, {"central": {"url": nowhere, "heartbeat_interval": "1s"}})

        async def reports(state: str) -> bool:
            return await made.reported("dev-1") == state

        await until(lambda: reports("rejected 1"), 30)
        assert nowhere in (await made.state("dev-1"))["reported"]["message"]
        async with FaultProxy("127.0.0.1", port) as proxy:
            moved = {"url": f"http://127.0.0.1:{proxy.port}", "heartbeat_interval": "1s"}
            await made.ask("PUT", path, {"central": moved})

            async def has_moved() -> bool:
                return proxy.accepted > 1

            await until(has_moved, 30)
            await proxy.set(Fault(Mode.REFUSE))
            await until(lambda: reports("rolled_back 2"), 90)
            state = await made.state("dev-1")
            assert (state["reported"]["code"], state["applied"]["version"]) == ("unreachable", None)
        assert gaps(await made.points("dev-1")) == []
