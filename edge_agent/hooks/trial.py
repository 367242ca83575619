"""Whether scripts can run: each is compiled in a worker of its own kind, confined as the real ones are, and
nothing that runs is touched. For a reload, for the centre's scripts, and for `edge-agent check`.

No script's source is looked at outside of a worker.
"""

from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_agent.contracts.errors import Unavailable
from edge_agent.hooks.errors import NotConfined, ScriptRefused, WorkerGone
from edge_agent.hooks.layers import lacking
from edge_agent.hooks.link import Link
from edge_agent.hooks.process import WorkerProcess
from edge_agent.hooks.runner import Runner
from edge_agent.runtime.clock import SystemClock
from edge_agent.wire.scripts import Script

Start = Callable[[], Coroutine[Any, Any, WorkerProcess]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a script can never run. line: of its source, where that is known."""

    script: Script
    message: str
    line: int | None = None


@dataclass(slots=True)
class Trial:
    """layers: of the sandbox that the scripts were compiled in."""

    refusals: list[Refusal] = field(default_factory=list)
    layers: dict[str, str] = field(default_factory=dict)


async def try_scripts(
    scripts: Sequence[Script], require: Collection[str], start: Start = WorkerProcess.start
) -> Trial:
    """Compiles each. Raises Unavailable where no process can be started, and NotConfined where the kernel
    lacks a layer that is required: nothing was compiled then."""
    trial = Trial()
    worker: WorkerProcess | None = None
    try:
        for script in scripts:
            if worker is None or worker.fault is not None:
                worker = await _started(start)
                trial.layers = worker.layers
                if missing := lacking(worker.layers, require):
                    raise NotConfined(not_confined(missing))
            refusal = await _tried(worker, script)
            if refusal is not None:
                trial.refusals.append(refusal)
    finally:
        if worker is not None:
            await worker.close()
    return trial


def not_confined(missing: dict[str, str]) -> str:
    """missing: layers by name, each with why it is not on."""
    said = "; ".join(f"{name}: {why}" for name, why in missing.items())
    return f"hooks.require names what is not on here ({said}): no hook runs"


async def _started(start: Start) -> WorkerProcess:
    try:
        return await start()
    except WorkerGone as gone:
        raise Unavailable(f"no process for hooks can be started: {gone}") from gone


async def _tried(worker: WorkerProcess, script: Script) -> Refusal | None:
    runner = Runner(script, Link(worker), SystemClock())
    try:
        await runner.load()
    except ScriptRefused as refused:
        return Refusal(script, str(refused), refused.line)
    except WorkerGone as gone:
        return Refusal(script, f"it cannot be compiled: {gone}")
    return None
