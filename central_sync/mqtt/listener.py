"""The centre at a broker: subscribes, hands messages to workers, publishes their answers.

Messages are confirmed to the broker as they come and may be lost with this process: only an answer says that
something was taken, and agents ask again without one. The connection is tried again for ever, with a pause
that grows; workers go on meanwhile.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import aiomqtt
import structlog
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from central_sync.mqtt.answering import Answer, Desk, Request, answer, as_message
from central_sync.mqtt.intake import Intake
from central_sync.services.clock import Clock
from central_sync.services.uplinks import MqttFigures
from edge_agent.wire import mqtt
from edge_agent.wire.errors import WireError
from edge_agent.wire.mqtt import Channel
from edge_agent.wire.mqtt_client import BrokerClient

logger = structlog.get_logger()

WORKERS: Final = 32
# A message that is larger is not even received: the broker keeps it back.
MAX_PACKET_BYTES: Final = 4 << 20
KEEPALIVE_SECONDS: Final = 15
_SEND_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 10.0
_FIRST_PAUSE_SECONDS: Final = 0.5
_LAST_PAUSE_SECONDS: Final = 30.0
_FAILURES: Final = 0x80
# Answers are of no use to who has given up waiting.
_EXPIRY_SECONDS: Final = 60

_quiet = logging.getLogger("central_sync.mqtt.aiomqtt")
_quiet.setLevel(logging.CRITICAL)


class _Refused(Exception):
    """The broker lets the centre in and keeps its topics from it."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where, as whom, and below which topics."""

    host: str
    port: int
    user: str | None
    password: str | None
    tls: ssl.SSLContext | None
    prefix: str
    group: str


class Listener:
    """gone: is told of devices whose last will came."""

    def __init__(
        self, broker: Broker, desk: Desk, gone: Callable[[str], None], figures: MqttFigures, clock: Clock
    ) -> None:
        self._broker = broker
        self._desk = desk
        self._gone = gone
        self._figures = figures
        self._clock = clock
        self._random = Random()
        self._intake: Intake[Request] = Intake()
        self._arrived = asyncio.Event()
        self._client: aiomqtt.Client | None = None
        self._place = f"{broker.host}:{broker.port}"
        self._failures = 0

    async def run(self) -> None:
        """Never returns."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work(group))
            while True:
                error = await self._listen()
                self._failures += 1
                if self._failures == 1:
                    logger.warning("the broker is not to be used", broker=self._place, error=error)
                pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 10), _LAST_PAUSE_SECONDS)
                await self._clock.sleep(pause * (0.5 + 0.5 * self._random.random()))

    async def _listen(self) -> str:
        """One connection, to its end. Why it ended."""
        client = _client(self._broker, self._take)
        try:
            await client.open()
            await self._subscribe(client)
            self._client, self._figures.connected = client, True
            logger.info("listening at the broker", broker=self._place, failures=self._failures)
            self._failures = 0
            async for _ in client.messages:
                pass  # none comes this way: it ends with the connection
        except (aiomqtt.MqttError, _Refused, OSError, ValueError) as error:
            return str(error.__cause__ or error)
        finally:
            await client.give_up()
            if self._client is not None:
                self._figures.reconnects += 1
            self._client, self._figures.connected = None, False
        return "it closed the connection"

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        for topic in mqtt.subscriptions(self._broker.prefix, self._broker.group):
            codes = await client.subscribe(topic, qos=1)
            if any(_number(code) >= _FAILURES for code in codes):
                raise _Refused(f"it refuses the subscription to {topic}: see its ACL")

    def _take(self, message: aiomqtt.Message) -> None:
        request = self._read(message)
        if request is None:
            return
        refusal = self._intake.put(request.device, request, len(request.payload) + mqtt.OVERHEAD_BYTES)
        if refusal:
            self._figures.dropped[refusal] += 1
        self._figures.queued = len(self._intake)
        self._arrived.set()

    def _read(self, message: aiomqtt.Message) -> Request | None:
        """None: it is no request; whoever sent it gets no answer."""
        address = mqtt.parse_topic(self._broker.prefix, message.topic.value)
        payload = message.payload if isinstance(message.payload, bytes) else b""
        properties = message.properties
        name = getattr(properties, "CorrelationData", b"")
        if address is None or address.channel not in mqtt.UP:
            self._figures.dropped["topic"] += 1
            return None
        if address.channel is Channel.STATUS and payload in (mqtt.ONLINE, mqtt.OFFLINE):
            # A retained one is old news: the device may have gone over to HTTP since.
            if payload == mqtt.OFFLINE and not message.retain:
                self._gone(address.device)
            return None
        try:
            said = mqtt.properties(getattr(properties, "UserProperty", None))
        except WireError:
            said = None
        if said is None or message.retain or not 1 <= len(name) <= mqtt.MAX_CORRELATION_BYTES:
            self._figures.dropped["malformed"] += 1
            return None
        return Request(address.device, address.channel, name, said, payload)

    async def _work(self, group: asyncio.TaskGroup) -> None:
        while True:
            taken = self._intake.take()
            if taken is None:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            device, request = taken
            self._figures.queued = len(self._intake)
            try:
                if request.is_held:
                    # It would keep a worker for half a minute; the desk holds one of each device.
                    group.create_task(self._serve(request))
                else:
                    await self._serve(request)
            finally:
                self._intake.done(device)
                self._arrived.set()

    async def _serve(self, request: Request) -> None:
        given = await answer(self._desk, request)
        self._figures.requests[str(request.channel), given.status] += 1
        await self._send(request, given)

    async def _send(self, request: Request, given: Answer) -> None:
        payload, said = await as_message(request, given)
        properties = _properties(PacketTypes.PUBLISH)
        properties.CorrelationData = request.correlation
        properties.UserProperty = list(said.items())
        properties.MessageExpiryInterval = _EXPIRY_SECONDS
        topic = mqtt.topic(self._broker.prefix, request.device, request.answers_to)
        client = self._client
        if client is None:
            self._figures.dropped["unanswered"] += 1
            return
        # One that is lost costs the device a time-out, and it asks again: no confirmation is waited for.
        with contextlib.suppress(aiomqtt.MqttError, ValueError):
            await client.publish(topic, payload, qos=0, properties=properties, timeout=_SEND_SECONDS)


def _properties(kind: int) -> Properties:
    return Properties(kind)  # type: ignore[no-untyped-call]


def _number(code: object) -> int:
    return int(str(getattr(code, "value", code)))


class _Client(BrokerClient):
    """Hands messages on as they are read: aiomqtt's own queue is fair to nobody."""

    handler: Callable[[aiomqtt.Message], None]

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:  # noqa: ARG002 paho's
        self.handler(aiomqtt.Message._from_paho_message(message))


def _client(broker: Broker, handler: Callable[[aiomqtt.Message], None]) -> _Client:
    properties = _properties(PacketTypes.CONNECT)
    # Nothing is kept for a centre that is away: whoever asked asks again.
    properties.SessionExpiryInterval = 0
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    client = _Client(
        broker.host,
        broker.port,
        username=broker.user,
        password=broker.password,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=True,
        keepalive=KEEPALIVE_SECONDS,
        timeout=_CONNECT_SECONDS,
        max_packet_bytes=MAX_PACKET_BYTES,
        properties=properties,
        tls_context=broker.tls,
        logger=_quiet,
    )
    client.handler = handler
    return client
