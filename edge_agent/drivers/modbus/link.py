"""One TCP connection to a station or gateway, with one request in flight at most.

pymodbus' client is not used for this: it waits out the time-out when the peer closes in the middle of a
request, takes replies with transaction id 0 or another function code, forgets half a reply when it sends
the next request, and costs twice the CPU of this protocol for a read of 125 registers. Its framer for
RTU is used (framing.py).

The time-out of a request is one timer for each link that is set on when it fires: arming a timer for
each request costs a quarter of the whole request.
"""

import asyncio
from typing import Final, cast

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.modbus.errors import Garbage, Unanswered
from edge_agent.drivers.modbus.framing import Framing

# A half-open connection looks like a dead station. After as many time-outs in a row a new one is tried.
UNANSWERED_LIMIT: Final = 3


class Link(asyncio.Protocol):
    """Made by `open_link`. Once `lost` has a reason, it stays lost."""

    def __init__(self, framing: Framing, timeout_seconds: float) -> None:
        self.lost = ""
        self.peer_closed = False  # the peer ended it, after it had answered, and no answer was begun
        self.names_replies = framing.names_replies
        self._framing = framing
        self._timeout = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[bytes] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._answered = False
        self._unanswered = 0

    async def request(self, unit_id: int, pdu: bytes) -> bytes:
        """Sends one request and returns the PDU of its reply.

        Raises Unanswered, after which the link may be lost, and NotConnected where it is lost. Safe to
        cancel: the link is dropped where the reply could be taken for another one's.
        """
        if self.lost or self._transport is None:
            raise NotConnected(self.lost or "not connected")
        self._reply = self._loop.create_future()
        self._deadline = self._loop.time() + self._timeout
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
        self._transport.write(self._framing.request(unit_id, pdu))
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
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._fail(NotConnected(self.lost))

    # --- called by the event loop ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.lost:
            return
        try:
            answer = self._framing.receive(data)
        except Garbage as error:
            self._fail(Unanswered(str(error)))
            self.drop(str(error))
            return
        if answer is not None and self._reply is not None and not self._reply.done():
            self._reply.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost:
            return
        begun = self._reply is not None and not self._framing.untouched
        self.peer_closed = self._answered and not begun
        self.drop("the peer closed the connection" if exc is None else f"the connection broke: {exc}")

    def _on_timer(self) -> None:
        self._timer = None
        if self._reply is None or self._reply.done():
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
            return
        because = f"; {self._framing.discarded} was discarded" if self._framing.discarded else ""
        self._fail(Unanswered(f"no answer within {self._timeout:g} s{because}"))
        self._unanswered += 1
        self._abandon("an answer is missing")
        if self._unanswered >= UNANSWERED_LIMIT and not self.lost:
            self.drop(f"{self._unanswered} requests in a row were not answered")

    # ----------------------------------------------------------------------------------------------------

    def _abandon(self, why: str) -> None:
        if not self._framing.abandon() and not self.lost:
            self.drop(f"{why}, and what comes next could be taken for another's")

    def _fail(self, error: Exception) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)


async def open_link(host: str, port: int, framing: Framing, timeout_seconds: float) -> Link:
    """Raises NotConnected with the reason."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_seconds):
            _, link = await loop.create_connection(lambda: Link(framing, timeout_seconds), host, port)
    except TimeoutError as error:
        raise NotConnected(f"{host}:{port} does not answer within {timeout_seconds:g} s") from error
    except OSError as error:
        raise NotConnected(f"cannot connect to {host}:{port}: {error.strerror or error}") from error
    return link
