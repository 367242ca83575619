"""Reading request bodies within bounds, and the conditions in request headers."""

import asyncio
import re
from typing import Final, TypeVar

from aiohttp import web
from pydantic import BaseModel

from central_sync.api.route import Body
from central_sync.services.configs.service import INLINE_BYTES, Precondition
from central_sync.services.documents import canonical_object, parse_model
from central_sync.services.errors import Busy, Invalid, TooLarge, UnsupportedMedia

# A factory's link may be slow: 1 MiB in this time is 140 kbit/s.
BODY_SECONDS: Final = 60.0
M = TypeVar("M", bound=BaseModel)
_ETAG: Final = re.compile(r'\s*(\*|(W/)?"([^"]*)")\s*')


async def read_body(request: web.Request, body: Body) -> bytes:
    """Raises UnsupportedMedia for another type or any Content-Encoding, TooLarge above the limit."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("content_encoding", "send the body as it is, without Content-Encoding")
    if request.content_type != body.content_type:
        raise UnsupportedMedia("content_type", f"send {body.content_type}")
    if (request.content_length or 0) > body.limit:
        raise _too_large(body.limit)
    parts: list[bytes] = []
    total = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.content.iter_any():
                total += len(part)
                if total > body.limit:
                    raise _too_large(body.limit)
                parts.append(part)
    except TimeoutError as error:
        raise Busy("too_slow", f"the body did not come within {BODY_SECONDS:.0f} s") from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def read_model(request: web.Request, body: Body, wanted: type[M]) -> M:
    """A JSON body as a model, strictly read. Raises what `read_body` does, and Invalid (`bad_body`)."""
    return parse_model(await read_body(request, body), wanted)


async def parse_document(body: bytes, wanted: type[M]) -> M:
    """As `parse_model`, of what will be part of a config: every value in it has a canonical form."""
    if len(body) > INLINE_BYTES:
        await asyncio.to_thread(canonical_object, body, "bad_body")
    else:
        canonical_object(body, "bad_body")
    return parse_model(body, wanted)


def _too_large(limit: int) -> TooLarge:
    return TooLarge("too_large", f"the body may hold {limit} bytes", max=limit)


def precondition(request: web.Request) -> Precondition:
    return Precondition(_etags(request, "If-Match"), _etags(request, "If-None-Match"))


def matches(request: web.Request, etag: str) -> bool:
    """Whether If-None-Match names this version, so that 304 is the answer. Weak comparison."""
    wanted = _etags(request, "If-None-Match", weak=True)
    return wanted is not None and bool({etag, "*"} & set(wanted))


def _etags(request: web.Request, header: str, weak: bool = False) -> tuple[str, ...] | None:
    """The ETags of a header; weak ones match nothing where strong comparison is due (RFC 9110 §13.1)."""
    text = request.headers.get(header)
    if text is None:
        return None
    found: list[str] = []
    for part in text.split(","):
        match = _ETAG.fullmatch(part)
        if match is None:
            raise Invalid("bad_etag", f'{header} holds no list of ETags: "…" in quotes, or *')
        if match[1] == "*":
            found.append("*")
        elif weak or not match[2]:
            found.append(match[3])
    return tuple(found)
