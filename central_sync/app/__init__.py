"""Composition root: builds every part, connects them, owns the root TaskGroup and the stop order.

Stop order: intake (no new connection, streams end, requests finish), then the workers, then the last
checkpoint and the database.
"""

import asyncio
import gc
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import structlog
from aiohttp import web

from central_sync import VERSION, logs
from central_sync.api import documents
from central_sync.api.lane import Door, QuickAnswers
from central_sync.api.openapi import openapi
from central_sync.api.route import Services
from central_sync.api.server import ROUTES, make_application
from central_sync.app.commands import CommandRoom
from central_sync.app.configs import ConfigRoom
from central_sync.app.devices import DeviceRoom
from central_sync.app.enrolment import credential_service, enrolment_service
from central_sync.app.identity import IdentityRoom
from central_sync.app.mqtt import check_mqtt, mqtt_worker
from central_sync.app.people import Link, create_token, first_link, lacks_passwords, list_tokens, revoke_token
from central_sync.app.scripts import ScriptRoom
from central_sync.app.upkeep import Upkeep
from central_sync.console.pages import add_pages
from central_sync.exit_codes import ExitCode
from central_sync.notify import Notifier, watchdog_seconds
from central_sync.services.access.sight import Sight
from central_sync.services.access.targets import TargetService
from central_sync.services.access.tokens import TokenRow
from central_sync.services.audit.trail import TrailService
from central_sync.services.clock import Clock, SystemClock
from central_sync.services.data.history import HistoryService
from central_sync.services.data.ingest import IngestService
from central_sync.services.devices.presence import Presence
from central_sync.services.devices.service import DeviceService
from central_sync.services.errors import Invalid, NotFound, Refusal
from central_sync.services.live import Hub
from central_sync.services.uplinks import MqttFigures
from central_sync.settings import Settings, SettingsError, load_settings
from central_sync.stopping import Stopping, leave
from central_sync.store import database
from central_sync.store.errors import CannotOpen, StoreError
from central_sync.store.sqlite import SqliteStore
from central_sync.store.targets import SqliteTargets
from central_sync.store.trail import SqliteTrail
from central_sync.workers.checkpoints import Checkpoints
from central_sync.workers.live import LiveFeed
from central_sync.workers.offline import OfflineWatch
from central_sync.workers.quiet import QuietWriter
from central_sync.workers.supervise import supervise
from central_sync.workers.watchdog import Watchdog

# What the command line knows of the rooms below comes from here.
__all__ = [
    "CannotListen",
    "CannotOpen",
    "Centre",
    "ExitCode",
    "Invalid",
    "NotFound",
    "Refusal",
    "Settings",
    "SettingsError",
    "StorageLost",
    "TokenRow",
    "create_token",
    "lacks_passwords",
    "list_tokens",
    "load_settings",
    "revoke_token",
    "run",
    "running",
]

logger = structlog.get_logger()

# How long requests may take to finish once the centre stops.
STOP_SECONDS: Final = 3.0
# What the steps of the stop may take: requests with their answers, then the last checkpoint.
REQUESTS_SECONDS: Final = 5.0
DATABASE_SECONDS: Final = 10.0
_HURRIED_SECONDS: Final = 0.7
# A connection without a whole request head for so long is closed: one byte a minute would hold it for ever.
# Longer than proxies keep idle connections, which would otherwise find them closed while they send.
IDLE_SECONDS: Final = 120.0
MAX_LINE_BYTES: Final = 64 << 10
_WATCH_SECONDS: Final = 1.0
_COLLECT_AFTER: Final = 20_000
_START_SECONDS: Final = 1.0


class CannotListen(Exception):
    """The address is taken or not of this machine."""


class StorageLost(Exception):
    """The writer's thread is gone: exit, so that the service manager starts the centre afresh."""


@dataclass(frozen=True, slots=True)
class Centre:
    """A running centre."""

    url: str
    host: str
    port: int
    centre: str
    store: SqliteStore
    hub: Hub
    offline: OfflineWatch
    live: LiveFeed
    commands: CommandRoom
    scripts: ScriptRoom
    setup: Link | None = None


