"""The page's files, from this package: read, hashed and compressed when the first browser asks."""

import asyncio
import gzip
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import resources
from typing import Final

from aiohttp import web

_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
FILES: Final = (
    "index.html",
    "style.css",
    "icon.svg",
    "texts.json",
    "app.js",
    "buffer.js",
    "chart.js",
    "config.js",
    "connections.js",
    "dom.js",
    "health.js",
    "log.js",
    "meter.js",
    "texts.js",
    "trend.js",
    "values.js",
)


@dataclass(frozen=True, slots=True)
class Asset:
    plain: bytes
    packed: bytes
    etag: str
    content_type: str


def load(name: str) -> Asset:
    """Blocking."""
    plain = resources.files("edge_agent.web").joinpath("page", name).read_bytes()
    kind = _TYPES[name[name.rindex(".") :]]
    return Asset(plain, gzip.compress(plain, mtime=0), etag_of(plain), kind)


def etag_of(body: bytes) -> str:
    """A strong ETag over the content."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


class Assets:
    """Serves `FILES`; `index.html` at `/`."""

    def __init__(self) -> None:
        self._loaded: dict[str, Asset] = {}

    def add_to(self, router: web.UrlDispatcher) -> None:
        for name in FILES:
            path = "/" if name == "index.html" else f"/{name}"
            router.add_get(path, self._handler(name))

    def _handler(self, name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            asset = self._loaded.get(name)
            if asset is None:
                asset = self._loaded[name] = await asyncio.to_thread(load, name)
            headers = {"ETag": asset.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
            if is_current(request, asset.etag):
                return web.Response(status=304, headers=headers)
            body = asset.plain
            if "gzip" in request.headers.get("Accept-Encoding", ""):
                body = asset.packed
                headers["Content-Encoding"] = "gzip"
            return web.Response(body=body, content_type=asset.content_type, charset="utf-8", headers=headers)

        return serve


def is_current(request: web.Request, etag: str) -> bool:
    """Whether the browser's copy is the one of this ETag (RFC 9110, 13.1.2)."""
    return any(known.strip() in (etag, "*") for known in request.headers.get("If-None-Match", "").split(","))
