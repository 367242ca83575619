"""Problem documents (RFC 9457) for everything that goes wrong, the router's 404 and 405 included."""

import math
from http import HTTPStatus
from typing import Any, Final

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from central_sync.services import errors
from central_sync.services.errors import Refusal

logger = structlog.get_logger()

CONTENT_TYPE: Final = "application/problem+json"
_STATUS: Final[dict[type[Refusal], int]] = {
    errors.Invalid: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.TooMany: 429,
    errors.Busy: 503,
}
_ROUTER_CODES: Final = {404: "no_such_route", 405: "method_not_allowed", 413: "too_large"}


def problem(
    status: int,
    code: str,
    detail: str,
    extra: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    body = {
        **(extra or {}),
        "type": f"urn:holdfast:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return web.Response(status=status, body=orjson.dumps(body), content_type=CONTENT_TYPE, headers=headers)


def of_refusal(refusal: Refusal) -> web.Response:
    headers: dict[str, str] = {}
    if isinstance(refusal, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(refusal, errors.Busy | errors.TooMany):
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after)))
    # A refusal of a class below one of these, such as the want of a library, is answered as that one.
    status = next(_STATUS[kind] for kind in type(refusal).__mro__ if kind in _STATUS)
    return problem(status, refusal.code, refusal.detail, refusal.extra, headers)


def of_http(error: web.HTTPException) -> web.Response:
    """aiohttp's own errors: mostly the router's."""
    kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    code = _ROUTER_CODES.get(error.status, "http_error")
    return problem(error.status, code, error.reason, headers=kept)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The HTTP edge: whatever a handler raises becomes an answer."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return of_refusal(refusal)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return of_http(error)
    except ConnectionError:
        # Whoever asked has left: nobody reads this, and a fleet that gives up must not fill the log.
        return web.Response(status=499)
    except Exception:
        logger.exception("request failed", method=request.method, path=request.path)
        return problem(500, "internal", "the centre made a mistake; its log says more")
