"""A sink that takes connections and acknowledges nothing: all is begun afresh, then shown, then told."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.uplink.errors import Refused, Unreachable, Unusable
from edge_agent.uplink.uploader import Uploader
from edge_agent.uplink.watch import DEADLINE_SECONDS, SinkWatch
from edge_agent.wire import ranges
from edge_agent.wire.messages import Event
from edge_agent.wire.upload import MAX_BODY_BYTES, decode_upload
from tests.unit.uplink.fakes import FakeOutbox, Line
from tests.unit.uplink.web import Web, json, raw_server

UNTIL_SECONDS = 30.0


class Watched(Line):
    """The uploader between a buffer and a centre, with its watch."""

    def __init__(self) -> None:
        super().__init__()
        self.renewals: list[float] = []
        self.watch = SinkWatch(self.uploader, self.renew, self.events.append, self.clock, 60.0)

    async def renew(self) -> None:
        self.renewals.append(self.clock.monotonic() - 1000)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        async with self.running():
            task = asyncio.create_task(self.watch.run())
            try:
                yield
                assert not task.done(), task.exception()
            finally:
                task.cancel()
                await asyncio.wait([task])

    @property
    def shown(self) -> str:
        return self.watch.report().state


async def test_tb_1640_a_centre_that_acknowledges_nothing_is_connected_afresh_then_shown_then_told() -> None:
    line = Watched()
    line.centre.rule = lambda head, items: Unusable("200, but the answer is not the centre's")
    async with line.watched():
        await line.outbox.commit()
        await line.clock.advance(55)
        assert (line.renewals, line.shown) == ([], "unreachable")
        await line.clock.advance(10)
        assert line.renewals == [60]
        await line.clock.advance(60)
        assert (line.shown, line.codes) == ("stalled", [])
        await line.clock.advance(60)
        assert line.codes == ["sink_silent"]
        assert "not the centre's" in line.events[0].message
        line.centre.rule = lambda head, items: None
        await line.clock.advance(10)
        assert (line.shown, line.left) == ("ok", 0)
    assert line.codes == ["sink_silent", "sink_back"]
    assert line.watch.report().rebuilds == 2


async def test_a_long_outage_is_two_events_and_no_storm_of_new_connections() -> None:
    line = Watched()
    line.centre.away = True
    async with line.watched():
        for _ in range(10):
            await line.outbox.commit()
            await line.clock.advance(360)
        assert line.shown == "unreachable", "nobody is there: that is no stall"
        line.centre.away = False
        await line.clock.advance(30)
        assert line.left == 0
    assert line.codes == ["sink_silent", "sink_back"]
    assert 3_590 < line.events[1].data["seconds"] <= 3_630
    assert len(line.renewals) <= 6


async def test_a_post_that_never_ends_is_a_stall_though_nothing_has_failed_yet() -> None:
    line = Watched()
    async with line.watched():
        await line.outbox.commit()
        await line.clock.advance(5)
        assert line.shown == "ok"
        line.centre.seconds = lambda nbytes: 1e6
        await line.outbox.commit()
        await line.clock.advance(130)
        assert line.shown == "stalled"
        assert len(line.renewals) == 1


async def test_an_idle_plant_owes_nothing_and_nothing_is_begun_afresh() -> None:
    line = Watched()
    async with line.watched():
        await line.outbox.commit()
        await line.clock.advance(3_600)
        assert line.shown == "ok"
    assert (line.renewals, line.codes) == ([], [])


async def test_progress_however_slow_is_no_silence() -> None:
    line = Watched()
    line.centre.seconds = lambda nbytes: 50.0
    async with line.watched():
        for _ in range(60):
            await line.outbox.commit()
            await line.clock.advance(30)
        assert line.shown == "ok"
    assert (line.renewals, line.codes) == ([], [])


async def test_a_refused_agent_is_refused_and_not_stalled() -> None:
    line = Watched()
    line.centre.rule = lambda head, items: Refused("401", 401)
    async with line.watched():
        await line.outbox.commit()
        await line.clock.advance(600)
        assert line.shown == "refused"
        assert line.codes == ["sink_silent"]


async def test_an_agent_that_stood_still_does_not_blame_the_centre() -> None:
    line = Watched()
    async with line.watched():
        await line.outbox.commit()
        await line.clock.advance(5)
        line.centre.seconds = lambda nbytes: 20.0
        await line.outbox.commit()
        line.clock.stand_still(36_000)
        await line.clock.advance(30)
        assert line.shown == "ok"
    assert (line.renewals, line.codes) == ([], [])


def test_the_deadline_outlasts_the_longest_post_that_may_still_succeed() -> None:
    from edge_agent.uplink.client import REQUEST_SECONDS, SLOWEST_BYTES_A_SECOND

    assert DEADLINE_SECONDS > REQUEST_SECONDS + MAX_BODY_BYTES / SLOWEST_BYTES_A_SECOND


# --- real sockets ------------------------------------------------------------------------------------


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(UNTIL_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


class Uplink:
    """Lanes and watch over real HTTP. `moods` are what the peer does, one after the other."""

    def __init__(self) -> None:
        self.outbox = FakeOutbox(ManualClock())
        self.events: list[Event] = []
        self.stored: list[int] = []

    @asynccontextmanager
    async def running(self, server: Web, request_seconds: float) -> AsyncIterator[SinkWatch]:
        async with server.client(request_seconds) as client:
            clock = SystemClock()
            uploader = Uploader(client, self.outbox, clock, 1 << 20, lambda etag: None)
            watch = SinkWatch(uploader, client.renew, self.events.append, clock, 1.0)
            parts = (uploader.run_live(), uploader.run_backlog(), watch.run())
            tasks = [asyncio.create_task(part) for part in parts]
            try:
                yield watch
                assert not any(task.done() for task in tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def store(self, request: web.Request) -> web.StreamResponse:
        head, items = decode_upload(await request.read())
        self.stored += [item.seq for item in items]
        acked = ranges.of_numbers(item.seq for item in items)
        return json({"centre": "c", "epoch": head.epoch, "acked": acked})


async def portal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A proxy that says 200 to everything."""
    await reader.readuntil(b"\r\n\r\n")
    page = b"<html>log in</html>"
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
    await writer.drain()


