"""Serves the page: an HTML shell, one script, one style sheet, all from this package.

The shells hold no data. People log in, which makes a session in a cookie that no script reads, or paste a
token; one in the URL's fragment (`#token=…`, which browsers send nowhere) is taken too. A token is kept for
the tab and sent in the Authorization header alone. `/setup#…` is where one-time links lead.
"""

from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Final

from aiohttp import web

# Path → file beside this module and its type.
FILES: Final = {
    "/": ("index.html", "text/html"),
    "/setup": ("setup.html", "text/html"),
    "/setup.js": ("setup.js", "text/javascript"),
    "/session.js": ("session.js", "text/javascript"),
    "/console.js": ("console.js", "text/javascript"),
    "/console.css": ("console.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


def add_pages(application: web.Application) -> None:
    for path, (name, content_type) in FILES.items():
        body = resources.files("central_sync.console").joinpath(name).read_bytes()
        application.router.add_get(path, _page(body, content_type))


def _page(body: bytes, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8")

    return page
