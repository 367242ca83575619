"""What the page's listener refuses, and the headers that every answer of it carries.

The page has no login: who may open a loopback port of this machine may look. So a browser must not be
talked into looking for somebody else: a name that is made to point at 127.0.0.1 (DNS rebinding) comes
with its own Host header, and no other origin may read, embed or frame an answer.
"""

import ipaddress
from typing import Final

from aiohttp import web

from edge_agent.web.server import Handler

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def names_loopback(host: str) -> bool:
    """Whether a Host header names this machine's loopback interface: `localhost:8470`, `[::1]`."""
    name = host
    if not host.endswith("]") and ":" in host:
        name, _, port = host.rpartition(":")
        if not (port.isascii() and port.isdigit()):
            return False
    if name.lower() == "localhost":
        return True
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    elif ":" in name:
        return False
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@web.middleware
async def only_loopback(request: web.Request, handler: Handler) -> web.StreamResponse:
    """421 for a Host that is not this machine's, 403 for what another site's page asks for."""
    if not names_loopback(request.headers.get("Host", "")):
        raise web.HTTPMisdirectedRequest(text="the Host header must be a loopback name or address")
    if request.headers.get("Sec-Fetch-Site", "none") == "cross-site" and request.path != "/":
        raise web.HTTPForbidden(text="another site's page may not read this")
    return await handler(request)


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """For `Application.on_response_prepare`."""
    response.headers.update(HEADERS)
