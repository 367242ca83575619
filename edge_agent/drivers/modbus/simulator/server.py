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
from edge_agent.drivers.modbus.simulator.lines import DatagramStations, SerialLine
from edge_agent.drivers.modbus.simulator.memory import Memory
from edge_agent.drivers.modbus.simulator.signals import Signal
from edge_agent.drivers.modbus.simulator.station import Counters, Station, World

_KEPT_REQUESTS: Final = 10_000


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """ports: how many; first_port: 0 for ephemeral ones, else the first of consecutive ones.

    framing: tcp, rtu_over_tcp, udp or serial. serial: for that framing, the port or the name of a new
    pseudo-terminal (SerialLine). units: the stations that exist behind each port; empty: all.
    latency_seconds: how long a station takes for a request, one after the other on each connection.
    writable: stations take writes, which then stand over the formulas; else they answer «illegal function».
    """

    host: str = "127.0.0.1"
    ports: int = 1
    first_port: int = 0
    framing: str = "tcp"
    serial: str = ""
    units: frozenset[int] = frozenset()
    tick_ms: int = 1000
    latency_seconds: float = 0.0
    signals: tuple[Signal, ...] = ()
    writable: bool = False
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
        self.line: SerialLine | None = None
        self._servers: list[asyncio.Server] = []
        self._datagrams: list[DatagramStations] = []
        self._stations: set[Station] = set()
        self._image = Image(self.config.signals)
        self._memory = Memory() if self.config.writable else None

    async def start(self) -> None:
        """Raises OSError where a port is taken."""
        config = self.config
        wanted = self.ports or tuple(
            config.first_port + index if config.first_port else 0 for index in range(config.ports)
        )
        world = World(
            config.framing in ("rtu_over_tcp", "serial"), config.units, config.tick_ms,
            config.latency_seconds, config.wall_ms,
            self._image, self._memory, self.faults, self.counters, self.recent, self._stations,
        )  # fmt: skip
        if config.framing == "serial":
            self.line = SerialLine(config.serial, Station(world, 0))
            return
        ports: list[int] = []
        for index, port in enumerate(wanted):
            listen = self._listen_for_datagrams if config.framing == "udp" else self._listen
            ports.append(await listen(partial(Station, world, index), port))
        self.ports = tuple(ports)

    async def _listen(self, station: Callable[[], Station], port: int) -> int:
        server = await asyncio.get_running_loop().create_server(station, self.config.host, port)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _listen_for_datagrams(self, station: Callable[[], Station], port: int) -> int:
        transport, stations = await asyncio.get_running_loop().create_datagram_endpoint(
            partial(DatagramStations, station), (self.config.host, port)
        )
        self._datagrams.append(stations)
        return int(transport.get_extra_info("sockname")[1])

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        self.drop_connections()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        for stations in self._datagrams:
            await stations.close()
        self._datagrams.clear()
        if self.line is not None:
            self.line.unplug()
            self.line = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def connections(self) -> int:
        return len(self._stations)

    def held(self, area: str, address: int, *, port: int = 0, unit: int = 1) -> int | None:
        """What was written there; None: nothing was. port: its index."""
        return None if self._memory is None else self._memory.held(port, unit, area, address)

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
