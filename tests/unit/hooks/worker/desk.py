"""Scripts run by the stage's own `Runner` on values: in this process, or in a worker of their own."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from edge_agent.hooks import samples
from edge_agent.hooks.errors import WorkerGone
from edge_agent.hooks.link import Link
from edge_agent.hooks.merge import Merged
from edge_agent.hooks.protocol import HEAD, decode, encode
from edge_agent.hooks.runner import Failure, Given, Ran, Runner, frame_of
from edge_agent.hooks.worker.loop import Worker
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.dry_run import DryFrame, DryValue
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType
from edge_agent.wire.scripts import HookPoint, Script

TAGS = (
    TagSchema("oil", ValueType.INT16, Order.ABCD, scale=0.1, unit="°C"),
    TagSchema("water", ValueType.FLOAT32, Order.ABCD),
    TagSchema("count", ValueType.UINT32),
    TagSchema("status", ValueType.UINT16),
    TagSchema("running", ValueType.BOOL),
    TagSchema("batch", ValueType.STRING),
)
ALL: dict[str, Any] = {
    "oil": 25.0, "water": 10.0, "count": 7, "status": 5, "running": True, "batch": "B7",
}  # fmt: skip
Shown = dict[str, DryValue]


class InProcess:
    """A worker without a process: requests and answers go through the protocol's bytes."""

    fault: WorkerGone | None = None
    layers: Mapping[str, str] = {}

    def __init__(self) -> None:
        self._worker = Worker()

    async def call(
        self, head: Any, blob: bytes = b"", *, deadline_seconds: float, most_answer_bytes: int
    ) -> tuple[Any, memoryview]:
        asked, given = decode(encode(1, head, blob)[HEAD.size :])
        return decode(encode(1, *self._worker.answer(asked, given))[HEAD.size :])

    def kill(self) -> None:
        self.fault = WorkerGone("killed")

    async def close(self) -> None:
        self.kill()


class Desk:
    """One script, its state, and one group of `tags`. Made by `of`."""

    def __init__(self, runner: Runner, schemas: Sequence[Schema]) -> None:
        self.runner = runner
        self.state = b""
        self.prints = ""
        self.ran: Ran | None = None
        self._schemas = [{**schema_json(schema)} for schema in schemas]

    @classmethod
    async def of(
        cls,
        source: str,
        point: str = "transform",
        tags: Sequence[TagSchema] = TAGS,
        worker: Any = None,
        more: Sequence[Schema] = (),
        **settings: Any,
    ) -> "Desk":
        extra = {"schedule": "* * * * *"} if point == "on_schedule" else {}
        name = settings.pop("name", "hook")
        script = Script(name=name, hook_type=HookPoint(point), source=source, **extra, **settings)
        runner = Runner(script, Link(worker or InProcess()), ManualClock())
        await runner.load()
        return cls(runner, [Schema.of("press1", "fast", 7, tags), *more])

    async def run(
        self, frames: Sequence[Mapping[str, Any]], only_known: Collection[str] = ()
    ) -> list[Shown | Failure | None]:
        """`frames`: values by tag, with `quality`, `time`, `connection` and `group` under `:` if they are not
        the usual ones. only_known: connections whose frames the script is not run on."""
        given = samples.frames_of([_dry(each, number) for number, each in enumerate(frames)], self._schemas)
        outputs = self.runner.outputs
        assert outputs is not None
        asked: list[Given] = []
        for schema, frame in given:
            if not self.runner.script.hook_type.has_frames:
                await self.runner.learn(schema)
                made = None if schema.connection in only_known else outputs.computed
            else:
                made = outputs.derive(schema)
                await self.runner.prepare(made)
            asked.append(Given(schema, frame, made))
        return self._take(asked, await self.runner.frames(asked, self.state, 5.0))

    async def frame(
        self, values: Mapping[str, Any], quality: Mapping[str, str] | None = None, time: int = 1_000
    ) -> Shown | Failure | None:
        (result,) = await self.run([{":": {"quality": quality or {}, "time": time}, **values}])
        return result

    async def call(self, call: Mapping[str, Any]) -> Shown | Failure | None:
        outputs = self.runner.outputs
        assert outputs is not None
        assert outputs.computed is not None
        frame = frame_of(call["t"], 0)
        ran = await self.runner.calls([dict(call)], [frame], self.state, 5.0)
        (result,) = self._take([Given(outputs.computed.source, frame, outputs.computed)], ran)
        return result

    def _take(self, asked: Sequence[Given], ran: Ran) -> list[Shown | Failure | None]:
        self.ran, self.state, self.prints = ran, ran.state, ran.prints
        shown: list[Shown | Failure | None] = []
        for each, result in zip(asked, ran.results, strict=True):
            if isinstance(result, Merged):
                assert each.derived is not None
                shown.append(samples.shown(each.derived.schema, result.frame))
            else:
                shown.append(result)
        return shown


def schema_json(schema: Schema) -> dict[str, Any]:
    return {
        "connection": schema.connection,
        "group": schema.group,
        "unit_id": schema.unit_id,
        "tags": [tag.to_json() for tag in schema.tags],
    }


def _dry(values: Mapping[str, Any], number: int) -> DryFrame:
    told = {"connection": "press1", "group": "fast", "time": 1_000 * (number + 1), **values.get(":", {})}
    return DryFrame(values={name: value for name, value in values.items() if name != ":"}, **told)


def good(result: Shown | Failure | None, *names: str) -> Any:
    """The values of these tags, all good; one alone for one name."""
    assert isinstance(result, dict), result
    found = [result[name] for name in names]
    assert all(each.quality == "good" for each in found), found
    values = [each.value for each in found]
    return values[0] if len(values) == 1 else values


def failure(result: Shown | Failure | None) -> Failure:
    assert isinstance(result, Failure), result
    return result


def script(outputs: str, *lines: str) -> str:
    """A transform of these lines."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"OUTPUTS = {{{outputs}}}\ndef transform(frame):\n{body}"
