"""What a refusal is to programs, on every way: a status, a problem document (RFC 9457), and a pause."""

import math
from http import HTTPStatus
from typing import Any, Final

import orjson

from central_sync.services import errors
from central_sync.services.errors import Refusal

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


def document(status: int, code: str, detail: str, extra: dict[str, Any] | None = None) -> bytes:
    body = {
        **(extra or {}),
        "type": f"urn:holdfast:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return orjson.dumps(body)


def status_of(refusal: Refusal) -> int:
    """A refusal of a class below one of these, such as the want of a library, is answered as that one."""
    return next(_STATUS[kind] for kind in type(refusal).__mro__ if kind in _STATUS)


def retry_after(refusal: Refusal) -> str | None:
    """Whole seconds to stay away, where it asks for that."""
    if isinstance(refusal, errors.Busy | errors.TooMany):
        return str(max(1, math.ceil(refusal.retry_after)))
    return None
