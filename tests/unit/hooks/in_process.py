"""The worker's own code without a process: what it answers is real, and it fails when it is told to."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from edge_agent.hooks.errors import WorkerGone
from edge_agent.hooks.worker.loop import Worker
from edge_agent.runtime.manual_clock import ManualClock

CALLS = ("frames", "calls")


class InProcess:
    """faults: what the next calls of scripts raise, None: nothing. twist: changes their answers. takes: what
    each of them lasts, in seconds. told_bytes: what it was taught. gate: calls wait for it.
    most_bytes: of the longest head."""

    def __init__(self, clock: ManualClock) -> None:
        self.layers: Mapping[str, str] = {"seccomp": "on", "landlock": "not supported"}
        self.fault: WorkerGone | None = None
        self.faults: deque[WorkerGone | None] = deque()
        self.twist: Callable[[dict[str, Any]], Any] = lambda answer: answer
        self.takes = 0.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.ends_over_schemas = False
        self.asked: list[str] = []
        self.most_bytes = 0
        self.told_bytes = 0
        self.closed = False
        self._clock = clock
        self._worker = Worker()

    async def call(
        self, head: Any, blob: bytes = b"", *, deadline_seconds: float, most_answer_bytes: int
    ) -> tuple[Any, memoryview]:
        if self.fault is not None:
            raise self.fault
        self.asked.append(head["op"])
        self.told_bytes += 0 if head["op"] in CALLS else len(orjson.dumps(head)) + len(blob)
        await asyncio.sleep(0)
        if head["op"] == "schema" and self.ends_over_schemas:
            self.fault = WorkerGone("it ended by SIGKILL")
            raise self.fault
        if head["op"] in CALLS:
            await self.gate.wait()
            if self.fault is not None:
                raise self.fault
            self._clock.stand_still(min(self.takes, deadline_seconds))
            self.fault = self.faults.popleft() if self.faults else None
            if self.fault is not None:
                raise self.fault
        text = orjson.dumps(head)
        self.most_bytes = max(self.most_bytes, len(text))
        answer, made = self._worker.answer(orjson.loads(text), memoryview(blob))
        assert len(made) <= most_answer_bytes
        if head["op"] in CALLS:
            answer = self.twist(orjson.loads(orjson.dumps(answer)))
        return orjson.loads(orjson.dumps(answer)), memoryview(made)

    def kill(self) -> None:
        self.fault = self.fault or WorkerGone("it was ended by the agent")
        self.gate.set()

    async def close(self) -> None:
        self.kill()
        self.closed = True


class Workers:
    """All that were begun, the newest last. refusing: none can be begun. ends_over_schemas: of new ones."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.begun: list[InProcess] = []
        self.refusing = False
        self.ends_over_schemas = False

    async def start(self) -> InProcess:
        await asyncio.sleep(0)
        if self.refusing:
            raise WorkerGone("no process can be started: out of memory")
        self.begun.append(InProcess(self.clock))
        self.begun[-1].ends_over_schemas = self.ends_over_schemas
        return self.begun[-1]
