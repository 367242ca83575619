"""One connection to a CPU: ISO on TCP, the handshakes, and one job at a time.

A CPU takes as many unanswered jobs as it said in the handshake, often one. After that many time-outs the
link is dropped, because another job could not be asked; after a cancelled job its answer is waited for first.
"""

import asyncio

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.links import StreamLink, Unanswered, connecting
from edge_agent.drivers.s7 import messages
from edge_agent.drivers.s7.errors import DeviceError
from edge_agent.drivers.s7.framing import Framing
from edge_agent.drivers.s7.settings import LEAST_PDU, S7Transport


class S7Link(StreamLink[bytes, bytes]):
    """Made by `open_link`. pdu: what the CPU granted."""

    def __init__(self, timeout_seconds: float) -> None:
        self.pdu = 0
        self._jobs = Framing()
        self._late: asyncio.Future[None] | None = None
        super().__init__(self._jobs, timeout_seconds, "the CPU")

    async def request(self, data: bytes) -> bytes:
        """data: an S7 PDU with any reference."""
        if self._jobs.is_full:
            await self._settle()
        return await super().request(data)

    async def shake_hands(self, local: bytes, remote: bytes, pdu: int) -> None:
        """Raises DeviceError, Unanswered, NotConnected."""
        messages.check_confirm(await self.request(messages.connect_request(local, remote)))
        self._jobs.confirmed = True
        granted, jobs = messages.setup_reply(await self.request(messages.setup_request(0, pdu)))
        if granted < LEAST_PDU:
            raise DeviceError(f"the CPU grants messages of {granted} bytes, and {LEAST_PDU} are needed")
        self.pdu = min(granted, pdu)
        self._jobs.jobs = min(max(1, jobs), messages.JOBS)

    def drop(self, reason: str) -> None:
        super().drop(reason)
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

    def _overdue(self) -> None:
        super()._overdue()
        if self.lost:
            return
        if not self._jobs.untouched:  # what comes next would be taken for the rest of it
            self.drop("an answer broke off")
        elif self._jobs.is_full:
            self.drop(f"an answer is missing, and the CPU takes {self._jobs.jobs} at a time")

    def _why_lost(self, exc: Exception | None) -> str:
        why = super()._why_lost(exc)
        if self._jobs.confirmed:
            return why
        return f"{why}: rack, slot, connection_type or TSAPs may not be its own, or no connection is free"

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._late is not None and not self._late.done() and not self._jobs.is_full:
            self._late.set_result(None)


async def open_link(transport: S7Transport, pdu: int) -> S7Link:
    """Raises NotConnected with the reason."""
    timeout, where = transport.timeout, f"{transport.host}:{transport.port}"
    async with connecting(where, timeout):
        _, link = await asyncio.get_running_loop().create_connection(
            lambda: S7Link(timeout), transport.host, transport.port
        )
    try:
        await link.shake_hands(*transport.tsaps, pdu)
    except (DeviceError, Unanswered, NotConnected) as error:
        link.drop(str(error))
        raise NotConnected(f"{where}: {error}") from error
    except asyncio.CancelledError:
        link.drop("connecting was cancelled")
        raise
    return link
