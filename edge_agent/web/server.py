"""The local management API: aiohttp on a unix socket, and optionally figures on a loopback TCP port.

A handler calls one method of `Control` and encodes. Answers that grow with the number of tags are sent
in pieces, with turns for the poll cycles between them. Errors follow RFC 9457.
"""

import asyncio
import contextlib
import os
import pwd
import socket
import stat
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

import orjson
import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from edge_agent.config.listen import parse_loopback
from edge_agent.contracts.status import Control
from edge_agent.contracts.writing import WriteControl, WriteOrder
from edge_agent.runtime import health
from edge_agent.web import metrics
from edge_agent.web.errors import BadListenAddress, SocketTaken
from edge_agent.web.routes import ROUTES
from edge_agent.wire.scripts import HOOKS_CONNECTION

logger = structlog.stdlib.get_logger(__name__)

_MAX_PATH_BYTES: Final = 107  # unix(7): sun_path holds 108 with its final zero
_MAX_BODY_BYTES: Final = 4_096
_PROBE_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 1.0
_VALUES_A_PIECE: Final = 500
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LocalControl(Control, WriteControl, Protocol):
    """What is behind the socket."""


class LocalServer:
    """Serves `control` on `socket_path` (mode 0600), and figures on `listen` (`127.0.0.1:9464`).

    The constructor does no I/O. It raises BadListenAddress where `listen` is not a loopback address.
    """

    def __init__(self, control: LocalControl, socket_path: Path, listen: str | None = None) -> None:
        self._api = _Api(control)
        self._path = socket_path
        self._listen = parse_listen(listen) if listen else None
        self._runners: list[web.AppRunner] = []
        self._inode: int | None = None
        self.metrics_port: int | None = None

    async def start(self) -> None:
        """Opens the socket, in the place of one on which nobody answers.

        Raises SocketTaken where something else has the path or the port; nothing is left open then.
        """
        await _clear(self._path)
        try:
            await self._serve(self._bind(), public=False)
            if self._listen:
                listener = loopback_listener(*self._listen)
                self.metrics_port = listener.getsockname()[1]
                await self._serve(listener, public=True)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Closes what is open, and removes the socket if it is still this server's. May be called twice."""
        runners, self._runners = self._runners, []
        for runner in reversed(runners):
            await runner.cleanup()
        inode, self._inode = self._inode, None
        with contextlib.suppress(OSError):
            if inode is not None and self._path.lstat().st_ino == inode:
                self._path.unlink()

    def _bind(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Before bind: the file then has this mode from its first moment.
            os.fchmod(listener.fileno(), 0o600)
            listener.setblocking(False)
            listener.bind(str(self._path))
        except OSError as error:
            listener.close()
            raise SocketTaken(f"{self._path}: cannot be opened: {error.strerror}") from error
        self._inode = self._path.lstat().st_ino
        return listener

    async def _serve(self, listener: socket.socket, *, public: bool) -> None:
        application = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[problems])
        for route in ROUTES:
            if route.public or not public:
                application.router.add_route(route.method, route.path, getattr(self._api, route.name))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_STOP_SECONDS)
        try:
            await runner.setup()
            self._runners.append(runner)
            await web.SockSite(runner, listener).start()
        except BaseException:
            listener.close()
            raise


