"""Child processes of commands: a session of their own, killed whole, their output bounded and streamed.

What a child has not said when it is killed is lost. It is nice to polling, and dies with whoever waits.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.commands.errors import Failed

MAX_OUTPUT_BYTES: Final = 1 << 20
_NICE: Final = 10
_LINE_BYTES: Final = 16 << 10


@dataclass(frozen=True, slots=True)
class Ran:
    """output: of standard output, at most MAX_OUTPUT_BYTES."""

    code: int
    output: bytes


async def run_child(arguments: Sequence[str], on_line: Callable[[str], None]) -> Ran:
    """Runs this program with `arguments`; as `run_program`."""
    return await run_program([sys.executable, "-m", "edge_agent", *arguments], on_line)


async def run_program(command: Sequence[str], on_line: Callable[[str], None]) -> Ran:
    """Runs it to its end. on_line: gets each line of its standard error.

    Cancelled, it kills the child with all that it started, and waits for it. Raises Failed where no process
    can be started, and where one says more than is kept.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            start_new_session=True, limit=_LINE_BYTES,
        )  # fmt: skip
    except OSError as error:
        raise Failed("no_process", f"no process can be started: {error.strerror}") from error
    assert process.stdout is not None, "asked for"
    assert process.stderr is not None, "asked for"
    try:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PGRP, process.pid, _NICE)
        async with asyncio.TaskGroup() as group:
            output = group.create_task(_whole(process.stdout))
            group.create_task(_lines(process.stderr, on_line))
        code = await process.wait()
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return Ran(code, output.result())


async def _whole(stream: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await stream.read(1 << 16):
        size += len(part)
        if size > MAX_OUTPUT_BYTES:
            raise Failed("too_much_output", f"the process said more than {MAX_OUTPUT_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


async def _lines(stream: asyncio.StreamReader, on_line: Callable[[str], None]) -> None:
    """A line that is too long comes in pieces."""
    kept = b""
    while part := await stream.read(_LINE_BYTES):
        *lines, kept = (kept + part).split(b"\n")
        for line in lines:
            on_line(line.decode("utf-8", "replace"))
        if len(kept) > _LINE_BYTES:
            on_line(kept.decode("utf-8", "replace"))
            kept = b""
    if kept:
        on_line(kept.decode("utf-8", "replace"))
