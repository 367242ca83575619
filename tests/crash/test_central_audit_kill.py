"""kill -9 of a centre under changes: each is there with its entry in the audit trail, or neither is."""

import asyncio
import os
import random
import signal
import sqlite3
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import aiohttp
import orjson
import pytest

from central_sync import app
from central_sync.app import auditing
from central_sync.store import database
from tests.crash.senders import start

ROUNDS = max(4, int(os.environ.get("N", "100")) // 25)
WORKERS = 6


async def _work(session: aiohttp.ClientSession, url: str, name: str, done: list[str]) -> None:
    """Registers devices and changes them, until the connection is lost."""
    with suppress(aiohttp.ClientError, ConnectionError):
        for number in count():
            device = f"{name}-{number}"
            body = {"device_id": device, "name": f"{device} is new"}
            async with session.post(f"{url}/api/fleet/devices/register", json=body) as answer:
                assert answer.status == 201, await answer.text()
            async with session.patch(f"{url}/api/fleet/devices/{device}", json={"name": device}) as answer:
                assert answer.status == 200, await answer.text()
            done.append(device)


async def _round(data: Path, admin: str, name: str, done: list[str]) -> None:
    """Kills the centre in the middle of changes."""
    process, url = await start(data)
    goal = len(done) + random.randint(10, 60)
    headers = {"Authorization": f"Bearer {admin}"}
    async with aiohttp.ClientSession(headers=headers) as session, asyncio.TaskGroup() as group:
        for worker in range(WORKERS):
            group.create_task(_work(session, url, f"{name}-{worker}", done))
        while len(done) < goal:
            await asyncio.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        await process.wait()


def _compare(data: Path, done: list[str]) -> None:
    names: dict[str, str] = {}
    with closing(sqlite3.connect(data / database.DATABASE_NAME)) as connection:
        for device, entry in connection.execute(
            "SELECT device, entry FROM audit WHERE action IN ('device.register', 'device.patch') ORDER BY no"
        ):
            names[device] = orjson.loads(entry)["after"]["name"]
        devices = dict(connection.execute("SELECT id, name FROM device").fetchall())
    assert devices == names, "what the registry says is what the entries say, device by device"
    assert {device: devices.get(device) for device in done} == {device: device for device in done}
    verdict = auditing.verify_audit(data, auditing.AuditQuestion(), lambda done, total: None)
    assert verdict.wrong is None


@pytest.mark.timeout(60 + 8 * ROUNDS)
async def test_changes_and_their_entries_are_there_together_after_kill_9(tmp_path: Path) -> None:
    data = tmp_path / "data"
    admin, _ = await asyncio.to_thread(app.create_token, data, "admin", None)
    done: list[str] = []
    for number in range(ROUNDS):
        await _round(data, admin, f"r{number}", done)
        await asyncio.to_thread(_compare, data, done)
