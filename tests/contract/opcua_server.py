"""A small OPC UA server for the contract suite: without security, with every fault on demand.

It stands in a moment, where the library's own server takes seconds to build its address space. Structures are
read and written by the library's codec, which the driver does not use for values.
"""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from asyncua import ua as library
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary

from edge_agent.drivers.write_tally import tell_write

ua: Any = library
_HEADER: Final = struct.Struct("<3scI")
_CHANNEL: Final = 7
_CHUNK: Final = 60_000  # of a message; larger ones come in several (Part 6, 6.7.2)
_BAD_NODE: Final = 0x80340000
_READ_ONLY: Final = 0x803B0000
_NO_SUBSCRIPTION: Final = 0x80280000
_NO_SESSION: Final = 0x80250000
_NO_FILTER: Final = 0x80450000
_TIMED_OUT: Final = 0x800A0000
_NOT_AVAILABLE: Final = 0x807B0000
_NAMES: Final = {
    getattr(ua.ObjectIds, f"{name}Request_Encoding_DefaultBinary"): name
    for name in (
        "OpenSecureChannel", "CloseSecureChannel", "CreateSession", "ActivateSession", "CloseSession", "Read",
        "Write", "CreateSubscription", "DeleteSubscriptions", "CreateMonitoredItems", "Publish", "Republish",
        "TransferSubscriptions",
    )
}  # fmt: skip


@dataclass(slots=True)
class _Held:
    """A subscription, and what it has to tell. waiting: changes by the client's handles."""

    number: int
    interval: float
    keepalive: int
    items: dict[int, str] = field(default_factory=dict)
    waiting: list[tuple[int, Any]] = field(default_factory=list)
    sequence: int = 1
    sent: dict[int, Any] = field(default_factory=dict)
    quiet: int = 0
    dead: bool = False
    ended: bool = False


