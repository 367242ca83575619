"""kill -9 of a centre under uploads: what was acknowledged is there, once, and the read models know it."""

import asyncio
import os
import random
import signal
from pathlib import Path

import aiohttp
import pytest

from central_sync import app
from tests.crash.senders import Sender, missing, senders_of, start, stored_batches, until_killed

ROUNDS = max(5, int(os.environ.get("N", "100")) // 20)
DEVICES = 4


async def _round(data: Path, senders: list[Sender], more: int) -> None:
    """Lets the senders work until `more` batches are acknowledged, then kills the centre."""
    process, url = await start(data)
    goal = sum(len(sender.acked) for sender in senders) + more
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for sender in senders:
            group.create_task(until_killed(sender, session, url))
        while sum(len(sender.acked) for sender in senders) < goal:
            await asyncio.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        await process.wait()


@pytest.mark.timeout(60 + 5 * ROUNDS)
async def test_nothing_acknowledged_is_missing_after_kill_9(tmp_path: Path) -> None:
    data = tmp_path / "data"
    senders = await senders_of(data, DEVICES)
    viewer, _ = await asyncio.to_thread(app.create_token, data, "viewer", None)
    for _ in range(ROUNDS):
        await _round(data, senders, random.randint(20, 120))
        stored = await asyncio.to_thread(stored_batches, data)
        lost = missing(senders, stored)
        assert lost == [], f"acknowledged and not stored: {len(lost)}, {lost[:5]}"
    process, url = await start(data)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {viewer}"}) as session:
        for sender in senders:
            await _check(session, url, sender, stored[sender.edge.device])
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


async def _check(session: aiohttp.ClientSession, url: str, sender: Sender, stored: dict[int, bytes]) -> None:
    device = sender.edge.device
    async with session.get(f"{url}/api/fleet/data/stats?device={device}") as answer:
        stats = (await answer.json())["devices"][0]
    assert (stats["batches"], stats["samples"]) == (len(stored), 3 * len(stored))
    assert (stats["gaps"], stats["duplicates"], stats["lost"]) == ([], 0, 0)
    async with session.get(f"{url}/api/fleet/devices/{device}/latest-values") as answer:
        values = [item["value"] for item in (await answer.json())["items"]]
    newest = round((max(stored) - 1) * 0.1, 1)
    assert values == [newest] * 3
