"""A program of ours under a service manager of the tests: NOTIFY_SOCKET, a watchdog, signals, exit codes.

`edited` makes a copy of the packages in which parts hang or break when a file appears: see `mutations`.
"""

import asyncio
import json
import os
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml

from edge_agent.web.client import LocalClient
from tests.crash import mutations

# In an edited package: true once the test has made the file.
TRIGGERED: Final = "__import__('os').path.exists(__import__('os').environ['TEST_TRIGGER'])"
BLOCK: Final = "__import__('time').sleep(3600)"


def edited(directory: Path, edits: Mapping[tuple[str, str], str]) -> Path:
    """A copy of the packages with each (path, text) replaced, which must stand there exactly once."""
    copy = mutations.unmutated(directory)
    for (path, old), new in edits.items():
        file = copy / path
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{path} has {text.count(old)} times {old!r}: bring the test up to date"
        file.write_text(text.replace(old, new), encoding="utf-8")
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
            compiled.unlink()
    return copy


class Watched:
    """One program, and what it tells its service manager. `async with` ends it, whatever state it is in."""

    def __init__(
        self,
        directory: Path,
        arguments: Sequence[str],
        *,
        watchdog_seconds: float = 0,
        package: Path | None = None,
    ) -> None:
        """package: a copy that is run in the place of this tree."""
        self.trigger = directory / "trigger"
        self.log_file = directory / "program.log"
        self.told: list[tuple[float, str]] = []
        self._arguments = arguments
        self._address = directory / "notify"
        self._environment = os.environ if package is None else mutations.environment(package)
        self._environment = {
            **self._environment,
            "TEST_TRIGGER": str(self.trigger),
            "NOTIFY_SOCKET": str(self._address),
        }
        if watchdog_seconds:
            self._environment["WATCHDOG_USEC"] = str(round(watchdog_seconds * 1e6))
        self._listening: asyncio.Task[None] | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.process: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        self._socket.setblocking(False)
        self._socket.bind(str(self._address))
        self._listening = asyncio.create_task(self._listen())
        with self.log_file.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *self._arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment,
                start_new_session=True,
            )  # fmt: skip
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        assert self._listening is not None
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._socket.close()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            text = (await loop.sock_recv(self._socket, 4_000)).decode()
            self.told += [(time.monotonic(), line) for line in text.splitlines()]

    # --- what it says ----------------------------------------------------------------------------

    def times(self, line: str, since: float = 0.0) -> list[float]:
        """When it was told this."""
        return [at for at, text in self.told if text.startswith(line) and at >= since]

    def lines(self) -> list[dict[str, Any]]:
        """Its log."""
        found = []
        for text in self.log_file.read_text(errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                found.append(line)
        return found

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line.get("event") == event]

    async def until(self, condition: Callable[[], object], seconds: float = 40, what: str = "") -> None:
        """Waits for a condition while the program runs."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.returncode is None, f"ended with {self.process.returncode}\n{self._tail()}"
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self._tail()}"
            await asyncio.sleep(0.05)

    async def ready(self) -> None:
        await self.until(lambda: self.times("READY=1"), what="READY=1")

    def _tail(self) -> str:
        return f"{self.told[-5:]}\n{self.log_file.read_text(errors='replace')[-3000:]}"

    # --- what is done to it ----------------------------------------------------------------------

    def send(self, number: int) -> float:
        """Sends a signal. When that was."""
        self.process.send_signal(number)
        return time.monotonic()

    async def ended(self, seconds: float = 40) -> tuple[int, float]:
        """Its exit code, and when it ended (monotonic)."""
        async with asyncio.timeout(seconds):
            code = await self.process.wait()
        return code, time.monotonic()


class Site:
    """Where an agent lives: config, buffer, runtime directory; `plc_port` is whom it polls."""

    def __init__(self, directory: Path, plc_port: int, **sections: Any) -> None:
        self.directory = directory
        self.runtime = Path(tempfile.mkdtemp(prefix="holdfast-watched-", dir="/dev/shm"))
        self.database = directory / "buffer.db"
        self.config = directory / "edge-agent.yaml"
        tags = [{"name": "t[0..9]", "address": "holding:0..9", "type": "uint16"}]
        document = {
            "agent": {"id": "watched", "runtime_dir": str(self.runtime), "page_listen": None},
            "buffer": {"path": str(self.database)},
            "connections": [
                {
                    "name": "plc",
                    "driver": "modbus",
                    "transport": {"type": "tcp", "host": "127.0.0.1", "port": plc_port},
                    "groups": [{"name": "all", "interval": "100ms", "tags": tags}],
                }
            ],
            **sections,
        }
        self.config.write_text(yaml.safe_dump(document))

    @property
    def arguments(self) -> list[str]:
        return ["edge_agent", "run", "-c", str(self.config)]

    async def framed(self) -> int:
        """How many samples the agent says it has framed."""
        client = LocalClient(self.runtime / "agent.sock")
        status = await asyncio.to_thread(client.status)
        return sum(entry.framed for entry in status.accounting)

    async def stored(self) -> int:
        """How many samples its database has."""
        return await asyncio.to_thread(self._stored)

    def _stored(self) -> int:
        db = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            (samples,) = db.execute("SELECT coalesce(sum(samples), 0) FROM batch").fetchone()
            return int(samples)
        finally:
            db.close()

    def clear(self) -> None:
        shutil.rmtree(self.runtime, ignore_errors=True)
