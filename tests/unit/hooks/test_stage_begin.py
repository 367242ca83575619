"""What the first polls wait for: not for a process that does not come, nor for a script that hangs."""

import asyncio

from edge_agent.hooks.stage import FIRST_SECONDS, PREPARE_SECONDS, Stage
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.scripts import HookPoint, Script
from tests.unit.hooks.in_process import InProcess, Workers

FAST = Schema.of("press1", "fast", 1, [TagSchema("t0", ValueType.UINT16)])
SCRIPT = Script(name="oil", hook_type=HookPoint.TRANSFORM, source="def transform(frame):\n    pass\n")


class Quiet:
    """Implements contracts.hooks.HookSources."""

    def links(self) -> list[object]:
        return []

    def polled(self) -> list[object]:
        return []

    def ticks(self) -> list[object]:
        return []


async def test_a_worker_that_does_not_come_keeps_no_connection_from_its_begin() -> None:
    clock = ManualClock()
    gate, workers = asyncio.Event(), Workers(clock)

    async def start() -> InProcess:
        await gate.wait()
        return await workers.start()

    stage = Stage(clock, Quiet(), {}, start)  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    began = loop.time()
    await stage.replace([SCRIPT], [], 0.25)
    await stage.expect([FAST])
    assert loop.time() - began < FIRST_SECONDS + PREPARE_SECONDS / 2
    assert stage.report().hooks[0].state == "starting"
    gate.set()
    async with asyncio.timeout(5):
        while stage.report().hooks[0].state != "running":
            await asyncio.sleep(0)
    await stage.close()
