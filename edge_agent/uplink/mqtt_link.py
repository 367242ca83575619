"""One connection to a broker: requests out, answers back, by correlation data.

Imported where `central.url` names a broker, and nowhere else: it loads aiomqtt. A request counts as answered
by the centre's answer alone; what the broker says of a publication can only end it sooner. The connection is
lost as soon as a publication is not confirmed in time, and everything under way ends with Unreachable.
"""

import asyncio
import contextlib
import logging
import secrets
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.uplink.errors import Refused, Unreachable, Unusable, UplinkFault
from edge_agent.uplink.mqtt_requests import reply_of
from edge_agent.uplink.transport import MAX_ANSWER_BYTES, Reply
from edge_agent.wire import mqtt
from edge_agent.wire.mqtt import Channel
from edge_agent.wire.mqtt_client import BrokerClient

# For the broker's word on a publication of few bytes, and how slow a link may be beyond.
CONFIRM_SECONDS: Final = 5.0
SLOWEST_BYTES_A_SECOND: Final = 8192
CONNECT_SECONDS: Final = 10.0
# For one step of connecting.
_STEP_SECONDS: Final = 5.0
# What the end of a connection may take, so that the others hear of it.
_FAREWELL_SECONDS: Final = 1.0
_UNACKNOWLEDGED_MS: Final = 8000
# Reason codes of MQTT 5.
_NOBODY_LISTENS: Final = 0x10
_FAILURES: Final = 0x80
_NOT_AUTHORIZED: Final = 0x87
# paho's for a connection that ended without a word.
_NO_REASON: Final = 0x80

_quiet = logging.getLogger("edge_agent.uplink.aiomqtt")
_quiet.setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Broker:
    """Where, as whom, and below which topics."""

    host: str
    port: int
    user: str | None
    password: str | None
    tls: ssl.SSLContext | None
    prefix: str
    device: str
    keepalive_seconds: int

    def topic(self, channel: Channel) -> str:
        return mqtt.topic(self.prefix, self.device, channel)


class _Client(BrokerClient):
    """Keeps what aiomqtt drops: what the broker says of the newest publication, and how much it takes."""

    reason = 0
    max_packet: int | None = None

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        self.reason = reason_code.value
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None
    ) -> None:
        self.max_packet = getattr(properties, "MaximumPacketSize", None)
        super()._on_connect(client, userdata, flags, reason_code, properties)


