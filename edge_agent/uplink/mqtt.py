"""The way to the centre through an MQTT broker: connects when something is asked, and again when it was lost.

No credential is shown: the broker knows the device by its user or its certificate, and keeps it to its own
topics. Whoever asks while a connection is being made waits for that one; pauses between two tries are the
uploader's and the heartbeats'.
"""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge_agent.config.models import BrokerSettings, CentralSettings
from edge_agent.uplink.errors import BodyTooLarge, Unreachable, Unusable
from edge_agent.uplink.mqtt_link import CONNECT_SECONDS, Broker, Link
from edge_agent.uplink.mqtt_requests import metrics, plc_status, request_of
from edge_agent.uplink.transport import Reply
from edge_agent.uplink.trust import trust
from edge_agent.wire import mqtt
from edge_agent.wire.messages import Heartbeat
from edge_agent.wire.mqtt import Channel
from edge_agent.wire.upload import MAX_BODY_BYTES

# For the centre's answer to few bytes that it does not hold back.
ANSWER_SECONDS: Final = 15.0
_CLOSE_SECONDS: Final = 3.0
# Longer texts are deflated in a thread.
_INLINE_BYTES: Final = 16 << 10
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


class MqttTransport:
    """Implements uplink.transport.Transport."""

    shows_token = False

    def __init__(self, settings: CentralSettings, device: str, directory: Path) -> None:
        """directory: what the settings' files are relative to."""
        self.on_connected: Callable[[], None] | None = None
        self._settings = settings
        self._broker = settings.mqtt or BrokerSettings()
        self._device = device
        self._directory = directory
        self._base = f"/api/fleet/edge/{device}"
        self._link: Link | None = None
        self._opening: asyncio.Task[Link] | None = None
        self._closed = False

    @property
    def most_bytes(self) -> int:
        return min(MAX_BODY_BYTES, self._room())

    def _room(self) -> int:
        """For the body of one message."""
        most = self._broker.max_packet
        if self._link is not None and self._link.max_packet is not None:
            most = min(most, self._link.max_packet)
        return most - mqtt.OVERHEAD_BYTES

    async def open(self) -> None:
        """The first request connects."""

    async def close(self) -> None:
        self._closed = True
        await self._end(farewell=True)

    async def renew(self) -> None:
        await self._end(farewell=False)

    async def _end(self, *, farewell: bool) -> None:
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
            await asyncio.wait({self._opening}, timeout=_CLOSE_SECONDS)
        link, self._link = self._link, None
        if link is not None:
            await link.drop(farewell=farewell)

    async def request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], seconds: float
    ) -> Reply:
        wanted = request_of(method, path.removeprefix(self._base), headers.get("If-None-Match"))
        payload, packed = await _packed(body or b"") if wanted.is_text else (body or b"", {})
        link = await self._linked()
        room = self._room()
        if len(payload) > room:
            text = f"{len(payload)} bytes, and central.mqtt.max_packet and the broker allow {room}"
            raise BodyTooLarge(text, room, is_own=True)
        most = str(self._broker.max_packet - mqtt.OVERHEAD_BYTES)
        said = {**wanted.properties, **packed, mqtt.MAX: most}
        patience = ANSWER_SECONDS + wanted.wait_seconds
        try:
            return await link.ask(wanted.channel, payload, said, seconds, patience)
        except TimeoutError as error:
            text = f"no answer of the centre's in {min(seconds, patience):.0f} s, through the broker"
            raise Unusable(text) from error

    async def announce(self, heartbeat: Heartbeat) -> None:
        link, room = self._link, self._room()
        if link is None:
            return
        # For a packet that is larger than it takes a broker ends the connection.
        if len(figures := metrics(heartbeat)) <= room:
            await link.tell(Channel.METRICS, figures, retain=False)
        if len(states := plc_status(heartbeat)) <= room:
            await link.tell_once(Channel.PLC_STATUS, states)

    async def _linked(self) -> Link:
        """The connection, or the one that is being made. Raises Unreachable, Refused."""
        if self._link is not None and self._link.is_up:
            return self._link
        if self._closed:
            raise Unreachable("the uplink is closed")
        opening = self._opening
        if opening is None or opening.done():
            opening = self._opening = asyncio.ensure_future(self._connect())
            opening.add_done_callback(_retrieve)
        # Not cancelled with whoever waits: half a connection would come up later, as a second one.
        await asyncio.wait({opening}, timeout=CONNECT_SECONDS)
        if not opening.done():
            raise Unreachable(f"not connected to {self._settings.url} in {CONNECT_SECONDS:.0f} s")
        if opening.cancelled():
            raise Unreachable("the connection was given up while it was made")
        return opening.result()

    async def _connect(self) -> Link:
        url = urlsplit(self._settings.url)
        broker = Broker(
            url.hostname or "",
            url.port or _PORTS[url.scheme],
            self._user(),
            self._broker.password,
            await self._tls() if url.scheme == "mqtts" else None,
            self._broker.prefix,
            self._device,
            int(self._broker.keepalive),
        )
        link = self._link = await Link.connect(broker, self._lost)
        if self._closed:
            await link.drop()
        elif self.on_connected is not None:
            self.on_connected()
        return link

    def _user(self) -> str | None:
        """A device that shows a certificate is known by that, unless the settings say otherwise."""
        if self._broker.user is None and self._broker.password is None:
            return None
        return self._broker.user or self._device

    async def _tls(self) -> ssl.SSLContext:
        context = await trust(self._settings, self._directory)
        if context is None:
            context = await asyncio.to_thread(ssl.create_default_context)
        if self._broker.cert_file is not None:
            files = [str(self._directory / name) for name in self._broker.pair]
            try:
                await asyncio.to_thread(context.load_cert_chain, *files)
            except OSError as error:
                place = " and ".join(files)
                raise Unreachable(f"central.mqtt.cert_file: {place}: {error.strerror or error}") from error
        return context

    def _lost(self, link: Link) -> None:
        if self._link is link:
            self._link = None


async def _packed(body: bytes) -> tuple[bytes, dict[str, str]]:
    """A long text takes longer than polling may wait."""
    return await asyncio.to_thread(mqtt.pack, body) if len(body) > _INLINE_BYTES else mqtt.pack(body)


def _retrieve(opening: "asyncio.Task[Link]") -> None:
    """Whoever waited may have gone meanwhile: nobody else asks what became of it."""
    if not opening.cancelled():
        opening.exception()
