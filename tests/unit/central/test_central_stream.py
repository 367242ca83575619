"""The live stream: what comes, to whom, how often, and how it ends."""

import asyncio
import time
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse

from central_sync import app
from central_sync.services.errors import Busy
from central_sync.services.live import MAX_LISTENERS, MAX_OF_ONE, QUEUE_BYTES, QUEUE_EVENTS, Hub
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import Edge


async def _next(response: ClientResponse) -> tuple[str, Any]:
    """The next event of a stream; comments and hints are passed over."""
    async with asyncio.timeout(10):
        while True:
            lines = (await response.content.readuntil(b"\n\n")).decode().strip().split("\n")
            fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
            if "event" in fields:
                return fields["event"], orjson.loads(fields["data"])


def _open(house: House, query: str = "") -> Any:
    headers = {"Authorization": f"Bearer {house.tokens['viewer']}"}
    return house.session.get(f"{house.centre.url}/api/fleet/events{query}", headers=headers)


async def _listening(house: House, number: int = 1) -> None:
    async with asyncio.timeout(10):
        while house.centre.hub.listeners < number:
            await asyncio.sleep(0)


async def test_heartbeats_values_and_figures_arrive(open_house: OpenHouse) -> None:
    async with open_house() as house, _open(house) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        await _listening(house)
        edge = Edge()
        await house.put_schema(edge)
        await house.beat(edge)
        name, data = await _next(response)
        assert (name, data["device_id"], data["state"]) == ("heartbeat", "dev-1", "online")
        await house.post(edge, edge.upload(edge.make([10, 20, 30]), edge.make([11, 21, 31])))
        await house.centre.live.publish()
        name, data = await _next(response)
        assert (name, data["device_id"]) == ("values", "dev-1")
        assert [item["value"] for item in data["items"]] == [1.1, 2.1, 3.1]
        name, data = await _next(response)
        assert (name, data["batches"]) == ("stats", 2)


async def test_values_that_did_not_move_are_not_sent_again(open_house: OpenHouse) -> None:
    async with open_house() as house, _open(house, "?device=dev-1") as response:
        await _listening(house)
        edge = Edge()
        await house.put_schema(edge)
        await house.post(edge, edge.upload(edge.make()))
        await house.centre.live.publish()
        await house.centre.live.publish()
        await house.beat(edge)
        names = [(await _next(response))[0] for _ in range(3)]
        assert names == ["values", "stats", "heartbeat"]


async def test_a_listener_to_one_device_hears_of_no_other(open_house: OpenHouse) -> None:
    async with open_house() as house, _open(house, "?device=dev-1") as response:
        await _listening(house)
        await house.beat(Edge(device="dev-2"))
        await house.beat(Edge(device="dev-1"))
        assert (await _next(response))[1]["device_id"] == "dev-1"


async def test_a_device_that_falls_silent_is_an_event(open_house: OpenHouse) -> None:
    async with open_house() as house, _open(house) as response:
        await _listening(house)
        house.clock.advance(1)
        await house.beat(Edge())
        await _next(response)
        house.clock.advance(91)
        while (event := await _next(response))[0] != "device":
            pass
        assert event[1]["state"] == "offline"


async def test_streams_end_when_the_centre_stops(open_house: OpenHouse) -> None:
    async with open_house() as house:
        async with _open(house) as response:
            await _listening(house)
            house.centre.hub.close()
            async with asyncio.timeout(5):
                await response.read()
        refused = await house.ask("GET", "/api/fleet/events")
        assert (refused.status, refused.json["code"]) == (503, "too_many_streams")
        assert refused.headers["Retry-After"] == "5"


async def test_who_cannot_follow_is_cut_off() -> None:
    hub = Hub()
    listener = hub.subscribe()
    for number in range(QUEUE_EVENTS + 1):
        hub.publish("stats", {"n": number})
    assert hub.listeners == 0
    assert await listener.take() is None


