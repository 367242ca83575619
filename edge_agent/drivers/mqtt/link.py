"""One link to a broker, over `wire.mqtt_client`, which says what is changed of aiomqtt. Here besides:
- messages go to a callback instead of a queue: a queue that is full would acknowledge and drop (QoS 1);
  and of a message the flags `dup` and `mid` are needed, which its Message does not have.
- over a session that goes on, PUBACK is sent by `acknowledge` only. Paho's own switch for that leaves a
  PUBREL that it does not know without an answer, for ever.
"""

import asyncio
import logging
import math
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import aiomqtt
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, ConnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.mqtt.security import tls_context
from edge_agent.drivers.mqtt.transport import MqttTransport, Session
from edge_agent.wire.mqtt_client import BrokerClient

MAX_PACKET_BYTES: Final = (16 << 20) + 70_000
# Most messages of QoS 1 and 2 that a broker of MQTT 5 sends before it waits for acknowledgements.
MOST_UNACKNOWLEDGED: Final = 2_000
# No word for each packet that is not as it should be: reasons go with NotConnected.
_SILENT: Final = logging.getLogger(f"{__name__}.packets")
_SILENT.disabled = True
_REFUSED: Final = 0x80
_TAKEN_OVER: Final = 0x8E
_UNREADABLE_TOPIC: Final = "(a topic that is not UTF-8)"
# MQTT 5.0, 3.2.2.2; paho has those of 3.1.1 as these, too.
_HINTS: Final = {
    0x84: "; set version: 3.1.1",
    0x85: "; another client_id may help", 0x86: "; look at username and password",
    0x87: "; the broker does not let this user in",
}  # fmt: skip


class Unanswered(Exception):
    """The broker did not answer a request in time."""


class Arrived(NamedTuple):
    """A message as it came. mid: 0 with QoS 0. is_repeat: it may have been sent before. waits: it is
    acknowledged by `Link.acknowledge`."""

    topic: str
    payload: bytes
    retained: bool
    mid: int
    is_repeat: bool
    waits: bool = False


class Link(BrokerClient):
    """Used for one connecting, then thrown away. Use `open_link`."""

    def __init__(
        self, transport: MqttTransport, context: ssl.SSLContext | None, arrived: Callable[[Arrived], None]
    ) -> None:
        is_new = transport.version == "5"
        is_clean = transport.session is Session.CLEAN
        super().__init__(
            transport.host,
            transport.used_port,
            username=transport.username,
            password=transport.password,
            identifier=transport.client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if is_new else aiomqtt.ProtocolVersion.V311,
            clean_session=None if is_new else is_clean,
            clean_start=is_clean if is_new else MQTT_CLEAN_START_FIRST_ONLY,
            properties=_properties(transport) if is_new else None,
            keepalive=math.ceil(transport.keepalive),
            timeout=float(transport.timeout),
            max_packet_bytes=MAX_PACKET_BYTES,
            tls_context=context,
            logger=_SILENT,
        )
        self._arrived = arrived
        self.resumed = False
        self.keeps = not is_clean
        self._send_puback = self._client._send_puback
        if self.keeps:
            self._client._send_puback = _later  # type: ignore[method-assign]

    @property
    def lost(self) -> str:
        """Why the link is gone; empty while it is there."""
        if self._given_up:
            return "closed"
        if not self._disconnected.done():
            return ""
        error = self._disconnected.exception()
        return "the broker closed the link" if error is None else _text(error)

    @property
    def was_taken_over(self) -> bool:
        """Another client came with the same id. Brokers of 3.1.1 cannot say so."""
        if self._given_up or not self._disconnected.done():
            return False
        error = self._disconnected.exception()
        code = error.rc if isinstance(error, aiomqtt.MqttCodeError) else None
        return isinstance(code, ReasonCode) and code.value == _TAKEN_OVER

    async def subscribe_to(self, filters: Sequence[str], qos: int) -> list[str]:
        """The filters that the broker refuses. Raises Unanswered, and NotConnected."""
        try:
            answer = await self.subscribe([(text, qos) for text in filters])
        except aiomqtt.MqttError as error:
            if self.lost:
                raise NotConnected(self.lost) from error
            raise Unanswered("the broker did not confirm the subscription in time") from error
        codes = [code.value if isinstance(code, ReasonCode) else int(code) for code in answer]
        if len(codes) != len(filters):
            raise NotConnected(f"the broker answered for {len(codes)} of {len(filters)} filters")
        return [text for text, code in zip(filters, codes, strict=True) if code >= _REFUSED]

    async def send(self, topic: str, payload: bytes) -> None:
        """QoS 0. Raises NotConnected."""
        try:
            await self.publish(topic, payload, qos=0)
        except aiomqtt.MqttError as error:
            raise NotConnected(_text(error)) from error

    def acknowledge(self, mids: Sequence[int]) -> None:
        """Messages that wait for it. Nothing happens over a link that is gone: they come again."""
        if not self.lost:
            for mid in mids:
                self._send_puback(mid)

    # --- what paho calls; from the thread that connects, where it says so -------------------------

    def _on_message(self, client: Any, userdata: Any, message: MQTTMessage) -> None:  # noqa: ARG002
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = _UNREADABLE_TOPIC
        mid = message.mid if message.qos else 0
        waits = self.keeps and message.qos == 1
        self._arrived(Arrived(topic, bytes(message.payload), message.retain, mid, bool(message.dup), waits))

    def _on_connect(
        self, client: Any, userdata: Any, flags: ConnectFlags, reason_code: Any, properties: Any = None
    ) -> None:
        self.resumed = flags.session_present
        super()._on_connect(client, userdata, flags, reason_code, properties)


def _later(mid: int) -> MQTTErrorCode:  # noqa: ARG001
    return MQTTErrorCode.MQTT_ERR_SUCCESS


def _properties(transport: MqttTransport) -> Properties:
    made = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    made.MaximumPacketSize = MAX_PACKET_BYTES
    made.ReceiveMaximum = MOST_UNACKNOWLEDGED
    if transport.session is Session.PERSISTENT:
        made.SessionExpiryInterval = int(transport.session_expiry)
    return made


async def open_link(transport: MqttTransport, arrived: Callable[[Arrived], None]) -> Link:
    """Raises NotConnected."""
    where = f"{transport.host}:{transport.used_port}"
    context = None if transport.tls is None else await tls_context(transport.tls)
    link = Link(transport, context, arrived)
    try:
        async with asyncio.timeout(2 * transport.timeout):
            await link.open()
    except TimeoutError as error:
        raise NotConnected(f"{where}: no answer in time") from error
    except (aiomqtt.MqttError, OSError, ValueError) as error:
        raise NotConnected(f"{where}: {_text(error)}") from error
    return link


def _text(error: BaseException) -> str:
    if isinstance(error.__context__, ssl.SSLCertVerificationError):
        return f"the broker's certificate is not trusted: {error.__context__.verify_message}"
    if isinstance(error, aiomqtt.MqttCodeError) and isinstance(error.rc, ReasonCode):
        hint = (
            _HINTS.get(error.rc.value, "") if isinstance(error, aiomqtt.exceptions.MqttConnectError) else ""
        )
        return f"the broker says: {error.rc}{hint}"
    if isinstance(error, aiomqtt.MqttError) and str(error) == "Operation timed out":
        return "no answer in time"
    return str(error) or type(error).__name__
