"""Asks units who they are, in the pauses between polls, and lets nothing depend on the answer."""

import asyncio
from collections.abc import Iterable
from typing import Final

from edge_agent.contracts.driver import Driver, Identifying
from edge_agent.contracts.errors import NotConnected
from edge_agent.pipeline.unit import Unit

# Shorter pauses are left alone, and the end of a longer one belongs to the next poll. Devices made with
# libmodbus stand still for half a second at a request that they do not know.
_LEAST_SECONDS: Final = 0.7
_SPARE_SECONDS: Final = 0.02
# What does not answer is old, slow or unwilling: it is not bothered for ever.
_MOST_FAILURES: Final = 2


class Introduction:
    """Units are asked once after each connecting; those that did not answer, twice in all."""

    def __init__(self, driver: Driver, units: Iterable[Unit]) -> None:
        self._driver = driver if isinstance(driver, Identifying) else None
        self._units = list(units)
        self._failures: dict[int, int] = {}
        self._pending: list[Unit] = []

    def begin(self) -> None:
        """A link was opened."""
        if self._driver is not None:
            self._pending = [unit for unit in self._units if self._failures.get(id(unit), 0) < _MOST_FAILURES]

    async def use_pause(self, seconds: float) -> None:
        """Asks at most one unit, which has answered a poll before, within a pause of so many seconds.

        Raises nothing: where the link was lost, the next poll finds out.
        """
        if not self._pending or self._driver is None or seconds < _LEAST_SECONDS:
            return
        unit = next((each for each in self._pending if each.good_cycles and each.state == "answering"), None)
        if unit is None:
            return
        self._pending.remove(unit)
        try:
            async with asyncio.timeout(seconds - _SPARE_SECONDS):
                identity = await self._driver.identify(unit.unit_id)
        except (NotConnected, TimeoutError):
            identity = None
        if identity is None:
            self._failures[id(unit)] = self._failures.get(id(unit), 0) + 1
        else:
            unit.identity = identity
