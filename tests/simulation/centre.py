"""The centre's machine: the real services on the real store, started, killed, backed up, restored, wiped."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from central_sync.services.data.ingest import IngestService
from central_sync.services.devices.inventory import InventoryService
from central_sync.services.devices.presence import Presence
from central_sync.services.devices.service import DeviceService
from central_sync.services.live import Hub
from central_sync.services.views import DeviceStats
from central_sync.store.database import DATABASE_NAME
from central_sync.store.sqlite import SqliteStore
from tests.simulation.loop import VirtualClock, VirtualLoop

DEVICE: Final = "press-shop-01"


@dataclass
class Running:
    """One life of the centre. Implements link.Door."""

    store: SqliteStore
    ingest: IngestService
    devices: DeviceService
    dead: bool = False

    async def serve(self, path: str, body: bytes) -> tuple[int, bytes]:
        status, answer = await self._serve(path, body)
        if self.dead:
            raise ConnectionError("the centre died before it answered")
        return status, answer

    async def _serve(self, path: str, body: bytes) -> tuple[int, bytes]:
        if path == "/data":
            return 200, (await self.ingest.upload(DEVICE, body)).model_dump_json().encode()
        if path == "/heartbeat":
            return 200, (await self.devices.heartbeat(DEVICE, body)).model_dump_json().encode()
        new = await self.ingest.put_schema(DEVICE, path.removeprefix("/schemas/"), body)
        return (201 if new else 204), b""


class CentreMachine:
    def __init__(self, loop: VirtualLoop, directory: Path) -> None:
        self._loop = loop
        self._directory = directory
        self._lives = 0
        self._backup: Path | None = None
        self._threads = ThreadPoolExecutor(1)
        self.clock = VirtualClock(loop)
        self.life: Running | None = None
        self._data = self._next()
        loop.busy = self._owes

    def _owes(self) -> bool:
        writer = getattr(self.life.store, "_writer", None) if self.life else None
        return writer is not None and writer._waiting > 0

    def _next(self) -> Path:
        self._lives += 1
        return self._directory / f"centre-{self._lives}"

    @property
    def database(self) -> Path:
        return self._data / DATABASE_NAME

    async def start(self) -> None:
        store = SqliteStore(self._data, self.clock)
        ingest = IngestService(store, self.clock, self._threads)
        presence = Presence(self.clock, 30.0)
        devices = DeviceService(store, Hub(), self.clock, presence, None)
        self.life = Running(store, ingest, devices)
        await store.start()

    async def stop(self) -> None:
        """In order: what is under way is answered, the checkpoint written."""
        if self.life is not None:
            await self.life.store.stop()
            self.life.dead = True
            self.life = None

    def kill(self) -> None:
        """As SIGKILL: its files stay as they are; the next life begins on a copy of them."""
        if self.life is None:
            return
        self._loop.settle()
        life, self.life = self.life, None
        life.dead = True
        old, self._data = self._data, self._next()
        copy_database(old / DATABASE_NAME, self._data)
        self._bury(life.store)

    @staticmethod
    def _bury(store: SqliteStore) -> None:
        """What the kernel does for the dead."""
        writer = store._writer
        writer._jobs.put(None)
        if writer._thread is not None:
            writer._thread.join()
        for readers in (store._quick, store._readers, store._past):
            readers._stop()
        store._lock.release()

    def back_up(self) -> None:
        """A copy of the database as it is now."""
        self._loop.settle()
        self._backup = self._next()
        copy_database(self.database, self._backup)

    def restore(self) -> bool:
        """The backup in place of what was there. False: there is none. Only while it is down."""
        if self._backup is None:
            return False
        source, self._data = self._backup, self._next()
        copy_database(source / DATABASE_NAME, self._data)
        return True

    def wipe(self) -> None:
        self._data = self._next()

    async def account(self) -> DeviceStats:
        assert self.life is not None
        inventory = InventoryService(self.life.store, self.clock, "1")
        return (await inventory.data_stats(DEVICE, {}, None, 1)).devices[0]

    def close(self) -> None:
        self.kill()
        self._threads.shutdown()


def copy_database(source: Path, directory: Path) -> None:
    """The files as they are at this moment, the log too."""
    directory.mkdir(parents=True)
    for suffix in ("", "-wal"):
        file = source.with_name(source.name + suffix)
        if file.exists():
            shutil.copyfile(file, directory / file.name)
