"""A Modbus station as a bare socket, which does whatever a test scripts, and the driver beside it."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from edge_agent.contracts.driver import Reading
from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.modbus.client import ModbusDriver
from edge_agent.drivers.modbus.plan import ModbusPlan, plan
from edge_agent.drivers.modbus.settings import ModbusConnection

FRAMINGS = ("tcp", "rtu_over_tcp", "tcp_without_ids")
TIMEOUT_SECONDS = 0.1
SOON_SECONDS = 5.0
CLOSE = None
# What a peer sends for one request: chunks of bytes, or CLOSE to end the connection.
Sends = Iterable[bytes | None]
Script = Callable[[bytes], Sends]


def crc(frame: bytes) -> bytes:
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


class RawPeer:
    """Answers each request by the next script in `scripts`, and honestly where there is none.

    framing: one of FRAMINGS; `tcp_without_ids` is a gateway that does not echo transaction ids.
    Honest registers hold their own address, so that a shifted answer shows.
    """

    def __init__(self, framing: str) -> None:
        self.is_tcp = framing != "rtu_over_tcp"
        self.names_replies = framing == "tcp"
        self.scripts: deque[Script] = deque()
        self.always: Script | None = None
        self.requests: list[bytes] = []
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        async with asyncio.timeout(SOON_SECONDS):
            while self._writers:
                await asyncio.sleep(0.002)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        size = 12 if self.is_tcp else 8
        try:
            while True:
                request = await reader.readexactly(size)
                self.requests.append(request)
                script = self.scripts.popleft() if self.scripts else self.always or self.honest
                for chunk in script(request):
                    if chunk is CLOSE:
                        return
                    writer.write(chunk)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the driver went away
        finally:
            writer.close()
            self._writers.discard(writer)

    def send(self, data: bytes) -> None:
        """Sends on every open connection, asked or not."""
        for writer in self._writers:
            writer.write(data)

    def pdu(self, request: bytes) -> bytes:
        return request[7:] if self.is_tcp else request[1:-2]

    def frame(self, request: bytes, pdu: bytes, *, unit: int | None = None, skew: int = 0) -> bytes:
        """`pdu` framed as the answer to `request`; skew: distance of the transaction id."""
        if self.is_tcp:
            unit = request[6] if unit is None else unit
            transaction = (int.from_bytes(request[:2]) + skew) % 65_536 if self.names_replies else 0
            return transaction.to_bytes(2) + b"\0\0" + (len(pdu) + 1).to_bytes(2) + bytes((unit,)) + pdu
        frame = bytes((request[0] if unit is None else unit,)) + pdu
        return frame + crc(frame)

    def answer(self, request: bytes, *, shift: int = 0) -> bytes:
        """The PDU of the honest answer; shift: added to each value."""
        pdu = self.pdu(request)
        start, count = int.from_bytes(pdu[1:3]), int.from_bytes(pdu[3:5])
        data = b"".join((address + shift & 0xFFFF).to_bytes(2) for address in range(start, start + count))
        return bytes((pdu[0], len(data))) + data

    def honest_frame(self, request: bytes) -> bytes:
        return self.frame(request, self.answer(request))

    def honest(self, request: bytes) -> Sends:
        return [self.honest_frame(request)]

    def cut_short(self, size: int) -> Script:
        """The first `size` bytes of the honest answer."""
        return lambda request: [self.honest_frame(request)[:size]]

    def refuse(self, code: int) -> Script:
        return lambda request: [self.frame(request, bytes((self.pdu(request)[0] | 0x80, code)))]

    def lacks(self, *addresses: int) -> Script:
        def script(request: bytes) -> Sends:
            pdu = self.pdu(request)
            start, count = int.from_bytes(pdu[1:3]), int.from_bytes(pdu[3:5])
            missing = any(start <= address < start + count for address in addresses)
            return self.refuse(2)(request) if missing else self.honest(request)

        return script


def silent(_request: bytes) -> Sends:
    return []


def connection_to(peer: RawPeer, addresses: Iterable[int], unit_id: int = 1) -> ModbusConnection:
    transport = {
        "type": "tcp" if peer.is_tcp else "rtu_over_tcp",
        "host": "127.0.0.1",
        "port": peer.port,
        "timeout": f"{TIMEOUT_SECONDS * 1000:g}ms",
    }
    if peer.is_tcp:
        transport["transaction_ids"] = "checked" if peer.names_replies else "ignored"
    tags = [{"name": f"t{number}", "address": f"holding:{number}"} for number in addresses]
    group = {"name": "fast", "interval": "1s", "tags": tags, "unit_id": unit_id}
    return ModbusConnection.model_validate({"name": "plc", "transport": transport, "groups": [group]})


class Bench:
    def __init__(self, peer: RawPeer) -> None:
        self.peer = peer
        self.now = 0.0
        connection = connection_to(peer, range(10))
        self.driver = ModbusDriver(connection, lambda: self.now)
        self.low = self.plan(range(10))
        self.high = self.plan(range(500, 510))

    def plan(self, addresses: Iterable[int], unit_id: int = 1) -> ModbusPlan:
        connection = connection_to(self.peer, addresses, unit_id)
        return plan(connection, connection.groups[0])

    async def read_once(self, made: ModbusPlan) -> Reading:
        async with asyncio.timeout(SOON_SECONDS):
            return await self.driver.read(made)

    async def read(self, made: ModbusPlan) -> Reading:
        """Connects first where the driver says that it has no link."""
        try:
            return await self.read_once(made)
        except NotConnected:
            await self.driver.connect()
            return await self.read_once(made)

    async def check_both(self) -> None:
        """Whatever was before: each plan reads its own values."""
        for made, first in ((self.low, 0), (self.high, 500), (self.low, 0)):
            reading = await self.read(made)
            assert reading.row == registers(range(first, first + 10)), reading
            assert not reading.quality


def registers(values: Iterable[int]) -> bytes:
    return b"".join(value.to_bytes(2) for value in values)
