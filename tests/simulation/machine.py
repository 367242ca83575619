"""The device's machine: the real buffer and uplink over one disk and one tmpfs, life after life.

A death takes a copy of the files as they are at that moment; the next life begins on it. So nothing that
the dead process still does in memory can be seen by anybody.
"""

import asyncio
import shutil
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from edge_agent.buffer.errors import BufferFault
from edge_agent.buffer.outbox import StoredOutbox
from edge_agent.buffer.recovery import Identity
from edge_agent.buffer.ring import FrameRing
from edge_agent.buffer.settings import StoreSettings
from edge_agent.buffer.store import Store
from edge_agent.uplink.beat import Heartbeats
from edge_agent.uplink.uploader import Uploader
from edge_agent.wire import ranges
from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import Event, Heartbeat, LossReason, Resend
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from tests.simulation.centre import DEVICE, copy_database
from tests.simulation.link import Link, LinkClient
from tests.simulation.loop import Thread, VirtualClock, VirtualLoop

FLUSH_SECONDS: Final = 2.0
BEAT_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.7
CATCH_UP_RATE: Final = 20_000
_RETRY_SECONDS: Final = 1.0

FrameName = tuple[str, str, str, int]  # (run, connection, group, n)


def schema(connection: str, group: str, tags: int) -> Schema:
    names = [TagSchema(f"t{index}", ValueType.UINT16) for index in range(tags)]
    return Schema.of(connection, group, 1, names)


SCHEMAS: Final = (
    schema("press1", "fast", 4),
    schema("press1", "slow", 9),
    schema("oven", "zones", 40),
    # The same groups with other tags: numbers go on through a change of config.
    schema("press1", "slow", 2),
    schema("oven", "zones", 41),
)


@dataclass
class Disk(Thread):
    """The writer's thread. failing: commits fail; landing: they are made, and said to have failed. trap:
    (calls until death, whether that call is made)."""

    random: Random
    died: Callable[[], None]
    slow_seconds: float = 0.02
    failing: bool = False
    landing: bool = False
    trap: tuple[int, bool] | None = None
    dead: bool = False

    def seconds(self) -> float:
        return self.slow_seconds * self.random.random()

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if self.dead:
            raise asyncio.CancelledError
        if self.trap is not None:
            count, made = self.trap
            self.trap = (count - 1, made)
            if count <= 1:
                if made:
                    function(*arguments)
                self.died()
                raise asyncio.CancelledError
        database = next((each for each in arguments if isinstance(each, sqlite3.Connection)), None)
        if not self.failing or database is None or function is sqlite3.Connection.close:
            return function(*arguments)
        if self.landing:
            function(*arguments)
            raise _input_output_error()
        database.execute("PRAGMA query_only=ON")
        try:
            return function(*arguments)
        finally:
            database.execute("PRAGMA query_only=OFF")


def _input_output_error() -> sqlite3.Error:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


@dataclass
class Life:
    """One process."""

    store: Store
    ring: FrameRing
    outbox: StoredOutbox
    uploader: Uploader
    disk: Disk
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    @property
    def run(self) -> str:
        return self.store.identity.run


