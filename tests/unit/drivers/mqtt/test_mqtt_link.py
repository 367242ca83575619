"""How much of a link one turn of the loop takes; the rest of it: tests/contract/test_mqtt_links.py."""

import asyncio
import ssl
from typing import Any

from edge_agent.drivers.mqtt.link import Link
from edge_agent.drivers.mqtt.transport import MqttTransport


class NeverDry(ssl.SSLSocket):
    """Something decrypted is always there."""

    def pending(self) -> int:
        return 1


class Client:
    """paho's, as far as reading needs it."""

    def __init__(self) -> None:
        self.packets = 0
        self._in_packet = {"remaining_length": 0}
        self._socket: Any = NeverDry.__new__(NeverDry)

    def loop_read(self) -> None:
        self.packets += 1
        assert self.packets < 1000, "the loop never had a turn"

    def socket(self) -> Any:
        return self._socket

    def hang_up(self) -> None:
        self._socket = None


async def test_a_broker_that_never_stops_over_tls_leaves_the_loop_its_turns() -> None:
    link = Link(MqttTransport(host="h"), None, lambda _: None)
    client: Any = Client()
    link._client = client
    link._read()
    first = client.packets
    assert 0 < first < 100
    await asyncio.sleep(0)
    assert client.packets == 2 * first
    client.hang_up()
    await asyncio.sleep(0)
    assert client.packets == 2 * first
