"""The TLS context of a connection."""

import asyncio
import ssl

from edge_agent.drivers.mqtt.transport import TlsSettings
from edge_agent.drivers.tls import client_context


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
    context = client_context(settings.ca_file, settings.cert_file, settings.key_file)
    context.sslsocket_class = _Socket
    return context
