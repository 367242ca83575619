"""Processes of the demo: started in sessions of their own, so that Ctrl-C reaches the demo alone."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson

READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0


class StartFailed(Exception):
    """A part of the demo did not get going; the message has the end of its log."""


class Child:
    """One process. Its standard error goes to a log file; its standard output too, but for the first line
    where that is awaited."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self._arguments = arguments
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *self._arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    async def ready(self) -> dict[str, Any]:
        """The JSON object that the process prints when it is ready. Raises StartFailed."""
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(READY_SECONDS):
                line = await self._process.stdout.readline()
                answer = orjson.loads(line)
        except (TimeoutError, orjson.JSONDecodeError) as error:
            tail = self._log.read_text(errors="replace")[-2000:]
            raise StartFailed(f"{self.name} did not start; the end of its log:\n{tail}") from error
        if not isinstance(answer, dict):
            raise StartFailed(f"{self.name} said {line!r}")
        return answer

    @property
    def pid(self) -> int:
        """Of the process that was started last; for whoever measures it."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def ended(self) -> int:
        """Waits for the process that was started last; its exit code, negative after a signal."""
        assert self._process is not None
        return await self._process.wait()

    async def kill(self) -> None:
        """SIGKILL: what a crash, the OOM killer or an impatient operator does."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(number)
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                await self._process.wait()


async def output_of(*arguments: str) -> str:
    """What a command of ours prints. Raises StartFailed where it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    if process.returncode != 0:
        raise StartFailed(f"{' '.join(arguments)}: {err.decode(errors='replace').strip()}")
    return out.decode().strip()
