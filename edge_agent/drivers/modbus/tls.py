"""Modbus/TCP Security: the TLS context of a connection, and what went wrong in words that help.

Source: MODBUS/TCP Security Protocol Specification v2.1: Modbus TCP frames inside of TLS 1.2 or later, and
certificates on both sides. The role in a client's certificate is the station's to judge.
"""

import asyncio
import ssl

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.modbus.transports import TlsTransport


async def tls_context(transport: TlsTransport) -> ssl.SSLContext:
    """Raises NotConnected where a file cannot be used. Files are read anew, so that they may be renewed."""
    return await asyncio.to_thread(_context, transport)


def _context(transport: TlsTransport) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=transport.ca_file)
    except (OSError, ValueError) as error:
        raise NotConnected(f"ca_file {transport.ca_file}: {_file_text(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if transport.cert_file is None:
        return context
    try:
        # The password is asked for on the terminal where none is given.
        context.load_cert_chain(transport.cert_file, transport.key_file, password="")
    except (OSError, ValueError) as error:
        files = transport.cert_file + (f", key_file {transport.key_file}" if transport.key_file else "")
        raise NotConnected(f"cert_file {files}: {_file_text(error)}") from error
    return context


def _file_text(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "the agent's user may not read it"
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is not that of the certificate"
        return "no certificate or key in PEM form, or a key with a password"
    return str(error)


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
