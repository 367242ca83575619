"""One connection to a simulated station: takes requests, answers them, and errs as it is told."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from edge_agent.drivers.modbus.simulator.faults import Asked, Fault, FaultKind, Faults
from edge_agent.drivers.modbus.simulator.framing import (
    Request,
    RtuStationFraming,
    StationFraming,
    TcpStationFraming,
)
from edge_agent.drivers.modbus.simulator.image import AREAS, Image
from edge_agent.drivers.modbus.simulator.memory import WRITES, Bad, Memory, written
from edge_agent.drivers.write_tally import tell_write

_MOST_READ: Final = {1: 2000, 2: 2000, 3: 125, 4: 125}
_SPACE: Final = 65_536
_IDENTIFY: Final = b"\x2b\x0e"
# Conformity level 1, nothing follows, three objects of id, length and text.
_IDENTITY: Final = b"\x2b\x0e\x01\x01\x00\x00\x03" + b"\x00\x08Holdfast" + b"\x01\x09Simulator" + b"\x02\x011"
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3


@dataclass(slots=True)
class Counters:
    """What was asked of all stations, and how many connections there were.

    write_requests: those that ask to write, carried out or not.
    """

    requests: int = 0
    write_requests: int = 0
    connections: int = 0


class World(NamedTuple):
    """What all stations of a simulator share. is_rtu: frames without transaction ids. memory: None where
    stations refuse to be written."""

    is_rtu: bool
    units: frozenset[int]
    tick_ms: int
    latency_seconds: float
    wall_ms: Callable[[], int]
    image: Image
    memory: Memory | None
    faults: Faults
    counters: Counters
    recent: deque[tuple[int, bytes]]
    stations: "set[Station]"


class Station(asyncio.Protocol):
    """The server's side of one connection. `frozen`: it answers nothing any more."""

    def __init__(self, world: World, port: int) -> None:
        self.frozen = False
        self._world = world
        self._port = port
        self._framing: StationFraming = RtuStationFraming() if world.is_rtu else TcpStationFraming()
        self._transport: asyncio.Transport | None = None
        self._free_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._world.stations.add(self)
        self._world.counters.connections += 1

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._world.stations.discard(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        world = self._world
        for request in self._framing.requests(data):
            if self.frozen or self._transport is None:
                return
            world.counters.requests += 1
            if request.pdu[0] in WRITES:
                world.counters.write_requests += 1
                tell_write("modbus", f"unit {request.unit}, {request.pdu.hex(' ')}")
            world.recent.append((request.unit, request.pdu))
            if world.units and request.unit not in world.units:
                continue
            if world.faults:
                self._err(request)
            else:
                answer = self._answer(request.unit, request.pdu)
                self._send(self._framing.reply(request.transaction, request.unit, answer))

    # --- answers --------------------------------------------------------------------------------------

    def _answer(self, unit: int, pdu: bytes) -> bytes:
        function = pdu[0]
        if function in WRITES:
            return self._write_answer(unit, pdu)
        if pdu[:2] == _IDENTIFY:
            return _IDENTITY
        if function not in AREAS:
            return bytes((function | 0x80, _ILLEGAL_FUNCTION))
        start, count = pdu[1] << 8 | pdu[2], pdu[3] << 8 | pdu[4]
        if not 1 <= count <= _MOST_READ[function]:
            return bytes((function | 0x80, _ILLEGAL_VALUE))
        if start + count > _SPACE:
            return bytes((function | 0x80, _ILLEGAL_ADDRESS))
        data = self._read(unit, function, start, count)
        return bytes((function, len(data))) + data

    def _read(self, unit: int, function: int, start: int, count: int) -> bytes:
        world = self._world
        data = world.image.read(function, start, count, world.wall_ms() // world.tick_ms)
        if world.memory is None:
            return data
        return world.memory.over(self._port, unit, AREAS[function], start, count, data)

    def _write_answer(self, unit: int, pdu: bytes) -> bytes:
        memory = self._world.memory
        if memory is None:
            return bytes((pdu[0] | 0x80, _ILLEGAL_FUNCTION))
        try:
            order = written(pdu)
        except Bad as bad:
            return bytes((pdu[0] | 0x80, bad.code))
        before = 0 if order.masks is None else int.from_bytes(self._read(unit, 3, order.start, 1))
        memory.store(self._port, unit, order, before)
        return pdu if order.masks is not None else pdu[:5]

    def _send(self, data: bytes, delay_seconds: float = 0.0, *, last: bool = False) -> None:
        delay_seconds += self._world.latency_seconds
        if not delay_seconds:
            self._write(data, last)
            return
        loop = asyncio.get_running_loop()
        start = max(loop.time(), self._free_at) if self._world.latency_seconds else loop.time()
        self._free_at = start + delay_seconds
        loop.call_at(self._free_at, self._write, data, last)

    def _write(self, data: bytes, last: bool) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
            if last:
                self._transport.close()

    # --- faults ---------------------------------------------------------------------------------------

    def _err(self, request: Request) -> None:
        """Answers a request while faults are in force."""
        met = self._faults_of(request)
        if FaultKind.SILENCE in met:
            return
        if FaultKind.CUT in met:
            self.abort()
            return
        if fault := met.get(FaultKind.EXCEPTION):
            pdu = bytes((request.pdu[0] | 0x80, fault.code))
        elif FaultKind.MISSING in met:
            pdu = bytes((request.pdu[0] | 0x80, _ILLEGAL_ADDRESS))
        else:
            pdu = self._answer(request.unit, request.pdu)
        if FaultKind.LOST_REPLY in met:
            return
        data = self._distorted(request, pdu, met)
        delay = met[FaultKind.DELAY].seconds if FaultKind.DELAY in met else 0.0
        self._send(data, delay, last=FaultKind.CUT_AFTER in met or FaultKind.CUT_WITHIN in met)

    def _faults_of(self, request: Request) -> dict[FaultKind, Fault]:
        pdu = request.pdu
        first = pdu[1] << 8 | pdu[2] if len(pdu) >= 3 else 0
        count = pdu[3] << 8 | pdu[4] if len(pdu) >= 5 and pdu[0] not in (5, 6, 22) else 1
        area = AREAS.get(pdu[0]) or WRITES.get(pdu[0], "")
        asked = Asked(self._port, request.unit, area, first, first + count - 1, pdu[0] in WRITES)
        return self._world.faults.hit(asked)

    def _distorted(self, request: Request, pdu: bytes, met: dict[FaultKind, Fault]) -> bytes:
        transaction, unit = request.transaction, request.unit
        if FaultKind.WRONG_TRANSACTION in met:
            transaction = (transaction - 1) % _SPACE
        if FaultKind.WRONG_UNIT in met:
            unit = (unit + 1) % 256
        if FaultKind.WRONG_FUNCTION in met:
            pdu = bytes((pdu[0] ^ 7,)) + pdu[1:]
        if FaultKind.WRONG_LENGTH in met:
            pdu = pdu[:1] + bytes((max(0, pdu[1] - 2),)) + pdu[2:-2]
        data = self._framing.reply(transaction, unit, pdu)
        if FaultKind.TRUNCATE in met or FaultKind.CUT_WITHIN in met:
            data = data[: max(1, len(data) // 2)]
        return data * 2 if FaultKind.REPEAT in met else data
