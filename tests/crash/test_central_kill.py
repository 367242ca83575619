"""kill -9 of a centre under uploads: what was acknowledged is there, once, and the read models know it."""

import asyncio
import hashlib
import json
import random
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp

from central_sync import app
from central_sync.store import database
from edge_agent.wire.upload import CONTENT_TYPE, BatchItem
from tests.unit.central.edge import Edge

ROUNDS = 5
DEVICES = 4


class Sender:
    """One device: sends its batches until they are acknowledged, whatever happens to the centre."""

    def __init__(self, device: str, token: str) -> None:
        self.edge = Edge(device=device, epoch=f"epoch-{device}", run=f"run-{device}")
        self.token = token
        self.waiting: dict[int, BatchItem] = {}
        self.acked: dict[int, bytes] = {}

    async def run(self, session: aiohttp.ClientSession, url: str) -> None:
        """Until the connection is lost."""
        base = f"{url}/api/fleet/edge/{self.edge.device}"
        headers = {"Authorization": f"Bearer {self.token}"}
        kind = {**headers, "Content-Type": "application/json"}
        schema = self.edge.schema
        async with session.put(
            f"{base}/schemas/{schema.hash}", data=schema.canonical, headers=kind
        ) as answer:
            assert answer.status in (201, 204)
        while True:
            while len(self.waiting) < 3:
                item = self.edge.make([self.edge.n % 60_000] * 3)
                self.waiting[item.seq] = item
            body = self.edge.upload(*self.waiting.values(), head=self.edge.head(floor=min(self.waiting)))
            async with session.post(
                f"{base}/data", data=body, headers={**headers, "Content-Type": CONTENT_TYPE}
            ) as r:
                assert r.status == 200, await r.text()
                self._take(await r.json())

    def _take(self, answer: dict[str, Any]) -> None:
        assert answer["rejected"] == []
        assert answer["resend"] == []
        for lo, hi in answer["acked"]:
            for seq in range(lo, hi + 1):
                item = self.waiting.pop(seq)
                self.acked[seq] = item.hash


async def _start(data: Path) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "central_sync", "run", "--json", "--data", str(data), "--listen", "127.0.0.1:0",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    return process, json.loads(await process.stdout.readline())["url"]


async def _until_killed(sender: Sender, session: aiohttp.ClientSession, url: str) -> None:
    try:
        await sender.run(session, url)
    except (aiohttp.ClientError, ConnectionError):
        return


async def _round(data: Path, senders: list[Sender], more: int) -> None:
    """Lets the senders work until `more` batches are acknowledged, then kills the centre."""
    process, url = await _start(data)
    goal = sum(len(sender.acked) for sender in senders) + more
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for sender in senders:
            group.create_task(_until_killed(sender, session, url))
        while sum(len(sender.acked) for sender in senders) < goal:
            await asyncio.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        await process.wait()


def _stored(data: Path) -> dict[str, dict[int, bytes]]:
    """Hashes by device and seq, each checked against its body."""
    found: dict[str, dict[int, bytes]] = {}
    sql = "SELECT device.id, seq, hash, body FROM batch JOIN device ON device.no = device_no"
    with closing(sqlite3.connect(data / database.DATABASE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for device, seq, digest, body in connection.execute(sql):
            assert hashlib.blake2b(body, digest_size=16).digest() == digest
            assert seq not in found.setdefault(device, {})
            found[device][seq] = digest
    return found


async def test_nothing_acknowledged_is_missing_after_kill_9(tmp_path: Path) -> None:
    data = tmp_path / "data"
    devices = [f"dev-{number}" for number in range(DEVICES)]
    made = [await asyncio.to_thread(app.create_token, data, None, device) for device in devices]
    senders = [Sender(device, token) for device, (token, _) in zip(devices, made, strict=True)]
    viewer, _ = await asyncio.to_thread(app.create_token, data, "viewer", None)
    for _ in range(ROUNDS):
        await _round(data, senders, random.randint(20, 120))
        stored = await asyncio.to_thread(_stored, data)
        for sender in senders:
            assert sender.acked.items() <= stored.get(sender.edge.device, {}).items()
    process, url = await _start(data)
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
