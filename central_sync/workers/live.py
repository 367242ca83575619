"""Live events that no request causes: values that moved, at most once a second a device, and figures."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from central_sync.services.clock import Clock
from central_sync.services.live import VALUES, Hub
from central_sync.services.views import FleetStats

VALUES_SECONDS: Final = 1.0
STATS_EVERY: Final = 5


class ValueStore(Protocol):
    async def live_values(self, wanted: frozenset[str] | None) -> dict[str, list[dict[str, Any]]]: ...

    async def drop_changes(self) -> None: ...


class StatsSource(Protocol):
    async def stats(self, limits: Mapping[str, str]) -> FleetStats: ...


class LiveFeed:
    def __init__(self, store: ValueStore, stats: StatsSource, hub: Hub, clock: Clock) -> None:
        self._store = store
        self._stats = stats
        self._hub = hub
        self._clock = clock
        self._turn = 0

    async def run(self) -> None:
        while True:
            await self._clock.sleep(VALUES_SECONDS)
            await self.publish()

    async def publish(self) -> None:
        if not self._hub.listeners:
            await self._store.drop_changes()
            return
        for device, items in (await self._store.live_values(self._hub.wanted())).items():
            self._hub.publish(VALUES, {"device_id": device, "items": items}, device)
        self._turn += 1
        if self._turn % STATS_EVERY == 1:
            for audience in self._hub.audiences():
                figures = await self._stats.stats(dict(audience))
                self._hub.publish("stats", figures.model_dump(mode="json"), audience=audience)
