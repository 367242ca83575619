"""The listener of the agent's own page: on loopback, read-only, and nothing that the agent depends on.

A port that is taken costs one line in the log; it is tried again until it is free. A browser that does
not ask costs nothing.
"""

import asyncio
import socket
from typing import Final

import structlog
from aiohttp import web

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.inspection import Inspection
from edge_agent.contracts.status import PageReport
from edge_agent.runtime.logging import OutageLog
from edge_agent.web.assets import Assets
from edge_agent.web.errors import SocketTaken
from edge_agent.web.guard import add_headers, only_loopback
from edge_agent.web.page_api import PageApi
from edge_agent.web.routes import PAGE_ROUTES
from edge_agent.web.server import loopback_listener, parse_listen, problems

logger = structlog.stdlib.get_logger(__name__)

RETRY_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 0.5
_MAX_BODY_BYTES: Final = 1_024


class PageServer:
    """Serves the page on `listen`. The constructor does no I/O; it raises BadListenAddress."""

    def __init__(self, inspection: Inspection, listen: str, clock: Clock) -> None:
        self._api = PageApi(inspection)
        self._listen = parse_listen(listen)
        self._clock = clock
        self._outages = OutageLog(logger, clock)
        self._report = PageReport(state="opening", address=listen)

    def report(self) -> PageReport:
        """`address` is where the page is, with the port that was taken for port 0."""
        return self._report

    async def run(self) -> None:
        """Serves until it is cancelled."""
        address = _written(*self._listen)
        while True:
            try:
                listener = loopback_listener(*self._listen)
            except SocketTaken as error:
                self._report = PageReport(state="taken", address=address, detail=str(error))
                self._outages.down(
                    "page", "the local page cannot be opened", address=address, error=str(error)
                )
                await self._clock.sleep(RETRY_SECONDS)
                continue
            self._outages.back("page", "the local page is open", address=address)
            await self._serve(listener)

    async def _serve(self, listener: socket.socket) -> None:
        application = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[problems, only_loopback])
        application.on_response_prepare.append(add_headers)
        Assets().add_to(application.router)
        for route in PAGE_ROUTES:
            application.router.add_get(route.path, getattr(self._api, route.name))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_STOP_SECONDS)
        try:
            await runner.setup()
            host, port = listener.getsockname()[:2]
            await web.SockSite(runner, listener).start()
            self._report = PageReport(state="open", address=_written(host, port))
            await asyncio.Event().wait()
        finally:
            self._report = PageReport(state="opening", address=_written(*self._listen))
            await runner.cleanup()
            listener.close()


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
