"""Everything between this agent and its centre, built and run as one.

Imported in a thread once polling has begun: the HTTP library alone takes longer than all that is needed
for the first sample.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from edge_agent.app.transaction import ConfigKeeper
from edge_agent.config.models import CentralSettings, Document
from edge_agent.contracts.clock import Clock
from edge_agent.contracts.frames import FrameSink
from edge_agent.contracts.outbox import Outbox
from edge_agent.contracts.status import SinkReport
from edge_agent.runtime.crew import Crew
from edge_agent.runtime.supervise import Role
from edge_agent.uplink.beat import DocumentPoll, Heartbeats
from edge_agent.uplink.client import CentreClient, NewDocument, is_mqtt
from edge_agent.uplink.credentials import FILE_NAME, Credentials
from edge_agent.uplink.enrolment import Hardware
from edge_agent.uplink.errors import UplinkFault
from edge_agent.uplink.rotation import Rotation
from edge_agent.uplink.scripts import ScriptKeeper
from edge_agent.uplink.standing import Standing
from edge_agent.uplink.uploader import Uploader
from edge_agent.uplink.watch import SinkWatch
from edge_agent.wire.batch import Kind
from edge_agent.wire.messages import Event, Heartbeat, Resend
from edge_agent.wire.ranges import coalesce

logger = structlog.stdlib.get_logger(__name__)

PARENT: Final = "agent/uplink"
_LOOK_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 10.0


class CentreLink:
    """Uploads, heartbeats and the polls for config and scripts of one agent. `open` before the parts run."""

    def __init__(
        self,
        document: Document,
        directory: Path,
        outbox: Outbox,
        sink: FrameSink,
        keeper: ConfigKeeper,
        scripts: ScriptKeeper,
        heartbeat: Callable[[], Heartbeat],
        healthy: Callable[[], dict[str, bool]],
        clock: Clock,
        machine: str,
    ) -> None:
        """directory: what `ca_file` is relative to. healthy: the connections' state, by name. machine: its
        id, under which this device enrols."""
        central = document.central
        assert central is not None, "an agent without a centre has no link to one"
        self._central = central
        self._sink = sink
        self._outbox = outbox
        self._keeper = keeper
        self._scripts = scripts
        self._device, self._directory = document.agent.id, directory
        self._heartbeat = heartbeat
        self._healthy = healthy
        self._clock = clock
        # Who is told that commands wait at the centre.
        self.on_commands: Callable[[int], None] = lambda _: None
        self._credentials = Credentials((directory / document.buffer.path).with_name(FILE_NAME))
        self._standing = Standing(clock, self._credentials, self._try_now)
        self._client = self.client = CentreClient(
            central,
            document.agent.id,
            directory,
            token=self._token,
            judge=self._standing,
            on_connected=self._connected,
        )
        self._rotation = Rotation(
            self._client,
            self._credentials,
            document.agent.id,
            Hardware(machine),
            self._standing.refused_seconds,
            clock,
            grace_seconds=central.reenrol_after,
            token=lambda: self._settings.enrol_token,
            is_wanted=lambda: self._settings.token is None and not is_mqtt(self._settings),
            on_enrolled=self._try_now,
        )
        self._poll = DocumentPoll(
            "config",
            self._client.config,
            lambda: keeper.known_etag,
            self._take,
            central.config_interval,
            clock,
        )
        self._script_poll = DocumentPoll(
            "scripts",
            self._client.scripts,
            lambda: scripts.known_etag,
            self._take_scripts,
            central.config_interval,
            clock,
            lambda: scripts.is_wanted,
        )
        self._uploader = Uploader(
            self._client,
            outbox,
            clock,
            document.buffer.catch_up_rate,
            self._poll.hint,
            on_event=self.record,
            on_commands=self._commands_wait,
            most_bytes=self._client.most_bytes,
            on_scripts_hint=self._scripts_offered,
        )
        self._watch = SinkWatch(self._uploader, self._client.renew, self.record, clock)
        self._beats = Heartbeats(
            self._client,
            heartbeat,
            central.heartbeat_interval,
            clock,
            self._poll.hint,
            self._uploader.pace,
            self._resend,
            on_commands=self._commands_wait,
            on_scripts_hint=self._scripts_offered,
        )

    async def open(self) -> None:
        problem = await asyncio.to_thread(self._credentials.load)
        if problem and self._settings.token is None and not is_mqtt(self._settings):
            logger.warning(problem)
        await self._client.open()

    async def close(self) -> None:
        await self._client.close()

    def start(self, crew: Crew) -> None:
        """Everything that has to run; none of it returns."""
        live = Role(PARENT, pulse=self._uploader.live_pulse)
        backlog = Role(PARENT, pulse=self._uploader.backlog_pulse)
        crew.start("upload live", self._uploader.run_live, live)
        crew.start("upload backlog", self._uploader.run_backlog, backlog)
        crew.start("heartbeat", self._beats.run, Role(PARENT))
        crew.start("config", self._poll.run, Role(PARENT))
        crew.start("scripts", self._script_poll.run, Role(PARENT))
        crew.start("credential", self._rotation.run, Role(PARENT))
        crew.start("sink watch", self._watch.run, Role(PARENT))
        crew.start("change watch", self._tell_changes, Role(PARENT))

    @property
    def answers(self) -> bool:
        """Whether the newest upload was taken."""
        return self._uploader.report().state == "ok"

    @property
    def offset_ms(self) -> float | None:
        return self._beats.offset_ms

    def report(self) -> SinkReport:
        report = self._watch.report()
        text = self._standing.text
        return (
            report if text is None else report.model_copy(update={"state": "refused", "detail": text[:300]})
        )

    def look_around(self) -> None:
        """The local config changed: tell the centre, and see whether what it sent can be taken now."""
        self._beats.soon()
        if self._keeper.known_etag is None:
            self._poll.soon()
        if self._scripts.known_etag is None:
            self._script_poll.soon()
        if self._standing.refused_seconds() is not None:
            self._try_now()  # there may be another token in it

    @property
    def _settings(self) -> CentralSettings:
        """Those that run now: a token that is renewed in its file counts from the next reload on."""
        running = self._keeper.running.head.central
        return self._central if running is None else running

    def _token(self) -> str:
        return self._settings.token or self._credentials.bearer()

    def _try_now(self) -> None:
        """The centre may accept this device now."""
        self._uploader.try_now()
        self._beats.try_now()
        self._poll.try_now()
        self._script_poll.try_now()

    async def resumed(self) -> None:
        """The machine slept: sockets are opened anew, and the centre hears of this device at once."""
        await self._client.renew()
        self._beats.soon()
        self._poll.soon()
        self._script_poll.soon()

    async def fetch_config(self) -> None:
        """Asks for the centre's config now, and takes a new one to its end. Raises UplinkFault."""
        found = await self._client.config(self._keeper.known_etag)
        if found is not None:
            await self._take(found)

    async def fetch_scripts(self) -> None:
        """Asks for the centre's scripts now, and takes a new set to its end. Raises UplinkFault."""
        found = await self._client.scripts(self._scripts.known_etag)
        if found is not None:
            await self._take_scripts(found)

    async def probe(self, settings: CentralSettings) -> str:
        """Whether a centre answers this device there. Empty: it does; else why not."""
        client = CentreClient(
            settings, self._device, self._directory, PROBE_SECONDS,
            lambda: settings.token or self._credentials.bearer(),
        )  # fmt: skip
        try:
            await client.heartbeat(self._heartbeat())
        except UplinkFault as fault:
            return f"{settings.url}: {fault}"
        finally:
            await client.close()
        return ""

    async def move(self, settings: CentralSettings) -> None:
        """Everything goes there from now on."""
        self._central = settings
        await self._client.move(settings)
        self._beats.every(settings.heartbeat_interval)
        self._poll.every(settings.config_interval)
        self._script_poll.every(settings.config_interval)
        self._try_now()

    def _connected(self) -> None:
        """To a broker, which has just told the centre that the connection before this one is gone."""
        self._beats.soon()

    def _commands_wait(self, waiting: int) -> None:
        self.on_commands(waiting)

    async def _take(self, found: NewDocument) -> None:
        await self._keeper.take(found.body, found.etag)
        self._beats.soon()

    def _scripts_offered(self, etag: str | None) -> None:
        self._scripts.offered(etag)
        self._script_poll.hint(etag)

    async def _take_scripts(self, found: NewDocument) -> None:
        await self._scripts.take(found.body, found.etag)
        self._beats.soon()

    async def _resend(self, missing: Resend) -> None:
        for head in self._outbox.heads():
            if head.epoch == missing.epoch:
                await self._outbox.resend(head.no, coalesce(missing.seqs))

    def record(self, event: Event) -> None:
        """In the device's history."""
        self._sink.record(Kind.EVENT, event.model_dump(mode="json"))

    async def _tell_changes(self) -> None:
        """A connection that comes or goes is told now and not with the next heartbeat."""
        before = self._healthy()
        while True:
            await self._clock.sleep(_LOOK_SECONDS)
            now = self._healthy()
            if now != before:
                self._beats.soon()
            before = now
