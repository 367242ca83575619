"""Builds the room of devices: registry, lists and figures, and the deletion of data that was asked for."""

from central_sync.services.clock import Clock
from central_sync.services.inventory import InventoryService
from central_sync.services.registry import Credentials, RegistryService
from central_sync.store.registry import SqliteRegistry
from central_sync.store.sqlite import SqliteStore
from central_sync.workers.purge import Purge


class DeviceRoom:
    def __init__(self, store: SqliteStore, clock: Clock, credentials: Credentials, version: str) -> None:
        registry = SqliteRegistry(store, store.forget_device)
        self.inventory = InventoryService(store, clock, version)
        self.registry = RegistryService(registry, credentials, clock)
        self.purge = Purge(registry, clock)