@asynccontextmanager
async def running(
    settings: Settings,
    clock: Clock | None = None,
    idle_seconds: float = IDLE_SECONDS,
    stopping: Stopping | None = None,
) -> AsyncIterator[Centre]:
    """A centre for as long as the block lasts. Raises CannotOpen, CannotListen, SettingsError, and
    StorageLost (in an exception group) when the database is gone. stopping: who is in a hurry."""
    clock = clock or SystemClock()
    stopping = stopping or Stopping()
    tls = _tls(settings)
    store = SqliteStore(settings.data, clock)
    hub = Hub()
    await store.start()
    threads = ThreadPoolExecutor(1, thread_name_prefix="central-verify")
    room = ConfigRoom(settings, store, clock)
    identity = IdentityRoom(settings, store, clock)
    await identity.tokens.meet_devices()
    fleet = DeviceRoom(store, clock, identity.tokens, VERSION, MqttFigures() if settings.mqtt else None)
    commands = CommandRoom(store, hub, clock, settings.data)
    scripts = ScriptRoom(settings, store, clock)
    try:
        await commands.start()
        presence = Presence(clock, settings.heartbeat_seconds)
        services = _services(
            settings, store, hub, clock, presence, threads, room, identity, commands, fleet, scripts
        )
        offline = OfflineWatch(store, hub, clock, presence)
        live = LiveFeed(store, fleet.inventory, hub, clock)
        listen = mqtt_worker(settings, services, store, presence, fleet.mqtt, clock)
        upkeep = Upkeep(settings, store, commands.service, clock)
        door, host, port = await _serve(settings, services, tls, idle_seconds)
        try:
            async with asyncio.TaskGroup() as group:
                workers = [
                    group.create_task(supervise("offline", offline.run, clock)),
                    group.create_task(supervise("live", live.run, clock)),
                    group.create_task(supervise("quiet", QuietWriter(store, clock).run, clock)),
                    group.create_task(supervise("checkpoint", Checkpoints(store, clock).run, clock)),
                    group.create_task(supervise("commands", commands.watch.run, clock)),
                    group.create_task(supervise("purge", fleet.purge.run, clock)),
                    group.create_task(supervise("config jobs", room.jobs.run, clock)),
                    group.create_task(supervise("scripts", scripts.spread.run, clock)),
                    group.create_task(supervise("retention", upkeep.retention.run, clock)),
                    group.create_task(supervise("audit checkpoints", upkeep.checkpoints.run, clock)),
                    group.create_task(_watch(store, clock)),
                    group.create_task(supervise("identity", identity.run, clock)),
                ]
                if listen is not None:
                    workers.append(group.create_task(supervise("mqtt", listen, clock)))
                name = f"[{host}]" if ":" in host else host
                url = f"{'https' if tls else 'http'}://{name}:{port}"
                yield Centre(url, host, port, store.centre, store, hub, offline, live, commands, scripts)
                for worker in workers:
                    worker.cancel()
        finally:
            hub.close()
            commands.close()
            await stopping.step("requests", door.close, REQUESTS_SECONDS, _HURRIED_SECONDS)
    finally:
        await room.close()
        await stopping.step("database", store.stop, DATABASE_SECONDS, _HURRIED_SECONDS)
        threads.shutdown(wait=False)
        identity.stop()


def _services(
    settings: Settings,
    store: SqliteStore,
    hub: Hub,
    clock: Clock,
    presence: Presence,
    threads: ThreadPoolExecutor,
    room: ConfigRoom,
    identity: IdentityRoom,
    commands: CommandRoom,
    fleet: DeviceRoom,
    scripts: ScriptRoom,
) -> Services:
    targets = SqliteTargets(store)
    return Services(
        gate=identity.gate,
        tokens=identity.tokens,
        sessions=identity.sessions,
        users=identity.users,
        api_tokens=identity.api_tokens,
        sight=Sight(targets),
        targets=TargetService(targets),
        enrolment=enrolment_service(settings, store, clock),
        credentials=credential_service(settings, store, clock, identity.tokens),
        ingest=IngestService(store, clock, threads, commands.board.waiting),
        configs=room.configs,
        config_jobs=room.jobs,
        templates=room.templates,
        v1_mappings=room.mappings,
        scripts=scripts.scripts,
        dry_runs=scripts.dry_runs,
        devices=DeviceService(
            store, hub, clock, presence, settings.heartbeat_interval, commands.board.waiting
        ),
        inventory=fleet.inventory,
        registry=fleet.registry,
        trends=fleet.trends,
        topology=fleet.topology,
        figures=fleet.figures,
        exposition=fleet.exposition,
        history=HistoryService(store),
        trail=TrailService(SqliteTrail(store), clock),
        commands=commands.service,
        desk=commands.desk,
        hub=hub,
        alive=lambda: store.alive,
    )


