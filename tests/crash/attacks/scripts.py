"""The corpus of hook scripts that attack (scripts.txt), and running it in real workers.

Beside every attack a healthy hook runs in the same worker, if that one still lives: what an attack leaves
behind there would show in its values.
"""

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_agent.hooks.errors import BadReply, ScriptRefused, TimedOut, WorkerGone
from edge_agent.hooks.link import Link
from edge_agent.hooks.process import WorkerProcess
from edge_agent.hooks.runner import Failure, Given, Runner
from edge_agent.hooks.samples import shown
from edge_agent.runtime.clock import SystemClock
from edge_agent.wire.dry_run import DryValue
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType
from edge_agent.wire.scripts import HookPoint, Script
from edge_agent.wire.values import pack

ENDINGS: Final = ("refused", "error", "late", "gone", "quiet")
# What hangs is known soon; what does not has time on a busy machine.
_SECONDS_OF_LATE: Final = 0.15
_SECONDS: Final = 10.0
_OUTPUTS: Final = 'OUTPUTS = {"out": "float64"}\n'
HEALTHY: Final = """
OUTPUTS = {"twice": "float64"}

def transform(frame, state):
    state["n"] = state.get("n", 0) + 1
    frame["twice"] = round(frame["a"] * 2, 3) + len(str(state["n"])) - 1
"""
VALUE: Final = 20.25


@dataclass(frozen=True)
class Attack:
    name: str
    ending: str
    source: str


@dataclass(frozen=True)
class Ended:
    """ending: one of ENDINGS, or `reached`. words: of the error."""

    ending: str
    words: str


def corpus() -> list[Attack]:
    found = []
    text = (Path(__file__).parent / "scripts.txt").read_text()
    for block in text.split("\n=== ")[1:]:
        head, _, body = block.partition("\n")
        name, _, ending = head.partition(": ")
        body = body.partition("\n--- ")[0].strip("\n") + "\n"
        if "def transform(" not in body:
            body = "def transform(frame, state):\n" + textwrap.indent(body, "    ")
        found.append(Attack(name, ending, _OUTPUTS + body))
    return found


class Hasty:
    """A worker that is given no longer for anything than `seconds`."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self.seconds = _SECONDS
        self.layers = worker.layers
        self.kill, self.close = worker.kill, worker.close

    @property
    def fault(self) -> WorkerGone | None:
        return self._worker.fault

    async def call(
        self, head: Any, blob: bytes = b"", *, deadline_seconds: float, most_answer_bytes: int
    ) -> tuple[Any, memoryview]:
        return await self._worker.call(
            head, blob, deadline_seconds=self.seconds, most_answer_bytes=most_answer_bytes
        )


class Range:
    """Where attacks are run, one after the other. workers: how many were begun."""

    def __init__(self) -> None:
        self._schema = Schema.of("press1", "fast", 1, [TagSchema(name, ValueType.FLOAT64) for name in "ab"])
        self._worker: Hasty | None = None
        self._link: Link | None = None
        self.workers = 0

    async def close(self) -> None:
        if self._worker is not None:
            await self._worker.close()

    async def attacked(self, attack: Attack) -> Ended:
        try:
            found = await self._run("attack", attack.source, late=attack.ending == "late")
        except ScriptRefused as refused:
            return Ended("refused", str(refused))
        except TimedOut as late:
            return Ended("late", str(late))
        except BadReply as bad:
            return Ended("bad reply", str(bad))
        except WorkerGone as gone:
            return Ended("gone", str(gone))
        if isinstance(found, Failure):
            return Ended("error", f"{found.kind}: {found.message}")
        got = "out" in found and found["out"].value
        return Ended("reached" if got else "quiet", "")

    async def healthy(self) -> bool:
        """Whether a hook beside it, on the same worker if that one lives, computes what it must."""
        found = await self._run("healthy", HEALTHY, late=False)
        return not isinstance(found, Failure) and found["twice"].value == 2 * VALUE

    async def _run(self, name: str, source: str, *, late: bool) -> dict[str, DryValue] | Failure:
        link = await self._living(_SECONDS_OF_LATE if late else _SECONDS)
        script = Script(name=name, hook_type=HookPoint.TRANSFORM, source=source)
        runner = Runner(script, link, SystemClock())
        derived = (await runner.load()).derive(self._schema)
        await runner.prepare(derived)
        row = b"".join(pack(ValueType.FLOAT64, Order.DCBA, [value]) for value in (VALUE, 1.0))
        frame = Frame(1, 1_000_000, 1_700_000_000_000, row, 2)
        ran = await runner.frames([Given(self._schema, frame, derived)], b"", _SECONDS)
        (result,) = ran.results
        assert result is not None
        return result if isinstance(result, Failure) else shown(derived.schema, result.frame)

    async def _living(self, seconds: float) -> Link:
        if self._worker is None or self._link is None or self._worker.fault is not None:
            await self.close()
            self._worker = Hasty(await WorkerProcess.start())
            self._link = Link(self._worker)
            self.workers += 1
        self._worker.seconds = seconds
        return self._link
