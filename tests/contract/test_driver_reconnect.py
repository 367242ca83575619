"""Each driver under the real poller: its peer goes away, and comes back."""

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any

from edge_agent.pipeline.build import Workshop, blueprint, build_poller
from edge_agent.pipeline.poller import RECONNECT_FIRST_SECONDS, Poller
from edge_agent.runtime.clock import SystemClock
from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Schema
from tests.contract.driver_bench import Bench, until
from tests.contract.peers.contract import Peer

# So long the peer is away: several attempts, each later than the one before.
AWAY_SECONDS = 0.8


class Frames:
    """Implements contracts.frames.FrameSink: keeps the newest frame of each group."""

    def __init__(self) -> None:
        self.newest: dict[str, Frame] = {}

    def append(self, schema: Schema, frame: Frame) -> None:
        self.newest[schema.group] = frame

    def record(self, kind: Kind, record: Mapping[str, Any]) -> None:
        pass

    async def announce(self, schemas: list[Schema]) -> None:
        pass


class CountingDriver:
    """The driver, and how often it was connected."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.connects = 0

    async def connect(self) -> None:
        self.connects += 1
        await self._inner.connect()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def test_values_come_back_after_a_restart_and_attempts_in_between_grow_rarer(peer: Peer) -> None:
    bench = Bench(peer, [{**group, "interval": "50ms"} for group in peer.groups()])
    drivers: list[CountingDriver] = []
    poller = _poller(bench, drivers)
    task = asyncio.create_task(poller.run())
    try:
        await until(lambda: _shows(poller, "good", bench))
        await peer.stop()
        await until(lambda: _shows(poller, "bad_comm", bench))
        before = sum(each.connects for each in drivers)
        await asyncio.sleep(AWAY_SECONDS)
        attempts = sum(each.connects for each in drivers) - before
        # Pauses that double from the first: 0.1 + 0.2 + 0.4 s; a poll may try once more.
        assert 1 <= attempts <= 2 + 2 * AWAY_SECONDS / RECONNECT_FIRST_SECONDS / 4
        await peer.start()
        await until(lambda: _shows(poller, "good", bench))
    finally:
        task.cancel()
        await asyncio.wait([task])


def _poller(bench: Bench, drivers: list[CountingDriver]) -> Poller:

    def make(settings: Any) -> Any:
        drivers.append(CountingDriver(bench.spec.factory(settings)))
        return drivers[-1]

    spec = dataclasses.replace(bench.spec, factory=make)
    poller, _ = build_poller(blueprint(bench.settings, spec), spec, Workshop(SystemClock(), Frames()))
    return poller


def _shows(poller: Poller, quality: str, bench: Bench) -> bool:
    shown = poller.latest()
    tags = sum(plan.schema.tag_count for plan in bench.plans)
    return len(shown) == tags and all(value.quality == quality for value in shown)
