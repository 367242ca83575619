"""The TLS context of a connection."""

import asyncio
import ssl

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.mqtt.transport import TlsSettings


class _Socket(ssl.SSLSocket):
    """Closed where the handshake fails: paho forgets it then."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


async def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """Read anew on each connecting, so that renewed files need no restart. Raises NotConnected."""
    return await asyncio.to_thread(_context, settings)


def _context(settings: TlsSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ValueError) as error:
        raise NotConnected(f"ca_file {settings.ca_file}: {_file_text(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Socket
    if settings.cert_file is None:
        return context
    try:
        # The password is asked for on the terminal where none is given.
        context.load_cert_chain(settings.cert_file, settings.key_file, password="")
    except (OSError, ValueError) as error:
        named = settings.cert_file + (f", key_file {settings.key_file}" if settings.key_file else "")
        raise NotConnected(f"cert_file {named}: {_file_text(error)}") from error
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
