"""The pollers that run: started, replaced and stopped one by one, the unchanged ones never touched."""

import asyncio
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final

import structlog

from edge_agent.app.compiled import Compiled
from edge_agent.contracts.errors import ConfigError
from edge_agent.contracts.frames import FrameSink
from edge_agent.contracts.hooks import LinkChange
from edge_agent.contracts.status import Accounting, LatenessReport, LatestValue
from edge_agent.contracts.writing import WriteLink
from edge_agent.drivers import registry
from edge_agent.pipeline.build import Workshop, build_poller
from edge_agent.pipeline.poller import Poller
from edge_agent.runtime.crew import Crew
from edge_agent.runtime.supervise import Role
from edge_agent.wire.messages import ConnectionReport
from edge_agent.wire.schema import Schema, TagSchema

logger = structlog.stdlib.get_logger(__name__)

PARENT: Final = "agent/connections"
# Beyond what the awaited call may take. The watchdog stops where all connections are that quiet.
QUIET_SECONDS: Final = 60.0
_RESTART_MAX_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Running:
    """revision: the digest of the settings that it was built from."""

    poller: Poller
    task: "asyncio.Task[None]"
    revision: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """Connections that were built and not started. revisions: digests of what they were built from."""

    pollers: dict[str, Poller]
    schemas: list[Schema]
    revisions: Mapping[str, str]


NOTHING: Final = Prepared({}, [], {})


class ConnectionSet:
    """All connections of the agent, each a part of the crew."""

    def __init__(self, crew: Crew, workshop: Workshop, sink: FrameSink) -> None:
        self._crew = crew
        self._workshop = workshop
        self._sink = sink
        self._running: dict[str, _Running] = {}
        self._closed = False

    async def prepare(self, wanted: Compiled, names: Iterable[str]) -> Prepared:
        """Builds the connections called `names`, with turns for the poll cycles between them. Raises
        ConfigError; changes nothing."""
        written = {tag.partition(".")[0] for tag in wanted.permits}
        pollers: dict[str, Poller] = {}
        schemas: list[Schema] = []
        for name in names:
            drawn = wanted.blueprint(name)
            if drawn is not None:
                spec = registry.lookup(drawn.connection.driver)
                await load_libraries(spec.requires)
                pollers[name], needed = build_poller(drawn, spec, self._workshop)
                pollers[name].errands.awaited = name in written
                schemas += needed
                await asyncio.sleep(0)
        return Prepared(pollers, schemas, wanted.outline.connections)

    async def switch(self, prepared: Prepared, gone: Collection[str]) -> None:
        """Stops what is gone or replaced, then starts what was prepared. Raises what `announce` does, and
        ConfigError once the agent is stopping: nothing starts any more."""
        self._refuse_if_closed()
        await self._sink.announce(prepared.schemas)
        for name in [*gone, *prepared.pollers]:
            await self.stop(name)
        self._refuse_if_closed()
        for name, poller in prepared.pollers.items():
            role = Role(PARENT, pulse=poller.pulse, quiet_seconds=QUIET_SECONDS, together="poller")
            task = self._crew.start(f"connection {name}", poller.run, role, max_seconds=_RESTART_MAX_SECONDS)
            self._running[name] = _Running(poller, task, prepared.revisions[name])

    async def stop(self, name: str) -> None:
        """Ends one connection and closes its link. Unknown names are fine."""
        running = self._running.pop(name, None)
        if running is not None:
            running.task.cancel()
            await asyncio.wait([running.task])

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ConfigError("the agent is stopping: no config is applied any more")

    def resumed(self) -> None:
        """The machine slept."""
        for running in self._running.values():
            running.poller.resumed()

    def refuse_more(self) -> None:
        """From now on nothing starts any more."""
        self._closed = True

    async def stop_all(self) -> None:
        """For good."""
        self._closed = True
        tasks = [running.task for running in self._running.values()]
        self._running.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def link_of(self, connection: str, revision: str) -> WriteLink | None:
        """For a write that was judged by these settings; None where others are polled now, or none."""
        running = self._running.get(connection)
        if running is None or running.revision != revision:
            return None
        running.poller.errands.awaited = True
        return running.poller.writing

    # --- telling ---------------------------------------------------------------------------------

    def pollers(self) -> list[Poller]:
        return [running.poller for running in self._running.values()]

    def healthy(self) -> dict[str, bool]:
        return {name: running.poller.healthy for name, running in self._running.items()}

    def links(self) -> list[LinkChange]:
        return [running.poller.link() for running in self._running.values()]

    def reports(self) -> list[ConnectionReport]:
        return [running.poller.report() for running in self._running.values()]

    def accounting(self) -> list[Accounting]:
        return [
            Accounting(connection=name, read=counts.read, suppressed=counts.suppressed, framed=counts.framed)
            for name, counts in self._workshop.counts.items()
        ]

    def lateness(self) -> LatenessReport:
        return self._workshop.lateness.report()

    def schemas(self) -> list[Schema]:
        """Of all groups that are polled."""
        return [schema for running in self._running.values() for schema in running.poller.schemas()]

    def latest_of(self, schema: Schema, wanted: Mapping[int, TagSchema]) -> list[LatestValue]:
        """The newest values of some tags of a group, by their place in its schema; empty before the first."""
        running = self._running.get(schema.connection)
        return [] if running is None else running.poller.latest_of(schema, wanted)

    def latest(self, connection: str | None) -> list[LatestValue]:
        return [
            value
            for name, running in self._running.items()
            if connection in (None, name)
            for value in running.poller.latest()
        ]


async def load_libraries(libraries: Collection[str]) -> None:
    """Some take half a second, which a reload must not cost the connections that run: in a thread it costs
    their cycles some 15 ms."""
    for library in libraries:
        if library not in sys.modules:
            await asyncio.to_thread(import_module, library)
