"""One session with a server: a socket, a secure channel and the session over it. I/O; it decides nothing.

The library's own watchdog, its reconnecting and its publish loop are not used (decision 0030). A link is
dropped after a request without an answer; its session may then be taken up again over a new one.
"""

import asyncio
import struct
import time
from collections.abc import Callable
from typing import Any, Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.opcua.bounds import bounded_client
from edge_agent.drivers.opcua.errors import Fault, Unanswered, status_text
from edge_agent.drivers.opcua.security import is_same_server, open_channel, refusal, secure
from edge_agent.drivers.opcua.settings import OpcUaTransport

# A server keeps the session of a client that is gone for so long; a PLC has few of them.
SESSION_SECONDS: Final = 120.0
_CHANNEL_SECONDS: Final = 3600.0
# Part 4, 5.5.2.1: renew when three quarters of its life have passed.
_RENEW_SHARE: Final = 0.75
# What a service says where the link or the session is over, whatever was asked.
_OVER: Final = frozenset({
    0x80250000,  # BadSessionIdInvalid
    0x80260000,  # BadSessionClosed
    0x80270000,  # BadSessionNotActivated
    0x80220000,  # BadSecureChannelIdInvalid
    0x80860000,  # BadSecureChannelClosed
    0x80870000,  # BadSecureChannelTokenUnknown
    0x800C0000,  # BadShutdown
    0x800D0000,  # BadServerNotConnected
    0x800E0000,  # BadServerHalted
    0x80AE0000,  # BadConnectionClosed
})  # fmt: skip
_BROKEN: Final = (UaError, OSError, EOFError)
# What the library raises where an answer lacks something.
_ODD: Final = (AttributeError, TypeError, ValueError, LookupError, struct.error)


