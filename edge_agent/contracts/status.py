"""What the agent says about itself: one snapshot that the local API, the CLI and /metrics all read."""

from typing import Protocol

from pydantic import BaseModel, ConfigDict, JsonValue

from edge_agent.wire.messages import (
    BufferReport,
    ClockReport,
    ConfigReport,
    ConnectionReport,
    HooksReport,
    HostReport,
)


class Report(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class SinkReport(Report):
    """One place that batches go to. `state`: ok, unreachable, refused, blocked, off; stalled (it takes
    connections, and acknowledges nothing).

    rebuilds: how often all connections to it were given up for that. delay_ms: from the first sample of the
    newest delivered batch to its acknowledgement.
    """

    name: str
    state: str
    detail: str = ""
    last_success: int | None = None
    delivered_batches: int = 0
    delivered_bytes: int = 0
    delivered_samples: int = 0
    delay_ms: int | None = None
    failed_posts: int = 0
    backlog_batches: int = 0
    rebuilds: int = 0


class ComponentReport(Report):
    """A supervised part. `state`: running, waiting (backoff), broken (keeps failing, and is tried rarely),
    stopped.

    parent: its place in the tree, `agent/uplink`. essential: the process ends when it gives up. failures:
    in a row. since: of the state, and next_try: UTC milliseconds.
    """

    name: str
    state: str
    restarts: int = 0
    error: str = ""
    parent: str = "agent"
    essential: bool = False
    failures: int = 0
    since: int | None = None
    next_try: int | None = None


class Accounting(Report):
    """Samples of one connection in this run: read = suppressed + framed, exactly."""

    connection: str
    read: int = 0
    suppressed: int = 0
    framed: int = 0


class LatenessReport(Report):
    """How late cycles of this run began, over all connections.

    bounds_ms: upper bounds, ascending. counts: cycles up to each bound, and last those above all of them.
    """

    bounds_ms: list[float] = []
    counts: list[int] = []


class PageReport(Report):
    """The agent's own page. `state`: open, taken (by something else; tried again), opening."""

    state: str
    address: str
    detail: str = ""


class CommandStatus(Report):
    """A command of the centre that waits or runs here. `state`: waiting, running. since: it runs, UTC
    milliseconds. by: who ordered it."""

    id: str
    type: str
    state: str
    by: str = ""
    since: int | None = None
    step: int = 0
    steps: int = 0
    text: str = ""


class AgentStatus(Report):
    """stored_samples: committed to the buffer in this run, those recovered from the ring included. hooks:
    None where no script is configured."""

    device: str
    version: str
    pid: int
    run: str
    started: int
    uptime_seconds: float
    config_path: str
    host: HostReport
    clock: ClockReport
    buffer: BufferReport
    config: ConfigReport
    connections: list[ConnectionReport]
    accounting: list[Accounting]
    sinks: list[SinkReport]
    components: list[ComponentReport]
    lateness: LatenessReport = LatenessReport()
    stored_samples: int = 0
    lost_samples: int = 0
    page: PageReport | None = None
    commands: list[CommandStatus] = []
    hooks: HooksReport | None = None


class LatestValue(Report):
    """A tag's newest sample as the agent knows it. `value` is in engineering units."""

    connection: str
    group: str
    tag: str
    value: JsonValue
    quality: str
    time: int
    unit: str = ""


class ReloadResult(Report):
    """What a reload did: connections by what happened to them, or the problems that prevented it. hooks:
    scripts that are new, gone or differ."""

    applied: bool
    added: list[str] = []
    removed: list[str] = []
    changed: list[str] = []
    unchanged: list[str] = []
    hooks: list[str] = []
    problems: list[str] = []
    warnings: list[str] = []


class Control(Protocol):
    """What the local API may see and ask for. `app` implements it."""

    def status(self) -> AgentStatus: ...

    def latest(self, connection: str | None = None) -> list[LatestValue]: ...

    async def reload(self) -> ReloadResult: ...
