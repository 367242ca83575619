"""One line of the log for a request, and the id by which its answer, its problem document and the line are
found together.

Queries, bodies and headers are never logged, and of a path only what a route names. What agents do all
day costs two look-ups and no line.
"""

import itertools
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from central_sync.api.problems import CONTENT_TYPE as PROBLEM_TYPE
from central_sync.api.route import Route
from central_sync.services.access.roles import Identity, Scope

logger = structlog.get_logger()

Mode = Literal["all", "changes", "off"]
HEADER: Final = "X-Request-Id"
# What a proxy may call a request.
_GIVEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,64}")
_SECRET: Final = re.compile(r"hf_[0-9a-f]{12}_[A-Za-z0-9_-]*")
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_PATH_LENGTH: Final = 200
# Lines a second about refusals: agents whose credential is refused come by the thousand.
_REFUSALS: Final = 50
_GONE: Final = 499


@dataclass(slots=True)
class Trace:
    """What is found out of a request on its way in. address: of the client, behind whatever proxy."""

    id: str
    address: str = ""
    route: Route[Any] | None = None
    identity: Identity | None = None


TRACE: Final = web.RequestKey("trace", Trace)


def note(request: web.Request, route: Route[Any]) -> Trace | None:
    """Called where the route is known; the caller adds the identity."""
    trace = request.get(TRACE)
    if trace is not None:
        trace.route, trace.address = route, request.remote or ""
    return trace


class Refusals:
    """Which refusals get a line: so many a second, and with the next one how many got none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = -1
        self._lines = 0
        self._left_out = 0

    def left_out(self) -> int | None:
        """How many were left out since the last line; None: this one is, too."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > _REFUSALS:
            self._left_out += 1
            return None
        left_out, self._left_out = self._left_out, 0
        return left_out


def access_log(mode: Mode, ids_given: bool) -> Middleware:
    """The outermost middleware. ids_given: whether a proxy in front names requests."""
    prefix = secrets.token_hex(4)
    numbers = itertools.count(1)
    refusals = Refusals()

    def name_of(request: web.Request) -> str:
        given = request.headers.get(HEADER) if ids_given else None
        if given is not None and _GIVEN.fullmatch(given):
            return given
        return f"{prefix}-{next(numbers):x}"

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        trace = request[TRACE] = Trace(name_of(request))
        began = time.perf_counter()
        status = _GONE
        response: web.StreamResponse | None = None
        try:
            response = await handler(request)
            status = response.status
            if status >= 400:
                _name_in_problem(response, trace.id)
        finally:
            if mode == "all" or (mode == "changes" and is_worth_a_line(request.method, trace.route, status)):
                left_out = refusals.left_out() if 400 <= status < 500 else 0
                if left_out is not None:
                    _write(request, trace, response, (status, time.perf_counter() - began, left_out))
        return response

    return middleware


def is_worth_a_line(method: str, route: Route[Any] | None, status: int) -> bool:
    """Changes by people and programs, and what was refused or failed; not that an agent has no config."""
    of_device = route is not None and route.scope in (Scope.DEVICE, Scope.DEVICE_OR_VIEWER)
    if status == 404 and of_device:
        return False
    return status >= 400 or (method not in _SAFE and not of_device)


def write_id(request: web.Request, response: web.StreamResponse) -> None:
    """For the signal that a response is about to be sent."""
    trace = request.get(TRACE)
    if trace is not None:
        response.headers[HEADER] = trace.id


def _name_in_problem(response: web.StreamResponse, request_id: str) -> None:
    if response.content_type == PROBLEM_TYPE and isinstance(response, web.Response):
        assert isinstance(response.body, bytes)
        response.body = orjson.dumps({**orjson.loads(response.body), "request_id": request_id})


def _write(
    request: web.Request,
    trace: Trace,
    response: web.StreamResponse | None,
    facts: tuple[int, float, int],
) -> None:
    status, seconds, left_out = facts
    route, identity = trace.route, trace.identity
    line: dict[str, Any] = {
        "method": request.method,
        "route": route.name if route else None,
        "status": status,
        "milliseconds": round(seconds * 1000, 2),
        "received_bytes": request.content_length or 0,
        "sent_bytes": 0 if response is None else (response.content_length or response.body_length),
        "address": trace.address or request.remote or "",
        "request_id": trace.id,
    }
    if route is None:
        line["path"] = _SECRET.sub("hf_…", request.path)[:_PATH_LENGTH]
    else:
        line |= {_KEYS.get(key, key): value for key, value in request.match_info.items()}
    if identity is not None:
        line["who"] = identity.author
    if left_out:
        line["refusals_left_out"] = left_out
    write = logger.warning if status >= 500 else logger.info
    write("request", **line)


# `token` in a path is the id of one; so is every other part.
_KEYS: Final = {"id": "device", "token": "token_id", "session": "session_id"}
