"""A worker says of its layers what the kernel says, names what it lacks, and ends with its agent."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from edge_agent.hooks.layers import LAYERS, ON, lacking
from edge_agent.hooks.process import WorkerProcess
from edge_agent.hooks.worker.sandbox import MEMORY_BYTES, NICE

ROOT = Path(__file__).parents[2]
NOBODY = 65534
ENTRY = "from edge_agent.hooks.worker.__main__ import main; main()"
LIMITS = {
    "Max address space": MEMORY_BYTES, "Max processes": 0, "Max file size": 0, "Max core file size": 0,
    "Max open files": 3, "Max locked memory": 0,
}  # fmt: skip
# As on a machine that lacks it.
WITHOUT = {
    "the library": (
        "import ctypes; real = ctypes.CDLL\n"
        "def load(name, *a, **k):\n"
        "    if name and 'seccomp' in name: raise OSError(name + ': cannot open shared object file')\n"
        "    return real(name, *a, **k)\n"
        "ctypes.CDLL = load\n"
    ),
    "the extra": "import sys; sys.modules['pyseccomp'] = None\n",
}
# Hangs at once, and so that no end of its connection would be noticed.
AGENT = """
import asyncio
from edge_agent.hooks.process import WorkerProcess

async def main():
    worker = await WorkerProcess.start()
    print(worker.pid, flush=True)
    source = "while True: pass\\ndef transform(frame): pass"
    await worker.call({"op": "load", "hook": "x", "point": "transform", "source": source},
                      deadline_seconds=60, most_answer_bytes=0)

asyncio.run(main())
"""

# Tells the terminal of its own, and of its worker without any layer; 0: none.
BY_HAND = """
import asyncio, fcntl, os, termios
from pathlib import Path
from edge_agent.hooks.process import WorkerProcess

def terminal(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4]

async def main():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    worker = await WorkerProcess.start(layers=[])
    print(terminal(os.getpid()), terminal(worker.pid), flush=True)
    await worker.close()

asyncio.run(main())
"""


async def test_the_kernel_says_what_the_worker_says() -> None:
    worker = await WorkerProcess.start()
    try:
        assert worker.layers == dict.fromkeys(LAYERS, ON)
        lines = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines)
        user = str(NOBODY if os.getuid() == 0 else os.getuid())
        assert set(status["Uid"].split()) == {user}
        assert [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [0, 0, 0, 0]
        assert (status["NoNewPrivs"], status["Seccomp"], status["Threads"]) == ("1", "2", "1")
        assert os.getpriority(os.PRIO_PROCESS, worker.pid) == NICE
        assert Path(f"/proc/{worker.pid}/oom_score_adj").read_text().strip() == "1000"
        limits = Path(f"/proc/{worker.pid}/limits").read_text()
        for name, most in LIMITS.items():
            assert re.search(rf"^{name} +{most} +{most} ", limits, re.MULTILINE), limits
    finally:
        await worker.close()


@pytest.mark.parametrize("what", WITHOUT)
async def test_a_machine_without_libseccomp_is_told_of_and_has_every_other_layer(what: str) -> None:
    worker = await WorkerProcess.start(entry=["-I", "-X", "utf8", "-c", WITHOUT[what] + ENTRY])
    try:
        missing = lacking(worker.layers, LAYERS)
        assert list(missing) == ["seccomp"]
        assert missing["seccomp"].startswith("not to be had: ")
        assert "seccomp" in missing["seccomp"].removeprefix("not to be had: ")
    finally:
        await worker.close()


async def test_a_worker_is_weighed_against_its_agent_and_not_its_session_against_the_agents() -> None:
    worker = await WorkerProcess.start()
    try:
        assert os.getsid(worker.pid) == os.getsid(0)
        assert os.getpgid(worker.pid) == worker.pid
        weighed = Path("/proc/self/autogroup")
        if weighed.exists():
            assert Path(f"/proc/{worker.pid}/autogroup").read_text() == weighed.read_text()
    finally:
        await worker.close()


def test_a_worker_of_an_agent_that_is_run_by_hand_has_no_terminal() -> None:
    ours, theirs = pty.openpty()
    try:
        told = subprocess.run(
            [sys.executable, "-c", BY_HAND], stdin=theirs, stdout=subprocess.PIPE, cwd=ROOT, timeout=20,
            start_new_session=True, check=True,
        )  # fmt: skip
        own, workers = map(int, told.stdout.split())
        assert own != 0
        assert workers == 0
    finally:
        os.close(ours)
        os.close(theirs)


async def test_a_layer_that_is_left_out_is_not_said_to_be_on() -> None:
    worker = await WorkerProcess.start(layers=["rlimits"])
    try:
        assert lacking(worker.layers, LAYERS) == dict.fromkeys(set(LAYERS) - {"rlimits"}, "left out")
    finally:
        await worker.close()


def test_a_worker_that_hangs_ends_with_its_agent() -> None:
    agent = subprocess.Popen([sys.executable, "-c", AGENT], stdout=subprocess.PIPE, cwd=ROOT)
    with agent:
        assert agent.stdout is not None
        worker = psutil.Process(int(agent.stdout.readline()))
        agent.kill()
    worker.wait(timeout=10)
