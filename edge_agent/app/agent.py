"""The agent as a whole: builds every part, connects them, starts them and has them ended in order.

The root TaskGroup holds every task; what may fail runs under `supervise` in it, as a part of the crew. The
stop order is in `ending`, how the process ends in `outcome`.
"""

import asyncio
import gc
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from edge_agent.app.clockwatch import ClockWatch
from edge_agent.app.compiled import Compiled
from edge_agent.app.connections import ConnectionSet
from edge_agent.app.ending import WRITER, Ending
from edge_agent.app.hooks import HookRoom
from edge_agent.app.inspection import Inspector
from edge_agent.app.outcome import judge, report
from edge_agent.app.seen import Seen
from edge_agent.app.sent_scripts import judge_in_child, last_good_beside, rules_of
from edge_agent.app.status import StatusBoard
from edge_agent.app.transaction import CentreMove, ConfigKeeper
from edge_agent.app.watchdog import WRITER_SECONDS, Watchdog, status_line
from edge_agent.app.writing import CLOSE_SECONDS, LOCAL_SECONDS, has_journal, look_back, make_writer
from edge_agent.buffer.outbox import StoredOutbox
from edge_agent.buffer.recovery import Identity
from edge_agent.buffer.ring import FrameRing
from edge_agent.buffer.settings import StoreSettings
from edge_agent.buffer.store import Store
from edge_agent.config.last_good import LastGood
from edge_agent.config.models import CentralSettings
from edge_agent.contracts.exit_codes import ExitCode
from edge_agent.contracts.status import AgentStatus, LatestValue, PageReport, ReloadResult, SinkReport
from edge_agent.contracts.writing import WriteOrder, WriteReport
from edge_agent.pipeline.build import Workshop
from edge_agent.pipeline.watch import LivenessWatch
from edge_agent.runtime import logging as logs
from edge_agent.runtime.atomic import write_atomic
from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.crew import Crew
from edge_agent.runtime.errors import EssentialFailed
from edge_agent.runtime.host import HostMeter, boot_id, machine_id
from edge_agent.runtime.lock import LateLock
from edge_agent.runtime.notify import Notifier, watchdog_seconds
from edge_agent.runtime.paths import SOCKET_NAME, runtime_directory
from edge_agent.runtime.stopping import StopSignals, leave
from edge_agent.runtime.supervise import Components, Role
from edge_agent.uplink.scripts import ScriptKeeper
from edge_agent.wire.batch import MAX_COMPRESSED_BYTES
from edge_agent.writing.writer import Writer

if TYPE_CHECKING:
    from edge_agent.app.centre import CentreLink
    from edge_agent.app.commands import Commands
    from edge_agent.web.page import PageServer
    from edge_agent.web.server import LocalServer

logger = structlog.stdlib.get_logger(__name__)


