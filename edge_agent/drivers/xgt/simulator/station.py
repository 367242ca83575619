"""A simulated PLC: takes frames, answers them, and errs as it is told."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from edge_agent.drivers.write_tally import tell_write
from edge_agent.drivers.xgt.simulator.faults import Asked, Fault, FaultKind, Faults
from edge_agent.drivers.xgt.simulator.image import Image, contact
from edge_agent.drivers.xgt.simulator.requests import (
    BAD_COMMAND,
    HEADER,
    Order,
    Refusal,
    Variable,
    check_header,
    understand,
)

_WRITE: Final = 0x58
_STATES: Final = {"run": 1, "stop": 2, "error": 4, "debug": 8}
_VERSION: Final = 0x0327


@dataclass(slots=True)
class Counters:
    """What was asked, and how many connections there were. write_requests: carried out or not."""

    requests: int = 0
    write_requests: int = 0
    connections: int = 0


@dataclass(slots=True)
class World:
    """What all connections to a PLC share.

    cpu_type: bits 0 to 5 of the PLC info. state: run, stop, error or debug; may be changed. nak_bytes: of a
    refusal's code, 1 as the manual says or 2 as PLCs do. knows_status: takes the status command.
    """

    series: int
    hex_bits: bool
    tick_ms: int
    latency_seconds: float
    writable: bool
    nak_bytes: int
    knows_status: bool
    wall_ms: Callable[[], int]
    image: Image
    faults: Faults
    counters: Counters
    recent: deque[bytes]
    connections: "set[Connection]"
    cpu_type: int = 4
    state: str = "run"

    @property
    def tick(self) -> int:
        return self.wall_ms() // self.tick_ms

    @property
    def plc_info(self) -> int:
        failed = 0x80 if self.state == "error" else 0
        return self.cpu_type | failed | _STATES[self.state] << 8


class _Answer(NamedTuple):
    """data: the whole frame, b"" for none. last: the connection ends behind it. cut: it ends at once."""

    data: bytes
    delay_seconds: float = 0.0
    last: bool = False
    cut: bool = False


def answer(world: World, frame: bytes) -> _Answer:
    """What comes back for one whole frame."""
    world.counters.requests += 1
    world.recent.append(frame)
    body = frame[HEADER:]
    writes = body[:2] == b"\x58\0"
    if writes:
        world.counters.write_requests += 1
        tell_write("xgt", f"{len(body)} bytes: {body[6:40]!r}")
    order: Order | None = None
    code = 0
    try:
        check_header(frame, world.series)
        order = understand(body, world.series, hex_bits=world.hex_bits)
    except Refusal as refusal:
        code = refusal.code
    spans = tuple(variable.span for variable in order.variables) if order else ()
    met = world.faults.hit(Asked(spans, writes)) if world.faults else {}
    if FaultKind.SILENCE in met or FaultKind.CUT in met:
        return _Answer(b"", cut=FaultKind.CUT in met)
    if fault := met.get(FaultKind.REFUSE):
        code = fault.code
    reply = _refused(world, body, code) if code or order is None else _carried_out(world, order, body)
    if FaultKind.LOST_REPLY in met:
        return _Answer(b"")
    data = _distorted(world, frame, reply, met) if met else _framed(world, frame, reply)
    delay = met[FaultKind.DELAY].seconds if FaultKind.DELAY in met else 0.0
    ends = FaultKind.CUT_AFTER in met or FaultKind.CUT_WITHIN in met
    return _Answer(data, delay + world.latency_seconds, last=ends)


def _carried_out(world: World, order: Order, body: bytes) -> bytes:
    head = bytes((order.command + 1, 0, order.kind & 0xFF, order.kind >> 8, 0, 0, 0, 0))
    if order.command == 0xB0:
        return head + _status(world) if world.knows_status else _refused(world, body, BAD_COMMAND)
    blocks = len(order.variables)
    if order.command == _WRITE:
        if not world.writable:
            return _refused(world, body, BAD_COMMAND)
        for variable, value in zip(order.variables, order.values, strict=True):
            if variable.is_contact:
                return _refused(world, body, 4)
            _store(world, variable, value)
        return head + bytes((blocks, 0))
    values = (_held(world, variable) for variable in order.variables)
    data = b"".join(bytes((len(value) & 0xFF, len(value) >> 8)) + value for value in values)
    return head + bytes((blocks, 0)) + data


def _held(world: World, variable: Variable) -> bytes:
    if variable.is_contact:
        return bytes((contact(variable.start, world.tick),))
    if variable.letter == "X":
        return bytes((world.image.bit(variable.area, variable.start, world.tick),))
    return world.image.read(variable.area, variable.start, variable.size, world.tick)


def _store(world: World, variable: Variable, value: bytes) -> None:
    if variable.letter == "X":
        world.image.write_bit(variable.area, variable.start, value[0] & 1 == 1, world.tick)
    else:
        world.image.write(variable.area, variable.start, value)


def _status(world: World) -> bytes:
    state = _STATES[world.state].to_bytes(4, "little")
    flags = bytes(4) + (0xA000 | world.cpu_type).to_bytes(2, "little") + bytes(2) + state + bytes(8)
    return bytes((0, 0, 24, 0)) + flags + _VERSION.to_bytes(2, "little") + bytes(2)


def _refused(world: World, body: bytes, code: int) -> bytes:
    command = (body[0] + 1) & 0xFF if body else 0
    kind = body[2:4].ljust(2, b"\0")
    return bytes((command, 0)) + kind + b"\0\0\xff\xff" + code.to_bytes(world.nak_bytes, "little")


def _framed(world: World, frame: bytes, body: bytes, skew: int = 0) -> bytes:
    """skew: distance of the invoke id from the request's."""
    invoke = (frame[14] | frame[15] << 8) + skew & 0xFFFF
    info = world.plc_info
    head = bytes((info & 0xFF, info >> 8, world.series, 0x11, invoke & 0xFF, invoke >> 8))
    head = frame[:10] + head + bytes((len(body) & 0xFF, len(body) >> 8, frame[18]))
    return head + bytes((sum(head) % 256,)) + body


