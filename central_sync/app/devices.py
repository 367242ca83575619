"""Builds the room of devices: registry, lists, series, topology, figures, and the deletion of data."""

from central_sync.services.clock import Clock
from central_sync.services.devices.exposition import ExpositionService
from central_sync.services.devices.figures import FigureService
from central_sync.services.devices.inventory import InventoryService
from central_sync.services.devices.registry import Credentials, RegistryService
from central_sync.services.devices.topology import TopologyService
from central_sync.services.devices.trends import TrendService
from central_sync.services.uplinks import MqttFigures
from central_sync.store.registry import SqliteRegistry
from central_sync.store.reports import SqliteReports
from central_sync.store.sqlite import SqliteStore
from central_sync.store.trends import SqliteTrends
from central_sync.workers.purge import Purge


class DeviceRoom:
    def __init__(
        self,
        store: SqliteStore,
        clock: Clock,
        credentials: Credentials,
        version: str,
        mqtt: MqttFigures | None = None,
    ) -> None:
        self.mqtt = mqtt
        registry = SqliteRegistry(store, store.forget_device)
        self.inventory = InventoryService(store, clock, version)
        self.registry = RegistryService(registry, credentials, clock)
        self.purge = Purge(registry, clock)
        self.trends = TrendService(SqliteTrends(store), clock)
        reports = SqliteReports(store)
        self.topology = TopologyService(reports)
        self.figures = FigureService(reports, clock)
        self.exposition = ExpositionService(reports, self.figures, self.inventory, mqtt)
