"""A link to a PLC over TCP or UDP."""

import asyncio

from edge_agent.drivers.links import Link, StreamLink, connecting, open_datagrams
from edge_agent.drivers.xgt.frames import COMPANY_IDS, Framing, Reply
from edge_agent.drivers.xgt.settings import UdpTransport, XgtConnection

XgtLink = Link[Reply, bytes]


async def open_link(connection: XgtConnection) -> XgtLink:
    """Raises NotConnected with the reason."""
    transport = connection.transport
    host, port, timeout = transport.host, transport.port, transport.timeout
    framing = Framing(
        COMPANY_IDS[transport.company_id], connection.series.cpu, transport.base << 4 | transport.slot,
        check_sums=transport.header_checksum == "checked",
    )  # fmt: skip
    if isinstance(transport, UdpTransport):
        return await open_datagrams(framing, host, port, timeout)
    async with connecting(f"{host}:{port}", timeout):
        _, link = await asyncio.get_running_loop().create_connection(
            lambda: StreamLink(framing, timeout, "the PLC"), host, port
        )
    return link
