"""Requests that come while the event loop is behind are told to come back; the next are answered again."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from central_sync.api.lane import Door, Lane
from central_sync.api.lateness import LATE_SECONDS, Lateness


def _late(lateness: Lateness) -> bool:
    return lateness.is_late


async def test_it_is_late_while_a_timer_waits_for_its_turn_for_too_long() -> None:
    now = 100.0
    lateness = Lateness(lambda: now)
    assert not _late(lateness)
    lateness.start()
    now += LATE_SECONDS
    assert not _late(lateness)
    now += 1.0
    assert _late(lateness)
    async with asyncio.timeout(5):
        while _late(lateness):
            await asyncio.sleep(0.01)
    lateness.stop()


def test_who_is_told_to_come_back_comes_back_at_other_times() -> None:
    lateness = Lateness()
    answers = [lateness.answer(b"Server: x\r\n") for _ in range(20)]
    assert len({answer.partition(b"Retry-After: ")[2].partition(b"\r\n")[0] for answer in answers}) == 20
    head, _, body = answers[0].partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert head.endswith(b"Server: x")


class _Link(asyncio.Transport):
    """What is written to a client."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 5) if name == "peername" else default

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("request_head", [b"GET /api/fleet/health HTTP/1.1\r\nHost: c\r\n\r\n", b"POST /x"])
async def test_a_centre_that_is_behind_refuses_at_the_door_until_it_is_not(request_head: bytes) -> None:
    now = 100.0
    lateness = Lateness(lambda: now)
    door = Door(web.AppRunner(web.Application()), None, 60.0, None, secure=False, lateness=lateness)
    lateness.start()
    lateness.stop()
    assert door.refusal() is None
    now += LATE_SECONDS + 1.0
    link, lane = _Link(), Lane(door)
    lane.connection_made(link)
    lane.data_received(request_head)
    assert link.closed
    head, _, body = link.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    for line in (b"Retry-After: ", b"Connection: close", b"X-Content-Type-Options: nosniff"):
        assert b"\r\n" + line in head
    assert b'"code":"busy"' in body
    lateness.start()
    lateness.stop()
    assert door.refusal() is None
