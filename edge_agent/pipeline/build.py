"""From a connection's settings to its poller. Does no I/O; planning errors are ConfigErrors."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from edge_agent.config.models import ConnectionSettings, GroupSettings, TagSettings, TransportSettings
from edge_agent.contracts.clock import Clock
from edge_agent.contracts.driver import DriverSpec, Plan
from edge_agent.contracts.errors import ConfigError
from edge_agent.contracts.frames import FrameSink
from edge_agent.pipeline.group import Counts, FrameCounters, Group
from edge_agent.pipeline.link import Lateness
from edge_agent.pipeline.poller import Line, Poller, Scheduled
from edge_agent.pipeline.schedule import Schedule
from edge_agent.pipeline.unit import Unit
from edge_agent.wire.errors import WireError
from edge_agent.wire.schema import Schema


@dataclass(slots=True)
class Workshop:
    """What all pollers of a run share; it outlives reloads, so that counts and numbers go on."""

    clock: Clock
    sink: FrameSink
    counters: FrameCounters = field(default_factory=FrameCounters)
    counts: dict[str, Counts] = field(default_factory=dict)
    lateness: Lateness = field(default_factory=Lateness)
    phases: "count[int]" = field(default_factory=count)


def groups_of(connection: ConnectionSettings) -> Sequence[GroupSettings]:
    """The groups that a driver's settings model adds."""
    groups: Sequence[GroupSettings] = getattr(connection, "groups", ())
    return groups


def tags_of(group: GroupSettings) -> Sequence[TagSettings]:
    """The tags that a driver's group model adds."""
    tags: Sequence[TagSettings] = getattr(group, "tags", ())
    return tags


def transport_of(connection: ConnectionSettings) -> TransportSettings:
    transport: TransportSettings = getattr(connection, "transport", TransportSettings())
    return transport


def address_of(connection: ConnectionSettings) -> str:
    """Where the connection goes, for people."""
    transport = transport_of(connection)
    host, port = getattr(transport, "host", None), getattr(transport, "port", None)
    if host is None:
        return ""
    return f"{host}:{port}" if port is not None else str(host)


def plan_group(spec: DriverSpec, connection: ConnectionSettings, group: GroupSettings) -> Plan:
    """The driver's plan, whose schema the centre will take. Raises ConfigError."""
    plan = spec.plan(connection, group)
    try:
        plan.schema.check()
    except WireError as error:
        raise ConfigError(f"{connection.name}.{group.name}: {error}: divide the group") from error
    return plan


def build_poller(
    connection: ConnectionSettings, spec: DriverSpec, workshop: Workshop
) -> tuple[Poller, list[Schema]]:
    """A poller that has not started, and the schemas to announce before it does. Raises ConfigError."""
    counts = workshop.counts.setdefault(connection.name, Counts())
    timeout = transport_of(connection).timeout
    units: dict[int | None, Unit] = {}
    scheduled: list[Scheduled] = []
    now = workshop.clock.mono_ns()
    for settings in groups_of(connection):
        plan = plan_group(spec, connection, settings)
        unit = units.setdefault(plan.schema.unit_id, Unit(plan.schema.unit_id))
        unit.groups += 1
        deadbands = {tag.name: tag.deadband for tag in tags_of(settings) if tag.deadband is not None}
        scheduled.append(
            Scheduled(
                Group(plan, deadbands, workshop.counters, counts, workshop.sink),
                unit,
                Schedule.starting(now, settings.interval, next(workshop.phases)),
                # The driver bounds each request. A bad block is read again in halves, hence the factor.
                read_cap_seconds=4 * (len(plan.requests) + 2) * timeout,
                stale_seconds=3 * settings.interval + timeout,
            )
        )
    line = Line(connection.name, spec.name, address_of(connection), connect_cap_seconds=8 * timeout)
    poller = Poller(line, spec.factory(connection), scheduled, counts, workshop.clock, workshop.lateness)
    return poller, [item.group.schema for item in scheduled]
