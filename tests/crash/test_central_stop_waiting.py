"""A stop while many wait: long polls and streams are answered at once, and nobody's time-out is awaited."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp

from central_sync import app
from tests.crash.senders import start

POLLS = 200
STREAMS = 20
STOP_SECONDS = 2.0


async def _poll(session: aiohttp.ClientSession, url: str, device: str, token: str) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    path = f"{url}/api/fleet/edge/{device}/commands?wait=60"
    async with session.get(path, headers=headers) as answer:
        return answer.status, await answer.json()


async def _stream(session: aiohttp.ClientSession, url: str, token: str, begun: asyncio.Semaphore) -> bytes:
    headers = {"Authorization": f"Bearer {token}"}
    async with session.get(f"{url}/api/fleet/events", headers=headers) as answer:
        first = await answer.content.readline()
        begun.release()
        return first + await answer.content.read()


def _tokens(data: Path) -> tuple[dict[str, str], str]:
    devices = [f"dev-{number}" for number in range(POLLS)]
    made = {device: app.create_token(data, None, device)[0] for device in devices}
    return made, app.create_token(data, "viewer", None)[0]


async def test_a_stop_under_200_long_polls_and_streams_takes_less_than_two_seconds(tmp_path: Path) -> None:
    tokens, viewer = await asyncio.to_thread(_tokens, tmp_path / "data")
    process, url = await start(tmp_path / "data")
    begun = asyncio.Semaphore(0)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        polls = [group.create_task(_poll(session, url, *pair)) for pair in tokens.items()]
        streams = [group.create_task(_stream(session, url, viewer, begun)) for _ in range(STREAMS)]
        for _ in streams:
            await begun.acquire()
        # They hold for a minute: whoever was not admitted would have an answer by now.
        await asyncio.wait(polls, timeout=1.5)
        assert not any(poll.done() for poll in polls), "a long poll did not wait"
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        assert time.monotonic() - began < STOP_SECONDS
    answers = [poll.result() for poll in polls]
    assert {status for status, _ in answers} <= {200, 503}
    assert all(status != 200 or body["commands"] == [] for status, body in answers)
