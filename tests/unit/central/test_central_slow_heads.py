"""A request head that is never finished holds a connection no longer than the deadline."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from central_sync.app import IDLE_SECONDS, Centre, running
from central_sync.settings import Settings

IDLE = 0.4


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running(Settings(data=tmp_path, listen="127.0.0.1:0"), idle_seconds=IDLE) as opened:
        yield opened


async def closed_after(reader: asyncio.StreamReader) -> float:
    begun = time.monotonic()
    # Closed is closed: with bytes of ours that it never read, it ends with a reset.
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):
            await reader.read(-1)
    return time.monotonic() - begun


@pytest.mark.parametrize("said", [b"", b"GET /api/fl", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "])
async def test_slow_loris_half_a_head_is_given_up_at_its_deadline(centre: Centre, said: bytes) -> None:
    reader, writer = await asyncio.open_connection(centre.host, centre.port)
    writer.write(said)
    assert IDLE * 0.5 < await closed_after(reader) < IDLE + 5
    writer.close()


async def test_slow_loris_a_byte_now_and_then_does_not_move_the_deadline(centre: Centre) -> None:
    reader, writer = await asyncio.open_connection(centre.host, centre.port)
    writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")

    async def drip() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(IDLE / 20)

    dripping = asyncio.create_task(drip())
    try:
        assert await closed_after(reader) < IDLE + 5
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        writer.close()


async def test_many_half_heads_keep_nobody_else_out(centre: Centre) -> None:
    slow = [await asyncio.open_connection(centre.host, centre.port) for _ in range(50)]
    for _, writer in slow:
        writer.write(b"GET / HT")
    reader, writer = await asyncio.open_connection(centre.host, centre.port)
    writer.write(b"GET /api/fleet/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    for closing_reader, _ in slow:
        await closed_after(closing_reader)
    for _, each in [*slow, (reader, writer)]:
        each.close()


def test_the_deadline_is_longer_than_proxies_and_agents_keep_idle_connections() -> None:
    """nginx and AWS keep them 60 s, Traefik 90 s, agents 15 s."""
    assert IDLE_SECONDS > 90