class _Api:
    """One method a route."""

    def __init__(self, control: LocalControl) -> None:
        self._control = control

    async def status(self, _: web.Request) -> web.Response:
        return _json(self._control.status().model_dump_json())

    async def latest(self, request: web.Request) -> web.StreamResponse:
        connection = request.query.get("connection")
        status = self._control.status()
        names = [report.name for report in status.connections]
        if status.hooks is not None and status.hooks.hooks:
            names.append(HOOKS_CONNECTION)
        if connection and connection not in names:
            known = ", ".join(names) or "none"
            raise web.HTTPNotFound(text=f"there is no connection {connection!r}; there are: {known}")
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        separator = '{"items":['
        for name in [connection] if connection else names:
            values = self._control.latest(name)
            await asyncio.sleep(0)
            for start in range(0, len(values), _VALUES_A_PIECE):
                piece = values[start : start + _VALUES_A_PIECE]
                text = ",".join(value.model_dump_json() for value in piece)
                await response.write(f"{separator}{text}".encode())
                await asyncio.sleep(0)
                separator = ","
        await response.write(f"{'' if separator == ',' else separator}]}}".encode())
        await response.write_eof()
        return response

    async def reload(self, _: web.Request) -> web.Response:
        result = await self._control.reload()
        return _json(result.model_dump_json(), status=200 if result.applied else 422)

    async def write(self, request: web.Request) -> web.Response:
        """Who writes is told by the kernel, not by the request."""
        by, source = await asyncio.to_thread(_whoever, request)
        try:
            asked = _WriteRequest.model_validate_json(await request.read())
        except ValidationError as error:
            raise web.HTTPUnprocessableEntity(text=f"not {{tag, value}}: {error}") from error
        report = await self._control.write(WriteOrder(tag=asked.tag, value=asked.value, by=by, source=source))
        return _json(report.model_dump_json())

    async def metrics(self, _: web.Request) -> web.Response:
        body = metrics.render(self._control.status())
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def healthz(self, _: web.Request) -> web.Response:
        alive = health.is_alive(self._control.status())
        return _json(orjson.dumps({"alive": alive}).decode(), status=200 if alive else 503)


class _WriteRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tag: str = Field(max_length=300)
    value: JsonValue


def _whoever(request: web.Request) -> tuple[str, str]:
    """User and process at the other end of the socket (unix(7), SO_PEERCRED). Blocks."""
    peer = None if request.transport is None else request.transport.get_extra_info("socket")
    if peer is None or peer.family != socket.AF_UNIX:
        return "", "local"
    pid, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        name = f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        name = f"uid {uid}"
    return name, f"this machine, pid {pid}"


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The HTTP edge: every error becomes a problem document, and an unexpected one a line in the log."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return _problem(error.status, error.reason, error.text or "", allow)
    except Exception:
        logger.exception("a request to the local API failed", path=request.path)
        return _problem(500, "Internal Server Error", "the agent's log has the reason", {})


def _problem(status: int, title: str, detail: str, headers: dict[str, str]) -> web.Response:
    body = orjson.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    return web.Response(body=body, status=status, headers=headers, content_type="application/problem+json")


def _json(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="application/json")


def parse_listen(listen: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:9464` or `[::1]:9464`. Raises BadListenAddress for what is not loopback.

    The figures need no credential, so they are served to this machine alone; a scraper elsewhere asks the
    centre, or a proxy on this machine that authenticates it.
    """
    try:
        return parse_loopback(listen)
    except ValueError as error:
        raise BadListenAddress(str(error)) from error


def loopback_listener(host: str, port: int) -> socket.socket:
    """A bound socket. Raises SocketTaken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SocketTaken(f"{host}:{port}: cannot be opened: {error.strerror}") from error
    return listener


async def _clear(path: Path) -> None:
    """Makes room for the socket. Raises SocketTaken where somebody answers, or it is no socket at all."""
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise SocketTaken(f"{path}: is longer than {_MAX_PATH_BYTES} bytes; set a shorter agent.runtime_dir")
    if not _is_there(path):
        return
    if await _answers(path):
        raise SocketTaken(f"{path}: another agent runs here already; stop it first")
    _remove(path)


def _is_there(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(mode):
        raise SocketTaken(f"{path}: is not a socket; remove it or set agent.runtime_dir")
    return True


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _answers(path: Path) -> bool:
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            _, writer = await asyncio.open_unix_connection(path)
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except OSError:  # no permission, or a full backlog: somebody is there (a time-out is an OSError too)
        return True
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
