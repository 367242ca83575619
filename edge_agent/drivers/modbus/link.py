"""One request at a time to stations, and its time-out: what all links have in common.

Links over streams (stream.py), datagrams (datagram.py) and serial lines (serial_line.py) add how bytes
travel.

pymodbus' client is not used for this: it waits out the time-out when the peer closes in the middle of a
request, takes replies with transaction id 0 or another function code, forgets half a reply when it sends
the next request, and costs twice the CPU of this protocol for a read of 125 registers. Its framer for
RTU is used (framing.py).

The time-out of a request is one timer for each link that is set on when it fires: arming a timer for
each request costs a quarter of the whole request.
"""

import asyncio
from typing import Final

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.modbus.errors import Unanswered
from edge_agent.drivers.modbus.framing import Framing

# A half-open connection looks like a dead station. After as many time-outs in a row a new one is tried.
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
        self.names_replies = framing.names_replies
        self._framing = framing
        self._timeout = timeout_seconds
        self._loop = asyncio.get_running_loop()
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
        if self.lost:
            raise NotConnected(self.lost)
        self._reply = self._loop.create_future()
        self._deadline = self._loop.time() + self._timeout + self._wire_seconds(pdu)
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer()
        self.sent += 1
        self._send(self._framing.request(unit_id, pdu))
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

    # --- how bytes travel -----------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        """Gives the transport up; may be called twice."""
        raise NotImplementedError

    def _wire_seconds(self, _pdu: bytes) -> float:
        """What the wire takes for a request and its reply, beside the station's time."""
        return 0.0

    # --- what came of the request -----------------------------------------------------------------------

    def _answer(self, pdu: bytes | None) -> None:
        if pdu is not None and self._reply is not None and not self._reply.done():
            self._reply.set_result(pdu)

    def _fail(self, error: Exception) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)

    def _abandon(self, why: str) -> None:
        if not self._framing.abandon() and not self.lost:
            self.drop(f"{why}, and what comes next could be taken for another's")

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
