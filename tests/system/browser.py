"""A headless Chromium, driven over its DevTools protocol: what it shows, asks for and complains about."""

import asyncio
import base64
import contextlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

ARGUMENTS = [
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-port=0", "--force-color-profile=srgb", "--hide-scrollbars",
]  # fmt: skip
START_SECONDS = 30.0
LOOK_SECONDS = 0.2


class Tab:
    """One tab. requested: every address that it asked for. complaints: errors of scripts and the console."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.requested: list[str] = []
        self.complaints: list[str] = []

    async def listen(self) -> None:
        """Until the browser is gone."""
        async for message in self._socket:
            event = message.json()
            if "id" in event:
                self._answers.pop(event["id"]).set_result(event.get("result", {}))
            else:
                self._note(event["method"], event["params"])

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif (method == "Runtime.consoleAPICalled" and params["type"] == "error") or (
            method == "Log.entryAdded" and params["entry"]["level"] == "error"
        ):
            self.complaints.append(str(params))

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[self._number] = answer
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        async with asyncio.timeout(START_SECONDS):
            await answer
        return answer.result()

    async def open(self, url: str, width: int, height: int) -> None:
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.size(width, height)
        await self.call("Page.navigate", url=url)

    async def size(self, width: int, height: int) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=True
        )
        await self.call("Emulation.setTouchEmulationEnabled", enabled=True)

    async def dark(self, *, on: bool) -> None:
        value = "dark" if on else "light"
        features = [{"name": "prefers-color-scheme", "value": value}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def wait_for(self, script: str, seconds: float = 20.0) -> Any:
        """The first value of an expression that is true; one that fails, for want of an element, is not."""
        until = time.monotonic() + seconds
        while not (
            value := await self.run(f"(() => {{ try {{ return {script} }} catch {{ return null }} }})()")
        ):
            if time.monotonic() > until:
                text = await self.run("document.body.innerText")
                raise AssertionError(f"{script} did not come true; the page shows:\n{text}")
            await asyncio.sleep(LOOK_SECONDS)
        return value

    async def picture(self, path: Path) -> None:
        shot = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))


@contextlib.asynccontextmanager
async def browser(profile: Path, language: str) -> AsyncIterator[Tab]:
    """A browser with one tab. language: what it sends as Accept-Language."""
    process = await asyncio.create_subprocess_exec(
        *ARGUMENTS, f"--user-data-dir={profile}", f"--lang={language}", f"--accept-lang={language}",
        "about:blank", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    drain: asyncio.Task[bytes] | None = None
    try:
        async with asyncio.timeout(START_SECONDS):
            port = await _port(process.stderr)
        drain = asyncio.create_task(process.stderr.read())
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as response:
                pages = [page for page in await response.json() if page["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                listening = asyncio.create_task(tab.listen())
                yield tab
            await listening
    finally:
        process.terminate()
        await process.wait()
        if drain is not None:
            await drain


async def _port(stream: asyncio.StreamReader) -> str:
    while line := (await stream.readline()).decode():
        if match := re.search(r"ws://127\.0\.0\.1:(\d+)/", line):
            return match[1]
    raise AssertionError("the browser ended early")