def _distorted(world: World, frame: bytes, body: bytes, met: dict[FaultKind, Fault]) -> bytes:
    if FaultKind.WRONG_COMMAND in met:
        body = bytes((body[0] ^ 0x0C,)) + body[1:]
    if FaultKind.WRONG_SIZE in met:
        body = body[:-2]
    data = bytearray(_framed(world, frame, body, -1 if FaultKind.WRONG_INVOKE_ID in met else 0))
    if FaultKind.WRONG_COMPANY in met:
        data[:4] = b"LGIT"
    if FaultKind.WRONG_CHECKSUM in met:
        data[19] = (data[19] + 1) % 255 + 1
    if FaultKind.TRUNCATE in met or FaultKind.CUT_WITHIN in met:
        del data[len(data) // 2 :]
    return bytes(data) * (2 if FaultKind.REPEAT in met else 1)


class Connection(asyncio.Protocol):
    """The server's side of one TCP connection. `frozen`: it answers nothing any more."""

    def __init__(self, world: World) -> None:
        self.frozen = False
        self._world = world
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._world.connections.add(self)
        self._world.counters.connections += 1

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._world.connections.discard(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        while len(data) >= HEADER and not self.frozen:
            end = HEADER + (data[16] | data[17] << 8)
            if len(data) < end:
                break
            self._send(answer(self._world, data[:end]))
            data = data[end:]
        self._buffer = data

    def _send(self, reply: _Answer) -> None:
        if reply.cut:
            self.abort()
        elif reply.delay_seconds:
            asyncio.get_running_loop().call_later(reply.delay_seconds, self._write, reply)
        else:
            self._write(reply)

    def _write(self, reply: _Answer) -> None:
        if self._transport is not None and not self._transport.is_closing() and reply.data:
            self._transport.write(reply.data)
            if reply.last:
                self._transport.close()


class Datagrams(asyncio.DatagramProtocol):
    """The PLC over UDP: what is not one whole frame is passed over."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) < HEADER or len(data) != HEADER + (data[16] | data[17] << 8):
            return
        reply = answer(self._world, data)
        if reply.delay_seconds:
            asyncio.get_running_loop().call_later(reply.delay_seconds, self._write, reply.data, addr)
        else:
            self._write(reply.data, addr)

    def _write(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing() and data:
            self._transport.sendto(data, addr)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
