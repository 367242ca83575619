"""A driver beside its peer, read and healed as the pipeline does it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from edge_agent.contracts.driver import Driver, DriverSpec, Plan, Reading
from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.registry import lookup
from edge_agent.pipeline.merged import Merged
from tests.contract.peers.contract import Peer

SERVED_WITHIN_SECONDS = 5.0
_TURN_SECONDS = 0.005


class Bench:
    """A driver, connected to nothing yet, and plans of the peer's groups."""

    def __init__(self, peer: Peer, groups: list[dict[str, Any]]) -> None:
        self.spec: DriverSpec = lookup(peer.driver)
        settings: Any = self.spec.settings.model_validate({**peer.settings(), "groups": groups})
        self.settings = settings
        self.driver: Driver = self.spec.factory(settings)
        self.plans: list[Plan] = [self.spec.plan(settings, group) for group in settings.groups]
        self._merged: dict[int, Merged] = {}

    async def reach(self) -> None:
        """Where a protocol has no connections, only a request shows that nobody is there."""
        await self.driver.connect()
        await self.driver.read(self.plans[0])

    async def connect(self) -> None:
        await self.driver.connect()
        self._merged.clear()

    async def whole(self, plan: Plan) -> Reading:
        """What a group holds, as one reading. Of a subscription: of all that came, once nothing is missing.

        Raises NotConnected.
        """
        errors: dict[str, str] = {}
        async with asyncio.timeout(SERVED_WITHIN_SECONDS):
            while True:
                reading = await self.driver.read(plan)
                if reading.news is None:
                    return reading
                errors |= reading.errors or {}
                merged = self._merged.setdefault(id(plan), Merged(plan.schema))
                shown = None
                for part in reading.news:
                    piece = Reading(part.row, part.text, part.quality, part.source)
                    shown = merged.add(piece, part.tags, wall_ms=1)
                if all(merged.came_ms):
                    nothing = Reading(bytes(plan.schema.row_bytes), (None,) * _texts(plan) or None)
                    shown = shown or merged.add(nothing, bytes(plan.schema.tag_count), wall_ms=1)
                    return Reading(shown.row, shown.text, shown.quality, errors=errors or None)
                await asyncio.sleep(_TURN_SECONDS)

    async def heal(self, plan: Plan) -> Reading:
        """Reads as the pipeline does, connecting after each NotConnected, until a reading is good."""
        async with asyncio.timeout(SERVED_WITHIN_SECONDS):
            while True:
                try:
                    reading = await self.whole(plan)
                    if not reading.quality:
                        return reading
                except NotConnected:
                    await self._try_to_connect()

    async def _try_to_connect(self) -> None:
        try:
            await self.connect()
        except NotConnected:
            await asyncio.sleep(_TURN_SECONDS)

    async def is_mute(self, plan: Plan, seconds: float) -> bool:
        """Whether a subscription brings nothing, not even that it lives, for so long. What came before this
        is not counted."""
        loop = asyncio.get_running_loop()
        try:
            await self.driver.read(plan)
            end = loop.time() + seconds
            while loop.time() < end:
                await asyncio.sleep(_TURN_SECONDS)
                reading = await self.driver.read(plan)
                if reading.news or reading.alive:
                    return False
        except NotConnected:
            pass
        return True

    async def lives(self, plan: Plan) -> None:
        """Reads until a subscription brings something. Raises NotConnected."""
        async with asyncio.timeout(SERVED_WITHIN_SECONDS):
            while True:
                reading = await self.driver.read(plan)
                if reading.news or reading.alive:
                    return
                await asyncio.sleep(_TURN_SECONDS)


def _texts(plan: Plan) -> int:
    return plan.schema.tag_count - plan.schema.fixed_tags


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SERVED_WITHIN_SECONDS):
        while not condition():
            await asyncio.sleep(_TURN_SECONDS)


async def lost(read: Callable[[], Awaitable[Reading]]) -> None:
    """Reads until the driver says that it has no link."""
    async with asyncio.timeout(SERVED_WITHIN_SECONDS):
        while True:
            try:
                await read()
            except NotConnected:
                return
            await asyncio.sleep(0)
