"""The simulator's ports: many stations in one process, with faults on demand."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Self

from edge_agent.drivers.modbus.simulator.faults import Faults
from edge_agent.drivers.modbus.simulator.image import Image
from edge_agent.drivers.modbus.simulator.signals import Signal
from edge_agent.drivers.modbus.simulator.station import Counters, Station, World

_KEPT_REQUESTS: Final = 10_000


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """ports: how many; first_port: 0 for ephemeral ones, else the first of consecutive ones.

    framing: tcp or rtu_over_tcp. units: the stations that exist behind each port; empty: all.
    latency_seconds: how long a station takes for a request, one after the other on each connection.
    """

    host: str = "127.0.0.1"
    ports: int = 1
    first_port: int = 0
    framing: str = "tcp"
    units: frozenset[int] = frozenset()
    tick_ms: int = 1000
    latency_seconds: float = 0.0
    signals: tuple[Signal, ...] = ()
    wall_ms: Callable[[], int] = field(default=_wall_ms)

    def __post_init__(self) -> None:
        if any(signal.tick_ms != self.tick_ms for signal in self.signals):
            raise ValueError("all signals have the simulator's tick_ms")


class Simulator:
    """Stations on `ports`. `async with Simulator(config) as simulator:` starts and stops it.

    After a stop it may be started again, on the same ports: a PLC that restarts.
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        self.config = config or SimulatorConfig()
        self.faults = Faults()
        self.counters = Counters()
        self.ports: tuple[int, ...] = ()
        self.recent: deque[tuple[int, bytes]] = deque(maxlen=_KEPT_REQUESTS)
        self._servers: list[asyncio.Server] = []
        self._stations: set[Station] = set()
        self._image = Image(self.config.signals)

    async def start(self) -> None:
        """Raises OSError where a port is taken."""
        config = self.config
        loop = asyncio.get_running_loop()
        wanted = self.ports or tuple(
            config.first_port + index if config.first_port else 0 for index in range(config.ports)
        )
        world = World(
            config.framing, config.units, config.tick_ms, config.latency_seconds, config.wall_ms,
            self._image, self.faults, self.counters, self.recent, self._stations,
        )  # fmt: skip
        for index, port in enumerate(wanted):
            self._servers.append(await loop.create_server(partial(Station, world, index), config.host, port))
        self.ports = tuple(int(server.sockets[0].getsockname()[1]) for server in self._servers)

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        self.drop_connections()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def connections(self) -> int:
        return len(self._stations)

    def drop_connections(self) -> None:
        for station in list(self._stations):
            station.abort()

    def freeze_connections(self) -> None:
        """The present connections never answer again, and stay open; new ones work."""
        for station in self._stations:
            station.frozen = True


async def run_simulator(config: SimulatorConfig, ready: Callable[[Simulator], None] | None = None) -> None:
    """Runs until cancelled; `ready` is called once the ports are open."""
    async with Simulator(config) as simulator:
        if ready is not None:
            ready(simulator)
        await asyncio.get_running_loop().create_future()
