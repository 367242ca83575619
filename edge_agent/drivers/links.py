"""One request at a time to a device, and its time-out: what the links of all request-reply protocols share.

A protocol adds its `Framing`, which turns requests into bytes and finds the one reply that belongs to a
request in the bytes that come back. Over TCP (StreamLink) or UDP (DatagramLink); other ways for bytes to
travel make a `Link` of their own.

The time-out of a request is one timer for each link that is set on when it fires: arming a timer for
each request costs a quarter of the whole request.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Generic, Protocol, TypeVar, TypeVarTuple, cast

from edge_agent.contracts.errors import NotConnected, WriteUnknown

# A half-open connection looks like a dead device. After as many time-outs in a row a new one is tried.
UNANSWERED_LIMIT: Final = 3

Reply = TypeVar("Reply")
_Found_co = TypeVar("_Found_co", covariant=True)
Asked = TypeVarTuple("Asked")


class Unanswered(Exception):
    """No usable answer came in time: ask nothing more now."""


class Garbage(Exception):
    """The stream of bytes cannot be trusted any more: drop the link."""


class Framing(Protocol[_Found_co, *Asked]):
    """One connection's framing; a new connection takes a new one.

    names_replies: a reply says which request it answers, so one that does is surely this one's.
    discarded: the reason why the latest reply that was not used was not used, for people.
    """

    names_replies: bool
    discarded: str

    def request(self, *asked: *Asked) -> bytes:
        """The bytes to send; from now on `receive` looks for the reply to this one."""
        ...

    def receive(self, data: bytes) -> _Found_co | None:
        """The awaited reply, once it is whole. Raises Garbage."""
        ...

    def abandon(self) -> bool:
        """Stops awaiting. Whether the stream may still be used: the reply, should it come, is known."""
        ...

    @property
    def untouched(self) -> bool:
        """Not one byte has come since the request."""
        ...


class Link(ABC, Generic[Reply, *Asked]):
    """Once `lost` has a reason, it stays lost.

    peer_closed: the peer ended it, after it had answered, and no answer was begun.
    sent: how many requests went out, or may have.
    """

    def __init__(self, framing: Framing[Reply, *Asked], timeout_seconds: float) -> None:
        self.lost = ""
        self.peer_closed = False
        self.sent = 0
        self.names_replies = framing.names_replies
        self._framing = framing
        self._timeout = timeout_seconds
        self._wire_seconds = 0.0  # what the wire takes for a request and its reply, beside the device's time
        self._loop = asyncio.get_running_loop()
        self._reply: asyncio.Future[Reply] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._answered = False
        self._unanswered = 0

    async def request(self, *asked: *Asked) -> Reply:
        """Sends one request and returns its reply.

        Raises Unanswered, after which the link may be lost, and NotConnected where it is lost. Safe to
        cancel: the link is dropped where the reply could be taken for another one's.
        """
        if self.lost:
            raise NotConnected(self.lost)
        self._reply = self._loop.create_future()
        self._deadline = self._loop.time() + self._timeout + self._wire_seconds
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer()
        self.sent += 1
        self._send(self._framing.request(*asked))
        try:
            answer = await self._reply
        except asyncio.CancelledError:
            if self._reply.cancelled():  # else the answer came in the same moment
                self._abandon("a request was cancelled")
            raise
        finally:
            self._reply = None
        self._answered = True
        self._unanswered = 0
        return answer

    async def request_once(self, *asked: *Asked) -> Reply:
        """For a request to write: NotConnected where nothing was sent, WriteUnknown where something was."""
        sent = self.sent
        try:
            return await self.request(*asked)
        except (NotConnected, Unanswered) as error:
            if self.sent == sent:
                raise NotConnected(str(error)) from error
            raise WriteUnknown(str(error)) from error

    def drop(self, reason: str) -> None:
        """Ends the connection at once; a request in flight fails."""
        self.lost = self.lost or reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._close()
        self._fail(NotConnected(self.lost))

    # --- how bytes travel -----------------------------------------------------------------------------

    @abstractmethod
    def _send(self, data: bytes) -> None: ...

    @abstractmethod
    def _close(self) -> None:
        """Gives the transport up; may be called twice."""

    # --- what came of the request -----------------------------------------------------------------------

    def _answer(self, reply: Reply | None) -> None:
        if reply is not None and self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)

    def _fail(self, error: Exception) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)

    def _abandon(self, why: str) -> None:
        if not self._framing.abandon() and not self.lost:
            self.drop(f"{why}, and what comes next could be taken for another's")

    def _overdue(self) -> None:
        self._abandon("an answer is missing")

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
        self._overdue()
        if self._unanswered >= UNANSWERED_LIMIT and not self.lost:
            self.drop(f"{self._unanswered} requests in a row were not answered")


class StreamLink(Link[Reply, *Asked], asyncio.Protocol):
    """Over one TCP connection, plain or inside of TLS."""

    def __init__(
        self, framing: Framing[Reply, *Asked], timeout_seconds: float, peer: str = "the peer"
    ) -> None:
        """peer: what the other side is called in reasons."""
        super().__init__(framing, timeout_seconds)
        self._peer = peer
        self._transport: asyncio.Transport | None = None

    def _send(self, data: bytes) -> None:
        assert self._transport is not None  # a link without one is lost
        self._transport.write(data)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def _why_lost(self, exc: Exception | None) -> str:
        return f"{self._peer} closed the connection" if exc is None else f"the connection broke: {exc}"

    # --- called by the event loop ---------------------------------------------------------------------

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
        self.drop(self._why_lost(exc))


class DatagramFraming(Framing[_Found_co, *Asked], Protocol):
    def forget(self) -> None:
        """Half a frame will never be completed: where each datagram is whole."""
        ...


class DatagramLink(Link[Reply, *Asked], asyncio.DatagramProtocol):
    """Over UDP: a datagram is a frame. There is no connection, so opening one asks nobody.

    A request or reply that is lost costs a time-out. Replies are told apart by what names them; late,
    repeated and foreign datagrams are passed over, as a stream of them cannot come out of step.
    """

    def __init__(self, framing: DatagramFraming[Reply, *Asked], timeout_seconds: float, where: str) -> None:
        super().__init__(framing, timeout_seconds)
        self._frames = framing
        self._where = where
        self._transport: asyncio.DatagramTransport | None = None

    def _send(self, data: bytes) -> None:
        assert self._transport is not None  # a link without one is lost
        self._transport.sendto(data)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    # --- called by the event loop ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, _addr: object) -> None:
        try:
            self._answer(self._frames.receive(data))
        except Garbage as error:
            self._frames.discarded = str(error)
        self._frames.forget()

    def error_received(self, exc: Exception) -> None:
        """The network says that a request did not arrive, such as by ICMP «port unreachable»."""
        self.drop(f"nothing can be sent to {self._where}: {getattr(exc, 'strerror', None) or exc}")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost:
            self.drop(f"the socket broke: {exc}")


def _said(error: OSError) -> str:
    return error.strerror or str(error)


@asynccontextmanager
async def connecting(
    where: str, timeout_seconds: float, said: Callable[[OSError], str] = _said, late: str = "does not answer"
) -> AsyncIterator[None]:
    """Raises NotConnected with the reason for whatever keeps a link from being opened. said: of an error.
    late: what it means where it takes too long."""
    try:
        async with asyncio.timeout(timeout_seconds):
            yield
    except TimeoutError as error:
        raise NotConnected(f"{where} {late} within {timeout_seconds:g} s") from error
    except OSError as error:
        raise NotConnected(f"cannot connect to {where}: {said(error)}") from error
    except (ValueError, TypeError) as error:  # a name that the resolver or TLS cannot even be asked for
        raise NotConnected(f"cannot connect to {where}: {error}") from error


async def open_datagrams(
    framing: DatagramFraming[Reply, *Asked], host: str, port: int, timeout_seconds: float
) -> DatagramLink[Reply, *Asked]:
    """Raises NotConnected where there is no such host or no way to it."""
    where = f"{host}:{port}"
    async with connecting(where, timeout_seconds, late="was not found"):
        _, link = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: DatagramLink(framing, timeout_seconds, where), remote_addr=(host, port)
        )
    return link
