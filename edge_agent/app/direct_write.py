"""One write without an agent that runs: a link of its own, the same allow-list, the same journal.

Only the local file counts here: what a centre changed of it is not looked at, and a pin is compared all the
same. There is no history to tell: the journal is what is left of it.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

import structlog

from edge_agent.config.load import Loaded
from edge_agent.contracts.driver import Driver, Writing
from edge_agent.contracts.errors import NotConnected, Unsupported, WriteUnknown
from edge_agent.contracts.writing import WriteLink, WriteOrder, WriteReport
from edge_agent.drivers import registry
from edge_agent.pipeline.build import located
from edge_agent.runtime import logging as logs
from edge_agent.runtime.atomic import give_to_owner_of, make_private_directory
from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.lock import FileLock
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.messages import Event
from edge_agent.writing.journal import NAME, WriteJournal
from edge_agent.writing.permit import Permit, permits_of
from edge_agent.writing.writer import Rules, Writer

logger = structlog.stdlib.get_logger(__name__)

_SECONDS: Final = 10.0
_CALL_SECONDS: Final = 30.0


class _DirectLink:
    """Implements contracts.writing.WriteLink: opened by its first call. A driver that hangs is given up."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._open = False

    async def write(self, _unit_id: int | None, target: Any, value: JsonValue, _seconds: float) -> None:
        driver = await self._writing()
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                await driver.write(target, value)
        except TimeoutError as error:
            raise WriteUnknown(f"the driver did not come back within {_CALL_SECONDS:g} s") from error

    async def read_target(self, _unit_id: int | None, target: Any, _seconds: float) -> JsonValue:
        driver = await self._writing()
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                return await driver.read_target(target)
        except TimeoutError as error:
            raise NotConnected(f"the driver did not come back within {_CALL_SECONDS:g} s") from error

    async def _writing(self) -> Writing:
        if not isinstance(self._driver, Writing):
            raise Unsupported("this driver does not write")
        if not self._open:
            try:
                async with asyncio.timeout(_CALL_SECONDS):
                    await self._driver.connect()
            except TimeoutError as error:
                raise NotConnected(f"the link was not open within {_CALL_SECONDS:g} s") from error
            self._open = True
        return self._driver

    def close(self) -> Awaitable[None]:
        return self._driver.close()


async def write_once(loaded: Loaded, tag: str, value: JsonValue, by: str) -> WriteReport:
    """Never raises for what becomes of the write: the report tells. Raises InUse where an agent runs."""
    logs.configure("warning")
    document = loaded.document
    specs = {each.driver: registry.lookup(each.driver) for each in document.connections}
    rules = Rules(permits_of(document, loaded.outline.connections, specs), document.writes.interval)
    links: list[_DirectLink] = []

    def link(permit: Permit) -> WriteLink:
        connection = next(each for each in document.connections if each.name == permit.connection)
        settled = located(connection, loaded.directory, loaded.state_directory)
        links.append(_DirectLink(specs[connection.driver].factory(settled)))
        return links[-1]

    def tell(event: Event) -> None:
        logger.debug("write", text=event.message)

    journal = WriteJournal(loaded.state_directory / NAME)
    writer = Writer(lambda: rules, link, journal, SystemClock(), tell)
    database = loaded.directory / document.buffer.path
    make_private_directory(database.parent)
    lock = database.with_name(f"{database.name}.lock")
    # An agent that starts just now has no socket yet, and one that is stopping has none any more.
    with FileLock(lock):
        give_to_owner_of(lock.parent, lock)
        try:
            return await writer.write(WriteOrder(tag=tag, value=value, by=by, source="direct"), _SECONDS)
        finally:
            for each in links:
                await each.close()
