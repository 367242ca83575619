"""The whole uplink over real HTTP, with real time, against a centre that has a bad day."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.uplink.uploader import Uploader
from edge_agent.wire import ranges
from edge_agent.wire.upload import decode_upload
from tests.unit.uplink.fakes import FakeOutbox
from tests.unit.uplink.web import Web, json, says

DEADLINE_SECONDS = 30.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.002)


async def test_tb_2157_nothing_is_lost_whatever_the_centre_says_and_the_newest_is_first() -> None:
    server, outbox = Web(), FakeOutbox(ManualClock())
    stored: list[int] = []

    async def store(request: web.Request) -> web.StreamResponse:
        head, items = decode_upload(server.requests[-1][3])
        stored.extend(item.seq for item in items)
        acked = ranges.of_numbers(item.seq for item in items)
        return json({"centre": "c", "epoch": head.epoch, "acked": acked})

    async def cut_off(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    moods = [
        says(lambda: web.Response(text="<html>Please log in</html>", content_type="text/html")),
        says(lambda: json({"centre": "c", "epoch": "somebody-else's", "acked": [[1, 1000]]})),
        cut_off,
    ]
    async with server.serving(), server.client() as client:
        uploader = Uploader(client, outbox, SystemClock(), 1 << 20, lambda etag: None)
        async with asyncio.TaskGroup() as group:
            lanes = [group.create_task(uploader.run_live()), group.create_task(uploader.run_backlog())]
            for mood in moods:
                server.handler, before = mood, len(server.requests)
                await outbox.commit(3)
                await until(lambda before=before: len(server.requests) > before)  # type: ignore[misc]
            assert outbox.held(1) == [(1, 9)]
            assert uploader.report().state == "unreachable"
            server.handler = store
            await until(lambda: not outbox.held(1))
            assert uploader.report().state == "ok"
            for lane in lanes:
                lane.cancel()
    assert stored[0] == 9
    assert sorted(stored) == list(range(1, 10))
