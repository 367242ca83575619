"""`python -m bench.hook_caller SECONDS` times calls of a hook as the agent makes them.

The agent's own side of a call with a real worker, confined as in the agent, on the loop that the agent
uses; beside it, a bare process that sends each message back, asked without a loop. Prints JSON: microseconds
for each case.
"""

import asyncio
import json
import os
import socket
import struct
import sys
import time
from random import Random
from typing import Final

import uvloop

from bench.fit import percentile
from edge_agent.hooks.link import Link
from edge_agent.hooks.process import WorkerProcess
from edge_agent.hooks.runner import Given, Runner
from edge_agent.runtime.clock import SystemClock
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType
from edge_agent.wire.scripts import HookPoint, Script

COLUMNS: Final = """
OUTPUTS = {"t*": "float32"}

def transform(frame):
    frame.set_columns("t*", frame.columns("t*") * 0.1 + 4)
"""
LOOP: Final = """
OUTPUTS = {"t*": "float32"}

def transform(frame):
    for name in frame.names:
        frame[name] = frame[name] * 0.1 + 4
"""
# Name, script, tags, frames a call.
CASES: Final = (
    ("columns", COLUMNS, 1_000, 1),
    ("loop", LOOP, 1_000, 1),
    ("one", LOOP, 1, 1),
    ("one_of_10", LOOP, 1, 10),
)
_CALL_SECONDS: Final = 5.0
_MOST_CALLS: Final = 20_000


async def called(source: str, tags: int, frames: int, seconds: float) -> dict[str, float]:
    """Of one frame, in microseconds; a call of several counts as so many equal parts of it."""
    worker = await WorkerProcess.start()
    try:
        clock = SystemClock()
        script = Script(name="bench", hook_type=HookPoint.TRANSFORM, source=source)
        runner = Runner(script, Link(worker), clock)
        outputs = await runner.load()
        names = [TagSchema(f"t{index}", ValueType.UINT16, Order.ABCD) for index in range(tags)]
        schema = Schema.of("plc", "all", 1, names)
        derived = outputs.derive(schema)
        await runner.prepare(derived)
        random = Random(1)
        row = struct.pack(f">{tags}H", *(random.randrange(65_536) for _ in range(tags)))
        took: list[float] = []
        n, until = 0, time.monotonic() + seconds
        while time.monotonic() < until and len(took) < _MOST_CALLS:
            given = [Given(schema, Frame(n + index + 1, 0, 0, row, tags), derived) for index in range(frames)]
            n += frames
            begin = time.perf_counter_ns()
            await runner.frames(given, b"", _CALL_SECONDS)
            took.append((time.perf_counter_ns() - begin) / 1_000 / frames)
    finally:
        await worker.close()
    return {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99), "calls": len(took)}


def bounced(nbytes: int, calls: int = 5_000) -> float:
    """The median of a message there and back, without anything done to it."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        while data := theirs.recv(1 << 20):
            theirs.sendall(data)
        os._exit(0)
    theirs.close()
    took: list[float] = []
    with ours:
        for _ in range(calls):
            begin = time.perf_counter_ns()
            ours.sendall(bytes(nbytes))
            left = nbytes
            while left:
                left -= len(ours.recv(1 << 20))
            took.append((time.perf_counter_ns() - begin) / 1_000)
    os.waitpid(child, 0)
    return percentile(took, 0.5)


def main() -> None:
    seconds = float(sys.argv[1])
    found: dict[str, object] = {"bare_100_bytes": bounced(100), "bare_4_kilobytes": bounced(4_096)}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        for name, source, tags, frames in CASES:
            found[name] = loop.run(called(source, tags, frames, seconds / len(CASES)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
