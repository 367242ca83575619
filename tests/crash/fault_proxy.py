"""A TCP proxy that does to a link what networks do: between agent and centre, or between agent and PLC.

`FaultProxy.set` changes what it does at run time, for connections that are open and for new ones.
`schedule` draws a sequence of faults from a seed, and `play` puts a proxy through one. Bytes that pass
are never changed: a network that changes bytes is TCP's checksum's business, and TLS's.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

_CHUNK_BYTES: Final = 1 << 16
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: no time, so that closing sends RST


class Mode(StrEnum):
    """What the link does.

    reset: open connections end with RST, new ones right after they were accepted.
    refuse: nobody listens, and open connections end with RST.
    stall: connections are accepted, and nothing passes either way until another mode lets it.
    lost_answer: what the server says is thrown away and the connection cut: it did what it was asked,
    and the client will never hear of it.
    half_to_server: the server is told that the client has ended; what it still says passes.
    half_to_client: the client is told that the server has ended; what it still says passes.
    """

    PASS = "pass"
    RESET = "reset"
    REFUSE = "refuse"
    STALL = "stall"
    LOST_ANSWER = "lost_answer"
    HALF_TO_SERVER = "half_to_server"
    HALF_TO_CLIENT = "half_to_client"


@dataclass(frozen=True, slots=True)
class Fault:
    """delay_seconds: each piece waits this long before the next is read. bytes_a_second: each direction."""

    mode: Mode = Mode.PASS
    delay_seconds: float = 0.0
    bytes_a_second: float | None = None

    def __str__(self) -> str:
        delay = f" +{1000 * self.delay_seconds:.0f} ms" if self.delay_seconds else ""
        cap = f" {self.bytes_a_second:.0f} B/s" if self.bytes_a_second else ""
        return f"{self.mode}{delay}{cap}"


HEALTHY: Final = Fault()


class _Pair:
    """One connection of a client and ours to the server."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.from_client, self.to_client = client
        self.from_server, self.to_server = server
        self.client_ended = self.server_ended = False

    def reset(self) -> None:
        for writer in (self.to_client, self.to_server):
            _reset(writer)

    def close(self) -> None:
        """What was written still leaves."""
        self.to_client.close()
        self.to_server.close()


class FaultProxy:
    """Listens on loopback; `async with` ends it with all its connections."""

    def __init__(self, host: str, port: int) -> None:
        """Where the server is. It need not be there yet."""
        self._target = host, port
        self._fault = HEALTHY
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.accepted = 0
        self.lost_answers = 0
        self.up_bytes = 0
        self.down_bytes = 0

    async def __aenter__(self) -> "FaultProxy":
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.set(Fault(Mode.REFUSE))
        while self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def fault(self) -> Fault:
        return self._fault

    async def set(self, fault: Fault) -> None:
        """From now on the link is like this."""
        self._fault = fault
        if fault.mode is Mode.REFUSE:
            await self._deaf()
        elif self._server is None:
            await self._listen()
        for pair in list(self._pairs):
            self._apply(pair)
        async with self._changed:
            self._changed.notify_all()

    def _apply(self, pair: _Pair) -> None:
        match self._fault.mode:
            case Mode.RESET | Mode.REFUSE:
                pair.reset()
            case Mode.HALF_TO_SERVER:
                _end(pair.to_server)
                pair.client_ended = True
            case Mode.HALF_TO_CLIENT:
                _end(pair.to_client)
                pair.server_ended = True

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _deaf(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.accepted += 1
        try:
            if self._fault.mode is Mode.RESET:
                _reset(writer)
                return
            pair = _Pair((reader, writer), await asyncio.open_connection(*self._target))
        except OSError:
            _reset(writer)
            return
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._upwards(pair))
                group.create_task(self._downwards(pair))
        finally:
            self._pairs.discard(pair)
            pair.close()

    async def _upwards(self, pair: _Pair) -> None:
        async for data in self._passing(pair.from_client, pair.to_server):
            if not pair.client_ended:
                self.up_bytes += len(data)
                pair.to_server.write(data)
            if self._fault.mode is Mode.HALF_TO_SERVER:
                self._apply(pair)
        _end(pair.to_server)

    async def _downwards(self, pair: _Pair) -> None:
        async for data in self._passing(pair.from_server, pair.to_client):
            if self._fault.mode is Mode.LOST_ANSWER:
                self.lost_answers += 1
                pair.reset()
                return
            if self._fault.mode is Mode.HALF_TO_CLIENT:
                self._apply(pair)
            if not pair.server_ended:
                self.down_bytes += len(data)
                pair.to_client.write(data)
        _end(pair.to_client)

    async def _passing(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> AsyncIterator[bytes]:
        """What the reader gives, as slowly as the link passes it. Ends with the connection."""
        with contextlib.suppress(OSError):
            while True:
                await self._not_stalled()
                data = await reader.read(_CHUNK_BYTES)
                await self._not_stalled()
                if not data:
                    return
                cap = self._fault.bytes_a_second
                await asyncio.sleep(self._fault.delay_seconds + (len(data) / cap if cap else 0.0))
                await self._not_stalled()
                yield data
                await writer.drain()

    async def _not_stalled(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._fault.mode is not Mode.STALL)


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        link: socket.socket = writer.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def _end(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        if not writer.is_closing() and writer.can_write_eof():
            writer.write_eof()


def schedule(
    seed: int, good_seconds: float = 10.0, bad_seconds: float = 4.0
) -> Iterator[tuple[Fault, float]]:
    """Faults and how long each lasts, without end: good and bad times in turn, exponentially distributed.

    The same seed gives the same sequence.
    """
    random = Random(seed)
    bad = [mode for mode in Mode if mode is not Mode.PASS]
    while True:
        yield _quality(random), min(random.expovariate(1 / good_seconds), 4 * good_seconds)
        yield Fault(random.choice(bad)), min(random.expovariate(1 / bad_seconds), 4 * bad_seconds)


def _quality(random: Random) -> Fault:
    match random.randrange(4):
        case 0:
            return Fault(delay_seconds=random.uniform(0.01, 0.4))
        case 1:
            return Fault(bytes_a_second=random.uniform(20_000, 200_000))
        case _:
            return HEALTHY


async def play(proxy: FaultProxy, faults: Iterator[tuple[Fault, float]]) -> None:
    """Puts the proxy through a schedule until it is cancelled."""
    for fault, seconds in faults:
        await proxy.set(fault)
        await asyncio.sleep(seconds)
