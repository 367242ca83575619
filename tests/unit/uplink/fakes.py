"""A buffer and a centre in memory, and the uploader between them on a clock that a test moves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.uplink.errors import Unreachable
from edge_agent.uplink.uploader import Uploader
from edge_agent.wire import ranges
from edge_agent.wire.messages import Event, Head, UploadAnswer
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.upload import MAX_BODY_BYTES, BatchItem, decode_upload

MOMENT = 0.01


@dataclass
class FakeEpoch:
    no: int
    next: int = 1
    settled: Ranges = field(default_factory=list)
    bodies: dict[int, bytes] = field(default_factory=dict)

    @property
    def held(self) -> Ranges:
        return ranges.subtract([(1, self.next - 1)], self.settled)


class FakeOutbox:
    """Implements contracts.outbox.Outbox."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.epochs = {1: FakeEpoch(1)}
        self.committed: dict[tuple[int, int], float] = {}
        self.urgent_seqs: set[int] = set()
        self.schemas: dict[str, bytes] = {}
        self.rejected: list[tuple[int, int, str]] = []
        self.resent: Ranges = []
        self.renamed: list[tuple[int, Ranges]] = []
        self.unreadable: set[int] = set()
        self.looks = 0
        self._news = 0
        self._made = 0
        self._waiters = asyncio.Condition()

    async def commit(self, count: int = 1, nbytes: int = 100, *, urgent: bool = False) -> list[int]:
        """New batches of the current epoch. Returns their seqs."""
        epoch = self.epochs[self.current_epoch]
        seqs = list(range(epoch.next, epoch.next + count))
        for seq in seqs:
            self._made += 1
            epoch.bodies[seq] = self._made.to_bytes(4, "little") * (nbytes // 4)
            self.committed[epoch.no, seq] = self.clock.monotonic()
            if urgent:
                self.urgent_seqs.add(seq)
        epoch.next += count
        await self._tell()
        return seqs

    async def _tell(self) -> None:
        self._news += 1
        async with self._waiters:
            self._waiters.notify_all()

    @property
    def current_epoch(self) -> int:
        return max(self.epochs)

    def heads(self) -> list[Head]:
        return [self.head(no) for no, epoch in self.epochs.items() if epoch.held or no == self.current_epoch]

    def head(self, epoch_no: int) -> Head:
        epoch = self.epochs[epoch_no]
        floor = epoch.held[0][0] if epoch.held else epoch.next
        return Head(
            epoch=f"epoch-{epoch_no}", no=epoch_no, run="run", boot="boot", floor=floor, next=epoch.next,
            held=epoch.held, now=self.clock.wall_ms(),
        )  # fmt: skip

    def held(self, epoch_no: int) -> Ranges:
        self.looks += 1
        return self.epochs[epoch_no].held

    def urgent(self) -> Ranges:
        return ranges.of_numbers(self.urgent_seqs)

    def committed_at(self, epoch_no: int, seq: int) -> float | None:
        return self.committed.get((epoch_no, seq))

    async def wait_for_commit(self, seen: int) -> int:
        async with self._waiters:
            await self._waiters.wait_for(lambda: self._news != seen)
        return self._news

    async def fetch(self, epoch_no: int, wanted: Ranges, max_bytes: int) -> list[BatchItem]:
        assert wanted, "nothing was asked for"
        await asyncio.sleep(0)
        items: list[BatchItem] = []
        total = 0
        for lo, hi in wanted:
            for seq in range(lo, hi + 1):
                if seq in self.unreadable:
                    continue
                body = self.epochs[epoch_no].bodies[seq]
                total += len(body)
                if items and total > max_bytes:
                    return items
                now = self.clock.monotonic()
                age_seconds = now - self.committed.get((epoch_no, seq), now)
                t0 = self.clock.wall_ms() - round(age_seconds * 1000)
                items.append(BatchItem(seq, 1, 1, len(body), 1, t0, t0, bytes(16), body))
        return items

    async def schema(self, name: str) -> bytes | None:
        return self.schemas.get(name)

    def acknowledge(self, epoch_no: int, acked: Ranges) -> int:
        epoch = self.epochs[epoch_no]
        news = ranges.subtract(acked, epoch.settled)
        assert ranges.subtract(acked, [(1, epoch.next - 1)]) == [], "acknowledged what never was"
        epoch.settled = ranges.union(epoch.settled, acked)
        if epoch_no == self.current_epoch:
            self.urgent_seqs -= {seq for lo, hi in acked for seq in range(lo, hi + 1)}
        return ranges.size(news)

    async def reject(self, epoch_no: int, seq: int, why: str) -> None:
        self.rejected.append((epoch_no, seq, why))
        epoch = self.epochs[epoch_no]
        epoch.settled = ranges.union(epoch.settled, [(seq, seq)])
        await self._tell()

    async def resend(self, epoch_no: int, missing: Ranges) -> None:
        self.resent = ranges.union(self.resent, missing)
        epoch = self.epochs[epoch_no]
        epoch.settled = ranges.subtract(epoch.settled, missing)
        await self._tell()

    async def rename(self, epoch_no: int, seqs: Ranges) -> None:
        await asyncio.sleep(0)
        old, new = self.epochs[epoch_no], FakeEpoch(self.current_epoch + 1)
        if old.no > 1:
            return  # this process began it
        self.renamed.append((epoch_no, seqs))
        moved = [seq for lo, hi in ranges.intersect(old.held, seqs) for seq in range(lo, hi + 1)]
        new.bodies = {number: old.bodies[seq] for number, seq in enumerate(moved, 1)}
        new.next = len(moved) + 1
        old.settled = ranges.union(old.settled, seqs)
        self.epochs[new.no] = new
        self.urgent_seqs.clear()
        await self._tell()


@dataclass
class Post:
    at: float
    epoch: str
    seqs: list[int]
    nbytes: int


Rule = Callable[[Head, list[BatchItem]], UploadAnswer | Exception | None]


class FakeCentre:
    """Stores what comes, once. `rule` may answer or raise instead; None: as usual."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.rule: Rule = lambda head, items: None
        self.posts: list[Post] = []
        self.stored: dict[tuple[str, int], bytes] = {}
        self.order: list[bytes] = []
        self.schemas: list[str] = []
        self.schema_fault: Exception | None = None
        self.seconds: Callable[[int], float] = lambda nbytes: MOMENT
        self.away = False
        self.extra: dict[str, Any] = {}
        self._in_flight: set[tuple[str, int]] = set()

    async def upload(self, body: bytes) -> UploadAnswer:
        head, items = decode_upload(body)
        names = {(head.epoch, item.seq) for item in items}
        assert not names & self._in_flight, "a name is in flight twice"
        self._in_flight |= names
        try:
            self.posts.append(
                Post(self.clock.monotonic(), head.epoch, [item.seq for item in items], len(body))
            )
            await self.clock.sleep(self.seconds(len(body)))
        finally:
            self._in_flight -= names
        if self.away:
            raise Unreachable("ConnectionRefusedError")
        answer = self.rule(head, items)
        if isinstance(answer, Exception):
            raise answer
        return answer or self.ack(head, items)

    def ack(self, head: Head, items: list[BatchItem], **more: Any) -> UploadAnswer:
        """Stores the items and says so."""
        for item in items:
            if (head.epoch, item.seq) not in self.stored:
                self.stored[head.epoch, item.seq] = bytes(item.body)
                self.order.append(bytes(item.body))
        acked = ranges.of_numbers(item.seq for item in items)
        return self.answer(head, acked=acked, **more)

    def answer(self, head: Head, **more: Any) -> UploadAnswer:
        fields: dict[str, Any] = {"centre": "one", "epoch": head.epoch, "acked": [], **self.extra, **more}
        return UploadAnswer.model_validate(fields)

    async def put_schema(self, name: str, body: bytes) -> None:
        await self.clock.sleep(MOMENT)
        self.schemas.append(name)
        if self.schema_fault is not None:
            raise self.schema_fault

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    def seqs(self, epoch_no: int = 1) -> list[int]:
        """What is stored of an epoch, in the order in which it came."""
        return [seq for epoch, seq in self.stored if epoch == f"epoch-{epoch_no}"]


class Line:
    """The uploader between a buffer and a centre."""

    def __init__(self, rate: int = 1 << 20, seed: int = 7, most_bytes: int = MAX_BODY_BYTES) -> None:
        self.clock = ManualClock()
        self.outbox = FakeOutbox(self.clock)
        self.centre = FakeCentre(self.clock)
        self.hints: list[str | None] = []
        self.script_hints: list[str | None] = []
        self.events: list[Event] = []
        self.uploader = Uploader(
            self.centre, self.outbox, self.clock, rate, self.hints.append, Random(seed), self.events.append,
            most_bytes=most_bytes, on_scripts_hint=self.script_hints.append,
        )  # fmt: skip
        self.tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        lanes = (self.uploader.run_live, self.uploader.run_backlog)
        self.tasks = [asyncio.create_task(lane()) for lane in lanes]
        try:
            yield
            for task in self.tasks:
                assert not task.done(), task.exception()
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
        assert self.centre.in_flight == 0

    async def outage(self) -> None:
        """The centre goes, and the agent has noticed."""
        self.centre.away = True
        await self.outbox.commit()
        await self.clock.advance(10)
        assert self.state == "unreachable"

    async def looks_in(self, seconds: float) -> int:
        """How often the uploader looks at the buffer in that time, and in a thousand turns of the loop."""
        before = self.outbox.looks
        await self.clock.advance(seconds)
        for _ in range(1000):
            await asyncio.sleep(0)
        return self.outbox.looks - before

    @property
    def state(self) -> str:
        return self.uploader.report().state

    @property
    def left(self) -> int:
        return sum(ranges.size(epoch.held) for epoch in self.outbox.epochs.values())

    @property
    def codes(self) -> list[str]:
        return [event.code for event in self.events]