class Link:
    """resumed: the server still knew the session of the link before, and so its subscriptions."""

    def __init__(self, transport: OpcUaTransport, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self._timeout = transport.timeout
        self._monotonic = monotonic
        self._client: Client | None = None
        self._renew_at = 0.0
        self._why = "not connected"
        self._down_since: float | None = None
        self.resumed = False

    @property
    def is_open(self) -> bool:
        client = self._client
        return client is not None and client.uaclient.protocol is not None and not self._lost(client)

    @staticmethod
    def _lost(client: Client) -> bool:
        protocol = client.uaclient.protocol
        return protocol is None or protocol.transport is None or protocol.transport.is_closing()

    async def open(self) -> None:
        """Takes the old session up again where there is one, else makes a new one. Raises NotConnected."""
        self.drop("opened anew")
        where = f"{self._transport.host}:{self._transport.port}"
        try:
            self.resumed = await self._resume()
            if not self.resumed:
                await self._begin()
        except NotConnected:
            self.drop("not connected")
            raise
        except TimeoutError as error:
            self.drop("not connected")
            raise NotConnected(f"{where}: no answer within {self._timeout:g} s") from error
        except UaStatusCodeError as error:
            self.drop("not connected")
            raise NotConnected(f"{where}: {status_text(error.code)}{refusal(error.code)}") from error
        except (*_BROKEN, *_ODD) as error:
            self.drop("not connected")
            raise NotConnected(f"{where}: {error or type(error).__name__}") from error
        except BaseException:
            self.drop("not connected")
            raise
        self._renew_at = self._monotonic() + _RENEW_SHARE * self.client.secure_channel_timeout / 1000
        self._down_since = None

    async def _resume(self) -> bool:
        """Part 4, 6.7: the session outlives its channel, for a while.

        Not longer: what its client is known by may be refused by now, such as a certificate that was renewed.
        """
        client = self._client
        if client is None or not client.uaclient.session.has_session:
            return False
        if self._down_since is not None and self._monotonic() - self._down_since > SESSION_SECONDS:
            self._forget(client)
            return False
        try:
            if not await is_same_server(client):
                self._forget(client)
                return False
            await self._channel(client)
            client.uaclient.session.rebind_authentication_token()
            await self._activate(client)
        except UaStatusCodeError:
            self._forget(client)
            return False
        return True

    async def _begin(self) -> None:
        client = bounded_client(self._transport.full_url, self._timeout)
        client.session_timeout = round(1000 * SESSION_SECONDS)
        client.secure_channel_timeout = round(1000 * _CHANNEL_SECONDS)
        try:
            await secure(client, self._transport.security)
            await self._channel(client)
            self._client = client
            await client.create_session()
            await self._activate(client)
        except BaseException:
            self._forget(client)
            raise

    @staticmethod
    async def _channel(client: Client) -> None:
        await client.connect_socket()
        await client.send_hello()
        await open_channel(client)

    @staticmethod
    async def _activate(client: Client) -> None:
        await client.activate_session(
            username=client._username, password=client._password, certificate=client.user_certificate
        )

    def _forget(self, client: Client) -> None:
        """The client and its session: the next `open` begins anew."""
        _abort(client)
        self._client = None

    def drop(self, why: str) -> None:
        """Closes the socket; the session stays for the next `open` to take up."""
        self._why = why
        if self._down_since is None:
            self._down_since = self._monotonic()
        if self._client is not None:
            _abort(self._client)

    async def close(self) -> None:
        """Ends the session and its subscriptions. Never raises."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            if not self._lost(client):
                async with asyncio.timeout(self._timeout):
                    await client.uaclient.close_session(True)
                    await client.uaclient.close_secure_channel()
        except (*_BROKEN, *_ODD, TimeoutError):
            pass  # it is over one way or the other
        finally:
            _abort(client)
            self._why = "closed"

    @property
    def client(self) -> Client:
        if self._client is None:
            raise NotConnected(self._why)
        return self._client

    async def keep(self) -> None:
        """Renews the channel where that is due. Raises NotConnected."""
        if self._monotonic() < self._renew_at:
            return
        client = self.client
        try:
            await open_channel(client, renew=True)
            client.uaclient.revolve_security_token()
        except (*_BROKEN, *_ODD, TimeoutError) as error:
            self.drop("the secure channel could not be renewed")
            raise NotConnected(f"the secure channel could not be renewed: {error}") from error
        self._renew_at = self._monotonic() + _RENEW_SHARE * client.secure_channel_timeout / 1000

    async def ask(self, request: Any) -> bytes:
        """The bytes of the answer. Raises Unanswered, Fault and NotConnected."""
        return await self._ask(request, self._timeout)

    async def publish(self, request: ua.PublishRequest) -> bytes:
        """As `ask`, and waits for as long as the server likes."""
        return await self._ask(request, 0)

    @property
    def why(self) -> str:
        """Why there is no link."""
        lost = self._client is not None and self._client.uaclient.protocol is not None
        return "the server closed the link" if lost else self._why

    async def _ask(self, request: Any, timeout: float) -> bytes:
        client = self.client
        protocol = client.uaclient.protocol
        if protocol is None or protocol.transport is None:
            raise NotConnected(self.why)
        try:
            return bytes(await protocol.send_request(request, timeout))
        except TimeoutError as error:
            if self._client is not client:
                raise NotConnected("closed") from error
            self.drop(f"no answer within {self._timeout:g} s")
            raise Unanswered(f"no answer within {self._timeout:g} s") from error
        except UaStatusCodeError as error:
            if error.code in _OVER:
                self.drop(status_text(error.code))
                raise NotConnected(status_text(error.code)) from error
            raise Fault(error.code) from error
        except (*_BROKEN, *_ODD) as error:
            self.drop(str(error) or "the link broke")
            raise NotConnected(f"the link broke: {error}") from error


def _abort(client: Client) -> None:
    """At once: what waits to be sent to a peer that does not read is of no use any more."""
    protocol = client.uaclient.protocol
    if protocol is not None:
        protocol.on_connection_lost = None  # told late, it would end the next socket of this client
        if protocol.transport is not None:
            protocol.transport.abort()
    client.uaclient.disconnect_socket()
