"""Orders commands as an operator does, and waits for what becomes of them."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

import aiohttp

from tests.crash.rig import DEVICE, Rig, until

FINAL = {"succeeded", "failed", "timed_out", "expired", "cancelled", "rejected", "unknown"}


class Orders:
    """Of the rig's device. token: absent, the rig's operator's. ids: all that were ordered, in order."""

    def __init__(self, rig: Rig, token: str = "") -> None:
        self._base = f"{rig.url}/api/fleet/commands"
        self._headers = {"Authorization": f"Bearer {token or rig.operator}"}
        self.ids: list[str] = []

    async def order(
        self,
        kind: str,
        params: dict[str, Any] | None = None,
        expires: float = 600.0,
        timeout: float | None = None,
        key: str | None = None,
    ) -> str:
        """The id of the command. With `key` it is tried until the centre answers."""
        body = {
            "type": kind,
            "params": params or {},
            "targets": {"devices": [DEVICE]},
            "expires_seconds": expires,
            **({} if timeout is None else {"timeout_seconds": timeout}),
        }
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = await self._ask("POST", "", body, headers)
        command = str(answer["commands"][0]["id"])
        self.ids.append(command)
        return command

    async def cancel(self, command: str) -> dict[str, Any]:
        return await self._ask("POST", f"/{command}/cancel")

    async def get(self, command: str) -> dict[str, Any]:
        return await self._ask("GET", f"/{command}")

    async def log(self, command: str) -> str:
        return str((await self._ask("GET", f"/{command}/log"))["text"])

    async def artifact(self, command: str) -> bytes:
        async with (
            aiohttp.ClientSession(headers=self._headers) as session,
            session.get(f"{self._base}/{command}/artifact") as response,
        ):
            response.raise_for_status()
            return await response.read()

    async def state(self, command: str) -> str:
        return str((await self.get(command))["state"])

    async def until_state(self, command: str, states: Iterable[str], seconds: float = 30) -> dict[str, Any]:
        """Or past it: on a busy machine a state may be over before anybody looks."""
        wanted = set(states)

        async def reached() -> bool:
            found = await self.get(command)
            past = {step["state"] for step in found["history"]} - FINAL
            return found["state"] in wanted or not wanted.isdisjoint(past)

        await until(reached, seconds)
        return await self.get(command)

    async def ended(self, command: str, seconds: float = 30) -> dict[str, Any]:
        """The command once it has ended."""
        return await self.until_state(command, FINAL, seconds)

    async def all_ended(self, seconds: float = 60) -> dict[str, dict[str, Any]]:
        async with asyncio.timeout(seconds + 10):
            return {command: await self.ended(command, seconds) for command in self.ids}

    async def _ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Errors of a centre that is away are waited out where the request may be repeated."""
        repeatable = method == "GET" or bool(headers)
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    return await self._once(method, path, body, headers)
                if not repeatable:
                    raise AssertionError(f"{method} {path} was not answered")
                await asyncio.sleep(0.1)

    async def _once(
        self, method: str, path: str, body: Any, headers: dict[str, str] | None
    ) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession(headers={**self._headers, **(headers or {})}) as session,
            session.request(method, f"{self._base}{path}", json=body) as response,
        ):
            answer: dict[str, Any] = await response.json(content_type=None)
            assert response.status < 300 or response.status == 503, f"{response.status}: {answer}"
            response.raise_for_status()
            return answer
