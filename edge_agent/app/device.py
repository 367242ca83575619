"""The agent as commands see it: implements commands.context.Device with the agent's parts."""

import asyncio
import hashlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
import structlog

from edge_agent import __version__
from edge_agent.app.centre import CentreLink
from edge_agent.app.connections import ConnectionSet
from edge_agent.app.seen import Seen
from edge_agent.app.tag_readings import TagReadings
from edge_agent.app.transaction import ConfigKeeper
from edge_agent.buffer.errors import NotStored
from edge_agent.buffer.store import Store
from edge_agent.commands.context import LogText, Pending
from edge_agent.commands.errors import Failed
from edge_agent.contracts.clock import Clock
from edge_agent.contracts.errors import ConfigError
from edge_agent.contracts.outbox import Outbox
from edge_agent.contracts.status import ReloadResult
from edge_agent.contracts.writing import WriteOrder, WriteReport
from edge_agent.runtime import logging as logs
from edge_agent.uplink.commands import send_artifact
from edge_agent.uplink.errors import UplinkFault
from edge_agent.uplink.scripts import ScriptKeeper
from edge_agent.wire import ranges
from edge_agent.wire.command_types import ArtifactRef, TagReading
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.messages import ConfigReport, HooksReport
from edge_agent.writing.writer import Writer

logger = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")

_LOOK_SECONDS: Final = 0.2
_SCRATCH: Final = "command-files"


