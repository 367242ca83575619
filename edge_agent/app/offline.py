"""What the commands need without a running agent: plans, one read, a probe."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.config.load import Loaded
from edge_agent.config.models import ConnectionSettings
from edge_agent.config.pins import places
from edge_agent.contracts.driver import Driver, Reading, RequestSummary
from edge_agent.contracts.errors import ConfigError, NotConnected
from edge_agent.contracts.status import LatestValue
from edge_agent.drivers import registry
from edge_agent.pipeline.build import address_of, groups_of, located, plan_group, tags_of, transport_of
from edge_agent.pipeline.group import Counts, FrameCounters, Group, GroupRules
from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.logging import hush_libraries
from edge_agent.wire.frame import Frame
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import Schema
from edge_agent.writing.permit import permits_of

# How often one looks whether a subscription has brought what is missing.
_LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """The requests of one group. bytes: both ways, a cycle. notes: how the driver understood what was
    written. line: the transport, for people; what names the same one shares it. transport: its type."""

    connection: str
    group: str
    unit_id: int | None
    interval_seconds: float
    tags: int
    requests: Sequence[RequestSummary]
    notes: Sequence[str] = ()
    line: str = ""
    transport: str = ""

    @property
    def bytes(self) -> int:
        return sum(request.sent_bytes + request.received_bytes for request in self.requests)

    @property
    def bus_seconds(self) -> float:
        return sum(request.bus_seconds for request in self.requests)


def line_of(connection: ConnectionSettings) -> str:
    """Where its requests go: a host and port, or a serial port. Connections may share one."""
    return address_of(connection) or connection.name


def plans(loaded: Loaded) -> list[GroupPlan]:
    """Every group's requests. Raises ConfigError for what can never work."""
    found = plans_of(loaded.document.connections)
    _check_writes(loaded)
    return found


def _check_writes(loaded: Loaded) -> None:
    """Raises ConfigError for tags that are there and may never be written; others may come from a centre."""
    document = loaded.document
    there = {name for name, (connection, _, _) in places(document).items() if connection.enabled}
    specs = {each.driver: registry.lookup(each.driver) for each in document.connections}
    permits = permits_of(document, loaded.outline.connections, specs)
    barred = [
        f"writes.allow[{tag}]: {why}" for tag, why in permits.items() if tag in there and isinstance(why, str)
    ]
    if barred:
        raise ConfigError("\n".join(barred))


def plans_of(connections: Sequence[ConnectionSettings]) -> list[GroupPlan]:
    """Raises ConfigError."""
    return [
        GroupPlan(
            connection.name, settings.name, plan.schema.unit_id, settings.interval,
            len(plan.schema.tags), plan.requests, plan.notes, line_of(connection),
            str(getattr(transport_of(connection), "type", "")),
        )
        for connection in connections
        for settings in groups_of(connection)
        for plan in [plan_group(registry.lookup(connection.driver), connection, settings)]
    ]  # fmt: skip


class _Nowhere:
    """A frame sink for reads that only look."""

    def append(self, schema: Schema, frame: Frame) -> None: ...

    def record(self, kind: object, record: Mapping[str, object]) -> None: ...

    async def announce(self, schemas: list[Schema]) -> None: ...


async def read_once(loaded: Loaded, connection: str | None, warn: Callable[[str], None]) -> list[LatestValue]:
    """Polls every group once, all connections side by side. Raises NotConnected where none answered.

    warn: gets a line for each reason why something was not read. A connection that cannot be reached
    gives its tags as bad_comm, if another one answers.
    """
    hush_libraries()
    chosen = [
        settings
        for settings in loaded.document.connections
        if connection in (None, settings.name) and settings.enabled
    ]
    if connection is not None and not chosen:
        known = ", ".join(each.name for each in loaded.document.connections if each.enabled) or "none"
        raise ConfigError(f"there is no enabled connection {connection!r}; there are: {known}")
    results = await asyncio.gather(
        *(
            _read_connection(located(settings, loaded.directory, loaded.state_directory))
            for settings in chosen
        )
    )
    faults = [result.fault for result in results if result.fault is not None]
    if faults and len(faults) == len(results):
        raise NotConnected("\n".join(str(fault) for fault in faults))
    for result in results:
        for line in result.reasons:
            warn(line)
    return [value for result in results for value in result.values]


@dataclass(slots=True)
class _ConnectionRead:
    values: list[LatestValue]
    reasons: list[str]
    fault: NotConnected | None = None


async def _read_connection(settings: ConnectionSettings) -> _ConnectionRead:
    spec = registry.lookup(settings.driver)
    clock = SystemClock()
    groups = [
        Group(GroupRules.of(plan_group(spec, settings, group), {}), FrameCounters(), Counts(), _Nowhere())
        for group in groups_of(settings)
    ]
    driver: Driver = spec.factory(settings)
    result = _ConnectionRead([], [])
    try:
        await driver.connect()
        for group in groups:
            reading = await driver.read(group.plan)
            place = f"{settings.name}.{group.schema.group}"
            result.reasons += [f"{place}: {what}: {why}" for what, why in (reading.errors or {}).items()]
            group.take(reading, clock.mono_ns(), clock.wall_ms())
            await _wait_for_news(driver, group, reading, float(transport_of(settings).timeout))
    except NotConnected as error:
        result.fault = NotConnected(f"{settings.name}: {error}")
        result.reasons.append(str(result.fault))
    finally:
        await driver.close()
    for group in groups:
        if not group.latest():
            group.take_nothing(Quality.BAD_COMM, clock.mono_ns(), clock.wall_ms())
    result.values = [value for group in groups for value in group.latest()]
    return result


async def _wait_for_news(driver: Driver, group: Group, reading: Reading, seconds: float) -> None:
    """What a subscription brings within a time-out; of a topic that stays quiet, nothing comes."""
    clock = SystemClock()
    end = clock.monotonic() + seconds
    while reading.news is not None and clock.monotonic() < end and not _is_complete(group):
        await clock.sleep(_LOOK_SECONDS)
        reading = await driver.read(group.plan)
        group.take(reading, clock.mono_ns(), clock.wall_ms())


def _is_complete(group: Group) -> bool:
    values = group.latest()
    return bool(values) and all(value.quality != Quality.BAD_COMM.label for value in values)


async def probe(driver: str, host: str, port: int, unit_id: int, timeout: float) -> str | None:
    """Whether something answers there. None: yes; else why not."""
    spec = registry.lookup(driver)
    settings = spec.settings.model_validate(
        {
            "name": "probe",
            "driver": driver,
            "transport": {
                "type": "tcp", "host": host, "port": port, "unit_id": unit_id, "timeout": f"{timeout}s",
            },
        }
    )  # fmt: skip
    link: Driver = spec.factory(settings)
    try:
        await link.connect()
    except NotConnected as error:
        return str(error)
    finally:
        await link.close()
    return None


def tag_names(loaded: Loaded) -> Mapping[str, Sequence[str]]:
    """The names of the tags by their connection, in the order of the config."""
    return {
        connection.name: [tag.name for group in groups_of(connection) for tag in tags_of(group)]
        for connection in loaded.document.connections
    }
