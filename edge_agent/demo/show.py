"""The demo's course: start everything, say how it goes, kill twice if there is a verdict, stop in order."""

import asyncio
import contextlib
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar, Final

import aiohttp
import orjson
import yaml

from edge_agent.demo import verdict
from edge_agent.demo.centre import Account, CentreApi
from edge_agent.demo.children import Child, StartFailed, output_of
from edge_agent.demo.plant import PLANT, TICK_MS, samples_per_second

DIRECTORY: Final = Path(".demo")
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a private directory in it
DEVICE: Final = "demo"
STATUS_SECONDS: Final = 3.0
_SETTLE_SECONDS: Final = 20.0


class Show:
    """One demo in `.demo/` under the working directory, which is made anew."""

    # A restart takes about a second, which must fit into the 5 % that the verdict allows.
    SHORTEST_SECONDS: ClassVar[float] = 30.0

    def __init__(self, for_seconds: float | None, as_json: bool) -> None:
        self._for_seconds = for_seconds
        self._as_json = as_json
        self._stop = asyncio.Event()
        self._plcs: list[Child] = []
        self._centre: Child | None = None
        self._agent: Child | None = None
        self._api: CentreApi | None = None
        # Unix sockets have short paths, and the ring belongs in memory.
        shared = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
        self._runtime = Path(tempfile.mkdtemp(prefix="holdfast-demo-", dir=shared))
        self._started = time.monotonic()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        shutil.rmtree(DIRECTORY, ignore_errors=True)
        DIRECTORY.mkdir()
        try:
            await self._start()
            if self._for_seconds is None:
                await self._watch(None)
                return 0
            return await self._judge(self._for_seconds)
        except StartFailed as error:
            self._say(f"edge-agent: demo: {error}")
            return 3
        finally:
            await self._end()
            shutil.rmtree(self._runtime, ignore_errors=True)

    # --- beginning and end -----------------------------------------------------------------------

    async def _start(self) -> None:
        data = DIRECTORY / "central"
        port = _free_port()
        viewer, device = await asyncio.gather(
            output_of("central_sync", "token", "create", "--data", str(data), "--role", "operator"),
            self._start_plcs(),
        )
        token = await output_of("central_sync", "token", "create", "--data", str(data), "--device", DEVICE)
        self._centre = Child(
            "centre",
            ["central_sync", "run", "--data", str(data), "--listen", f"127.0.0.1:{port}", "--json"],
            DIRECTORY / "central.log",
        )
        await self._centre.start()
        url = str((await self._centre.ready())["url"]).rstrip("/")
        self._api = CentreApi(url, viewer, DEVICE)
        self._write_config(url, token, device)
        config = str(DIRECTORY / "edge-agent.yaml")
        self._agent = Child("agent", ["edge_agent", "run", "-c", config], DIRECTORY / "agent.log")
        await self._agent.start()
        self._say(f"live page:  {url}/#token={viewer}")
        self._say(f"plant:      {len(PLANT)} simulated PLCs, {samples_per_second():g} samples a second")
        self._say(f"agent:      edge-agent status -c {config}")
        if self._for_seconds is None:
            self._say("stop with Ctrl-C")

    async def _start_plcs(self) -> list[int]:
        for plc in PLANT:
            signals = DIRECTORY / f"{plc.name}-signals.json"
            signals.write_bytes(orjson.dumps(plc.signals()))
            child = Child(
                f"PLC {plc.name}",
                [
                    "edge_agent", "simulate", "modbus", "--json", "--framing", plc.framing,
                    "--tick-ms", str(TICK_MS), "--signals", str(signals),
                ],
                DIRECTORY / f"{plc.name}.log",
            )  # fmt: skip
            await child.start()
            self._plcs.append(child)
        return [(await child.ready())["ports"][0] for child in self._plcs]

    def _write_config(self, url: str, token: str, ports: list[int]) -> None:
        document: dict[str, Any] = {
            "agent": {"id": DEVICE, "labels": {"site": "demo"}, "runtime_dir": str(self._runtime)},
            "central": {"url": url, "token": token, "heartbeat_interval": "2s", "config_interval": "10s"},
            "buffer": {"path": "buffer.db", "flush_interval": "500ms"},
            "connections": [plc.settings(port) for plc, port in zip(PLANT, ports, strict=True)],
        }
        text = "# Written by edge-agent demo.\n" + yaml.safe_dump(
            document, allow_unicode=True, sort_keys=False
        )
        path = DIRECTORY / "edge-agent.yaml"
        path.touch(mode=0o600)
        path.write_text(text)

    async def _end(self) -> None:
        """What sends first, what receives last."""
        for child in (self._agent, self._centre, *self._plcs):
            if child is not None:
                await child.stop()

    # --- the course ------------------------------------------------------------------------------

    async def _watch(self, until: float | None) -> None:
        """A status line every few seconds until `until` (monotonic seconds) or Ctrl-C."""
        while not self._stop.is_set():
            left = STATUS_SECONDS if until is None else min(STATUS_SECONDS, until - time.monotonic())
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), left)
            if not self._stop.is_set():
                self._say(await self._status_line())

    async def _status_line(self) -> str:
        assert self._api is not None
        clock = f"{time.monotonic() - self._started:5.0f} s"
        try:
            account = await self._api.account()
            device = await self._api.device()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return f"{clock}  the centre is away ({type(error).__name__}); the agent goes on"
        connections = device.get("connections") or []
        up = sum(1 for connection in connections if connection.get("state") == "connected")
        return (
            f"{clock}  {device.get('state', '?')}  {up}/{len(connections)} connections  "
            f"{account.samples:,} samples  pending {account.pending}  gaps {account.gaps}  "
            f"duplicates {account.duplicates}  lost {account.lost}"
        )

    async def _judge(self, seconds: float) -> int:
        assert self._agent is not None
        assert self._centre is not None
        first = await self._first_sample_ms()
        begin = time.monotonic()
        await self._watch(begin + seconds / 3)
        await self._kill(self._agent, "agent")
        await self._watch(begin + seconds * 2 / 3)
        await self._kill(self._centre, "centre")
        await self._centre.ready()
        await self._watch(begin + seconds)
        if self._stop.is_set():
            self._say("stopped before the end: no verdict")
            return 130
        end = time.time_ns() // 1_000_000
        await self._agent.stop()
        await self._settled()
        assert self._api is not None
        found = await verdict.collect(self._api, first, end)
        self._say(orjson.dumps(found.as_json()).decode() if self._as_json else found.text(), result=True)
        return 0 if found.passed else 1

    async def _kill(self, child: Child, name: str) -> None:
        if self._stop.is_set():
            return
        self._say(f"{time.monotonic() - self._started:5.0f} s  kill -9 {name}, and start it again")
        await child.kill()
        await child.start()

    async def _first_sample_ms(self) -> int:
        """When the first sample was at the centre: from then on every one counts."""
        assert self._api is not None
        deadline = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < deadline and not self._stop.is_set():
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                if (await self._api.account()).samples:
                    return time.time_ns() // 1_000_000
            await asyncio.sleep(0.1)
        raise StartFailed(f"no sample arrived within {_SETTLE_SECONDS:g} s; see {DIRECTORY}/agent.log")

    async def _settled(self) -> Account:
        """Waits until the centre has all that it was promised."""
        assert self._api is not None
        deadline = time.monotonic() + _SETTLE_SECONDS
        account = await self._api.account()
        while account.pending and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
            account = await self._api.account()
        return account

    def _say(self, text: str, *, result: bool = False) -> None:
        if result or not self._as_json:
            print(text, flush=True)


def _free_port() -> int:
    """A port that is free now: the centre must come back on the same one after its kill."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
