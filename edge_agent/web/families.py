"""The metrics that an agent exposes: names, types, help texts, labels, and how each is read off a status.

One table is the source of the exposition (`metrics.py`) and of the reference page (`reference.py`).
Units are Prometheus' base units; a value that is not known has no sample.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from edge_agent.contracts.status import AgentStatus, SinkReport
from edge_agent.runtime.health import QUIET_STATES
from edge_agent.wire.messages import ConfigState, ConnectionReport, GroupReport, HookReport, UnitReport

Sample: TypeAlias = tuple[tuple[str, ...], float | None]
Reader: TypeAlias = Callable[[AgentStatus], Iterable[Sample]]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `name` without its prefix; counters end in `_total`. `samples` follow `labels`' order."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    read: Reader
    labels: tuple[str, ...] = ()


def _one(value: Callable[[AgentStatus], float | None]) -> Reader:
    return lambda status: [((), value(status))]


def _each_connection(value: Callable[[ConnectionReport], float | None]) -> Reader:
    return lambda status: (((report.name,), value(report)) for report in status.connections)


def _each_unit(value: Callable[[UnitReport], float | None]) -> Reader:
    def read(status: AgentStatus) -> Iterator[Sample]:
        for connection in status.connections:
            for unit in connection.units:
                yield (connection.name, _unit(unit)), value(unit)

    return read


def _each_group(value: Callable[[GroupReport], float | None]) -> Reader:
    def read(status: AgentStatus) -> Iterator[Sample]:
        for connection in status.connections:
            for group in connection.groups:
                yield (connection.name, group.name), value(group)

    return read


def _each_sink(value: Callable[[SinkReport], float | None]) -> Reader:
    return lambda status: (((sink.name,), value(sink)) for sink in status.sinks)


def _each_hook(value: Callable[[HookReport], float | None]) -> Reader:
    def read(status: AgentStatus) -> Iterator[Sample]:
        for report in status.hooks.hooks if status.hooks is not None else ():
            yield (report.name,), value(report)

    return read


def _hook_latencies(status: AgentStatus) -> Iterator[Sample]:
    for report in status.hooks.hooks if status.hooks is not None else ():
        yield (report.name, "50"), _seconds(report.p50_ms)
        yield (report.name, "99"), _seconds(report.p99_ms)


def _hook_info(status: AgentStatus) -> Iterator[Sample]:
    for report in status.hooks.hooks if status.hooks is not None else ():
        yield (report.name, report.hook_type, report.state, report.origin, report.sha256[:16]), 1


def _hook_layers(status: AgentStatus) -> Iterator[Sample]:
    for layer, state in status.hooks.layers.items() if status.hooks is not None else ():
        yield (layer,), state == "on"


def _unit(report: UnitReport) -> str:
    return "" if report.unit_id is None else str(report.unit_id)


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1_000


def _ratio(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


def _buffer_states(status: AgentStatus) -> Iterator[Sample]:
    for state in ("ok", "full", "failing"):
        yield (state,), float(status.buffer.state == state)


def _connection_info(status: AgentStatus) -> Iterator[Sample]:
    for report in status.connections:
        yield (report.name, report.driver, report.address), 1


def _unit_states(status: AgentStatus) -> Iterator[Sample]:
    for connection in status.connections:
        for unit in connection.units:
            yield (connection.name, _unit(unit), unit.state), 1


def _config_states(status: AgentStatus) -> Iterator[Sample]:
    for state in ConfigState:
        yield (state.value,), state is status.config.state


_AGENT: Final = (
    Family(
        "build_info", "gauge", "Version of the agent and its device id; always 1.",
        lambda status: [((status.version, status.device), 1)], ("version", "device"),
    ),
    Family("start_time_seconds", "gauge", "When this run of the agent began, Unix time.",
           _one(lambda status: _seconds(status.started))),
    Family("uptime_seconds", "gauge", "How long the agent has been running.",
           _one(lambda status: status.uptime_seconds)),
    Family("lost_samples_total", "counter", "Samples that will never arrive, each with a loss record.",
           _one(lambda status: status.lost_samples)),
    Family("config_state", "gauge", "1 for what became of the centre's last config, 0 for the rest.",
           _config_states, ("state",)),
    Family("config_seen_version", "gauge", "Version of the centre's config that was seen last.",
           _one(lambda status: status.config.seen_version)),
    Family("config_applied_version", "gauge", "Version of the centre's config that runs.",
           _one(lambda status: status.config.applied_version)),
    Family("clock_synchronised", "gauge", "Whether the wall clock is kept in step; absent: not known.",
           _one(lambda status: status.clock.sync)),
    Family("clock_offset_seconds", "gauge", "Wall clock against the centre's; positive: ahead.",
           _one(lambda status: _seconds(status.clock.offset_ms))),
)  # fmt: skip

_HOST: Final = (
    Family("host_cpu_ratio", "gauge", "Share of all cores in use, 0 to 1.",
           _one(lambda status: _ratio(status.host.cpu_percent))),
    Family("host_load1", "gauge", "Mean number of runnable tasks over one minute.",
           _one(lambda status: status.host.load_1m)),
    Family("host_memory_used_bytes", "gauge", "Memory of the machine that is not available.",
           _one(lambda status: status.host.memory_bytes)),
    Family("host_memory_size_bytes", "gauge", "Memory of the machine.",
           _one(lambda status: status.host.memory_total_bytes)),
    Family("process_cpu_ratio", "gauge", "CPU time of the agent; 1 is one core.",
           _one(lambda status: _ratio(status.host.process_cpu_percent))),
    Family("process_memory_bytes", "gauge", "Memory of the agent, shared pages by share (PSS).",
           _one(lambda status: status.host.process_memory_bytes)),
    Family("disk_free_bytes", "gauge", "Free space where the buffer lies.",
           _one(lambda status: status.host.disk_free_bytes)),
    Family("disk_size_bytes", "gauge", "Size of the file system where the buffer lies.",
           _one(lambda status: status.host.disk_total_bytes)),
)  # fmt: skip

_BUFFER: Final = (
    Family("buffer_pending_batches", "gauge", "Batches that some sink has not acknowledged.",
           _one(lambda status: status.buffer.pending_batches)),
    Family("buffer_pending_samples", "gauge", "Samples in those batches.",
           _one(lambda status: status.buffer.pending_samples)),
    Family("buffer_pending_bytes", "gauge", "Bytes of those batches.",
           _one(lambda status: status.buffer.pending_bytes)),
    Family("buffer_oldest_pending_timestamp_seconds", "gauge", "Time of the oldest of them, Unix time.",
           _one(lambda status: _seconds(status.buffer.oldest_pending))),
    Family("buffer_size_bytes", "gauge", "Disk space that the buffer uses.",
           _one(lambda status: status.buffer.size_bytes)),
    Family("buffer_quota_bytes", "gauge", "Disk space that the buffer may use.",
           _one(lambda status: status.buffer.quota_bytes)),
    Family("buffer_uncommitted_frames", "gauge", "Frames that a power cut now would lose.",
           _one(lambda status: status.buffer.uncommitted_frames)),
    Family("buffer_uncommitted_age_seconds", "gauge", "Age of the oldest of those frames.",
           _one(lambda status: status.buffer.uncommitted_age_seconds)),
    Family("buffer_flush_interval_seconds", "gauge", "Time between two commits, as it is now.",
           _one(lambda status: status.buffer.flush_interval_seconds)),
    Family("buffer_state", "gauge", "1 for the state that the buffer is in: ok, full or failing.",
           _buffer_states, ("state",)),
    Family("buffer_uncommitted_bytes", "gauge", "Memory that frames take which are not committed.",
           _one(lambda status: status.buffer.uncommitted_bytes)),
    Family("buffer_commits_total", "counter", "Commits of the buffer.",
           _one(lambda status: status.buffer.commits)),
)  # fmt: skip

_CONNECTIONS: Final = (
    Family("connection_info", "gauge", "Driver and address of a connection; always 1.",
           _connection_info, ("connection", "driver", "address")),
    Family("connection_up", "gauge", "Whether the connection is connected.",
           _each_connection(lambda report: report.state == "connected"), ("connection",)),
    Family("connection_state_since_timestamp_seconds", "gauge", "When its state last changed, Unix time.",
           _each_connection(lambda report: _seconds(report.since or None)), ("connection",)),
    Family("connection_latency_seconds", "gauge", "How long its requests take.",
           _each_connection(lambda report: _seconds(report.latency_ms)), ("connection",)),
    Family("connection_overruns_total", "counter", "Poll cycles left out because others took too long.",
           _each_connection(lambda report: report.overruns), ("connection",)),
    Family("connection_samples_total", "counter", "Samples that the connection has brought.",
           _each_connection(lambda report: report.samples), ("connection",)),
    Family("samples_read_total", "counter", "Samples read: suppressed and framed ones together.",
           lambda status: (((entry.connection,), entry.read) for entry in status.accounting),
           ("connection",)),
    Family("samples_suppressed_total", "counter", "Samples that the deadband kept out.",
           lambda status: (((entry.connection,), entry.suppressed) for entry in status.accounting),
           ("connection",)),
    Family("samples_framed_total", "counter", "Samples that went into frames.",
           lambda status: (((entry.connection,), entry.framed) for entry in status.accounting),
           ("connection",)),
    Family("unit_state", "gauge", "1 for the state that a unit is in.",
           _unit_states, ("connection", "unit", "state")),
    Family("unit_groups", "gauge", "Groups that are polled from a unit.",
           _each_unit(lambda unit: unit.groups), ("connection", "unit")),
    Family("unit_good_cycles_total", "counter", "Poll cycles that a unit answered.",
           _each_unit(lambda unit: unit.good_cycles), ("connection", "unit")),
    Family("unit_bad_cycles_total", "counter", "Poll cycles that a unit left unanswered.",
           _each_unit(lambda unit: unit.bad_cycles), ("connection", "unit")),
    Family("group_last_data_age_seconds", "gauge", "How long ago a group brought data; absent: never yet.",
           _each_group(lambda group: group.age_seconds), ("connection", "group")),
    Family("group_liveness_deadline_seconds", "gauge", "How long a group may bring nothing.",
           _each_group(lambda group: group.deadline_seconds), ("connection", "group")),
    Family("group_silent", "gauge", "Whether a group has brought nothing for two deadlines or more.",
           _each_group(lambda group: group.state in QUIET_STATES), ("connection", "group")),
    Family("connection_rebuilds_total", "counter", "Links built anew because nothing came over them.",
           _each_connection(lambda report: report.rebuilds), ("connection",)),
    Family("connection_hung_calls_total", "counter", "Calls of a driver that could not be cancelled.",
           _each_connection(lambda report: report.hung_calls), ("connection",)),
)  # fmt: skip

_PARTS: Final = (
    Family("sink_up", "gauge", "Whether batches can be delivered to a sink.",
           _each_sink(lambda sink: sink.state == "ok"), ("sink",)),
    Family("sink_last_success_timestamp_seconds", "gauge", "When it last took batches, Unix time.",
           _each_sink(lambda sink: _seconds(sink.last_success)), ("sink",)),
    Family("sink_backlog_batches", "gauge", "Batches that wait for the sink.",
           _each_sink(lambda sink: sink.backlog_batches), ("sink",)),
    Family("sink_delivered_batches_total", "counter", "Batches that the sink has acknowledged.",
           _each_sink(lambda sink: sink.delivered_batches), ("sink",)),
    Family("sink_delivered_bytes_total", "counter", "Bytes of those batches.",
           _each_sink(lambda sink: sink.delivered_bytes), ("sink",)),
    Family("sink_failed_posts_total", "counter", "Deliveries that failed and are tried again.",
           _each_sink(lambda sink: sink.failed_posts), ("sink",)),
    Family("sink_rebuilds_total", "counter", "How often all connections to a sink were given up as dead.",
           _each_sink(lambda sink: sink.rebuilds), ("sink",)),
    Family("component_running", "gauge", "Whether a part of the agent runs; 0: it waits or has stopped.",
           lambda status: (((part.name,), part.state == "running") for part in status.components),
           ("component",)),
    Family("component_info", "gauge", "Always 1. state: running, waiting, broken (tried rarely), stopped.",
           lambda status: (((part.name, part.parent, part.state), 1) for part in status.components),
           ("component", "parent", "state")),
    Family("component_restarts_total", "counter", "How often a part was started again after a failure.",
           lambda status: (((part.name,), part.restarts) for part in status.components),
           ("component",)),
)  # fmt: skip

_HOOKS: Final = (
    Family("hook_up", "gauge", "Whether a hook runs; 0: it is off, refused or starting.",
           _each_hook(lambda report: report.state == "running"), ("hook",)),
    Family("hook_info", "gauge", "Always 1. state: running, starting, off, refused.",
           _hook_info, ("hook", "point", "state", "origin", "digest")),
    Family("hook_calls_total", "counter", "Calls of a hook's script.",
           _each_hook(lambda report: report.calls), ("hook",)),
    Family("hook_failures_total", "counter", "Calls that failed: the script raised, or was killed.",
           _each_hook(lambda report: report.failures), ("hook",)),
    Family("hook_kills_total", "counter", "How often a hook's process was killed.",
           _each_hook(lambda report: report.kills), ("hook",)),
    Family("hook_bad_samples_total", "counter", "Samples marked bad_hook because of a hook.",
           _each_hook(lambda report: report.bad_samples), ("hook",)),
    Family("hook_call_seconds", "gauge", "How long a hook's latest calls took, there and back.",
           _hook_latencies, ("hook", "percentile")),
    Family("hook_layer", "gauge", "Whether a layer of the hooks' sandbox is on.",
           _hook_layers, ("layer",)),
)  # fmt: skip

FAMILIES: Final[tuple[Family, ...]] = (*_AGENT, *_HOST, *_BUFFER, *_CONNECTIONS, *_PARTS, *_HOOKS)
