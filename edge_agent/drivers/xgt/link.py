"""A link to a PLC over TCP or UDP: one request at a time, its time-out, and whose reply it is.

The time-out is one timer for each link that is set on when it fires: arming one for each request costs a
quarter of the whole request. A reply that names another request is passed over; a stream that is cut within
a reply is dropped.
"""

import asyncio
from typing import Final, cast

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.xgt.errors import Garbage, Unanswered
from edge_agent.drivers.xgt.frames import COMPANY_IDS, Framing, Reply
from edge_agent.drivers.xgt.settings import TcpTransport, UdpTransport, XgtConnection

# A half-open connection looks like a dead PLC. After as many time-outs in a row a new one is tried.
UNANSWERED_LIMIT: Final = 3


class Link:
    """Once `lost` has a reason, it stays lost.

    peer_closed: the peer ended it, after it had answered, and no answer was begun.
    sent: how many requests went out, or may have.
    """

    def __init__(self, framing: Framing, timeout_seconds: float) -> None:
        self.lost = ""
        self.peer_closed = False
        self.sent = 0
        self._framing = framing
        self._timeout = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._reply: asyncio.Future[Reply] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._answered = False
        self._unanswered = 0

    async def request(self, body: bytes) -> Reply:
        """Sends one request and returns its reply.

        Raises Unanswered, after which the link may be lost, and NotConnected where it is lost. Safe to
        cancel: a late reply names its request.
        """
        if self.lost:
            raise NotConnected(self.lost)
        self._reply = self._loop.create_future()
        self._deadline = self._loop.time() + self._timeout
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer()
        self.sent += 1
        self._send(self._framing.request(body))
        try:
            answer = await self._reply
        except asyncio.CancelledError:
            self._abandon("a request was cancelled")
            raise
        finally:
            self._reply = None
        self._answered = True
        self._unanswered = 0
        return answer

    def drop(self, reason: str) -> None:
        """Ends the connection at once; a request in flight fails."""
        self.lost = self.lost or reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._close()
        self._fail(NotConnected(self.lost))

    def _send(self, data: bytes) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        """Gives the transport up; may be called twice."""
        raise NotImplementedError

    def _answer(self, reply: Reply | None) -> None:
        if reply is not None and self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)

    def _fail(self, error: Exception) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)

    def _abandon(self, why: str) -> None:
        if not self._framing.abandon() and not self.lost:
            self.drop(f"{why} in the middle of its reply")

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._reply is None or self._reply.done():
            return
        if self._loop.time() < self._deadline:
            self._set_timer()
            return
        because = f"; {self._framing.discarded} was discarded" if self._framing.discarded else ""
        self._fail(Unanswered(f"no answer within {self._timeout:g} s{because}"))
        self._unanswered += 1
        self._abandon("an answer is missing")
        if self._unanswered >= UNANSWERED_LIMIT and not self.lost:
            self.drop(f"{self._unanswered} requests in a row were not answered")


class StreamLink(Link, asyncio.Protocol):
    """Made by `open_link`."""

    def __init__(self, framing: Framing, timeout_seconds: float) -> None:
        super().__init__(framing, timeout_seconds)
        self._transport: asyncio.Transport | None = None

    def _send(self, data: bytes) -> None:
        assert self._transport is not None  # a link without one is lost
        self._transport.write(data)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.lost:
            return
        try:
            self._answer(self._framing.receive(data))
        except Garbage as error:
            self._fail(Unanswered(str(error)))
            self.drop(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost:
            return
        begun = self._reply is not None and not self._framing.untouched
        self.peer_closed = self._answered and not begun
        self.drop("the PLC closed the connection" if exc is None else f"the connection broke: {exc}")


class DatagramLink(Link, asyncio.DatagramProtocol):
    """Made by `open_link`. A lost datagram costs a time-out; a stream of them cannot come out of step."""

    def __init__(self, framing: Framing, timeout_seconds: float, where: str) -> None:
        super().__init__(framing, timeout_seconds)
        self._where = where
        self._transport: asyncio.DatagramTransport | None = None

    def _send(self, data: bytes) -> None:
        assert self._transport is not None  # a link without one is lost
        self._transport.sendto(data)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, _addr: object) -> None:
        try:
            self._answer(self._framing.receive(data))
        except Garbage as error:
            self._framing.discarded = str(error)
        self._framing.forget()

    def error_received(self, exc: Exception) -> None:
        """The network says that a request did not arrive, such as by ICMP «port unreachable»."""
        self.drop(f"nothing can be sent to {self._where}: {getattr(exc, 'strerror', None) or exc}")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost:
            self.drop(f"the socket broke: {exc}")


async def open_link(connection: XgtConnection) -> Link:
    """Raises NotConnected with the reason."""
    transport = connection.transport
    where = f"{transport.host}:{transport.port}"
    framing = Framing(
        COMPANY_IDS[transport.company_id], connection.series.cpu, transport.base << 4 | transport.slot,
        check_sums=transport.header_checksum == "checked",
    )  # fmt: skip
    try:
        async with asyncio.timeout(transport.timeout):
            return await _open(transport, framing, where)
    except TimeoutError as error:
        raise NotConnected(f"{where} does not answer within {transport.timeout:g} s") from error
    except OSError as error:
        raise NotConnected(f"cannot connect to {where}: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:  # a name that the resolver cannot even be asked for
        raise NotConnected(f"cannot connect to {where}: {error}") from error


async def _open(transport: TcpTransport | UdpTransport, framing: Framing, where: str) -> Link:
    loop = asyncio.get_running_loop()
    if isinstance(transport, UdpTransport):
        _, datagrams = await loop.create_datagram_endpoint(
            lambda: DatagramLink(framing, transport.timeout, where),
            remote_addr=(transport.host, transport.port),
        )
        return datagrams
    _, stream = await loop.create_connection(
        lambda: StreamLink(framing, transport.timeout), transport.host, transport.port
    )
    return stream
