"""A connection to a PLC in memory, polled on a clock that stands still until a test moves it."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from edge_agent.config.models import ConnectionSettings, GroupSettings, TagSettings, TransportSettings
from edge_agent.contracts.driver import Capability, DriverSpec, Part, Plan, Reading, RequestSummary
from edge_agent.contracts.errors import NotConnected
from edge_agent.pipeline.build import Workshop, blueprint, build_poller
from edge_agent.pipeline.poller import Poller
from edge_agent.pipeline.watch import LivenessWatch
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import Event, GroupReport, UnitReport
from edge_agent.wire.quality import Quality, whole
from edge_agent.wire.schema import Schema, TagSchema

DEADLINE_SECONDS = 10.0


@dataclass(frozen=True)
class FakePlan:
    schema: Schema
    requests: Sequence[RequestSummary] = (RequestSummary("a request", 1, 12, 11, 0.0),)
    notes: Sequence[str] = ()


class FakeSink:
    """Keeps every frame; checks what every frame must keep."""

    def __init__(self) -> None:
        self.frames: list[tuple[Schema, Frame]] = []
        self.events: list[Event] = []

    def append(self, schema: Schema, frame: Frame) -> None:
        assert frame.n == 1 + sum(s.group == schema.group for s, _ in self.frames), "a hole in the numbers"
        self.frames.append((schema, frame))

    def record(self, kind: Kind, record: Mapping[str, Any]) -> None:
        assert kind is Kind.EVENT
        self.events.append(Event.model_validate(record))

    async def announce(self, schemas: list[Schema]) -> None:
        raise AssertionError("app announces, pollers do not")

    def of(self, group: str) -> list[Frame]:
        return [frame for schema, frame in self.frames if schema.group == group]


class FakeTransport(TransportSettings):
    pass


class FakeGroup(GroupSettings):
    tags: list[TagSettings]


class FakeConnection(ConnectionSettings):
    transport: FakeTransport = FakeTransport()
    groups: list[FakeGroup]


Mood = Callable[[Plan], Awaitable[Reading]]


class FakeDriver:
    """A link to a PLC whose registers count its reads.

    moods: what a group's read does instead of answering. seconds: how long a group's read takes.
    refuses: why `connect` fails; empty: it does not.
    """

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.moods: dict[str, Mood] = {}
        self.seconds: dict[str, float] = {}
        self.refuses = ""
        self.connects: list[float] = []
        self.closes = 0
        self.reads: list[tuple[str, float]] = []
        self.released = asyncio.Event()
        self.swallowed = 0
        self.sent: dict[str, list[Part]] = {}  # of subscribed groups: what nobody has read yet
        self.sent_at_last: dict[str, list[Part]] = {}  # while the link is being closed
        self._open = False

    async def connect(self) -> None:
        self.connects.append(self.clock.monotonic())
        if self.refuses:
            raise NotConnected(self.refuses)
        self._open = True

    async def read(self, plan: Plan) -> Reading:
        group = plan.schema.group
        self.reads.append((group, self.clock.monotonic()))
        if not self._open:
            raise NotConnected("the link is lost")
        if group in self.moods:
            return await self.moods[group](plan)
        await self.clock.sleep(self.seconds.get(group, 0.0))
        return self.good(plan)

    def good(self, plan: Plan) -> Reading:
        return Reading(len(self.reads).to_bytes(2, "little") * (plan.schema.row_bytes // 2))

    def left_over(self, plan: Plan) -> Reading | None:
        parts = self.sent.pop(plan.schema.group, None)
        return None if parts is None else Reading(b"", news=tuple(parts))

    async def close(self) -> None:
        self.closes += 1
        self.sent.update(self.sent_at_last)
        self._open = False

    # --- moods -----------------------------------------------------------------------------------

    def drop(self) -> None:
        """The peer is gone: whoever reads next learns it."""
        self._open = False

    async def dead_unit(self, plan: Plan) -> Reading:
        """Costs a time-out."""
        await self.clock.sleep(1.0)
        bad = whole(len(plan.schema.tags), Quality.BAD_COMM)
        return Reading(b"", None, bad, unanswered=True, errors={"holding 0..1": "no answer within 1 s"})

    async def dead_unit_on_a_serial_line(self, plan: Plan) -> Reading:
        """As `dead_unit`, and the driver gives the link up, because a late answer could not be told apart."""
        reading = await self.dead_unit(plan)
        self._open = False
        return reading

    async def hang_up(self, plan: Plan) -> Reading:
        self._open = False
        raise NotConnected("the peer closed the connection")

    async def hang(self, plan: Plan) -> Reading:
        await asyncio.Event().wait()
        raise AssertionError("nobody ends this wait")

    async def hang_for_good(self, plan: Plan) -> Reading:
        """Not even a cancellation ends it, before `released` is set."""
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.swallowed += 1
        return self.good(plan)

    async def fail(self, plan: Plan) -> Reading:
        raise ZeroDivisionError("a bug of the driver")

    def of(self, group: str) -> list[float]:
        """When the group was read."""
        return [at for name, at in self.reads if name == group]


def plan_of(connection: FakeConnection, group: FakeGroup) -> FakePlan:
    tags = [TagSchema(tag.name, tag.type, scale=tag.scale, offset=tag.offset) for tag in group.tags]
    return FakePlan(Schema.of(connection.name, group.name, group.unit_id, tags))


def group(
    name: str, interval: str = "1s", unit_id: int | None = 1, tags: Any = None, **more: Any
) -> dict[str, Any]:
    return {"name": name, "interval": interval, "unit_id": unit_id, "tags": tags or [{"name": "t"}], **more}


@dataclass
class Plant:
    """One connection with the groups of a test; `start` runs its poller."""

    groups: list[dict[str, Any]]
    timeout: str = "1s"
    clock: ManualClock = field(default_factory=ManualClock)
    sink: FakeSink = field(default_factory=FakeSink)
    made: int = 0  # drivers, which share the one PLC

    def __post_init__(self) -> None:
        self.driver = FakeDriver(self.clock)
        self.workshop = Workshop(self.clock, self.sink)
        self.poller = self.build()

    def build(self) -> Poller:
        """A poller of the groups as they are now: what a reload does."""
        abilities = frozenset({Capability.READ})
        spec = DriverSpec("fake", "a PLC in memory", FakeConnection, abilities, plan_of, self.make_driver)
        settings = FakeConnection.model_validate(
            {"name": "plc", "driver": "fake", "transport": {"timeout": self.timeout}, "groups": self.groups}
        )
        drawn = pickle.loads(pickle.dumps(blueprint(settings, spec)))
        poller, schemas = build_poller(drawn, spec, self.workshop)
        assert [schema.group for schema in schemas] == [each["name"] for each in self.groups]
        return poller

    def make_driver(self, _: Any) -> FakeDriver:
        self.made += 1
        return self.driver

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """As `running`, and the watch for silence looks at it, and at what a reload puts in its place."""
        watch = LivenessWatch(self.clock, self.sink, lambda: [self.poller])
        async with self.running():
            task = asyncio.create_task(watch.run())
            try:
                yield
                assert not task.done(), task.exception()
            finally:
                task.cancel()
                await asyncio.wait([task])

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        task = asyncio.create_task(self.poller.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])
        self.check_counts()

    def check_counts(self) -> None:
        """Read = suppressed + framed, and what frames say of it, to the sample."""
        counts = self.workshop.counts["plc"]
        assert counts.read == counts.suppressed + counts.framed
        unreported = [self.workshop.counters.of("plc", each["name"]) for each in self.groups]
        frames = [frame for _, frame in self.sink.frames]
        assert counts.read == sum(f.read for f in frames) + sum(each.read for each in unreported)
        assert counts.suppressed == (
            sum(f.suppressed for f in frames) + sum(each.suppressed for each in unreported)
        )
        assert counts.framed == sum(f.samples for f in frames)

    def unit(self, unit_id: int | None = 1) -> UnitReport:
        return next(unit for unit in self.poller.report().units if unit.unit_id == unit_id)

    def state(self, name: str) -> GroupReport:
        return next(group for group in self.poller.report().groups if group.name == name)

    def latest(self) -> dict[str, tuple[Any, str]]:
        """(value, quality) by `group.tag`."""
        return {f"{v.group}.{v.tag}": (v.value, v.quality) for v in self.poller.latest()}


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that real time brings; fails after a deadline."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.001)
