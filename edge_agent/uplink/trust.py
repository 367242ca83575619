"""Whom the certificate of a centre or a broker must come from."""

import asyncio
import ssl
from pathlib import Path

from edge_agent.config.models import CentralSettings
from edge_agent.uplink.errors import Unreachable


async def trust(settings: CentralSettings, directory: Path) -> ssl.SSLContext | None:
    """None where the system's authorities count. Raises Unreachable: the file may come later."""
    if settings.ca_file is None:
        return None
    ca_file = str(directory / settings.ca_file)
    try:
        context = await asyncio.to_thread(ssl.create_default_context, cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise Unreachable(f"central.ca_file: {ca_file}: {error.strerror or error}") from error
    # What stands in the file is trusted itself, be it the centre's own certificate or an authority's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