async def test_what_waits_for_a_listener_is_bounded_in_bytes_too() -> None:
    hub = Hub()
    listener = hub.subscribe()
    for _ in range(3):
        hub.publish("stats", "x" * (QUEUE_BYTES // 2))
    assert hub.listeners == 0
    assert await listener.take() is None
    again = hub.subscribe()
    for _ in range(20):
        hub.publish("stats", "x" * (QUEUE_BYTES // 2))
        assert await again.take() is not None
    assert hub.listeners == 1


async def test_a_client_that_never_reads_holds_up_nothing(open_house: OpenHouse) -> None:
    async with open_house() as house:
        token = house.tokens["viewer"]
        _, writer = await _deaf(house.centre.port, token)
        try:
            await _listening(house)
            for _ in range(12):
                house.centre.hub.publish("stats", "x" * (1 << 20))
                await asyncio.sleep(0.02)
            async with asyncio.timeout(10):
                while _handlers():
                    house.centre.hub.publish("stats", "x" * (1 << 20))
                    await asyncio.sleep(0.02)
        finally:
            writer.transport.abort()


async def test_a_client_that_never_reads_does_not_hold_up_the_stop(open_house: OpenHouse) -> None:
    opened = open_house()
    house = await opened.__aenter__()
    _, writer = await _deaf(house.centre.port, house.tokens["viewer"])
    await _listening(house)
    (listener,) = house.centre.hub._listeners
    while listener.queue.empty():
        house.centre.hub.publish("stats", "x" * (1 << 20))
        await asyncio.sleep(0.05)
    started = time.monotonic()
    await opened.__aexit__(None, None, None)
    assert time.monotonic() - started < 3
    writer.transport.abort()


def _handlers() -> int:
    """Connections that the centre still serves."""
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    return names.count("RequestHandler.start")


async def _deaf(port: int, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that asks for the stream and never reads it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    request = f"GET /api/fleet/events HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(request.encode())
    await writer.drain()
    return reader, writer


async def test_an_event_that_cannot_be_written_is_left_out() -> None:
    hub = Hub()
    listener = hub.subscribe()
    for data in ({"n": 10**30}, "\ud800", {1: object()}):
        hub.publish("stats", data)
    hub.publish("stats", {"n": 1})
    assert b'"n":1' in (await listener.take() or b"")


async def test_the_number_of_streams_is_bounded() -> None:
    hub = Hub()
    listeners = [hub.subscribe() for _ in range(MAX_LISTENERS)]
    with pytest.raises(Busy):
        hub.subscribe()
    hub.unsubscribe(listeners[0])
    hub.subscribe("dev-1")
    assert hub.wanted() is None


async def test_nobody_takes_all_streams_for_himself() -> None:
    hub = Hub()
    for _ in range(MAX_OF_ONE):
        hub.subscribe(owner="u1")
    with pytest.raises(Busy, match="of one"):
        hub.subscribe(owner="u1")
    hub.subscribe(owner="u2")


async def test_values_can_be_limited_to_one_device(open_house: OpenHouse) -> None:
    async with open_house() as house, _open(house, "?values=dev-1") as response:
        await _listening(house)
        for device in ("dev-2", "dev-1"):
            edge = Edge(device=device)
            await house.put_schema(edge)
            await house.post(edge, edge.upload(edge.make()))
            await house.beat(edge)
        await house.centre.live.publish()
        events = [await _next(response) for _ in range(3)]
        assert [(name, data["device_id"]) for name, data in events] == [
            ("heartbeat", "dev-2"), ("heartbeat", "dev-1"), ("values", "dev-1"),
        ]  # fmt: skip


async def test_a_revoked_token_ends_its_stream_however_busy_it_is(open_house: OpenHouse) -> None:
    async with open_house() as house, _open(house) as response:
        await _listening(house)
        await house.beat(Edge())
        await _next(response)
        token_id = house.tokens["viewer"].split("_")[1]
        assert await asyncio.to_thread(app.revoke_token, house.data, token_id)
        house.clock.advance(2)
        async with asyncio.timeout(10):
            while house.centre.hub.listeners:
                await house.beat(Edge())
                await asyncio.sleep(0.02)
            await response.read()
