"""One snapshot of the agent for the local API, and the heartbeat that the centre gets of it."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge_agent import __version__
from edge_agent.app.connections import ConnectionSet
from edge_agent.buffer.recovery import Identity
from edge_agent.buffer.store import Store
from edge_agent.contracts.clock import Clock
from edge_agent.contracts.outbox import Outbox
from edge_agent.contracts.status import Accounting, AgentStatus, CommandStatus, PageReport, SinkReport
from edge_agent.runtime.clock import sync_state
from edge_agent.runtime.host import HostMeter
from edge_agent.runtime.supervise import Components
from edge_agent.wire.messages import ClockReport, ConfigReport, ConnectionReport, Heartbeat, HooksReport
from edge_agent.wire.version import PROTOCOL_VERSION


def with_hooks(read: Sequence[Accounting], adjusted: Mapping[str, tuple[int, int]]) -> list[Accounting]:
    """The account of connections with what hooks have computed and dropped, and that of computed tags."""
    known = {entry.connection: entry for entry in read}
    for connection, (computed, dropped) in adjusted.items():
        entry = known.get(connection, Accounting(connection=connection))
        known[connection] = Accounting(
            connection=connection,
            read=entry.read + computed,
            suppressed=entry.suppressed + dropped,
            framed=entry.framed + computed - dropped,
        )
    return list(known.values())


def _brief(report: ConnectionReport) -> ConnectionReport:
    """As a heartbeat has it: groups that bring what they should are not listed."""
    ill = [group for group in report.groups if group.state in ("late", "stale", "silent")]
    return report.model_copy(update={"groups": ill})


@dataclass(slots=True)
class StatusBoard:
    """Where the parts' reports come together."""

    identity: Identity
    config_path: str
    clock: Clock
    started_ms: int
    started_at: float
    store: Store
    outbox: Outbox
    meter: HostMeter
    components: Components
    connections: ConnectionSet
    config: Callable[[], ConfigReport]
    sinks: Callable[[], list[SinkReport]]
    clock_offset_ms: Callable[[], float | None]
    labels: dict[str, str]
    metrics_listen: str
    heartbeat_seconds: float | None
    page: Callable[[], PageReport | None]
    commands: Callable[[], list[CommandStatus]]
    hooks: Callable[[], HooksReport | None] = lambda: None
    adjusted: Callable[[], Mapping[str, tuple[int, int]]] = dict

    @property
    def uptime_seconds(self) -> float:
        return self.clock.monotonic() - self.started_at

    def status(self) -> AgentStatus:
        return AgentStatus(
            device=self.identity.device,
            version=__version__,
            pid=os.getpid(),
            run=self.identity.run,
            started=self.started_ms,
            uptime_seconds=round(self.uptime_seconds, 3),
            config_path=self.config_path,
            host=self.meter.read(),
            clock=ClockReport(sync=sync_state(), offset_ms=self.clock_offset_ms()),
            buffer=self.store.report(),
            config=self.config(),
            connections=self.connections.reports(),
            accounting=self._accounting(),
            sinks=self.sinks(),
            components=self.components.reports(),
            lateness=self.connections.lateness(),
            stored_samples=self.store.stored_samples,
            lost_samples=self.store.lost_samples,
            page=self.page(),
            commands=self.commands(),
            hooks=self.hooks(),
        )

    def _accounting(self) -> list[Accounting]:
        return with_hooks(self.connections.accounting(), self.adjusted())

    def heartbeat(self) -> Heartbeat:
        connections = self.connections.reports()
        healthy = self.connections.healthy()
        return Heartbeat(
            now=self.clock.wall_ms(),
            version=__version__,
            protocol=PROTOCOL_VERSION,
            run=self.identity.run,
            boot=self.identity.boot,
            machine=self.identity.machine,
            uptime_seconds=self.uptime_seconds,
            interval_seconds=self.heartbeat_seconds,
            host=self.meter.read(),
            clock=ClockReport(sync=sync_state(), offset_ms=self.clock_offset_ms()),
            buffer=self.store.report(),
            config=self.config(),
            connections_ok=sum(healthy.values()),
            connections_total=len(healthy),
            connections=[_brief(report) for report in connections],
            heads=self.outbox.heads(),
            read_samples=sum(entry.read for entry in self._accounting()),
            lost_samples=self.store.lost_samples,
            labels=self.labels,
            metrics_listen=self.metrics_listen,
            hooks=without_prints(self.hooks()),
        )


def without_prints(report: HooksReport | None) -> HooksReport | None:
    """What scripts print may be what another one redacts before it leaves the device, and 4 KiB of each in
    every heartbeat is much for a mobile link."""
    if report is None:
        return None
    hooks = [hook.model_copy(update={"prints": ""}) for hook in report.hooks]
    return report.model_copy(update={"hooks": hooks})
