"""Devices that send to a centre as fast as it answers, and know what it acknowledged; no agent is needed."""

import asyncio
import hashlib
import json
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


async def start(data: Path, *through: str) -> tuple[asyncio.subprocess.Process, str]:
    """A centre that is ready, started through a module of the tests with its arguments; and its address.
    An empty one: it died before."""
    arguments = ["central_sync", "run", "--json", "--data", str(data), "--listen", "127.0.0.1:0"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *through, *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    ready = await process.stdout.readline()
    return process, json.loads(ready)["url"] if ready else ""


async def until_killed(sender: Sender, session: aiohttp.ClientSession, url: str) -> None:
    try:
        await sender.run(session, url)
    except (aiohttp.ClientError, ConnectionError):
        return


def stored_batches(data: Path) -> dict[str, dict[int, bytes]]:
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


async def senders_of(data: Path, count: int) -> list[Sender]:
    """Senders that the centre of this data directory knows."""
    devices = [f"dev-{number}" for number in range(count)]
    made = [await asyncio.to_thread(app.create_token, data, None, device) for device in devices]
    return [Sender(device, token) for device, (token, _) in zip(devices, made, strict=True)]


def missing(senders: list[Sender], stored: dict[str, dict[int, bytes]]) -> list[str]:
    """What was acknowledged and is not stored with that content."""
    return [
        f"{sender.edge.device} {seq}"
        for sender in senders
        for seq, digest in sender.acked.items()
        if stored.get(sender.edge.device, {}).get(seq) != digest
    ]
