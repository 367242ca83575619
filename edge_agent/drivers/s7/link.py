"""One connection to a CPU: ISO on TCP, the handshakes, and one job at a time.

A reply names its job by the PDU reference, so that a late or repeated one is told and thrown away. A CPU
takes as many unanswered jobs as it said in the handshake, often one. After that many time-outs the link is
dropped, because another job could not be asked; after a cancelled job its answer is waited for first. The
time-out is one timer for each link that is set on when it fires: arming one for each request costs a quarter
of the whole request.
"""

import asyncio
from typing import Final, cast

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.s7 import messages
from edge_agent.drivers.s7.errors import DeviceError, Garbage, Unanswered
from edge_agent.drivers.s7.settings import LEAST_PDU, S7Transport

# A half-open connection looks like a CPU that does not answer. After as many in a row a new one is tried.
UNANSWERED_LIMIT: Final = 3
_REFERENCES: Final = 0xFFFF


class Link(asyncio.Protocol):
    """Made by `open_link`. Once `lost` has a reason, it stays lost.

    pdu, jobs: what the CPU granted. sent: how many requests were.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self.lost = ""
        self.pdu = 0
        self.jobs = 1
        self.sent = 0
        self._timeout = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._assembler = messages.Assembler()
        self._reference = 0
        self._reply: asyncio.Future[bytes] | None = None
        self._confirming = False
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._unanswered = 0
        self._open_jobs: set[int] = set()  # references of jobs that nobody waits for any more
        self._late: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    async def request(self, pdu: bytes) -> bytes:
        """Sends one job and returns its answer. pdu: with any reference, which is replaced.

        Raises Unanswered, after which the link may be lost, and NotConnected where it is. Safe to cancel.
        """
        if len(self._open_jobs) >= self.jobs:
            await self._settle()
        self._reference = self._reference % _REFERENCES + 1
        while self._reference in self._open_jobs:
            self._reference = self._reference % _REFERENCES + 1
        data = messages.envelope(pdu[:4] + self._reference.to_bytes(2) + pdu[6:])
        return await self._exchange(data)

    async def shake_hands(self, local: bytes, remote: bytes, pdu: int) -> None:
        """Raises DeviceError, Unanswered, NotConnected."""
        self._confirming = True
        messages.check_confirm(await self._exchange(messages.connect_request(local, remote)))
        self._confirming = False
        granted, jobs = messages.setup_reply(await self.request(messages.setup_request(0, pdu)))
        if granted < LEAST_PDU:
            raise DeviceError(f"the CPU grants messages of {granted} bytes, and {LEAST_PDU} are needed")
        self.pdu, self.jobs = min(granted, pdu), max(1, jobs)

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
        if self._late is not None and not self._late.done():
            self._late.set_exception(NotConnected(self.lost))

    async def _settle(self) -> None:
        """Waits for the answer to a job that was cancelled: the CPU takes no further one before. Raises
        NotConnected where it does not come."""
        if self.lost:
            raise NotConnected(self.lost)
        self._late = self._loop.create_future()
        try:
            async with asyncio.timeout(self._timeout):
                await self._late
        except TimeoutError as error:
            self.drop("a request that was cancelled is not answered")
            raise NotConnected(self.lost) from error
        finally:
            self._late = None

    async def _exchange(self, data: bytes) -> bytes:
        if self.lost or self._transport is None:
            raise NotConnected(self.lost)
        self._reply = self._loop.create_future()
        self._deadline = self._loop.time() + self._timeout
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer()
        self._transport.write(data)
        self.sent += 1
        try:
            answer = await self._reply
        except asyncio.CancelledError:
            self._open_jobs.add(self._reference)
            raise
        finally:
            self._reply = None
        self._unanswered = 0
        return answer

    def _fail(self, error: Exception) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)

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
        self._fail(Unanswered(f"no answer within {self._timeout:g} s"))
        self._unanswered += 1
        self._open_jobs.add(self._reference)
        if not self._assembler.untouched:  # what comes next would be taken for the rest of it
            self.drop("an answer broke off")
        elif len(self._open_jobs) >= self.jobs:
            self.drop(f"an answer is missing, and the CPU takes {self.jobs} at a time")
        elif self._unanswered >= UNANSWERED_LIMIT:
            self.drop(f"{self._unanswered} requests in a row were not answered")

    # --- called by the event loop ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.lost:
            return
        try:
            for is_pdu, message in self._assembler.feed(data):
                self._take(is_pdu, message)
        except Garbage as error:
            self._fail(Unanswered(str(error)))
            self.drop(str(error))

    def _take(self, is_pdu: bool, message: bytes) -> None:
        if not is_pdu:
            if not self._confirming:
                raise Garbage("the CPU ended the connection")
        elif self._confirming:
            raise Garbage("the CPU answered before it confirmed the connection")
        else:
            reference = messages.reference_of(message)
            if reference is None:
                return
            if reference in self._open_jobs:
                self._open_jobs.discard(reference)
                if self._late is not None and not self._late.done():
                    self._late.set_result(None)
                return
            if reference != self._reference:
                return
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(message)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost:
            return
        why = "the CPU closed the connection" if exc is None else f"the connection broke: {exc}"
        if self._confirming:
            why += ": rack, slot, connection_type or TSAPs may not be its own, or no connection is free"
        self.drop(why)


async def open_link(transport: S7Transport, pdu: int) -> Link:
    """Raises NotConnected with the reason."""
    timeout, where = transport.timeout, f"{transport.host}:{transport.port}"
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            _, link = await loop.create_connection(lambda: Link(timeout), transport.host, transport.port)
    except TimeoutError as error:
        raise NotConnected(f"{where} does not answer within {timeout:g} s") from error
    except OSError as error:
        raise NotConnected(f"cannot connect to {where}: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:  # a name that the resolver cannot even be asked for
        raise NotConnected(f"cannot connect to {where}: {error}") from error
    try:
        await link.shake_hands(*transport.tsaps, pdu)
    except (DeviceError, Unanswered, NotConnected) as error:
        link.drop(str(error))
        raise NotConnected(f"{where}: {error}") from error
    except asyncio.CancelledError:
        link.drop("connecting was cancelled")
        raise
    return link