class OpcUaServer:
    """values: by the text of the node. `changed` sends a new one to all subscriptions."""

    def __init__(self, values: dict[str, Any], at: datetime) -> None:
        self.values = values
        self.at = at
        self.namespaces = ["http://opcfoundation.org/UA/", "urn:holdfast:contract"]
        self.requests = self.writes = 0
        self.mute = False
        self.refuses_writes = False
        self.loses_write_reply = False
        self.refuses_bands = False
        self.loses_notifications = False
        self.keeps_sent = True
        self.forgets_sessions = False
        self.started: datetime | None = at
        self.bands: list[float] = []
        self.delay_once = 0.0
        self.shortest_interval = 0.0
        self.sessions = 0
        self.port = 0
        self.subscriptions: dict[int, _Held] = {}
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self.made = 0

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Link(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in list(self._links):
            link.close()
        self.subscriptions.clear()
        if self._server is not None:
            await self._server.wait_closed()
        self._server = None

    def freeze(self) -> None:
        for link in self._links:
            link.frozen = True

    def cut(self) -> None:
        """Every connection breaks; sessions and subscriptions go on."""
        for link in list(self._links):
            link.close()

    def end_subscriptions(self) -> None:
        """As where their lifetime ran out: the clients are told."""
        for each in self.subscriptions.values():
            each.ended = True

    def kill_subscriptions(self) -> None:
        for each in self.subscriptions.values():
            each.dead = True

    def changed(self, node: str, value: Any) -> None:
        self.values[node] = value
        for each in self.subscriptions.values():
            each.waiting += [(handle, value) for handle, held in each.items.items() if held == node]

    def held(self, node: str) -> Any:
        """The DataValue of a node."""
        if node not in self.values:
            return ua.DataValue(StatusCode=ua.StatusCode(_BAD_NODE))
        return ua.DataValue(self.values[node], ua.StatusCode(0), self.at)

    def subscribed(self, interval: float, keepalive: int) -> _Held:
        self.made += 1
        held = self.subscriptions[self.made] = _Held(self.made, interval, keepalive)
        return held

    def turn(self, held: _Held) -> None:
        """One publishing interval of a subscription, over whichever link asks (Part 4, 5.14.1.2)."""
        if self.subscriptions.get(held.number) is not held or self._server is None:
            return
        asyncio.get_running_loop().call_later(held.interval, self.turn, held)
        held.quiet += 1
        if held.dead or not (held.waiting or held.ended or held.quiet >= held.keepalive):
            return
        if self.loses_notifications and held.waiting:
            self.tell(held, ua.PublishResponse())
        else:
            any(link.publish(held) for link in list(self._links))

    def tell(self, held: _Held, response: Any) -> int:
        held.quiet = 0
        message = ua.NotificationMessage(held.sequence, datetime.now(UTC))
        if held.waiting:
            held.sequence += 1
            changes = [
                ua.MonitoredItemNotification(handle, ua.DataValue(value, ua.StatusCode(0), self.at))
                for handle, value in held.waiting
            ]
            message.NotificationData = [ua.DataChangeNotification(changes)]
            held.waiting.clear()
            if self.keeps_sent:
                held.sent[message.SequenceNumber] = message
        elif held.ended:
            message.NotificationData = [ua.StatusChangeNotification(ua.StatusCode(_TIMED_OUT))]
            del self.subscriptions[held.number]
        response.Parameters = ua.PublishResult(held.number, [], False, message)
        return 0


class _Link(asyncio.Protocol):
    def __init__(self, server: OpcUaServer) -> None:
        self._server = server
        self._received = b""
        self._sequence = 0
        self._publishes: list[tuple[int, Any]] = []
        self._timers: list[asyncio.TimerHandle] = []
        self.frozen = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._server._links.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._server._links.discard(self)
        for timer in self._timers:
            timer.cancel()

    def close(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= _HEADER.size:
            kind, _, size = _HEADER.unpack_from(self._received)
            if len(self._received) < size:
                return
            body, self._received = self._received[_HEADER.size : size], self._received[size:]
            self._message(kind, body)

    def _message(self, kind: bytes, body: bytes) -> None:
        if kind == b"HEL":
            if not (self._server.mute or self.frozen):
                self._transport.write(
                    _HEADER.pack(b"ACK", b"F", 28) + struct.pack("<5I", 0, 65536, 65536, 0, 0)
                )
            return
        # Of an OPN the asymmetric header: the policy, and two certificates that are not there.
        at = 4 + 4 + struct.unpack_from("<i", body, 4)[0] + 8 if kind == b"OPN" else 8
        request_id = struct.unpack_from("<I", body, at + 4)[0]
        buffer = Buffer(body[at + 8 :])
        name = _NAMES[nodeid_from_binary(buffer.copy()).Identifier]
        request = struct_from_binary(getattr(ua, f"{name}Request"), buffer)
        self._count(name)
        if name == "Write":
            self._write(request_id, request)
        elif name == "Publish":
            self._publishes.append((request_id, request))
        elif not (self._server.mute or self.frozen):
            answer = getattr(self, f"_{name.lower()}", None)
            if answer is not None:
                self._answer(request_id, request, name, answer)

    def _count(self, name: str) -> None:
        if name not in ("Publish", "OpenSecureChannel", "CloseSecureChannel"):
            self._server.requests += 1
        if name == "Write":
            self._server.writes += 1
            tell_write("opcua", "Write")

    def _answer(self, request_id: int, request: Any, name: str, answer: Callable[[Any, Any], int]) -> None:
        response = getattr(ua, f"{name}Response")()
        status = answer(request, response)
        if status:
            response = ua.ServiceFault()
        response.ResponseHeader.RequestHandle = request.RequestHeader.RequestHandle
        response.ResponseHeader.ServiceResult = ua.StatusCode(status)
        self._send(request_id, struct_to_binary(response), b"OPN" if name.startswith("Open") else b"MSG")

    def _send(self, request_id: int, body: bytes, kind: bytes = b"MSG") -> None:
        security = struct.pack("<I", 1)
        if kind == b"OPN":
            policy = b"http://opcfoundation.org/UA/SecurityPolicy#None"
            security = struct.pack("<i", len(policy)) + policy + struct.pack("<ii", -1, -1)
        data = b""
        for at in range(0, len(body), _CHUNK):
            self._sequence += 1
            numbers = struct.pack("<II", self._sequence, request_id)
            inner = struct.pack("<I", _CHANNEL) + security + numbers + body[at : at + _CHUNK]
            final = b"F" if at + _CHUNK >= len(body) else b"C"
            data += _HEADER.pack(kind, final, _HEADER.size + len(inner)) + inner
        delay, self._server.delay_once = self._server.delay_once, 0.0
        if delay:
            self._later(delay, lambda: self._transport.write(data))
        elif not (self._server.mute or self.frozen):
            self._transport.write(data)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, action))

    # --- services: each fills the response, and returns the status of the service ---------------------

    @staticmethod
    def _opensecurechannel(_: Any, response: Any) -> int:
        response.Parameters.SecurityToken.ChannelId = _CHANNEL
        response.Parameters.SecurityToken.TokenId = 1
        response.Parameters.SecurityToken.RevisedLifetime = 3_600_000
        return 0

    def _createsession(self, _: Any, response: Any) -> int:
        self._server.sessions += 1
        response.Parameters.SessionId = response.Parameters.AuthenticationToken = ua.NodeId(1, 1)
        response.Parameters.RevisedSessionTimeout = 120_000.0
        response.Parameters.ServerEndpoints = [
            ua.EndpointDescription(
                EndpointUrl=f"opc.tcp://127.0.0.1:{self._server.port}",
                SecurityMode=ua.MessageSecurityMode.None_,
                SecurityPolicyUri="http://opcfoundation.org/UA/SecurityPolicy#None",
                UserIdentityTokens=[ua.UserTokenPolicy("anonymous", ua.UserTokenType.Anonymous)],
            )
        ]
        return 0

    def _activatesession(self, *_: Any) -> int:
        """Forgets the sessions of before once."""
        forgets, self._server.forgets_sessions = self._server.forgets_sessions, False
        return _NO_SESSION if forgets else 0

    def _closesession(self, *_: Any) -> int:
        self._server.subscriptions.clear()
        return 0

    def _read(self, request: Any, response: Any) -> int:
        for each in request.Parameters.NodesToRead:
            number = each.NodeId.Identifier if each.NodeId.NamespaceIndex == 0 else None
            if number == ua.ObjectIds.Server_NamespaceArray:
                found = ua.DataValue(ua.Variant(self._server.namespaces, ua.VariantType.String))
            elif number == ua.ObjectIds.Server_ServerStatus_StartTime:
                at = self._server.started
                found = ua.DataValue(None if at is None else ua.Variant(at, ua.VariantType.DateTime))
            elif number is not None:
                found = ua.DataValue(ua.Variant(0, ua.VariantType.UInt32))
            else:
                found = self._server.held(each.NodeId.to_string())
            response.Results.append(found)
        return 0

    def _write(self, request_id: int, request: Any) -> None:
        server = self._server
        for each in request.Parameters.NodesToWrite:
            if not server.refuses_writes:
                server.values[each.NodeId.to_string()] = each.Value.Value
        loses, server.loses_write_reply = server.loses_write_reply, False
        if loses or server.mute or self.frozen:
            return
        result = _READ_ONLY if server.refuses_writes else 0

        def answer(asked: Any, response: Any) -> int:
            response.Results = [ua.StatusCode(result) for _ in asked.Parameters.NodesToWrite]
            return 0

        self._answer(request_id, request, "Write", answer)

    def _createsubscription(self, request: Any, response: Any) -> int:
        wish = request.Parameters
        interval = max(wish.RequestedPublishingInterval / 1000, self._server.shortest_interval)
        held = self._server.subscribed(interval, wish.RequestedMaxKeepAliveCount)
        response.Parameters = ua.CreateSubscriptionResult(
            held.number, 1000 * interval, wish.RequestedLifetimeCount, held.keepalive
        )
        self._server.turn(held)
        return 0

    def _deletesubscriptions(self, request: Any, response: Any) -> int:
        for number in request.Parameters.SubscriptionIds:
            self._server.subscriptions.pop(number, None)
            response.Results.append(ua.StatusCode(0))
        return 0

    def _createmonitoreditems(self, request: Any, response: Any) -> int:
        held = self._server.subscriptions.get(request.Parameters.SubscriptionId)
        if held is None:
            return _NO_SUBSCRIPTION
        for each in request.Parameters.ItemsToCreate:
            node = each.ItemToMonitor.NodeId.to_string()
            if node not in self._server.values:
                response.Results.append(ua.MonitoredItemCreateResult(ua.StatusCode(_BAD_NODE)))
                continue
            band = getattr(each.RequestedParameters.Filter, "DeadbandValue", None)
            if band is not None:
                if self._server.refuses_bands:
                    response.Results.append(ua.MonitoredItemCreateResult(ua.StatusCode(_NO_FILTER)))
                    continue
                self._server.bands.append(band)
            handle = each.RequestedParameters.ClientHandle
            held.items[handle] = node
            held.waiting.append((handle, self._server.values[node]))
            response.Results.append(ua.MonitoredItemCreateResult(ua.StatusCode(0), handle, 0.0, 10))
        return 0

    def _republish(self, request: Any, response: Any) -> int:
        held = self._server.subscriptions.get(request.Parameters.SubscriptionId)
        if held is None:
            return _NO_SUBSCRIPTION
        if request.Parameters.RetransmitSequenceNumber not in held.sent:
            return _NOT_AVAILABLE
        response.NotificationMessage = held.sent[request.Parameters.RetransmitSequenceNumber]
        return 0

    def _transfersubscriptions(self, request: Any, response: Any) -> int:
        """To whoever asks, as to clients without a certificate, which a server cannot tell apart."""
        response.Parameters.Results = [
            ua.TransferResult(ua.StatusCode(0 if number in self._server.subscriptions else _NO_SUBSCRIPTION))
            for number in request.Parameters.SubscriptionIds
        ]
        return 0

    def publish(self, held: _Held) -> bool:
        """Whether a Publish request was waiting here."""
        if not self._publishes:
            return False
        request_id, request = self._publishes.pop(0)
        self._answer(request_id, request, "Publish", lambda _, response: self._server.tell(held, response))
        return True