async def _serve(
    settings: Settings, services: Services, tls: ssl.SSLContext | None, idle_seconds: float
) -> tuple[Door, str, int]:
    secure = tls is not None or settings.proxies is not None
    application = make_application(services, settings.proxies, secure, settings.access_log)
    add_pages(application)
    runner = web.AppRunner(
        application,
        access_log=None,
        shutdown_timeout=STOP_SECONDS,
        keepalive_timeout=idle_seconds,
        # Longer request lines are answered by the parser, which knows no problem documents.
        max_line_size=MAX_LINE_BYTES,
    )
    await runner.setup()
    host, port = settings.address
    try:
        # A line for each request is written where all of it is known.
        plain = settings.access_log != "all"
        quick = QuickAnswers(services.gate, services.devices, secure) if plain else None
        door = Door(runner, quick, idle_seconds, settings.proxies, secure)
        return door, *await door.listen(host, port, tls)
    except OSError as error:
        await runner.cleanup()
        raise CannotListen(f"cannot listen on {settings.listen}: {error.strerror or error}") from error


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls.cert, settings.tls.key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"tls: {settings.tls.cert} and {settings.tls.key} are no usable pair: {error}"
        ) from error
    return context


async def _watch(store: SqliteStore, clock: Clock) -> None:
    while store.alive:
        await clock.sleep(_WATCH_SECONDS)
    raise StorageLost("the database cannot be written any more")


def run(settings: Settings, ready: Callable[[Centre], None]) -> None:
    """Runs until SIGTERM or SIGINT; `ready` is called once requests are answered.

    Raises CannotOpen, CannotListen, SettingsError, StorageLost. Where something hangs that the stop had to
    leave behind, the process ends here.
    """
    logs.set_up(settings.log_level)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            if not runner.run(_run(settings, ready)):
                leave(ExitCode.GOOD)
    except ExceptionGroup as group:
        lost = group.subgroup(StorageLost)
        if lost is None:
            raise
        raise StorageLost(str(lost.exceptions[0])) from group


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where the extra `speed` is installed; None: asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _run(settings: Settings, ready: Callable[[Centre], None]) -> bool:
    """False: something hangs and was left behind."""
    stopping = Stopping()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.note)
    serving = asyncio.ensure_future(_serve_until(settings, ready, stopping))
    wanted = asyncio.ensure_future(stopping.wanted.wait())
    # `_serve_until` waits for the same event. What it does before, the start, is given up for it.
    await asyncio.wait((serving, wanted), return_when=asyncio.FIRST_COMPLETED)
    wanted.cancel()
    if not stopping.has_started and not serving.done():
        logger.info("stopping: the start is given up")
        serving.cancel()
        await asyncio.wait((serving,), timeout=_START_SECONDS)
        return False
    await serving
    return not stopping.has_left


def _spare_the_collector() -> None:
    """What a start has read stays for good: looking through it again and again held up 50,000 agents."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 100)


async def _serve_until(settings: Settings, ready: Callable[[Centre], None], stopping: Stopping) -> None:
    clock = SystemClock()
    with Notifier.from_environment() as notifier:
        watchdog = Watchdog(notifier, watchdog_seconds(), clock)
        feeding = asyncio.ensure_future(watchdog.during_start())
        try:
            async with running(settings, clock, stopping=stopping) as centre:
                feeding.cancel()
                feeding = asyncio.ensure_future(watchdog.feed(centre.store))
                stopping.has_started = True
                _spare_the_collector()
                link = await asyncio.to_thread(first_link, settings, centre.url, clock)
                ready(replace(centre, setup=link))
                notifier.ready(f"listening on {centre.url}")
                await stopping.wanted.wait()
                logger.info("stopping")
                notifier.stopping()
        finally:
            feeding.cancel()


# --- for the command line -------------------------------------------------------------------------------


def check(settings: Settings) -> list[str]:
    """What would keep the centre from running well; empty: nothing."""
    found: list[str] = []
    try:
        _tls(settings)
        check_mqtt(settings)
        found += database.check(settings.data)
    except (SettingsError, StoreError) as error:
        found.append(str(error))
    return found


def openapi_document() -> dict[str, object]:
    return openapi(ROUTES, VERSION)


def api_markdown() -> str:
    return documents.markdown(ROUTES)
