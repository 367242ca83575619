"""From a connection's settings to a blueprint, and from that to its poller. Does no I/O.

A blueprint is all that follows from settings alone. It is made apart from the agent that runs, in a child
process, since planning 20,000 tags takes a second; it is picklable, and holds a few bytes for each tag.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from edge_agent.config.models import ConnectionSettings, GroupSettings, TagSettings, TransportSettings
from edge_agent.contracts.clock import Clock
from edge_agent.contracts.driver import DriverSpec, Plan
from edge_agent.contracts.errors import ConfigError
from edge_agent.contracts.frames import FrameSink
from edge_agent.pipeline.group import Counts, FrameCounters, Group, GroupRules
from edge_agent.pipeline.link import Lateness, Line
from edge_agent.pipeline.liveness import default_deadline
from edge_agent.pipeline.poller import Poller
from edge_agent.pipeline.schedule import Schedule
from edge_agent.pipeline.scheduled import Scheduled
from edge_agent.pipeline.unit import Unit
from edge_agent.wire.errors import WireError
from edge_agent.wire.schema import Schema


@dataclass(slots=True)
class Workshop:
    """What all pollers of a run share; it outlives reloads, so that counts and numbers go on.

    directory: what files in the connections' settings are relative to. state: where the agent keeps its own.
    """

    clock: Clock
    sink: FrameSink
    counters: FrameCounters = field(default_factory=FrameCounters)
    counts: dict[str, Counts] = field(default_factory=dict)
    lateness: Lateness = field(default_factory=Lateness)
    phases: "count[int]" = field(default_factory=count)
    directory: Path = field(default_factory=Path)
    state: Path = field(default_factory=Path)


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
        return "" if port is None else str(port)
    return f"{host}:{port}" if port is not None else str(host)


def located(connection: ConnectionSettings, directory: Path, state: Path) -> ConnectionSettings:
    """With the files that its transport names, if it names any, relative to `directory`.

    state: the directory of the buffer's database, for a transport that keeps files of its own.
    """
    transport: Any = transport_of(connection)
    settled = transport
    if hasattr(settled, "beside"):
        settled = settled.beside(directory)
    if hasattr(settled, "kept_in"):
        settled = settled.kept_in(state)
    return connection if settled is transport else connection.model_copy(update={"transport": settled})


def plan_group(spec: DriverSpec, connection: ConnectionSettings, group: GroupSettings) -> Plan:
    """The driver's plan, whose schema the centre will take. Raises ConfigError."""
    plan = spec.plan(connection, group)
    try:
        plan.schema.check()
    except WireError as error:
        raise ConfigError(f"{connection.name}.{group.name}: {error}: divide the group") from error
    return plan


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What one poller is built from. `connection` and the groups' settings are without what they list."""

    connection: ConnectionSettings
    groups: tuple[tuple[GroupSettings, GroupRules], ...]


def blueprint(connection: ConnectionSettings, spec: DriverSpec) -> Blueprint:
    """Raises ConfigError for what can never work."""
    return Blueprint(
        _without(connection, "groups"),
        tuple(
            (
                _without(settings, "tags"),
                GroupRules.of(
                    plan_group(spec, connection, settings),
                    {tag.name: tag.deadband for tag in tags_of(settings) if tag.deadband is not None},
                ),
            )
            for settings in groups_of(connection)
        ),
    )


def _without(settings: Any, name: str) -> Any:
    return settings.model_copy(update={name: []}) if hasattr(settings, name) else settings


def _bus_seconds(plan: Plan) -> float:
    return sum(request.bus_seconds for request in plan.requests)


def _quiet_seconds(plan: Plan) -> float:
    """For how long a value counts as present though nobody spoke of it: a subscription's plan says so where
    the protocol has no keepalive for it."""
    seconds: float = getattr(plan, "quiet_seconds", 0.0)
    return seconds


def build_poller(drawn: Blueprint, spec: DriverSpec, workshop: Workshop) -> tuple[Poller, list[Schema]]:
    """A poller that has not started, and the schemas to announce before it does.

    A blueprint serves one poller: its deadbands remember what they kept.
    """
    connection = drawn.connection
    counts = workshop.counts.setdefault(connection.name, Counts())
    timeout = transport_of(connection).timeout
    units: dict[int | None, Unit] = {}
    scheduled: list[Scheduled] = []
    now = workshop.clock.mono_ns()
    line_seconds = sum(_bus_seconds(rules.plan) for _, rules in drawn.groups)
    for settings, rules in drawn.groups:
        plan = rules.plan
        bus_seconds = _bus_seconds(plan)
        liveness = settings.liveness or default_deadline(settings.interval, line_seconds)
        unit = units.setdefault(plan.schema.unit_id, Unit(plan.schema.unit_id))
        unit.groups += 1
        scheduled.append(
            Scheduled(
                Group(rules, workshop.counters, counts, workshop.sink),
                unit,
                Schedule.starting(now, settings.interval, next(workshop.phases)),
                # The driver bounds each request. A bad block is read again in halves, hence the factor.
                read_cap_seconds=4 * ((len(plan.requests) + 2) * timeout + bus_seconds),
                stale_seconds=min(liveness, max(3 * settings.interval + timeout, _quiet_seconds(plan))),
                liveness_seconds=liveness,
            )
        )
    line = Line(connection.name, spec.name, address_of(connection), connect_cap_seconds=8 * timeout)
    settled = located(connection, workshop.directory, workshop.state)
    poller = Poller(
        line,
        lambda: spec.factory(settled),
        scheduled,
        counts,
        workshop.clock,
        workshop.lateness,
    )
    return poller, [item.group.schema for item in scheduled]