async def frozen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A centre that was stopped: its kernel takes what comes, and nobody answers."""
    await reader.read(-1)


async def half_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Has nothing to say any more, and still takes what comes."""
    writer.write_eof()
    await reader.read(-1)


@pytest.mark.parametrize("peer", [portal, frozen, half_closed], ids=lambda peer: str(peer.__name__))
async def test_a_peer_that_is_no_centre_costs_nothing_once_the_centre_is_there(
    peer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> None:
    """Whatever answered at its address: new connections are made as soon as they lead somewhere."""
    uplink, server = Uplink(), Web()
    server.handler = uplink.store
    async with raw_server(peer) as port:
        server.port = port
        async with uplink.running(server, 0.3) as watch:
            await uplink.outbox.commit(3)
            await until(lambda: watch.report().failed_posts >= 2)
            assert watch.report().state == "unreachable"
            assert watch.report().detail
        assert uplink.stored == []
    server.port = 0
    async with server.serving(), uplink.running(server, 5.0) as watch:
        await until(lambda: not uplink.outbox.held(1))
        assert watch.report().state == "ok"
    assert uplink.stored[0] == 3, "the newest is first"


async def test_what_connects_and_gives_no_answer_differs_from_what_is_not_there() -> None:
    server = Web()
    async with raw_server(frozen) as port:
        server.port = port
        async with server.client(0.2) as client:
            with pytest.raises(Unusable):
                await client.upload(b"")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server.port = taken.getsockname()[1]
        async with server.client(0.2) as client:
            with pytest.raises(Unreachable) as refused:
                await client.upload(b"")
    assert not isinstance(refused.value, Unusable)


async def test_after_renewal_a_new_connection_is_made_and_what_hung_ends() -> None:
    server = Web()
    peers: set[object] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response(status=500)

    async with server.serving(), server.client() as client:
        server.handler = answer
        for _ in range(2):
            with suppress(Unreachable):
                await client.upload(b"")
        assert len(peers) == 1
        server.handler = server.silent
        hanging = asyncio.create_task(client.upload(b""))
        await until(lambda: len(server.requests) == 3)
        await client.renew()
        with pytest.raises(Unreachable):
            await hanging
        server.handler = answer
        with suppress(Unreachable):
            await client.upload(b"")
    assert len(peers) == 2
