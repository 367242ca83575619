"""The agent's `hook test` as a child for each question, within bounds of number, time, memory and output.

The child has an empty environment but for where its modules are. It runs the script in the agent's sandbox;
here it is only asked, and killed with all that it started where it takes too long.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from typing import Final

import structlog

from central_sync.checker import agent_command, confine, module_path
from central_sync.services.errors import Busy, Invalid
from central_sync.services.scripts.dry_run import NO_SANDBOX, TESTER_BUSY, TESTER_FAILED
from edge_agent.wire.dry_run import MAX_ANSWER_BYTES

logger = structlog.get_logger()

CHILDREN: Final = 2
MAX_WAITING: Final = 16
# Beside what the script may take: a start, compiling, and the answer.
START_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 5.0
_MAX_WORDS: Final = 8 << 10
# What the agent's exit codes say (docs/specs/hook-test-v1.md).
_ANSWERED: Final = (0, 1)
_NO_REQUEST: Final = 2
_CANNOT: Final = 3


class AgentTester:
    """Implements services.scripts.dry_run.Tester."""

    def __init__(self, command: Sequence[str] | None = None, start_seconds: float = START_SECONDS) -> None:
        self._command = [*(command or agent_command()), "hook", "test", "--json", "--request", "-"]
        self._start_seconds = start_seconds
        self._room = asyncio.Semaphore(CHILDREN)
        self._waiting = 0

    async def ask(self, request: bytes, seconds: float) -> bytes:
        """Raises Invalid, Busy."""
        if self._waiting >= CHILDREN + MAX_WAITING:
            raise Busy(TESTER_BUSY, "too many scripts wait to be tried", _RETRY_SECONDS)
        self._waiting += 1
        try:
            async with self._room:
                return await self._ask(request, seconds + self._start_seconds)
        finally:
            self._waiting -= 1

    async def _ask(self, request: bytes, seconds: float) -> bytes:
        child = await self._start()
        try:
            async with asyncio.timeout(seconds):
                answer, words = await _exchange(child, request)
                code = await child.wait()
        except TimeoutError as error:
            raise Busy(
                "tester_failed", f"trying it took longer than {seconds:g} s", _RETRY_SECONDS
            ) from error
        finally:
            await _end(child)
        if len(answer) > MAX_ANSWER_BYTES:
            raise Busy(TESTER_FAILED, "the agent answered with too much", _RETRY_SECONDS)
        if code in _ANSWERED and answer:
            return answer
        raise _refusal(code, words.decode("utf-8", "replace").strip())

    async def _start(self) -> asyncio.subprocess.Process:
        try:
            child = await asyncio.create_subprocess_exec(
                *self._command, env=module_path(), start_new_session=True, stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            logger.error("the agent that tries scripts cannot be started", error=str(error))
            text = f"{self._command[0]} cannot be started to try it: {error.strerror}"
            raise Busy("no_tester", text, _RETRY_SECONDS) from error
        confine(child.pid)
        return child


def _refusal(code: int, words: str) -> Busy | Invalid:
    last = words.splitlines()[-1] if words else f"the agent ended with code {code}"
    if code == _NO_REQUEST:
        return Invalid("bad_body", last)
    if code == _CANNOT:
        return Busy(NO_SANDBOX, last, 60.0)
    logger.error("the agent that tries scripts failed", code=code, error=last)
    return Busy(TESTER_FAILED, f"the process that tries scripts ended with code {code}", _RETRY_SECONDS)


async def _exchange(child: asyncio.subprocess.Process, request: bytes) -> tuple[bytes, bytes]:
    """What it says on its standard output and, its beginning, on its standard error."""
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    async with asyncio.TaskGroup() as group:
        group.create_task(_feed(child.stdin, request))
        answer = group.create_task(_read(child, child.stdout))
        words = group.create_task(_drain(child.stderr))
    return answer.result(), words.result()


async def _feed(stream: asyncio.StreamWriter, request: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        stream.write(request)
        await stream.drain()
    stream.close()


async def _read(child: asyncio.subprocess.Process, stream: asyncio.StreamReader) -> bytes:
    """More than an answer has ends the child."""
    found = bytearray()
    while part := await stream.read(1 << 16):
        found += part
        if len(found) > MAX_ANSWER_BYTES:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            break
    return bytes(found)


async def _drain(stream: asyncio.StreamReader) -> bytes:
    found = bytearray()
    while part := await stream.read(1 << 16):
        found += part[: _MAX_WORDS - len(found)]
    return bytes(found)


async def _end(child: asyncio.subprocess.Process) -> None:
    """With all that it started, as long as it has not taken leave of its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    # Its end is noted although whoever asked may be cancelled.
    await asyncio.shield(asyncio.ensure_future(child.wait()))
