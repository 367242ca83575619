"""The fleet for Prometheus: an exposition of its figures, and where each agent can be scraped. Pure, but for
the service.

Every label set is bounded: states and drivers by their number, devices only where they are asked for.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from central_sync.services.devices.figures import MAX_DEVICES, FigureService, FigureStore, Tally
from central_sync.services.devices.inventory import DeviceFilter, InventoryService
from central_sync.services.devices.topology import Report
from central_sync.services.errors import Invalid
from central_sync.services.uplinks import MqttFigures
from central_sync.services.views import FleetStats

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PREFIX: Final = "holdfast_fleet_"
# A registry label that says where an agent's metrics are reached, over what the agent says itself.
ADDRESS_LABEL: Final = "metrics-address"
_PART: Final = 500
_LOOPBACK: Final = re.compile(r"^(127\.|localhost|\[::1\]|::1)")
_UNSAFE: Final = re.compile(r"[^a-zA-Z0-9_]")

# (name, help): gauges of `Tally.sums`.
_SUMS: Final = (
    ("buffer_pending_batches", "Batches that agents have not handed over, as they said last"),
    ("buffer_pending_bytes", "Their bytes"),
    ("buffer_bytes", "What the agents' buffers take on their disks"),
    ("buffer_quota_bytes", "What they may take"),
    ("connections_ok", "Connections that work, of devices that are heard"),
    ("connections", "Connections of all devices"),
    ("hooks", "Scripts that devices have, as they said last"),
    ("hooks_failing", "Those of them that are switched off or refused"),
)
# (name, help, field, factor) of `DeviceFigures`.
_DEVICE: Final = (
    ("device_up", "Whether the device is heard", "is_heard", 1.0),
    ("device_last_seen_timestamp_seconds", "Its newest heartbeat", "last_seen", 0.001),
    ("device_buffer_pending_batches", "Batches that it has not handed over", "pending_batches", 1.0),
    ("device_buffer_pending_bytes", "Their bytes", "pending_bytes", 1.0),
    ("device_connections_ok", "Its connections that work", "connections_ok", 1.0),
    ("device_connections", "Its connections", "connections", 1.0),
    ("device_lost_samples", "Samples that its present run lost", "lost_samples", 1.0),
    ("device_hooks", "Its scripts", "hooks", 1.0),
    ("device_hooks_failing", "Those of them that are switched off or refused", "hooks_failing", 1.0),
    ("device_hook_failures", "Calls of its scripts that failed in its present run", "hook_failures", 1.0),
)


def render(stats: FleetStats, tally: Tally, devices: bool, mqtt: MqttFigures | None = None) -> bytes:
    """The whole exposition."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_FleetCollector(stats, tally, devices, mqtt))
    return generate_latest(registry)


class _FleetCollector(Collector):
    def __init__(self, stats: FleetStats, tally: Tally, devices: bool, mqtt: MqttFigures | None) -> None:
        self._mqtt = mqtt
        self._stats = stats
        self._tally = tally
        self._devices = devices

    def collect(self) -> Iterator[Metric]:
        yield from _of_stats(self._stats)
        yield from _of_tally(self._tally)
        if self._mqtt is not None:
            yield from _of_mqtt(self._mqtt)
        if self._devices:
            yield from _of_devices(self._tally)


def _of_stats(stats: FleetStats) -> Iterator[Metric]:
    info = GaugeMetricFamily(f"{PREFIX}centre_info", "The centre that answers", labels=("version", "centre"))
    info.add_metric((stats.version, stats.centre), 1.0)
    yield info
    yield _gauge("centre_uptime_seconds", "How long the centre runs", stats.uptime_seconds)
    states = GaugeMetricFamily(f"{PREFIX}devices", "Devices in service, by state", labels=("state",))
    for state, count in stats.devices.items():
        if state != "total":
            states.add_metric((state,), float(count))
    yield states
    yield _gauge("devices_decommissioned", "Devices out of service", stats.decommissioned)
    yield _counter("batches", "Batches that were stored", stats.batches)
    yield _counter("samples", "Samples in them", stats.samples)
    yield _counter("redelivered_batches", "Repeats that were discarded", stats.redelivered)
    yield _gauge("duplicate_frames", "Frames that are stored twice; must be 0", stats.duplicates)
    if stats.database_bytes is not None:
        yield _gauge("database_bytes", "Size of the centre's database", stats.database_bytes)