@dataclass(slots=True)
class AgentDevice:
    """config_path: the local file. database: the buffer's, beside which files are kept that are sent.
    reload: applies the local file. restart_agent: begins the ordered stop. hooks_report: None where there are
    none."""

    run: str
    clock: Clock
    started_at: float
    config_path: Path
    database: Path
    keeper: ConfigKeeper
    connections: ConnectionSet
    seen: Seen
    store: Store
    outbox: Outbox
    link: CentreLink
    log_ring: logs.LogRing
    reload_file: Callable[[], Awaitable[ReloadResult]]
    stop: Callable[[], None]
    writer: Writer
    scripts: ScriptKeeper
    hooks_report: Callable[[], HooksReport | None]
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    _level_timer: asyncio.TimerHandle | None = None
    _cleared: bool = False
    # One at a time: however many commands run, the client's connections suffice for the lanes too.
    _fetching: asyncio.Lock = field(default_factory=asyncio.Lock)
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    _transactions: "set[asyncio.Future[Any]]" = field(default_factory=set)

    @property
    def version(self) -> str:
        return __version__

    @property
    def uptime_seconds(self) -> float:
        return self.clock.monotonic() - self.started_at

    def restart_problem(self) -> str:
        if is_service(self.environ, os.getpid()):
            return ""
        return (
            "nothing is known to start this agent again: it does not run under systemd; order it with "
            "`force` where something else does"
        )

    def restart(self) -> None:
        logger.warning("the agent ends to be started again: the centre ordered it")
        self.stop()

    # --- config ----------------------------------------------------------------------------------

    @property
    def config(self) -> ConfigReport:
        return self.keeper.report

    async def fetch_config(self) -> None:
        try:
            await self._to_its_end(self._fetch())
        except UplinkFault as fault:
            raise Failed("unreachable", f"the centre's config cannot be asked for: {fault}") from fault

    async def _fetch(self) -> None:
        async with self._fetching:
            await self.link.fetch_config()

    @property
    def manages_scripts(self) -> bool:
        return self.scripts.is_wanted

    @property
    def hooks(self) -> HooksReport:
        return self.hooks_report() or HooksReport()

    async def fetch_scripts(self) -> None:
        try:
            await self._to_its_end(self._fetch_scripts())
        except UplinkFault as fault:
            raise Failed("unreachable", f"the centre's scripts cannot be asked for: {fault}") from fault

    async def _fetch_scripts(self) -> None:
        async with self._fetching:
            await self.link.fetch_scripts()

    async def reload(self) -> ReloadResult:
        return await self._to_its_end(self.reload_file())

    async def rebuild(self, connection: str) -> bool:
        try:
            return await self._to_its_end(self.keeper.rebuild(connection))
        except ConfigError as error:
            raise Failed("not_built", str(error)) from error

    async def _to_its_end(self, work: Awaitable[T]) -> T:
        """A transaction goes on where its command is stopped: half of one leaves a connection without a
        poller, or a config that is neither kept nor taken back."""
        task = asyncio.ensure_future(work)
        self._transactions.add(task)
        task.add_done_callback(self._transacted)
        return await asyncio.shield(task)

    def _transacted(self, task: "asyncio.Future[Any]") -> None:
        self._transactions.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.debug("a transaction of a command failed", error=str(error))

    def connection_state(self, connection: str) -> tuple[str, str]:
        for report in self.connections.reports():
            if report.name == connection:
                return report.state, report.error
        return "stopped", ""

    # --- values ----------------------------------------------------------------------------------

    async def read_tags(self, names: Sequence[str], seconds: float) -> list[TagReading]:
        readings = TagReadings(self.seen.schemas(), self.seen.latest_of, self.clock)
        return await readings.read(names, seconds)

    def write_problem(self, tag: str, value: JsonValue) -> tuple[str, str] | None:
        fault = self.writer.problem(tag, value)
        return None if fault is None else (fault.code, str(fault))

    async def write_tag(self, order: WriteOrder, seconds: float) -> WriteReport:
        return await self.writer.write(order, seconds)

    # --- logs ------------------------------------------------------------------------------------

    async def log_lines(self, lines: int, since_ms: int | None, level: str) -> LogText:
        secrets = self.keeper.running.secrets
        return await asyncio.to_thread(self._log_lines, lines, since_ms, level, secrets)

    def _log_lines(self, lines: int, since_ms: int | None, level: str, secrets: frozenset[str]) -> LogText:
        from edge_agent.support.scrub import Scrubber
        from edge_agent.support.secrets import known_secrets

        held = self.log_ring.lines(0, "debug", logs.LogRing.MAX_LINES)
        found = self.log_ring.lines(0, level, lines)
        since = [line for line in found if since_ms is None or _time_ms(line) >= since_ms]
        reaches_back = len(since) < len(found) or len(found) == lines
        lost = bool(held) and held[0]["id"] > 1 and not reaches_back
        text = "".join(f"{orjson.dumps(line).decode()}\n" for line in since)
        known = secrets | known_secrets(self.config_path, (), self.environ)
        return LogText(Scrubber(known).clean(text).encode(), len(since), truncated=lost)

    def set_log_level(self, level: str, seconds: float | None) -> str:
        before = logging.getLevelName(logging.getLogger().level).lower()
        if self._level_timer is not None:
            self._level_timer.cancel()
            self._level_timer = None
        self._set_level(level)
        if seconds is not None:
            self._level_timer = asyncio.get_running_loop().call_later(seconds, self._restore_level)
        return before

    def _restore_level(self) -> None:
        self._level_timer = None
        self._set_level(self.keeper.running.head.agent.log_level)

    def _set_level(self, level: str) -> None:
        logs.configure(level, ring=self.log_ring)
        logger.warning("log level set", level=level)

    # --- buffer ----------------------------------------------------------------------------------

    async def flush(self) -> None:
        try:
            await self.store.flush()
        except NotStored as error:
            raise Failed("not_stored", f"the buffer cannot be written: {error}") from error

    def pending(self) -> Pending:
        report = self.store.report()
        return Pending(report.pending_batches, report.pending_samples, self.store.stored_samples)

    async def until_delivered(self) -> None:
        wanted = [(head.no, self.outbox.held(head.no)) for head in self.outbox.heads()]
        while any(ranges.intersect(self.outbox.held(no), held) for no, held in wanted):
            await self.clock.sleep(_LOOK_SECONDS)

    # --- children and files ----------------------------------------------------------------------

    def doctor(self, checks: Sequence[str] | None) -> list[str]:
        only = ["--only", *checks] if checks else []
        return ["doctor", "-c", str(self.config_path), "--json", "--steps", *only]

    def bundle(self, out: Path, *, doctor: bool) -> list[str]:
        extent = [] if doctor else ["--without-doctor"]
        return ["support-bundle", "-c", str(self.config_path), "--out", str(out), "--json", *extent]

    def scratch(self) -> Path:
        directory = self.database.with_name(_SCRATCH)
        directory.mkdir(mode=0o700, exist_ok=True)
        if not self._cleared:
            self._cleared = True
            for left in directory.iterdir():  # by a run that was killed
                left.unlink(missing_ok=True)
        return directory

    async def upload(self, command: str, name: str, data: bytes) -> ArtifactRef:
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        try:
            async with self._sending:
                await send_artifact(self.link.client, self.clock, command, name, data, digest)
        except UplinkFault as fault:
            raise Failed("artifact_refused", f"the centre did not take the file: {fault}") from fault
        return ArtifactRef(name=name, size_bytes=len(data), sha256=digest)


def is_service(environ: Mapping[str, str], pid: int) -> bool:
    """Whether systemd started this process; whatever else starts agents again has to be taken at its word.

    What a service starts inherits these variables, be it a shell or a runner of jobs: systemd from 248 on
    says whom it meant.
    """
    meant = environ.get("SYSTEMD_EXEC_PID")
    if meant:
        return meant == str(pid)
    return bool(environ.get("NOTIFY_SOCKET") or environ.get("INVOCATION_ID"))


def _time_ms(line: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(str(line["time"])).timestamp() * 1_000
