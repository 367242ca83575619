"""Problem documents (RFC 9457) for everything that goes wrong, the router's 404 and 405 included."""

from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from central_sync.services import errors
from central_sync.services.errors import Refusal
from central_sync.services.problems import document, retry_after, status_of

logger = structlog.get_logger()

CONTENT_TYPE: Final = "application/problem+json"
_ROUTER_CODES: Final = {404: "no_such_route", 405: "method_not_allowed", 413: "too_large"}


def problem(
    status: int,
    code: str,
    detail: str,
    extra: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    body = document(status, code, detail, extra)
    return web.Response(status=status, body=body, content_type=CONTENT_TYPE, headers=headers)


def of_refusal(refusal: Refusal) -> web.Response:
    headers: dict[str, str] = {}
    if isinstance(refusal, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    pause = retry_after(refusal)
    if pause is not None:
        headers["Retry-After"] = pause
    return problem(status_of(refusal), refusal.code, refusal.detail, refusal.extra, headers)


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
