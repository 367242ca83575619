"""One connection to a simulated CPU: its messages, answered as a CPU would. Strict about requests.

Layout of the messages: the S7 dissector of Wireshark. Written apart from the driver's, so that a mistake in
one is not repeated in the other.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from edge_agent.drivers.s7.simulator.faults import Fault, FaultKind, Faults
from edge_agent.drivers.s7.simulator.jobs import Cpu, answer
from edge_agent.drivers.s7.simulator.memory import Memory

_SLOWEST_BUFFER: Final = 1 << 20


@dataclass(slots=True)
class Counters:
    """What came, from all connections. requests: jobs behind the handshakes; writes: those that write."""

    connections: int = 0
    requests: int = 0
    write_requests: int = 0
    refused: int = 0


@dataclass(slots=True)
class World:
    """What the connections of a simulator share. most_pdu, jobs: the most that is granted.

    tsaps: the remote ones that are let in; empty: all. latency_seconds: what a job takes.
    """

    memory: Memory
    faults: Faults
    cpu: Cpu
    most_pdu: int
    jobs: int
    tsaps: frozenset[bytes]
    tick_ms: int
    latency_seconds: float
    wall_ms: Callable[[], int]
    counters: Counters = field(default_factory=Counters)
    stations: "set[Station]" = field(default_factory=set)

    @property
    def tick(self) -> int:
        return self.wall_ms() // self.tick_ms


class Station(asyncio.Protocol):
    """frozen: it reads, and says nothing any more."""

    def __init__(self, world: World) -> None:
        self.frozen = False
        self._world = world
        self._buffer = bytearray()
        self._confirmed = False
        self._pdu = 0
        self._busy_until = 0.0
        self._transport: asyncio.Transport

    def abort(self) -> None:
        self._transport.abort()

    # --- called by the event loop ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._world.stations.add(self)
        self._world.counters.connections += 1

    def connection_lost(self, _exc: Exception | None) -> None:
        self._world.stations.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 4:
            size = int.from_bytes(self._buffer[2:4])
            if self._buffer[0] != 3 or size < 7:
                self._refuse()
                return
            if len(self._buffer) < size:
                return
            packet = bytes(self._buffer[4:size])
            del self._buffer[:size]
            self._take(packet)

    # --- what it says ----------------------------------------------------------------------------------

    def _take(self, packet: bytes) -> None:
        if not self._confirmed:
            self._connect(packet)
        elif packet[1] == 0x80:  # a disconnect request
            self._transport.close()
        elif packet[:3] != b"\x02\xf0\x80" or len(packet) < 14 or packet[3] != 0x32:
            self._refuse()
        elif packet[4] == 1 and packet[13] == 0xF0:
            self._set_up(packet[3:])
        elif not self._pdu or len(packet) - 3 > self._pdu:
            self._refuse()
        else:
            self._job(packet[3:])

    def _refuse(self) -> None:
        self._world.counters.refused += 1
        self._transport.abort()

    def _connect(self, packet: bytes) -> None:
        if len(packet) < 7 or packet[1] != 0xE0:
            self._refuse()
            return
        if self.frozen or self._world.faults.silent:
            return
        tsap = _parameter(packet[7:], 0xC2)
        if self._world.tsaps and tsap not in self._world.tsaps:
            self._transport.write(b"\x03\x00\x00\x0b\x06\x80" + packet[4:6] + b"\x00\x01\x03")
            self._transport.close()
            return
        self._confirmed = True
        cc = b"\xd0" + packet[4:6] + b"\x00\x02\x00" + packet[7 : 1 + packet[0]]
        self._transport.write(b"\x03\x00" + (len(cc) + 5).to_bytes(2) + bytes((len(cc),)) + cc)

    def _set_up(self, pdu: bytes) -> None:
        if self.frozen or self._world.faults.silent:
            return
        jobs = min(int.from_bytes(pdu[12:14]), self._world.jobs)
        self._pdu = min(int.from_bytes(pdu[16:18]), self._world.most_pdu)
        says = b"\xf0\x00" + 2 * jobs.to_bytes(2) + self._pdu.to_bytes(2)
        self._send(b"\x32\x03\x00\x00" + pdu[4:6] + b"\x00\x08\x00\x00\x00\x00" + says)

    def _job(self, pdu: bytes) -> None:
        world = self._world
        writes = pdu[1] == 1 and pdu[10] == 5
        world.counters.requests += 1
        world.counters.write_requests += writes
        if self.frozen:
            return
        met = world.faults.hit(writes)
        if FaultKind.SILENCE in met:
            return
        if FaultKind.CUT in met:
            self._transport.abort()
            return
        if (fault := met.get(FaultKind.ERROR)) is not None:
            says = b"\x32\x03\x00\x00" + pdu[4:6] + b"\x00\x00\x00\x00" + fault.code.to_bytes(2)
        else:
            try:
                says = answer(pdu, self._pdu, world.memory, world.faults, world.cpu, world.tick)
            except IndexError:  # shorter than it says of itself
                self._refuse()
                return
        if FaultKind.LOST_REPLY in met:
            return
        self._reply(says, met)

    def _reply(self, says: bytes, met: dict[FaultKind, Fault]) -> None:
        if FaultKind.WRONG_REFERENCE in met:
            says = says[:4] + bytes((says[4] ^ 0x55, says[5])) + says[6:]
        if FaultKind.WRONG_LENGTH in met:
            says = says[:-1]
        seconds = self._world.latency_seconds
        if FaultKind.DELAY in met:
            seconds += met[FaultKind.DELAY].seconds
        if seconds:
            loop = asyncio.get_running_loop()
            self._busy_until = max(loop.time(), self._busy_until) + seconds
            loop.call_at(self._busy_until, self._out, says, met)
        else:
            self._out(says, met)

    def _out(self, says: bytes, met: dict[FaultKind, Fault]) -> None:
        if self.frozen or self._transport.is_closing():
            return
        if FaultKind.GARBAGE in met:
            self._transport.write(b"\x07" + says)
        elif FaultKind.TRUNCATE in met or FaultKind.CUT_WITHIN in met:
            self._transport.write(_packet(says)[:-3])
            if FaultKind.CUT_WITHIN in met:
                self._transport.close()
        else:
            self._send(says)
            if FaultKind.REPEAT in met:
                self._send(says)

    def _send(self, pdu: bytes) -> None:
        if self._transport.get_write_buffer_size() < _SLOWEST_BUFFER:
            self._transport.write(_packet(pdu))


def _packet(pdu: bytes) -> bytes:
    return b"\x03\x00" + (len(pdu) + 7).to_bytes(2) + b"\x02\xf0\x80" + pdu


def _parameter(data: bytes, wanted: int) -> bytes:
    """A parameter of a COTP connection request."""
    at = 0
    while at + 2 <= len(data):
        end = at + 2 + data[at + 1]
        if data[at] == wanted:
            return data[at + 2 : end]
        at = end
    return b""
