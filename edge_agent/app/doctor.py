"""Examines the machine for `edge-agent doctor`: gives its room the config, the running agent and drivers."""

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

from edge_agent.app import local
from edge_agent.app.config_text import secrets_of
from edge_agent.app.settings import load_config
from edge_agent.config.errors import ConfigErrors
from edge_agent.config.load import Head, Loaded
from edge_agent.config.models import ConnectionSettings, Document, GroupSettings
from edge_agent.config.resolve import EXPOSED
from edge_agent.contracts.diagnosis import Outcome
from edge_agent.contracts.driver import Driver
from edge_agent.contracts.errors import ConfigError, NotConnected, Unavailable
from edge_agent.contracts.status import AgentStatus
from edge_agent.doctor.checks import checks
from edge_agent.doctor.connections import Asked, UnitAnswer
from edge_agent.doctor.examination import examine as run_checks
from edge_agent.doctor.hooks import Tried
from edge_agent.doctor.site import Site
from edge_agent.doctor.waiting import in_thread
from edge_agent.drivers import registry
from edge_agent.pipeline.build import address_of, groups_of, located, plan_group, tags_of
from edge_agent.runtime.logging import hush_libraries
from edge_agent.uplink.credentials import FILE_NAME, Credentials
from edge_agent.uplink.errors import NotAccepted
from edge_agent.wire.quality import Quality

LOAD_SECONDS: Final = 60.0
Tell = Callable[[Outcome], None]


def _ignore(_: Any) -> None: ...


async def examine(
    path: Path,
    only: Collection[str] = (),
    *,
    direct: bool = False,
    tell: Tell = _ignore,
    starting: Callable[[str], None] = _ignore,
) -> list[Outcome]:
    """All outcomes, each told as soon as it is known. only: these checks; none: all. Raises nothing for what
    is wrong here: that is what it is for."""
    starting("config")
    try:
        site = await in_thread(lambda: site_of(path), LOAD_SECONDS)
    except TimeoutError:
        site = Site(path, os.environ, problems=(f"{path}: not read within {LOAD_SECONDS:g} s",))
    return await examine_site(site, only, direct=direct, tell=tell, starting=starting)


async def examine_site(
    site: Site,
    only: Collection[str] = (),
    *,
    direct: bool = False,
    tell: Tell = _ignore,
    starting: Callable[[str], None] = _ignore,
) -> list[Outcome]:
    """As `examine`, of a config that was read."""
    state = site.directory if site.document is None else site.database.parent
    hush_libraries()
    asker = _Asker(site.directory, state)
    return await run_checks(checks(asker, Trier(), direct=direct), site, only, tell, starting)


def site_of(path: Path) -> Site:
    """The config and the agent that runs with it, as far as there are any. Blocks."""
    try:
        loaded = load_config(path)
    except ConfigError as error:
        problems = tuple(str(each) for each in getattr(error, "problems", ())) or (str(error),)
        running, fault = _running(_head(path))
        return Site(path, os.environ, problems=problems, running=running, running_fault=fault)
    running, fault = _running(loaded)
    exposed = [each for each in loaded.warnings if each.message.startswith(EXPOSED)]
    others = [each for each in loaded.warnings if not each.of_machine and each not in exposed]
    document = with_credential(loaded.document, loaded.directory)
    return Site(
        path,
        os.environ,
        document,
        loaded.files,
        warnings=tuple(map(str, others)),
        unusable=tuple(str(each) for each in loaded.warnings if each.of_machine),
        exposed=tuple(map(str, exposed)),
        secrets=secrets_of(document),
        scripts=loaded.scripts,
        running=running,
        running_fault=fault,
    )


def with_credential(document: Document, directory: Path) -> Document:
    """With the stored credential where the config names no token."""
    central = document.central
    if central is None or central.token is not None:
        return document
    credentials = Credentials((directory / document.buffer.path).with_name(FILE_NAME))
    credentials.load()
    try:
        known = central.model_copy(update={"token": credentials.bearer()})
    except NotAccepted:
        return document
    return document.model_copy(update={"central": known})


def _head(path: Path) -> Head | None:
    try:
        return local.load_head(path)
    except ConfigErrors:
        return None


def _running(config: Head | Loaded | None) -> tuple[AgentStatus | None, str]:
    """The status of the agent that runs with this config; or why it does not give one."""
    client = None if config is None else local.running_agent(config)
    if client is None:
        return None, ""
    try:
        return client.status(), ""
    except NotConnected as error:
        return None, str(error)


class Trier:
    """Implements doctor.hooks.Trier with the sandbox."""

    async def try_scripts(self, site: Site) -> Tried:
        from edge_agent.hooks.trial import try_scripts

        scripts = {local.script.name: local for local in site.scripts}
        try:
            trial = await try_scripts([local.script for local in site.scripts], ())
        except Unavailable as error:
            return Tried({}, (), str(error))
        problems = [scripts[each.script.name].problem(each.message, each.line) for each in trial.refusals]
        return Tried(trial.layers, tuple(map(str, problems)))


class _Asker:
    """Implements doctor.connections.Asker with the drivers."""

    def __init__(self, directory: Path, state: Path) -> None:
        self._directory = directory
        self._state = state

    def line(self, connection: ConnectionSettings) -> str:
        return address_of(connection) or connection.name

    async def ask(self, connection: ConnectionSettings) -> Asked:
        settings = located(connection, self._directory, self._state)
        try:
            driver: Driver = registry.lookup(settings.driver).factory(settings)
        except ConfigError as error:
            return Asked(fault=str(error))
        began = time.monotonic()
        try:
            await driver.connect()
            connected = time.monotonic() - began
            units = [await _ask_unit(driver, settings, group) for group in _first_groups(settings)]
        except (NotConnected, ConfigError) as error:
            return Asked(fault=str(error))
        finally:
            await driver.close()
        return Asked(connected, units=tuple(units))


def _first_groups(settings: ConnectionSettings) -> list[GroupSettings]:
    """The first group of each unit, with its first tag alone."""
    first: dict[int | None, GroupSettings] = {}
    for group in groups_of(settings):
        if tags_of(group):
            first.setdefault(group.unit_id, group)
    return [group.model_copy(update={"tags": [*tags_of(group)][:1]}) for group in first.values()]


async def _ask_unit(driver: Driver, settings: ConnectionSettings, group: GroupSettings) -> UnitAnswer:
    plan = plan_group(registry.lookup(settings.driver), settings, group)
    tag = tags_of(group)[0].name
    began = time.monotonic()
    try:
        reading = await driver.read(plan)
    except NotConnected as error:  # a line without transaction ids is dropped with an unanswered request
        await driver.connect()
        return UnitAnswer(plan.schema.unit_id, tag, str(error), silent=True)
    fault = "; ".join(f"{what}: {why}" for what, why in (reading.errors or {}).items())
    if not fault and any(run.quality >= Quality.BAD_CONFIG for run in reading.quality):
        fault = "no value"
    return UnitAnswer(plan.schema.unit_id, tag, fault, reading.unanswered, time.monotonic() - began)
