"""Whom to believe before anything is said: the certificate that an enrolment token names.

The token's signature is the centre's business. What the device takes from it is the SHA-256 of a certificate:
one that the centre shows, or the authority that issued it. Standard library alone, blocking.
"""

import base64
import hashlib
import http.client
import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import orjson

from edge_agent.contracts.errors import ConfigError, NotConnected

SECONDS: Final = 10.0
_CERTIFICATE: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Claims:
    """What an enrolment token says to a device. It is not checked here: whoever gave it is believed."""

    url: str | None = None
    ca: str | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the centre is, and the proxy on the way."""

    url: str
    proxy: str | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def is_tls(self) -> bool:
        return urlsplit(self.url).scheme == "https"

    @property
    def is_here(self) -> bool:
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


def read_token(text: str) -> Claims:
    """Raises ConfigError for what is no enrolment token at all."""
    parts = text.split(".")
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        if len(parts) != 3 or not isinstance(claims, dict):
            raise ValueError
    except (IndexError, ValueError) as error:
        text = "this is no enrolment token: `central-sync enrol-token create` prints one, of three parts"
        raise ConfigError(text) from error
    return Claims(*(_text(claims.get(name)) for name in ("url", "ca", "device")))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def authority(place: Place, claims: Claims, ca_file: Path | None) -> str | None:
    """The certificate (PEM) by which the centre is to be judged from now on; None: the system's authorities
    will do, or there is no TLS. Raises ConfigError where it is not the centre that the token names,
    NotConnected where nobody answers."""
    if not place.is_tls:
        if claims.ca is not None:
            raise ConfigError(f"{place.url}: the token names a certificate: begin the address with https://")
        return None
    if ca_file is not None:
        pem = _read(ca_file)
        if claims.ca is not None and claims.ca not in map(fingerprint, _certificates(pem)):
            raise ConfigError(f"{ca_file}: the certificate that the token names is not in it ({claims.ca})")
        _shake(place, _trusting(pem))
        return pem
    if claims.ca is None:
        _shake(place, ssl.create_default_context())
        return None
    shown = _shown(place)
    found = next((each for each in shown if fingerprint(each) == claims.ca), None)
    if found is None:
        raise ConfigError(
            f"{place.host} does not show the certificate that the token names (SHA-256 {claims.ca}): it is "
            "not that centre, or something between opens TLS; an authority that is not shown: --ca-file FILE"
        )
    # Anybody can show it: it must stand behind the certificate of the one who does.
    pem = ssl.DER_cert_to_PEM_cert(found)
    _shake(place, _trusting(pem))
    try:
        _shake(place, ssl.create_default_context())
    except ConfigError:
        return pem
    return None


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a certificate (DER), as `openssl x509 -fingerprint -sha256` has it, without colons."""
    return hashlib.sha256(certificate).hexdigest()


def _read(path: Path) -> str:
    try:
        pem = path.read_text(encoding="ascii")
        if _certificates(pem):
            return pem
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    raise ConfigError(f"{path}: there is no certificate in it (PEM)")


def _certificates(pem: str) -> list[bytes]:
    return [base64.b64decode(body) for body in _CERTIFICATE.findall(pem)]


def _trusting(pem: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=pem)
    except ssl.SSLError as error:
        raise ConfigError(f"the certificate cannot be used: {error.reason or error}") from error
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _shake(place: Place, context: ssl.SSLContext) -> None:
    """A handshake with whoever is there. Raises ConfigError for a certificate that does not do."""
    try:
        _connected(place, context).close()
    except ssl.SSLCertVerificationError as error:
        raise ConfigError(
            f"the certificate of {place.host} is not trusted: {error.verify_message or error}; name the "
            "authority's with --ca-file FILE"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise NotConnected(f"{place.url}: {_reason(error)}") from error


def _shown(place: Place) -> list[bytes]:
    """The certificates that are shown there, trusted or not (DER). Nothing is sent."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        sock = _connected(place, context)
    except (OSError, http.client.HTTPException) as error:
        raise NotConnected(f"{place.url}: {_reason(error)}") from error
    try:
        return _chain(sock)
    finally:
        sock.close()


def _chain(sock: ssl.SSLSocket) -> list[bytes]:
    """All that were shown. Python has the method since 3.13 on the socket, and before below it."""
    chain = getattr(sock, "get_unverified_chain", None)
    if chain is not None:
        return [bytes(each) for each in chain()]
    below = getattr(getattr(sock, "_sslobj", None), "get_unverified_chain", None)
    if below is not None:
        # 2: DER (ENCODING_DER of _ssl).
        return [bytes(each.public_bytes(2)) for each in below() or ()]
    return [sock.getpeercert(binary_form=True) or b""]


def _connected(place: Place, context: ssl.SSLContext) -> ssl.SSLSocket:
    url = urlsplit(place.url)
    port = url.port or 443
    proxy = None if place.proxy is None else urlsplit(place.proxy)
    first = (place.host, port) if proxy is None else (proxy.hostname or "", proxy.port or 80)
    connection = http.client.HTTPSConnection(*first, timeout=SECONDS, context=context)
    if proxy is not None:
        user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}" if proxy.username else ""
        basic = {"Proxy-Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"} if user else {}
        connection.set_tunnel(place.host, port, headers=basic)
    connection.connect()
    assert isinstance(connection.sock, ssl.SSLSocket), "an HTTPS connection"
    return connection.sock


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError | socket.timeout):
        return "does not answer"
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection: {(error.reason or str(error)).lower().replace('_', ' ')}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
