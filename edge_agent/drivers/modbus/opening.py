"""Which link a transport takes."""

from edge_agent.drivers.links import Link, open_datagrams
from edge_agent.drivers.modbus.framing import RtuFraming, TcpFraming
from edge_agent.drivers.modbus.stream import open_stream
from edge_agent.drivers.modbus.transports import (
    RtuOverTcpTransport,
    SerialTransport,
    TcpTransport,
    TransactionIds,
    Transport,
    UdpTransport,
)

ModbusLink = Link[bytes, int, bytes]


async def open_link(transport: Transport, late: dict[int, float]) -> ModbusLink:
    """Opens the link of a transport. Raises NotConnected with the reason.

    late: what one connection's links on a serial line tell each other (SerialLink).
    """
    if isinstance(transport, SerialTransport):
        from edge_agent.drivers.modbus.serial_line import open_serial

        return await open_serial(transport, late)
    if isinstance(transport, UdpTransport):
        return await open_datagrams(TcpFraming(), transport.host, transport.port, transport.timeout)
    if isinstance(transport, RtuOverTcpTransport):
        return await open_stream(transport, RtuFraming())
    ignored = isinstance(transport, TcpTransport) and transport.transaction_ids is TransactionIds.IGNORED
    return await open_stream(transport, TcpFraming(names_replies=not ignored))
