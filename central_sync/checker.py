"""The agent's judgement in child processes: `edge-agent check --requests`, one question a line.

At most `CHILDREN` at once, each bounded in memory and time; one that has answered waits a while for the next
question, and is replaced after some, since Python gives little memory back. A child that dies, hangs or
cannot be started answers nobody: that is Busy.
"""

import asyncio
import contextlib
import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog

from central_sync.services.configs.checking import CHECKER_FAILED
from central_sync.services.errors import Busy

logger = structlog.get_logger()

CHILDREN: Final = 2
MAX_WAITING: Final = 64
ANSWER_SECONDS: Final = 60.0
IDLE_SECONDS: Final = 30.0
MEMORY_BYTES: Final = 1 << 30
MAX_ANSWER_BYTES: Final = 64 << 20
# After so many questions, or one so long, a child is replaced.
MAX_QUESTIONS: Final = 500
LARGE_BYTES: Final = 1 << 20
_NICENESS: Final = 10
_RETRY_SECONDS: Final = 5.0


def agent_command() -> list[str]:
    """The agent of this installation, in an interpreter that finds what this one does."""
    return [sys.executable, "-P", "-m", "edge_agent"]


def module_path() -> dict[str, str]:
    """The environment in which an interpreter finds what this one does."""
    return {"PYTHONPATH": os.pathsep.join(each or os.curdir for each in sys.path)}


def confine(pid: int) -> None:
    """A child has so much memory, and gives way to others. It may have ended already; then its answer says
    so."""
    with contextlib.suppress(OSError, ValueError):
        resource.prlimit(pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        os.setpriority(os.PRIO_PROCESS, pid, _NICENESS)


@dataclass(slots=True)
class _Child:
    process: asyncio.subprocess.Process
    questions: int = 0


class AgentChecker:
    """`close` at the end."""

    def __init__(self, command: Sequence[str] | None = None, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._command = [*(command or agent_command()), "check", "--requests"]
        self._answer_seconds = answer_seconds
        self._room = asyncio.Semaphore(CHILDREN)
        self._waiting = 0
        self._idle: list[_Child] = []
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, request: bytes) -> dict[str, Any]:
        """Raises Busy."""
        if self._waiting >= MAX_WAITING:
            raise Busy("checker_busy", "too many configs wait to be checked", _RETRY_SECONDS)
        self._waiting += 1
        try:
            async with self._room:
                return await self._ask(request)
        finally:
            self._waiting -= 1

    async def _ask(self, request: bytes) -> dict[str, Any]:
        child = self._idle.pop() if self._idle else await self._start()
        kept = False
        try:
            async with asyncio.timeout(self._answer_seconds):
                answer = await _exchange(child.process, request)
            child.questions += 1
            kept = child.questions < MAX_QUESTIONS and len(request) < LARGE_BYTES
        except TimeoutError as error:
            text = f"checking it took longer than {self._answer_seconds:g} s"
            raise Busy(CHECKER_FAILED, text, _RETRY_SECONDS) from error
        except (OSError, ValueError) as error:
            logger.error("the process that checks configs failed", error=str(error))
            raise Busy(CHECKER_FAILED, "the process that checks configs failed", _RETRY_SECONDS) from error
        finally:
            if kept:
                self._rest(child)
            else:
                await _end(child)
        return answer

    async def _start(self) -> _Child:
        environ = {**os.environ, **module_path()}
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, env=environ, limit=MAX_ANSWER_BYTES, start_new_session=True,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            logger.error("the agent that checks configs cannot be started", error=str(error))
            text = f"{self._command[0]} cannot be started to check it: {error.strerror}"
            raise Busy("no_checker", text, _RETRY_SECONDS) from error
        confine(process.pid)
        return _Child(process)

    def _rest(self, child: _Child) -> None:
        self._idle.append(child)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._dismiss)

    def _dismiss(self) -> None:
        """Ends those that wait: at the end of their input they leave."""
        for child in self._idle:
            if child.process.stdin is not None:
                child.process.stdin.close()
        self._idle.clear()

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        idle, self._idle = self._idle, []
        for child in idle:
            await _end(child)


async def _exchange(process: asyncio.subprocess.Process, request: bytes) -> dict[str, Any]:
    """Raises OSError or ValueError where the child is gone or says something else."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(request + b"\n")
    await process.stdin.drain()
    line = await process.stdout.readline()
    if not line.endswith(b"\n"):
        raise OSError(f"it ended with code {await process.wait()}")
    answer: dict[str, Any] = orjson.loads(line)
    return answer


async def _end(child: _Child) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.process.kill()
    # Its end is noted although whoever asked may be cancelled.
    await asyncio.shield(asyncio.ensure_future(child.process.wait()))
