"""The embedded store: implements the services' protocols with one writer and three pools of readers:
what every request needs (tokens, configs) waits neither for lists nor for history.

Starting loads the checkpoint of the read models and replays what arrived since, before anything else is
written or read.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from central_sync.services.clock import Clock
from central_sync.services.data.history import MAX_AT_ONCE, Series, SeriesQuery
from central_sync.services.data.ingest import Receipt, Upload
from central_sync.services.data.readmodel import ReadModel
from central_sync.services.database import T
from central_sync.services.devices.inventory import DeviceFilter, ModelState, Totals
from central_sync.services.devices.roll import MAX_ENTRIES, Roll, Waiting
from central_sync.services.devices.service import DeviceAccount, DeviceRow, Heard
from central_sync.services.errors import Busy
from central_sync.services.scripts.dry_run import Recent
from central_sync.services.views import EventView
from central_sync.store import (
    devices,
    heartbeats,
    history,
    ingest,
    listing,
    models,
    recent_frames,
    rows,
    schemas,
)
from central_sync.store.database import DirectoryLock, connect, prepare, read_meta
from central_sync.store.ingest import Memory, Stored
from central_sync.store.readers import Readers
from central_sync.store.schemas import SchemaCache
from central_sync.store.writer import Writer
from edge_agent.wire.messages import Heartbeat
from edge_agent.wire.schema import Schema

logger = structlog.get_logger()

# Values of one device in one live event; more are cut, and the page asks for the list.
MAX_LIVE_ITEMS: Final = 2_000
# How long one series may be read; what was found until then is the newest part.
SERIES_SECONDS: Final = 5.0
# Quiet heartbeats of one commit.
_QUIET_AT_ONCE: Final = 200


class SqliteStore:
    """`start` before anything else; `stop` writes the last checkpoint."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._schemas = SchemaCache()
        self._centre = ""
        self.roll = Roll()
        self._quieting = asyncio.Lock()

    @property
    def centre(self) -> str:
        return self._centre

    @property
    def load(self) -> float:
        return self._writer.load

    @property
    def alive(self) -> bool:
        return self._writer.alive

    @property
    def writing(self) -> int | None:
        return self._writer.writing

    async def start(self) -> None:
        """Raises CannotOpen."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._open)
        self._quick = Readers(self._path, 1, "quick")
        self._readers = Readers(self._path, 2, "reader")
        self._past = Readers(self._path, MAX_AT_ONCE, "history")
        self._writer = Writer(self._connect, self._memory.forget)
        self._writer.start()
        await self._writer.run(self._replay)

    def _open(self) -> None:
        self._path = prepare(self._directory)
        self._lock = DirectoryLock(self._directory)
        connection = connect(self._path, read_only=True)
        try:
            self._centre = str(read_meta(connection, "centre"))
            self._memory = Memory(models.last_arrival(connection), self._schemas)
            source = models.SqliteModelSource(lambda: self._connection, self._schemas)
            duplicates = models.load_duplicates(connection)
            self._model = ReadModel(source, models.checkpoint_arrival(connection), duplicates)
            for device, entry in heartbeats.entries(connection, MAX_ENTRIES):
                self.roll.put(device, entry)
        finally:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        self._connection = connect(self._path)
        heartbeats.watch(self._connection, self.roll.forget)
        return self._connection

    def _replay(self, connection: sqlite3.Connection) -> None:
        count = 0
        for arrival in models.arrivals_after(connection, self._model.arrival):
            self._model.apply(arrival)
            count += 1
        if count:
            logger.info("read models replayed", batches=count)

    async def stop(self) -> None:
        try:
            if self._writer.alive:
                await self.write_quiet(self._clock.monotonic())
                await self.checkpoint()
        finally:
            await self._writer.stop()
            for readers in (self._quick, self._readers, self._past):
                await readers.stop()
            self._lock.release()

    async def checkpoint(self) -> None:
        """Saves what changed in the read models, in one transaction with the arrival it includes."""
        await self._writer.run(
            lambda connection: models.save(connection, self._model.checkpoint()),
            lambda _: self._model.settled(),
        )

    # --- for the rooms' own stores (services.database.Database) --------------------------------------

    async def write(
        self, work: Callable[[sqlite3.Connection], T], after: Callable[[T], None] | None = None
    ) -> T:
        return await self._writer.run(work, after)

    async def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        return await self._readers.run(question)

    async def settle(self) -> None:
        """What a question about devices finds includes the heartbeats that came before it."""
        with contextlib.suppress(Busy):
            await self.write_quiet(self._clock.monotonic())

    async def quick(self, question: Callable[[sqlite3.Connection], T]) -> T:
        return await self._quick.run(question)

    def forget_device(self, device_no: int) -> None:
        """Its data is being deleted. For the writer's thread."""
        self._model.forget(device_no)
        self._memory.forget()

    # --- what agents write --------------------------------------------------------------------------

    async def ingest(self, upload: Upload) -> Receipt:
        stored = await self._writer.run(
            lambda connection: ingest.ingest(connection, self._memory, upload), self._apply
        )
        return stored.receipt

    def _apply(self, stored: Stored) -> None:
        for arrival in stored.arrivals:
            self._model.apply(arrival)

    async def add_schema(self, device: str, schema: Schema) -> bool:
        now = self._clock.wall_ms()
        return await self._writer.run(lambda connection: schemas.add_schema(connection, device, schema, now))

    async def heartbeat(
        self, device: str, message: Heartbeat, now: int, body: bytes, address: str = ""
    ) -> Heard:
        earlier = self.roll.take(device)

        def work(connection: sqlite3.Connection) -> Heard:
            heard = heartbeats.heartbeat(connection, device, message, now, earlier, body, address)
            self.roll.looked(device)
            return heard

        def remember(heard: Heard) -> None:
            entry = heartbeats.entry(heard, message)
            if entry is not None:
                self.roll.put(device, entry)

        with self._given_back([(device, earlier)] if earlier else []):
            return await self._writer.run(work, remember)

    async def write_quiet(self, before: float) -> None:
        """Writes the quiet heartbeats of which the first came by that time. Raises Busy. One at a time: what
        another took, who waits for it to be written must wait for too."""
        async with self._quieting:
            while taken := self.roll.take_older(before, _QUIET_AT_ONCE):
                waiting = [each for _, each in taken]
                with self._given_back(taken):
                    await self._writer.run(partial(heartbeats.write_quiet, waiting=waiting))

    @contextlib.contextmanager
    def _given_back(self, taken: list[tuple[str, Waiting]]) -> Iterator[None]:
        """Where they cannot be written they are kept on."""
        try:
            yield
        except Exception:
            self.roll.give_back(taken)
            raise

    async def awake(self) -> list[tuple[str, float | None]]:
        return await self._quick.run(heartbeats.awake)

    async def silence(
        self, devices: list[str], is_overdue: Callable[[str], bool], now: int
    ) -> list[DeviceRow]:
        def still(device: str) -> bool:
            # In this order: from here on no heartbeat of it is quiet, and the next is stored behind this.
            self.roll.forget(device)
            return is_overdue(device)

        return await self._writer.run(lambda connection: heartbeats.silence(connection, devices, still, now))

    # --- questions ----------------------------------------------------------------------------------

    async def devices(self, wanted: DeviceFilter) -> list[DeviceRow]:
        await self.settle()
        return await self._readers.run(lambda connection: listing.devices(connection, wanted))

    async def account(self, device: str) -> DeviceAccount | None:
        await self.settle()
        return await self._readers.run(lambda connection: devices.account(connection, device))

    async def accounts(self, wanted: DeviceFilter) -> list[DeviceAccount]:
        await self.settle()
        return await self._readers.run(lambda connection: devices.accounts(connection, wanted))

    async def sees(self, device: str, limits: Mapping[str, str]) -> bool:
        return await self._quick.run(lambda connection: listing.sees(connection, device, limits))

    async def seen_devices(self, limits: Mapping[str, str]) -> frozenset[str]:
        found = await self._readers.run(lambda connection: listing.seen_devices(connection, limits))
        return frozenset(found.values())

    async def label_changes(self) -> int:
        return await self._quick.run(listing.label_changes)

    async def latest(
        self, device: str, connection: str | None, after: Sequence[str | int] | None, limit: int
    ) -> list[dict[str, Any]] | None:
        def ask(database: sqlite3.Connection) -> list[dict[str, Any]] | None:
            device_no = rows.device_number(database, device)
            if device_no is None:
                return None
            found = devices.slots(database, self._model, self._schemas, device_no)
            items = devices.latest_items(found, connection, after, limit)
            return devices.mark_stale(items, devices.live_connections(database, device_no))

        return await self._readers.run(ask)

    async def live_values(self, wanted: frozenset[str] | None) -> dict[str, list[dict[str, Any]]]:
        """Values that moved since the last call, by device; of the wanted ones, None: of all."""

        def ask(database: sqlite3.Connection) -> dict[str, list[dict[str, Any]]]:
            result: dict[str, list[dict[str, Any]]] = {}
            for device_no, found in self._model.take_changes().items():
                row = database.execute("SELECT id FROM device WHERE no = ?", (device_no,)).fetchone()
                if row and (wanted is None or row[0] in wanted):
                    result[row[0]] = devices.changed_items(found, MAX_LIVE_ITEMS)
            return result

        return await self._readers.run(ask)

    async def drop_changes(self) -> None:
        """Nobody listens: what moved is forgotten."""
        await self._readers.run(lambda _: self._model.take_changes())

    async def events(self, device: str, before: int | None, limit: int) -> list[EventView] | None:
        return await self._readers.run(lambda connection: devices.events(connection, device, before, limit))

    async def totals(self, limits: Mapping[str, str]) -> Totals:
        return await self._readers.run(lambda connection: listing.totals(connection, limits))

    async def model_state(self, limits: Mapping[str, str]) -> ModelState:
        def ask(connection: sqlite3.Connection) -> ModelState:
            twice = self._model.duplicates()
            if twice and limits:
                seen = listing.seen_devices(connection, limits)
                twice = {number: frames for number, frames in twice.items() if number in seen}
            return ModelState(self._model.arrival, self._model.unreadable, twice)

        return await self._readers.run(ask)

    async def tag_connections(self, device: str, tag: str) -> list[str] | None:
        return await self._past.run(
            lambda connection: history.tag_connections(connection, self._schemas, device, tag)
        )

    async def recent(self, device: str, groups: Sequence[str], last: int, *, computed: bool) -> Recent | None:
        return await self._past.run(
            lambda connection: recent_frames.recent(connection, self._schemas, device, groups, last, computed)
        )

    async def series(self, query: SeriesQuery) -> Series:
        def ask(connection: sqlite3.Connection) -> Series:
            deadline = self._clock.monotonic() + SERIES_SECONDS

            def expired() -> bool:
                return self._clock.monotonic() > deadline

            return history.series(connection, self._schemas, query, expired)

        return await self._past.run(ask)