class Agent:
    """One run. Implements contracts.status.Control for the local API."""

    def __init__(self, path: Path, config: Compiled, log_ring: logs.LogRing) -> None:
        settings = config.head
        self._log_ring = log_ring
        self._path = path
        self._settings = settings
        self._clock = SystemClock()
        self._directory = config.directory
        self._runtime = runtime_directory(settings.agent.runtime_dir, settings.agent.id)
        database = self._database = config.directory / settings.buffer.path
        self._identity = Identity(
            settings.agent.id,
            uuid4().hex[:16],
            boot_id(self._runtime / "boot-id"),
            machine_id(database.with_name("machine-id")),
        )
        ring = FrameRing(self._runtime, self._identity.boot, self._identity.run)
        self._store = Store(
            StoreSettings(
                database,
                settings.buffer.flush_interval,
                settings.buffer.max_bytes,
                settings.buffer.retain_delivered,
                settings.central is not None,
                settings.buffer.min_free_bytes,
                settings.buffer.on_full == "drop_oldest",
                MAX_COMPRESSED_BYTES if settings.central is None else settings.central.batch_bytes,
            ),
            self._identity,
            ring,
            self._clock,
        )
        self._outbox = StoredOutbox(self._store)
        self._components = Components()
        last_good = LastGood(database.with_name("central-config.json"), write_atomic)
        self._hooks = HookRoom(self._store, self._clock, settings.buffer.flush_interval)
        self._keeper = ConfigKeeper(
            path, config, last_good, self._clock, self._centre_answers,
            centre=CentreMove(self._probe_centre, self._move_centre), hooks=self._hooks,
        )  # fmt: skip
        self._scripts = ScriptKeeper(
            last_good_beside(database), lambda: rules_of(self._keeper.running), judge_in_child,
            self._hooks.replace_sent, self._clock,
        )  # fmt: skip
        self._hooks.told = self._scripts.told
        self._link: CentreLink | None = None
        self._commands: Commands | None = None
        self._page: PageServer | None = None
        self._board: StatusBoard | None = None
        self._writer: Writer | None = None
        self._signals = StopSignals(leave)
        self._reload_wanted = asyncio.Event()
        self._ending: Ending | None = None

    # --- life ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises what makes running impossible, and EssentialFailed."""
        self._listen_to_signals()
        lock_path = self._database.with_name(f"{self._database.name}.lock")
        with (
            LateLock(lock_path, self._clock) as self._lock,
            Notifier.from_environment() as notifier,
        ):
            async with asyncio.TaskGroup() as root:
                watchdog = Watchdog(notifier, watchdog_seconds(), self._clock, self._status_line)
                await self._live(root, notifier, watchdog)
        logger.info("stopped", device=self._identity.device)

    async def _live(self, root: asyncio.TaskGroup, notifier: Notifier, watchdog: Watchdog) -> None:
        """Start, run, stop. Whatever becomes of the start, the stop runs."""
        ending = self._ending = Ending(
            Crew(root, self._clock, self._components, watchdog.progress, self._gave_up),
            self._signals,
            self._clock,
            self._store,
            self._outbox,
            self._hooks,
        )
        error: BaseException | None = None
        try:
            if await self._signals.unless_wanted(self._start(ending, watchdog)):
                notifier.ready(self._status_line())
                await self._signals.wanted.wait()
        except Exception as failed:  # noqa: BLE001 - raised again once what did start has ended
            error = failed
        logger.info("stopping", device=self._identity.device)
        notifier.stopping()
        if self._writer is not None:
            await self._writer.close(CLOSE_SECONDS)
        ended = await ending.run()
        error = error or ending.failure
        if left := ending.crew.left or [stage.name for stage in ended if stage.is_stuck]:
            # Nothing can wait for them, the TaskGroup least of all.
            logger.error("ending with parts that do not end", components=left)
            leave(ExitCode.GOOD if error is None else report(error))
        if error is not None:
            raise error

    async def _start(self, ending: Ending, watchdog: Watchdog) -> None:
        crew = ending.crew
        extending = crew.start("start", watchdog.during_start)
        await self._keeper.start()
        if self._settings.central is not None:
            await self._scripts.start()
        await self._store.open(self._runtime)
        ending.has_store = True
        self._start_parts(ending, watchdog)
        if self._writer is not None and has_journal(self._database):
            await look_back(self._writer)
        await self._hooks.boot(
            self._keeper.running, self._connections.links, self._scripts.running, self._connections.schemas
        )
        await self._keeper.boot(self._connections)
        await self._start_outward(ending)
        extending.cancel()
        # What a large config left behind is walked by no collection any more: that took milliseconds.
        gc.collect()
        gc.freeze()
        logger.info(
            "started",
            device=self._identity.device,
            connections=len(self._keeper.running.names),
            recovered_frames=self._store.recovered_frames,
            run=self._identity.run,
            page=self._settings.agent.page_listen and f"http://{self._settings.agent.page_listen}/",
        )

    def _start_parts(self, ending: Ending, watchdog: Watchdog) -> None:
        """What works without anybody else."""
        crew = ending.crew
        workshop = Workshop(self._clock, self._store, directory=self._directory, state=self._database.parent)
        self._connections = ending.connections = ConnectionSet(crew, workshop, self._store)
        self._seen = Seen(self._connections, self._hooks)
        self._writer = make_writer(
            lambda: self._keeper.running, self._connections, self._store, self._database, self._clock,
            self._hooks.withholds,
        )  # fmt: skip
        writer = Role(essential=True, pulse=self._store.pulse, quiet_seconds=WRITER_SECONDS)
        crew.start(WRITER, self._store.run_flushes, writer)
        crew.start("watchdog", watchdog.run, Role(essential=True))
        crew.start("clock", ClockWatch(self._clock, self._store, self._resumed).run)
        crew.start("liveness", LivenessWatch(self._clock, self._store, self._connections.pollers).run)
        crew.start("reload", self._run_reloads)
        if not self._lock.held:
            crew.start("lock", self._lock.run)
        self._board = StatusBoard(
            self._identity,
            str(self._path),
            self._clock,
            self._clock.wall_ms(),
            self._clock.monotonic(),
            self._store,
            self._outbox,
            HostMeter(self._directory),
            self._components,
            self._connections,
            lambda: self._keeper.report,
            self._sinks,
            lambda: self._link.offset_ms if self._link is not None else None,
            {**self._settings.agent.labels},
            self._settings.agent.metrics_listen or "",
            None if self._settings.central is None else self._settings.central.heartbeat_interval,
            self._page_report,
            lambda: [] if self._commands is None else self._commands.status(),
            self._hooks.report,
            self._hooks.adjusted,
        )

    async def _resumed(self) -> None:
        """The machine slept: nobody at the other end of a socket may know of it any more."""
        self._connections.resumed()
        if self._link is not None:
            await self._link.resumed()

    async def _start_outward(self, ending: Ending) -> None:
        """What talks to the centre and to people on this machine."""
        assert self._board is not None, "the board comes with the parts"
        link_type, server_type, page_type = await asyncio.to_thread(_outward_types)
        if self._settings.central is not None:
            self._link = ending.link = link_type(
                self._keeper.running.head,
                self._directory,
                self._outbox,
                self._store,
                self._keeper,
                self._scripts,
                self._board.heartbeat,
                self._connections.healthy,
                self._clock,
                self._identity.machine,
            )
            await self._link.open()
            self._link.start(ending.crew)
            self._commands = await asyncio.to_thread(self._make_commands, self._link)
            self._commands.start(ending.crew)
        socket = self._runtime / SOCKET_NAME
        ending.server = server_type(self, socket, self._settings.agent.metrics_listen)
        await ending.server.start()
        if self._settings.agent.page_listen is not None:
            self._page = page_type(self._inspector(), self._settings.agent.page_listen, self._clock)
            ending.crew.start("page", self._page.run)

    def _make_commands(self, link: "CentreLink") -> "Commands":
        """What runs the centre's orders. In a thread, for its imports."""
        from edge_agent.app.commands import Commands
        from edge_agent.app.device import AgentDevice

        assert self._board is not None, "the board comes with the parts"
        assert self._writer is not None, "so does the writer"
        device = AgentDevice(
            self._identity.run,
            self._clock,
            self._board.started_at,
            self._path,
            self._database,
            self._keeper,
            self._connections,
            self._seen,
            self._store,
            self._outbox,
            link,
            self._log_ring,
            self.reload,
            self._signals.wanted.set,
            self._writer,
            self._scripts,
            self._hooks.report,
        )
        return Commands(self._settings.commands, self._identity, device, link.record)

    def _listen_to_signals(self) -> None:
        """Before anything else: a signal ends the start too."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signals.note)
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)

    def _gave_up(self, failure: EssentialFailed) -> None:
        assert self._ending is not None, "parts start after it"
        self._ending.gave_up(failure)

    async def _run_reloads(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            await self.reload()

    def _status_line(self) -> str:
        return status_line(list(self._connections.healthy().values()), self._store.report(), self._sinks())

    # --- contracts.status.Control ----------------------------------------------------------------

    def status(self) -> AgentStatus:
        assert self._board is not None, "the local API starts after the board"
        return self._board.status()

    def latest(self, connection: str | None = None) -> list[LatestValue]:
        return self._seen.latest(connection)

    async def reload(self) -> ReloadResult:
        result = await self._keeper.reload()
        if self._link is not None:
            if result.applied:
                warnings = [*result.warnings, *await self._scripts.look_again()]
                result = result.model_copy(update={"warnings": warnings})
            self._link.look_around()
        return result

    async def write(self, order: WriteOrder) -> WriteReport:
        assert self._writer is not None, "the local API starts after the parts"
        return await self._writer.write(order, LOCAL_SECONDS)

    def _inspector(self) -> Inspector:
        """What the local page sees of this agent."""
        return Inspector(
            self.status, self._seen, lambda: self._keeper.running, self._database, self._log_ring
        )

    def _page_report(self) -> PageReport | None:
        return None if self._page is None else self._page.report()

    def _centre_answers(self) -> bool:
        return self._link is not None and self._link.answers

    async def _probe_centre(self, settings: CentralSettings) -> str:
        return "there is no link to a centre yet" if self._link is None else await self._link.probe(settings)

    async def _move_centre(self, settings: CentralSettings) -> None:
        if self._link is not None:
            await self._link.move(settings)

    def _sinks(self) -> list[SinkReport]:
        return [self._link.report()] if self._link is not None else []


def _outward_types() -> "tuple[type[CentreLink], type[LocalServer], type[PageServer]]":
    """What talks to others. Its libraries are the bulk of all imports: they come after the first polls."""
    from edge_agent.app.centre import CentreLink
    from edge_agent.web.page import PageServer
    from edge_agent.web.server import LocalServer

    return CentreLink, LocalServer, PageServer


def run_agent(path: Path, config: Compiled) -> int:
    """Runs the agent until a signal ends it, and the process with it. Raises ConfigError, Unavailable and
    NotConnected for what cannot run."""
    ring = logs.LogRing()
    logs.configure(config.head.agent.log_level, ring=ring)
    for warning in config.warnings:
        logger.warning(warning)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            runner.run(Agent(path, config, ring).run())
            code = ExitCode.GOOD
        except Exception as error:  # noqa: BLE001 - the process ends, and says how
            code = judge(error, str(config.directory / config.head.buffer.path))
        # What still hangs in a thread would keep the runner and the interpreter from ending.
        leave(code)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where the extra `speed` is installed: 40 % less CPU a Modbus request."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
