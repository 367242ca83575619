"""What the demo asks the centre, through its API like any other program."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

Point = tuple[int, Any, str]


@dataclass(frozen=True, slots=True)
class Account:
    """The centre's account of the demo's device. gaps and duplicates must be nothing."""

    batches: int = 0
    samples: int = 0
    redelivered: int = 0
    duplicates: int = 0
    pending: int = 0
    gaps: int = 0
    lost: int = 0


class CentreApi:
    """Reads as an operator. Every method raises OSError or aiohttp.ClientError while the centre is away."""

    def __init__(self, url: str, token: str, device: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._device = device

    async def account(self) -> Account:
        stats = await self._get("/api/fleet/data/stats", {})
        for entry in stats["devices"]:
            if entry["device_id"] == self._device:
                return Account(
                    entry["batches"], entry["samples"], entry["redelivered"], entry["duplicates"],
                    entry["pending"], len(entry["gaps"]), entry["lost"],
                )  # fmt: skip
        return Account()

    async def device(self) -> dict[str, Any]:
        return await self._get(f"/api/fleet/devices/{self._device}", {})

    async def points(self, connection: str, tag: str, start_ms: int, end_ms: int) -> Sequence[Point]:
        found = await self._get(
            f"/api/fleet/devices/{self._device}/tags/{quote(tag, safe='')}/timeseries",
            {"connection": connection, "from": str(start_ms), "to": str(end_ms), "limit": "10000"},
        )
        return [(int(at), value, str(quality)) for at, value, quality in found["points"]]

    async def _get(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=10)
        async with (
            asyncio.timeout(15),
            aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session,
            session.get(f"{self._url}{path}", params=query) as response,
        ):
            response.raise_for_status()
            answer: dict[str, Any] = await response.json()
            return answer