def _of_tally(tally: Tally) -> Iterator[Metric]:
    yield _gauge("pending_batches", "Batches that agents promised and still hold", tally.owed.pending)
    yield _gauge("gap_batches", "Batches that are missing; must be 0", tally.owed.gaps)
    yield _gauge("lost_batches", "Batches that are declared lost", tally.owed.lost)
    for name, text in _SUMS:
        yield _gauge(name, text, tally.sums[name])
    units = GaugeMetricFamily(
        f"{PREFIX}units", "Units of connections, or connections without units", labels=("driver", "state")
    )
    for (driver, state), count in sorted(tally.units.items()):
        units.add_metric((_storable(driver), _storable(state)), float(count))
    yield units
    versions = GaugeMetricFamily(f"{PREFIX}agents", "Agents, by version", labels=("version",))
    for version, count in sorted(tally.versions.items()):
        versions.add_metric((_storable(version),), float(count))
    yield versions


def _of_mqtt(figures: MqttFigures) -> Iterator[Metric]:
    yield _gauge("mqtt_connected", "Whether the centre listens at its broker", figures.connected)
    yield _counter("mqtt_disconnects", "How often the connection to the broker was lost", figures.reconnects)
    yield _gauge("mqtt_queued", "Messages that wait for a worker", figures.queued)
    requests = CounterMetricFamily(
        f"{PREFIX}mqtt_requests",
        "Answered requests through the broker",
        labels=("channel", "status"),
    )
    for (channel, status), count in sorted(figures.requests.items()):
        requests.add_metric((channel, str(status)), float(count))
    yield requests
    dropped = CounterMetricFamily(
        f"{PREFIX}mqtt_dropped", "Messages from the broker that got no answer", labels=("reason",)
    )
    for reason, count in sorted(figures.dropped.items()):
        dropped.add_metric((reason,), float(count))
    yield dropped


def _of_devices(tally: Tally) -> Iterator[Metric]:
    for name, text, field, factor in _DEVICE:
        metric = GaugeMetricFamily(PREFIX + name, text, labels=("device",))
        for figures in tally.each:
            value = getattr(figures, field)
            if value is not None:
                metric.add_metric((figures.id,), float(value) * factor)
        yield metric


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value=float(value))


def _storable(label: str) -> str:
    """A label's value as UTF-8 can carry it."""
    return label.encode("utf-8", "replace").decode()


def target(report: Report, loopback: bool) -> dict[str, Any] | None:
    """An entry of Prometheus' HTTP service discovery; None: nobody knows where the agent can be scraped."""
    beat, labels = report.heartbeat(), report.labels
    said = str(beat.get("metrics_listen") or "")
    address = labels.get(ADDRESS_LABEL) or (said if loopback or not _LOOPBACK.match(said) else "")
    if not address:
        return None
    meta = {
        "__meta_holdfast_device": report.id,
        "__meta_holdfast_name": report.name,
        "__meta_holdfast_state": str(report.state),
        "__meta_holdfast_version": str(beat.get("version") or ""),
    }
    meta |= {f"__meta_holdfast_label_{_UNSAFE.sub('_', key)}": value for key, value in labels.items()}
    return {"targets": [address], "labels": meta}


class ExpositionService:
    def __init__(
        self,
        store: FigureStore,
        figures: FigureService,
        inventory: InventoryService,
        mqtt: MqttFigures | None = None,
    ) -> None:
        """mqtt: counted where a broker is configured; told to who sees the whole fleet."""
        self._mqtt = mqtt
        self._store = store
        self._figures = figures
        self._inventory = inventory

    async def metrics(self, limits: Mapping[str, str], devices: bool) -> bytes:
        """Raises Invalid where there are too many devices for figures of each."""
        stats = await self._inventory.stats(limits)
        tally = await self._figures.tally(limits)
        if devices and tally.devices > MAX_DEVICES:
            raise Invalid(
                "too_many_devices",
                f"{tally.devices} devices: figures of each are given for {MAX_DEVICES}; use a token that is "
                "limited to some by labels",
            )
        return render(stats, tally, devices, None if limits else self._mqtt)

    async def targets(self, limits: Mapping[str, str], loopback: bool) -> list[dict[str, Any]]:
        """All there are: Prometheus forgets what a list leaves out. So a part that cannot be read is an error
        of the whole."""
        found: list[dict[str, Any]] = []
        wanted = DeviceFilter(limits, limit=_PART)
        while True:
            reports = await self._store.reports(wanted)
            found += [entry for report in reports if (entry := target(report, loopback)) is not None]
            if len(reports) < _PART:
                return found
            wanted = replace(wanted, after=(reports[-1].id,))
