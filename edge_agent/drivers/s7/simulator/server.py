"""The simulator's ports: each a CPU, with one memory and faults on demand."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from edge_agent.drivers.s7.simulator.faults import Faults
from edge_agent.drivers.s7.simulator.jobs import Cpu
from edge_agent.drivers.s7.simulator.memory import Fixed, Memory
from edge_agent.drivers.s7.simulator.station import Counters, Station, World


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """ports: how many; first_port: 0 for ephemeral ones, else the first of consecutive ones.

    pdu, jobs: the most that a handshake grants. blocks: data blocks and their bytes; None: all of them.
    tsaps: remote ones that are let in; empty: all. writable: writes are carried out; else refused.
    """

    host: str = "127.0.0.1"
    ports: int = 1
    first_port: int = 0
    pdu: int = 960
    jobs: int = 4
    writable: bool = False
    blocks: Mapping[int, int] | None = None
    tsaps: frozenset[bytes] = frozenset()
    tick_ms: int = 1000
    latency_seconds: float = 0.0
    fixed: tuple[Fixed, ...] = ()
    wall_ms: Callable[[], int] = field(default=_wall_ms)


class Simulator:
    """`async with Simulator(config) as simulator:` starts and stops it.

    After a stop it may be started again, on the same ports: a CPU that restarts.
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        self.config = config = config or SimulatorConfig()
        self.faults = Faults()
        self.memory = Memory(config.blocks, config.fixed)
        self.cpu = Cpu(writable=config.writable)
        self.ports: tuple[int, ...] = ()
        self._servers: list[asyncio.Server] = []
        self._world = World(
            self.memory, self.faults, self.cpu, config.pdu, config.jobs, config.tsaps, config.tick_ms,
            config.latency_seconds, config.wall_ms,
        )  # fmt: skip

    @property
    def counters(self) -> Counters:
        return self._world.counters

    @property
    def connections(self) -> int:
        return len(self._world.stations)

    async def start(self) -> None:
        """Raises OSError where a port is taken."""
        config = self.config
        first = config.first_port
        wanted = self.ports or tuple(first + index if first else 0 for index in range(config.ports))
        loop = asyncio.get_running_loop()
        ports: list[int] = []
        for port in wanted:
            server = await loop.create_server(lambda: Station(self._world), config.host, port)
            self._servers.append(server)
            ports.append(int(server.sockets[0].getsockname()[1]))
        self.ports = tuple(ports)

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

    def drop_connections(self) -> None:
        for station in list(self._world.stations):
            station.abort()

    def freeze_connections(self) -> None:
        """The present connections never answer again, and stay open; new ones work."""
        for station in self._world.stations:
            station.frozen = True
