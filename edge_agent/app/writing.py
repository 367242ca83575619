"""Writing into PLCs by the agent that runs: the room's writer, with what is configured and polled now."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import structlog

from edge_agent.app.compiled import Compiled
from edge_agent.app.connections import ConnectionSet
from edge_agent.contracts.clock import Clock
from edge_agent.contracts.frames import FrameSink
from edge_agent.contracts.writing import WriteLink
from edge_agent.wire.batch import Kind
from edge_agent.wire.messages import Event
from edge_agent.writing.errors import NotJournalled
from edge_agent.writing.journal import NAME, WriteJournal
from edge_agent.writing.permit import Permit
from edge_agent.writing.writer import Rules, Writer

logger = structlog.stdlib.get_logger(__name__)

# A write that waits longer for its turn is not what anybody wants any more.
LOCAL_SECONDS: Final = 10.0
# What a stop waits for writes that are under way.
CLOSE_SECONDS: Final = 2.0


def make_writer(
    running: Callable[[], Compiled],
    connections: ConnectionSet,
    sink: FrameSink,
    database: Path,
    clock: Clock,
    withholds: Callable[[str, Iterable[str]], bool],
) -> Writer:
    """running: the config that is in force. database: the buffer's, beside which the journal stands.
    withholds: whether a script keeps back something of groups of a connection."""

    def rules() -> Rules:
        config = running()
        return Rules(config.permits, config.head.writes.interval)

    def link(permit: Permit) -> WriteLink | None:
        return connections.link_of(permit.connection, permit.revision)

    def tell(event: Event) -> None:
        record: dict[str, Any] = event.model_dump(mode="json")
        sink.record(Kind.EVENT, record)

    def hides(permit: Permit) -> bool:
        """What is read back comes from the PLC, past all scripts. A tag may be in several groups."""
        schemas = [each for each in connections.schemas() if each.connection == permit.connection]
        return withholds(permit.connection, [schema.group for schema in schemas])

    return Writer(rules, link, WriteJournal(database.with_name(NAME)), clock, tell, hides)


def has_journal(database: Path) -> bool:
    return database.with_name(NAME).exists()


async def look_back(writer: Writer) -> None:
    """Tells of what a killed run left. A journal that cannot be read keeps writes from happening, and nothing
    else."""
    try:
        await writer.look_back()
    except NotJournalled as fault:
        logger.error("the journal of writes cannot be used: nothing will be written", error=str(fault))
    await asyncio.sleep(0)
