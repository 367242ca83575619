"""A web server on loopback that says whatever a test wants, for the client's real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from edge_agent.config.models import CentralSettings
from edge_agent.uplink.client import REQUEST_SECONDS, CentreClient
from edge_agent.wire.messages import Head
from edge_agent.wire.upload import BatchItem, encode_upload

TOKEN = "a-device's-token"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=orjson.dumps(value), status=status, headers=headers, content_type="application/json"
    )


def says(response: Callable[[], web.Response]) -> Handler:
    """A fresh response for each request."""

    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        return response()

    return handler


class Web:
    """Keeps all requests; answers with `handler`."""

    def __init__(self) -> None:
        self.handler: Handler = says(lambda: web.Response(status=500))
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.port = 0
        self._end = asyncio.Event()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, request.path, dict(request.headers), body))
        return await self.handler(request)  # type: ignore[arg-type]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        runner = web.ServerRunner(web.Server(self, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            self._end.set()
            await runner.cleanup()

    async def silent(self, request: web.Request) -> web.StreamResponse:
        """A handler that does not answer before the end."""
        await self._end.wait()
        return web.Response()

    def settings(self, **more: Any) -> CentralSettings:
        return CentralSettings.model_validate(
            {"url": f"http://127.0.0.1:{self.port}", "token": TOKEN, **more}
        )

    @asynccontextmanager
    async def client(
        self, request_seconds: float = REQUEST_SECONDS, **more: Any
    ) -> AsyncIterator[CentreClient]:
        client = CentreClient(self.settings(**more), "press-01", Path(), request_seconds)
        await client.open()
        try:
            yield client
        finally:
            await client.close()


@asynccontextmanager
async def raw_server(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A server that need not speak HTTP. Yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def head(epoch: str = "e") -> Head:
    return Head(epoch=epoch, no=1, run="r", boot="b", floor=1, next=3, held=[(1, 2)], now=0)


def upload_body(*seqs: int) -> bytes:
    return encode_upload(head(), [BatchItem(seq, 1, 1, 1, 1, 0, 0, bytes(16), b"x") for seq in seqs or (1,)])