class Link:
    """`connect` makes one. on_lost: called once, when it is of no use any more."""

    def __init__(self, client: _Client, broker: Broker, on_lost: Callable[["Link"], None]) -> None:
        self._client = client
        self._broker = broker
        self._on_lost = on_lost
        self._answers: dict[bytes, asyncio.Future[Reply]] = {}
        self._turn = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None
        self._told = b""
        self.is_up = True

    @property
    def max_packet(self) -> int | None:
        """The broker's; None: it sets no limit."""
        return self._client.max_packet

    @classmethod
    async def connect(cls, broker: Broker, on_lost: Callable[["Link"], None]) -> "Link":
        """Raises Unreachable, Refused where the broker does not let this device in."""
        link = cls(_client(broker), broker, on_lost)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await link._client.open()
        except (aiomqtt.MqttError, OSError, ValueError) as error:  # TimeoutError is an OSError
            raise _connect_fault(error, broker) from error
        link._reader = asyncio.ensure_future(link._read())
        try:
            await link._greet()
        except BaseException:
            await link.drop()
            raise
        return link

    async def _greet(self) -> None:
        """Listens for answers, then says that this device is here."""
        for channel in mqtt.DOWN:
            try:
                codes = await self._client.subscribe(self._broker.topic(channel), qos=1)
            except aiomqtt.MqttError as error:
                raise Unreachable(f"the broker did not confirm a subscription: {error}") from error
            if any(_value(code) >= _FAILURES for code in codes):
                raise Refused(f"the broker does not let this device listen to {channel}: see its ACL", 403)
        await self._publish(Channel.STATUS, mqtt.ONLINE, None, retain=True)

    async def ask(
        self, channel: Channel, payload: bytes, said: dict[str, str], seconds: float, patience: float
    ) -> Reply:
        """One request, with the centre's answer. seconds: for all of it; patience: for the answer, once the
        broker has the request. Raises Unreachable, Refused, TimeoutError."""
        name = secrets.token_bytes(16)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._answers[name] = answer
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.CorrelationData = name
        properties.UserProperty = list(said.items())
        # What nobody waits for any more is of no use to the centre.
        properties.MessageExpiryInterval = max(1, int(seconds))
        try:
            async with asyncio.timeout(seconds):
                await self._publish(channel, payload, properties, answer=answer)
                async with asyncio.timeout(patience):
                    return await answer
        finally:
            self._answers.pop(name, None)
            if answer.done() and not answer.cancelled():
                answer.exception()

    async def tell(self, channel: Channel, payload: bytes, *, retain: bool) -> None:
        """For who listens; lost with the connection."""
        if self.is_up:
            with contextlib.suppress(aiomqtt.MqttError):
                topic = self._broker.topic(channel)
                await self._client.publish(topic, payload, qos=0, retain=retain, timeout=CONFIRM_SECONDS)

    async def tell_once(self, channel: Channel, payload: bytes) -> None:
        """Retained; nothing where it was the same the last time."""
        if payload != self._told:
            self._told = payload
            await self.tell(channel, payload, retain=True)

    async def _publish(
        self,
        channel: Channel,
        payload: bytes,
        properties: Properties | None,
        *,
        retain: bool = False,
        answer: "asyncio.Future[Reply] | None" = None,
    ) -> None:
        """With the broker's word on it, which `answer` may forestall. Raises UplinkFault."""
        topic = self._broker.topic(channel)
        async with self._turn:  # the broker's word is the newest publication's
            if not self.is_up:
                raise Unreachable("the connection to the broker is lost")
            self._client.reason = 0
            seconds = CONFIRM_SECONDS + len(payload) / SLOWEST_BYTES_A_SECOND
            try:
                await self._client.publish(
                    topic, payload, qos=1, retain=retain, properties=properties, timeout=seconds
                )
            except (aiomqtt.MqttError, ValueError) as error:
                self._lose()
                raise Unreachable(f"the broker did not confirm a publication: {error}") from error
            reason = self._client.reason
        fault = _publish_fault(reason, topic)
        if fault is not None and not retain and not (answer is not None and answer.done()):
            raise fault

    async def _read(self) -> None:
        """Until the connection ends."""
        error = "it ended"
        try:
            async for message in self._client.messages:
                self._take(message)
        except aiomqtt.MqttError as problem:
            error = _loss_text(problem)
        finally:
            self.is_up = False
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(Unreachable(f"the connection to the broker is lost: {error}"))
            self._on_lost(self)
            await self._client.give_up()

    def _take(self, message: aiomqtt.Message) -> None:
        """An answer that nobody waits for any more was given up: its request went again."""
        properties = message.properties
        answer = self._answers.get(getattr(properties, "CorrelationData", b""))
        if answer is None or answer.done():
            return
        try:
            answer.set_result(reply_of(_bytes(message.payload), getattr(properties, "UserProperty", None)))
        except UplinkFault as fault:
            answer.set_exception(fault)

    def _lose(self) -> None:
        self.is_up = False
        if self._reader is not None:
            self._reader.cancel()

    async def drop(self, *, farewell: bool = False) -> None:
        """Ends the connection. farewell: says that this device goes, which the last will would have said."""
        if farewell and self.is_up:
            with contextlib.suppress(UplinkFault, TimeoutError):
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    await self._publish(Channel.STATUS, mqtt.OFFLINE, None, retain=True)
        self._lose()
        if self._reader is not None:
            await asyncio.wait({self._reader}, timeout=2 * _FAREWELL_SECONDS)
        await self._client.give_up()  # a reader that had not begun has not done it


def _client(broker: Broker) -> _Client:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 0
    most = MAX_ANSWER_BYTES + mqtt.OVERHEAD_BYTES
    properties.MaximumPacketSize = most
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        options.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS))
    return _Client(
        broker.host,
        broker.port,
        username=broker.user,
        password=broker.password,
        identifier=broker.device,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=True,
        will=aiomqtt.Will(broker.topic(Channel.STATUS), mqtt.OFFLINE, qos=1, retain=True),
        keepalive=broker.keepalive_seconds,
        timeout=_STEP_SECONDS,
        max_packet_bytes=most,
        properties=properties,
        tls_context=broker.tls,
        socket_options=options,
        logger=_quiet,
    )


def _connect_fault(error: Exception, broker: Broker) -> UplinkFault:
    place = f"the broker {broker.host}:{broker.port}"
    if isinstance(error, MqttConnectError):
        text = f"{place} does not let this device in: {error}"
        return Refused(text, 403) if _value(error.rc) in (0x86, _NOT_AUTHORIZED, 0x8A) else Unusable(text)
    return Unreachable(f"{place}: {str(error) or 'no answer in time'}")


def _loss_text(error: aiomqtt.MqttError) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, aiomqtt.MqttCodeError) and _value(cause.rc) == _NO_REASON:
        return "it was closed without a reason"
    return str(cause)


def _publish_fault(reason: int, topic: str) -> UplinkFault | None:
    if reason == _NOBODY_LISTENS:
        return Unusable(f"the broker is there, and no centre listens to {topic}")
    if reason == _NOT_AUTHORIZED:
        return Refused(f"the broker does not let this device publish to {topic}: see its ACL", 403)
    if reason >= _FAILURES:
        return Unusable(f"the broker does not take a publication to {topic}: reason {reason:#x}")
    return None


def _value(code: Any) -> int:
    return int(getattr(code, "value", code))


def _bytes(payload: Any) -> bytes:
    return bytes(payload) if isinstance(payload, bytes | bytearray) else b""
