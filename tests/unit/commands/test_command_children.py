"""Children of commands: bounded, streamed, and killed with all that they started."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from edge_agent.commands.children import MAX_OUTPUT_BYTES, run_program
from edge_agent.commands.errors import Failed

# Starts a process of its own that ignores SIGTERM, and says the ids of both.
_FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); "
                          "print('up', flush=True); time.sleep(600)"], stdout=subprocess.PIPE)
child.stdout.readline()
print(os.getpid(), child.pid, file=sys.stderr, flush=True)
time.sleep(600)
"""


async def test_output_and_lines_come_back_with_the_code() -> None:
    lines: list[str] = []
    text = "import sys; print('out'); print('a\\nb', file=sys.stderr); sys.exit(3)"
    ran = await run_program([sys.executable, "-c", text], lines.append)
    assert (ran.code, ran.output, lines) == (3, b"out\n", ["a", "b"])


async def test_a_cancelled_child_dies_with_all_that_it_started() -> None:
    said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(run_program([sys.executable, "-c", _FAMILY], said.set_result))
    family = [int(each) for each in (await asyncio.wait_for(said, 20)).split()]
    assert all(os.getpgid(each) == family[0] for each in family)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(10):
        while any(_runs(each) for each in family):
            await asyncio.sleep(0.01)


def _runs(pid: int) -> bool:
    """A killed grandchild that nobody waits for stays as a zombie in some containers."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


async def test_a_child_that_says_too_much_is_ended() -> None:
    text = f"import time; print('x' * {MAX_OUTPUT_BYTES}, flush=True); time.sleep(600)"
    with pytest.raises(Failed, match="said more"):
        await run_program([sys.executable, "-c", text], lambda _: None)


async def test_a_program_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(Failed, match="no process"):
        await run_program(["/nothing/here"], lambda _: None)