class EdgeMachine:
    """clock, boot and files outlive a process. appended: read and suppressed samples of every frame."""

    def __init__(self, loop: VirtualLoop, directory: Path, random: Random, link: Link) -> None:
        self._loop = loop
        self._directory = directory
        self._random = random
        self._link = link
        self._places = 0
        self._runs = 0
        self._boots = 1
        self._numbers: Counter[tuple[str, str, str]] = Counter()
        self.clock = VirtualClock(loop)
        self.retain_seconds = 3600.0
        self.schemas = list(SCHEMAS[:3])
        self.polling = True
        self.appended: dict[FrameName, tuple[int, int]] = {}
        self.copies: list[Path] = []
        self.life: Life | None = None
        self.place = self._next()
        loop.thread_of = self._thread_of

    def _thread_of(self, executor: object) -> Thread:
        name = getattr(executor, "_thread_name_prefix", "")
        return self.life.disk if self.life is not None and name == "buffer-writer" else Thread()

    def _next(self) -> Path:
        self._places += 1
        place = self._directory / f"edge-{self._places}"
        (place / "run").mkdir(parents=True)
        return place

    @property
    def database(self) -> Path:
        return self.place / "buffer.db"

    # --- lives -----------------------------------------------------------------------------------------

    async def start(self, trap: tuple[int, bool] | None = None) -> list[LossReason]:
        """Returns the reasons of what it found lost. With a trap it may die over it: CancelledError."""
        self._runs += 1
        boot = f"b{self._boots:03d}"
        identity = Identity(DEVICE, f"r{self._runs:03d}", boot, "m1")
        settings = StoreSettings(self.database, FLUSH_SECONDS, retain_seconds=self.retain_seconds)
        ring = FrameRing(self.place / "run", boot, identity.run)
        store = Store(settings, identity, ring, self.clock)
        outbox = StoredOutbox(store)
        disk = Disk(self._random, self._die, trap=trap)
        client = LinkClient(self._link)

        def on_event(event: Event) -> None:
            store.record(Kind.EVENT, event.model_dump(mode="json"))

        uploader = Uploader(client, outbox, self.clock, CATCH_UP_RATE, lambda _: None, self._random, on_event)
        self.life = Life(store, ring, outbox, uploader, disk)
        await store.open(self.place / "run")
        beats = Heartbeats(
            client, self._heartbeat, BEAT_SECONDS, self.clock, lambda _: None, uploader.pace, self._resend,
            random=self._random,
        )  # fmt: skip
        for work in (store.run_flushes, uploader.run_live, uploader.run_backlog, beats.run, self._poll):
            self.life.tasks.append(asyncio.create_task(self._supervised(work)))
        return [loss.reason for loss in store.recovered_losses]

    @staticmethod
    async def _supervised(work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except BufferFault:
                await asyncio.sleep(_RETRY_SECONDS)

    def _heartbeat(self) -> Heartbeat:
        life = self._alive()
        identity = life.store.identity
        return Heartbeat(
            now=max(0, self.clock.wall_ms()), version="1", protocol=1, run=identity.run, boot=identity.boot,
            machine=identity.machine, uptime_seconds=1.0, interval_seconds=BEAT_SECONDS,
            heads=life.outbox.heads(), buffer=life.store.report(),
        )  # fmt: skip

    async def _resend(self, missing: Resend) -> None:
        outbox = self._alive().outbox
        for head in outbox.heads():
            if head.epoch == missing.epoch:
                await outbox.resend(head.no, ranges.coalesce(missing.seqs))

    def _alive(self) -> Life:
        assert self.life is not None, "the agent is dead"
        return self.life

    async def _poll(self) -> None:
        while True:
            for described in self.schemas if self.polling else ():
                if self._random.random() < 0.8:
                    await self.append(described, self._random.randint(0, 3))
            await asyncio.sleep(POLL_SECONDS * self._random.random())

    async def append(self, described: Schema, suppressed: int) -> None:
        """One frame of the group's next number."""
        life = self._alive()
        group = (life.run, described.connection, described.group)
        self._numbers[group] += 1
        n, tags = self._numbers[group], len(described.tags)
        row = b"".join(((n + index) & 0xFFFF).to_bytes(2, "little") for index in range(tags))
        mono, wall = self.clock.mono_ns(), self.clock.wall_ms()
        await life.store.announce([described])
        life.store.append(described, Frame(n, mono, wall, row, tags + suppressed, suppressed))
        self.appended[*group, n] = (tags + suppressed, suppressed)

    async def stop(self) -> None:
        """In order: everything in memory is committed."""
        life = self._alive()
        await self._end(life)
        await life.outbox.close()
        await life.store.close()
        self.life = None

    async def _end(self, life: Life) -> None:
        for task in life.tasks:
            task.cancel()
        await asyncio.gather(*life.tasks, return_exceptions=True)

    async def kill(self) -> None:
        """As SIGKILL, unless a trap was faster."""
        if self.life is not None and not self.life.disk.dead:
            self._die()
        await self.bury()

    def _die(self) -> None:
        """At this very moment. What is on the disk and in tmpfs is copied for the next life."""
        life = self._alive()
        life.disk.dead = True
        old, self.place = self.place, self._next()
        shutil.rmtree(self.place)
        copy_database(old / "buffer.db", self.place)
        (self.place / "run").mkdir()
        for segment in (old / "run").glob("ring-*"):
            shutil.copyfile(segment, self.place / "run" / segment.name)
        for task in life.tasks:
            task.cancel()

    async def bury(self) -> None:
        """What the kernel does for the dead."""
        life, self.life = self.life, None
        if life is not None:
            await self._end(life)
            await life.outbox.close()
            life.disk.dead, life.disk.trap, life.disk.failing = False, None, False
            await life.store._close_files()

    @property
    def is_dead(self) -> bool:
        return self.life is None or self.life.disk.dead

    # --- what happens to a machine that is off ----------------------------------------------------------

    def lose_tmpfs(self) -> None:
        """A reboot."""
        self._boots += 1
        for path in (self.place / "run").glob("*"):
            path.unlink()

    def copy_disk(self) -> None:
        """What the database is at this moment, for later."""
        copy = self._directory / f"copy-{len(self.copies)}"
        copy_database(self.database, copy)
        self.copies.append(copy)

    def put_back(self, copy: Path) -> None:
        """An older state of the disk in place of the newest."""
        for path in self.place.glob("buffer.db*"):
            path.unlink()
        for path in copy.iterdir():
            shutil.copyfile(path, self.place / path.name)

    def lose_database(self) -> None:
        for path in self.place.glob("buffer.db*"):
            path.unlink()
