"""The proxy of the crash tests does to a link what its modes say, and nothing to a link that is well."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from tests.crash.fault_proxy import HEALTHY, Fault, FaultProxy, Mode, play, schedule


@dataclass
class Server:
    """Answers each line with the same line in capitals, and notes what it heard."""

    port: int = 0
    heard: list[bytes] = field(default_factory=list)
    ended: int = 0
    serving: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving += 1
        try:
            while line := await reader.readline():
                self.heard.append(line)
                writer.write(line.upper())
            self.ended += 1
            writer.write(b"bye\n")
            await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
            self.serving -= 1


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()
    async with asyncio.timeout(5):
        while made.serving:
            await asyncio.sleep(0.01)


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", server.port) as made:
        yield made


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, line: bytes, seconds: float = 5.0) -> bytes:
        self.writer.write(line)
        async with asyncio.timeout(seconds):
            return await self.reader.readline()


Connect = Callable[[], Awaitable[Client]]


@pytest.fixture
async def connect(proxy: FaultProxy) -> AsyncIterator[Connect]:
    """Makes clients of the proxy, and ends them with the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def made() -> Client:
            client = Client(*await asyncio.open_connection("127.0.0.1", proxy.port))
            stack.callback(client.writer.close)
            return client

        yield made


async def test_a_healthy_link_passes_every_byte(connect: Connect, proxy: FaultProxy, server: Server) -> None:
    client = await connect()
    line = b"x" * 50_000 + b"\n"
    assert await client.ask(line) == line.upper()
    client.writer.write_eof()
    assert await client.reader.readline() == b"bye\n"
    assert (proxy.up_bytes, proxy.down_bytes) == (len(line), len(line) + 4)
    assert server.ended == 1


@pytest.mark.parametrize("mode", [Mode.RESET, Mode.REFUSE])
async def test_reset_and_refuse_end_open_connections_with_rst(
    connect: Connect, proxy: FaultProxy, mode: Mode
) -> None:
    client = await connect()
    assert await client.ask(b"a\n") == b"A\n"
    await proxy.set(Fault(mode))
    with pytest.raises(ConnectionResetError):
        await client.ask(b"b\n")


async def test_reset_ends_new_connections_after_they_were_accepted(
    connect: Connect, proxy: FaultProxy
) -> None:
    await proxy.set(Fault(Mode.RESET))
    client = await connect()
    with pytest.raises(ConnectionResetError):
        await client.ask(b"b\n")


async def test_refuse_refuses_and_another_mode_listens_on_the_same_port(
    connect: Connect, proxy: FaultProxy
) -> None:
    port = proxy.port
    await proxy.set(Fault(Mode.REFUSE))
    with pytest.raises(ConnectionRefusedError):
        await connect()
    await proxy.set(HEALTHY)
    assert proxy.port == port
    assert await (await connect()).ask(b"a\n") == b"A\n"


async def test_stall_holds_everything_back_and_loses_nothing(
    connect: Connect, proxy: FaultProxy, server: Server
) -> None:
    before = await connect()
    assert await before.ask(b"a\n") == b"A\n"
    await proxy.set(Fault(Mode.STALL))
    during = await connect()
    for client in (before, during):
        with pytest.raises(TimeoutError):
            await client.ask(b"b\n", 0.2)
    assert server.heard == [b"a\n"]
    await proxy.set(HEALTHY)
    for client in (before, during):
        assert await client.ask(b"") == b"B\n"


async def test_a_lost_answer_is_one_to_something_that_was_done(
    connect: Connect, proxy: FaultProxy, server: Server
) -> None:
    client = await connect()
    await proxy.set(Fault(Mode.LOST_ANSWER))
    with pytest.raises(ConnectionResetError):
        await client.ask(b"a\n")
    assert server.heard == [b"a\n"]
    assert (proxy.lost_answers, proxy.down_bytes) == (1, 0)


async def test_half_to_server_lets_the_answer_pass_and_nothing_more_up(
    connect: Connect, proxy: FaultProxy, server: Server
) -> None:
    await proxy.set(Fault(Mode.HALF_TO_SERVER))
    client = await connect()
    assert await client.ask(b"a\n") == b"A\n"
    assert await client.ask(b"b\n") == b"bye\n"
    assert (server.heard, server.ended) == ([b"a\n"], 1)


async def test_half_to_client_passes_the_question_and_ends_before_the_answer(
    connect: Connect, proxy: FaultProxy, server: Server
) -> None:
    await proxy.set(Fault(Mode.HALF_TO_CLIENT))
    client = await connect()
    assert await client.ask(b"a\n") == b""
    client.writer.write(b"b\n")
    async with asyncio.timeout(5):
        while len(server.heard) < 2:
            await asyncio.sleep(0.01)
    assert server.heard == [b"a\n", b"b\n"]


async def test_delay_and_cap_slow_a_link_down(connect: Connect, proxy: FaultProxy) -> None:
    client = await connect()
    for fault, least in ((Fault(delay_seconds=0.1), 0.2), (Fault(bytes_a_second=10_000), 0.4)):
        await proxy.set(fault)
        began = time.monotonic()
        assert len(await client.ask(b"x" * 1999 + b"\n")) == 2000
        assert least <= time.monotonic() - began < 10 * least


async def test_a_server_that_is_away_is_a_reset(connect: Connect, proxy: FaultProxy) -> None:
    async with FaultProxy("127.0.0.1", 1) as nowhere:
        client = Client(*await asyncio.open_connection("127.0.0.1", nowhere.port))
        with pytest.raises(ConnectionResetError):
            await client.ask(b"a\n")


def test_a_schedule_is_its_seeds_and_has_every_mode() -> None:
    first, again, other = (list(itertools.islice(schedule(seed), 200)) for seed in (1, 1, 2))
    assert first == again != other
    assert {fault.mode for fault, _ in first} == set(Mode)
    assert all(fault.mode is Mode.PASS for fault, _ in first[::2])
    assert 5 < sum(seconds for _, seconds in first[::2]) / 100 < 20


async def test_a_played_schedule_changes_the_link(proxy: FaultProxy) -> None:
    faults = iter([(Fault(Mode.STALL), 0.0), (Fault(Mode.RESET), 0.0), (HEALTHY, 0.0)])
    await play(proxy, faults)
    assert proxy.fault == HEALTHY
