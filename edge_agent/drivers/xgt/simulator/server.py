"""The listening side of the XGT simulator. `stop` may be followed by `start`, at the same ports."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self

from edge_agent.drivers.xgt.simulator.faults import Faults
from edge_agent.drivers.xgt.simulator.image import Image
from edge_agent.drivers.xgt.simulator.station import Connection, Counters, Datagrams, World

_RECENT: Final = 1000
SERIES: Final = {"xgk": 0xA0, "xgi": 0xA4, "xgr": 0xA8, "xgb-mk": 0xB0, "xgb-iec": 0xB4}


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """tcp_port, udp_port: 0: any free one. hex_bits: None: as the series has it. writable: takes writes,
    which then stand over the formulas; else they are refused. nak_bytes: of a refusal's code."""

    host: str = "127.0.0.1"
    tcp_port: int = 0
    udp_port: int = 0
    series: str = "xgk"
    hex_bits: bool | None = None
    tick_ms: int = 1000
    latency_seconds: float = 0.0
    writable: bool = False
    nak_bytes: int = 2
    knows_status: bool = True
    wall_ms: Callable[[], int] = field(default=_wall_ms)


class Simulator:
    """One PLC, over TCP and UDP at once.

    tcp_port, udp_port: where it listens. faults: in force, changeable at any time. recent: the latest frames.
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        self.config = config = config or SimulatorConfig()
        if config.series not in SERIES:
            raise ValueError(f"there is no series {config.series!r}; there are {', '.join(SERIES)}")
        self.tcp_port, self.udp_port = config.tcp_port, config.udp_port
        self.faults, self.counters = Faults(), Counters()
        self.recent: deque[bytes] = deque(maxlen=_RECENT)
        hex_bits = config.series == "xgb-mk" if config.hex_bits is None else config.hex_bits
        self.world = World(
            SERIES[config.series], hex_bits, config.tick_ms, config.latency_seconds, config.writable,
            config.nak_bytes, config.knows_status, config.wall_ms, Image(), self.faults, self.counters,
            self.recent, set(),
        )  # fmt: skip
        self._server: asyncio.Server | None = None
        self._datagrams: Datagrams | None = None

    async def start(self) -> None:
        """Raises OSError where a port is taken."""
        loop = asyncio.get_running_loop()
        host = self.config.host
        self._server = await loop.create_server(lambda: Connection(self.world), host, self.tcp_port)
        self.tcp_port = self._server.sockets[0].getsockname()[1]
        try:
            transport, self._datagrams = await loop.create_datagram_endpoint(
                lambda: Datagrams(self.world), local_addr=(host, self.udp_port)
            )
        except OSError:
            await self.stop()
            raise
        self.udp_port = transport.get_extra_info("sockname")[1]

    async def stop(self) -> None:
        if self._datagrams is not None:
            self._datagrams.close()
            self._datagrams = None
        if self._server is not None:
            self._server.close()
            self.drop_connections()
            await self._server.wait_closed()
            self._server = None
        await asyncio.sleep(0)  # the loop closes sockets in its next round

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def connections(self) -> int:
        return len(self.world.connections)

    def drop_connections(self) -> None:
        for connection in list(self.world.connections):
            connection.abort()

    def freeze_connections(self) -> None:
        """The present connections never answer again, and stay open; new ones work."""
        for connection in self.world.connections:
            connection.frozen = True

    def held(self, area: str, start: int, count: int) -> bytes:
        """`count` bytes from byte `start` on, as they are now."""
        return self.world.image.read(area, start, count, self.world.tick)
