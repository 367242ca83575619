"""One plain request to the centre, as the agent would make it: through its proxy, trusting what it trusts.

Standard library alone, blocking, for a thread of its own: what is examined is the way there, and each step
of it is to fail with its own error.
"""

import base64
import http.client
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from edge_agent import __version__
from edge_agent.config.models import CentralSettings

_BROKER_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_MAX_BODY_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Answer:
    """wall: seconds of this machine's clock in the middle of the exchange. body: its beginning."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    wall: float


@dataclass(frozen=True, slots=True)
class Shake:
    """A finished TLS handshake. certificate: as `SSLSocket.getpeercert` has it."""

    version: str
    certificate: Mapping[str, Any]
    seconds: float


def is_tls(central: CentralSettings) -> bool:
    return urlsplit(central.url).scheme in ("https", "mqtts")


def is_broker(central: CentralSettings) -> bool:
    """Whether the centre is behind an MQTT broker, which speaks no HTTP."""
    return urlsplit(central.url).scheme in ("mqtt", "mqtts")


def reach(central: CentralSettings, context: ssl.SSLContext | None, seconds: float) -> None:
    """A connection and nothing more. Raises OSError, http.client.HTTPException."""
    connection = _connection(central, context, seconds)
    try:
        connection.connect()
    finally:
        connection.close()


def ask(
    central: CentralSettings,
    path: str,
    headers: Mapping[str, str],
    context: ssl.SSLContext | None,
    seconds: float,
) -> Answer:
    """GET of a path below the centre's address. Raises OSError, http.client.HTTPException."""
    began = time.monotonic()
    base = urlsplit(central.url)
    connection = _connection(central, context, seconds)
    try:
        # A proxy is given the whole address, unless there is a tunnel through it.
        whole = central.proxy is not None and not is_tls(central)
        target = f"{central.url}{path}" if whole else f"{base.path}{path}"
        proxied = _proxy_headers(central) if whole else {}
        agent = {"User-Agent": f"edge-agent/{__version__} doctor", "Accept": "application/json"}
        connection.request("GET", target, headers={**agent, **proxied, **headers})
        response = connection.getresponse()
        body = response.read(_MAX_BODY_BYTES)
        took = time.monotonic() - began
        named = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, named, body, took, time.time() - took / 2)
    finally:
        connection.close()


def shake_hands(central: CentralSettings, context: ssl.SSLContext, seconds: float) -> Shake:
    """A connection without a request. Raises OSError (ssl.SSLError among it), http.client.HTTPException."""
    began = time.monotonic()
    connection = _connection(central, context, seconds)
    try:
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket), "the address begins with https://"
        certificate = connection.sock.getpeercert() or {}
        return Shake(connection.sock.version() or "", certificate, time.monotonic() - began)
    finally:
        connection.close()


def shown_certificate(central: CentralSettings, seconds: float) -> bytes:
    """The certificate that is shown there, trusted or not (DER). Nothing is sent. Raises as above."""
    connection = _connection(central, distrustful(), seconds)
    try:
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket), "the address begins with https://"
        return connection.sock.getpeercert(binary_form=True) or b""
    finally:
        connection.close()


def distrustful() -> ssl.SSLContext:
    """Takes any certificate: for looking at one that is refused, and for reading a clock. For no secret."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _connection(
    central: CentralSettings, context: ssl.SSLContext | None, seconds: float
) -> http.client.HTTPConnection:
    """Not opened yet."""
    url = urlsplit(central.url)
    host = url.hostname or ""
    proxy = None if central.proxy is None else urlsplit(central.proxy)
    own = url.port or _BROKER_PORTS.get(url.scheme)
    first, port = (host, own) if proxy is None else (proxy.hostname or "", proxy.port or 80)
    if not is_tls(central):
        return http.client.HTTPConnection(first, port, timeout=seconds)
    connection = http.client.HTTPSConnection(first, port, timeout=seconds, context=context)
    if proxy is not None:
        connection.set_tunnel(host, url.port or 443, headers=_proxy_headers(central))
    return connection


def _proxy_headers(central: CentralSettings) -> dict[str, str]:
    proxy = urlsplit(central.proxy or "")
    if proxy.username is None:
        return {}
    user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
