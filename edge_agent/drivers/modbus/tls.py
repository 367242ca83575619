"""Modbus/TCP Security: the TLS context of a connection, and what went wrong in words that help.

Source: MODBUS/TCP Security Protocol Specification v2.1: Modbus TCP frames inside of TLS 1.2 or later, and
certificates on both sides. The role in a client's certificate is the station's to judge.

A context with the system's authorities takes most of a MiB, so connections with the same files share one.
"""

import asyncio
import ssl
import threading
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from edge_agent.drivers.modbus.transports import TlsTransport
from edge_agent.drivers.tls import client_context

_KEPT_CONTEXTS: Final = 16
# Many connections are opened at once: without it each of their threads would build the first context.
_BUILDING: Final = threading.Lock()


class _Files(NamedTuple):
    """What a context is made from. versions: of each file that is read; other where one was renewed."""

    ca_file: str | None
    cert_file: str | None
    key_file: str | None
    versions: tuple[tuple[int, ...], ...]


async def tls_context(transport: TlsTransport) -> ssl.SSLContext:
    """The context of all connections with the same files. A renewed file makes a new one.

    Raises NotConnected where a file cannot be used.
    """
    return await asyncio.to_thread(_shared_context, transport)


def _shared_context(transport: TlsTransport) -> ssl.SSLContext:
    named = (transport.ca_file, transport.cert_file, transport.key_file)
    system = ssl.get_default_verify_paths()
    read = named if transport.ca_file else (*named, system.cafile, system.capath)
    # Before they are read: what is renewed meanwhile is seen at the next connecting.
    files = _Files(*named, tuple(_version(file) for file in read if file))
    with _BUILDING:
        return _context(files)


def _version(file: str) -> tuple[int, ...]:
    try:
        found = Path(file).stat()
    except (OSError, ValueError):  # reading it says what is wrong
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


@lru_cache(maxsize=_KEPT_CONTEXTS)
def _context(files: _Files) -> ssl.SSLContext:
    return client_context(files.ca_file, files.cert_file, files.key_file)


def tls_error_text(error: OSError) -> str:
    """Why a TLS connection did not come about, or broke."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the station's certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).lower().replace("_", " ")
        if "alert" in reason and ("certificate" in reason or "unknown ca" in reason):
            return f"the station refuses the certificate of this agent (cert_file): {reason}"
        return f"no TLS connection: {reason}"
    return error.strerror or str(error)


def refusal_hint(transport: TlsTransport) -> str:
    """Since TLS 1.3 the handshake is over for the client before the station judges its certificate."""
    if transport.cert_file is None:
        return " without an answer: it may want a certificate of this agent (cert_file)"
    return " without an answer: it may refuse the certificate of this agent (cert_file)"
