"""What a device that is taken over can do at the broker: nothing to others. Mosquitto with the shipped files.

Device `thief` has its own password; `victim` is another device. The centre is played by a client of its user
that subscribes as the centre does.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import pytest

from edge_agent.wire import mqtt
from edge_agent.wire.mqtt import Channel
from tests.integration.mqtt_house import CENTRE, Broker, broker

THIEF, VICTIM = "thief", "victim"
NOT_AUTHORIZED = 0x87
GROUP = "a-group-that-no-device-knows"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("forging"), THIEF, VICTIM, "monitor") as made:
        yield made


def topic(device: str, channel: Channel) -> str:
    return mqtt.topic(mqtt.PREFIX, device, channel)


class Ears:
    """All that a client gets, until a message of its own channel proves that nothing else is to come."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self.heard: list[tuple[str, bytes]] = []

    async def say(self, device: str, payload: bytes) -> None:
        await self._client.publish(topic(device, Channel.ACKS), payload, qos=1)

    async def until(self, last: bytes) -> list[tuple[str, bytes]]:
        async with asyncio.timeout(10):
            async for message in self._client.messages:
                if message.payload == last:
                    return self.heard
                assert isinstance(message.payload, bytes)
                self.heard.append((message.topic.value, message.payload))
        raise AssertionError("the connection ended")


@asynccontextmanager
async def centre(made: Broker) -> AsyncIterator[Ears]:
    async with made.client(CENTRE) as client:
        for wanted in mqtt.subscriptions(mqtt.PREFIX, GROUP):
            await client.subscribe(wanted, qos=1)
        yield Ears(client)


async def answers(made: Broker, device: str, payload: bytes) -> None:
    """The centre says something to a device. There is one connection of its user: never beside `centre`."""
    async with made.client(CENTRE) as client:
        await client.publish(topic(device, Channel.ACKS), payload, qos=1)


async def test_nobody_publishes_below_anothers_topics(shipped: Broker) -> None:
    async with centre(shipped) as ears, shipped.client(THIEF) as thief:
        for channel in Channel:
            await thief.publish(topic(VICTIM, channel), b"forged " + channel.encode(), qos=1)
        await thief.publish(topic(THIEF, Channel.DATA), b"last", qos=1)
        assert await ears.until(b"last") == []


async def test_a_device_does_not_publish_what_only_the_centre_says(shipped: Broker) -> None:
    async with shipped.client(THIEF) as thief:
        await thief.subscribe(topic(THIEF, Channel.ACKS), qos=1)
        await thief.subscribe(topic(THIEF, Channel.COMMANDS), qos=1)
        for channel in mqtt.DOWN:
            await thief.publish(topic(THIEF, channel), b"forged", qos=1)
        await answers(shipped, THIEF, b"last")
        assert await Ears(thief).until(b"last") == []


OTHERS = [
    *(topic(VICTIM, channel) for channel in Channel),
    "holdfast/devices/+/acks", "holdfast/devices/+/commands", "holdfast/#", "#", "+/+/+/+", "$SYS/#",
    f"$share/{GROUP}x/holdfast/devices/{VICTIM}/acks",
]  # fmt: skip


async def test_nobody_hears_what_is_anothers(shipped: Broker) -> None:
    async with shipped.client(THIEF) as thief, shipped.client(VICTIM) as victim:
        for wanted in (*OTHERS, topic(THIEF, Channel.ACKS)):
            await thief.subscribe(wanted, qos=1)
        await answers(shipped, VICTIM, b"for the victim alone")
        await victim.publish(topic(VICTIM, Channel.DATA), b"the victim's data", qos=1)
        await victim.publish(topic(VICTIM, Channel.STATUS), b"online", qos=1, retain=True)
        await answers(shipped, THIEF, b"last")
        assert await Ears(thief).until(b"last") == []
        await victim.publish(topic(VICTIM, Channel.STATUS), b"", qos=1, retain=True)


async def test_a_borrowed_client_id_throws_nobody_out(shipped: Broker) -> None:
    async with shipped.client(VICTIM, VICTIM) as victim:
        await victim.subscribe(topic(VICTIM, Channel.ACKS), qos=1)
        async with shipped.client(THIEF, VICTIM) as thief:
            await thief.publish(topic(THIEF, Channel.DATA), b"x", qos=1)
            await answers(shipped, VICTIM, b"last")
            assert await Ears(victim).until(b"last") == []


async def test_a_borrowed_session_brings_nothing(shipped: Broker) -> None:
    """A session that outlives its connection keeps subscriptions: not for who asks under its name."""
    async with shipped.client(THIEF, VICTIM, clean_start=False) as thief:
        await thief.subscribe(topic(THIEF, Channel.ACKS), qos=1)
        await answers(shipped, VICTIM, b"for the victim alone")
        await answers(shipped, THIEF, b"last")
        assert await Ears(thief).until(b"last") == []


async def test_a_last_will_goes_to_no_topic_of_anothers(shipped: Broker) -> None:
    async with centre(shipped) as ears, shipped.client(VICTIM) as victim:
        await _die_with_will(shipped, VICTIM, ears)
        await _die_with_will(shipped, THIEF, ears)
        async with asyncio.timeout(10):
            heard = await ears.until(b"offline")
        assert heard == [], "the first that arrives is the thief's own"
        await victim.publish(topic(VICTIM, Channel.DATA), b"last", qos=1)
        assert await ears.until(b"last") == []


async def _die_with_will(made: Broker, device: str, playing_centre: Ears) -> None:
    """The thief connects with a will for this device's status, and is killed."""
    process = await asyncio.create_subprocess_exec(
        "mosquitto_sub", "-h", "localhost", "-p", str(made.port), "--cafile", str(made.authority.ca),
        "-V", "mqttv5", "-u", THIEF, "-P", made.passwords[THIEF], "-t", topic(THIEF, Channel.ACKS),
        "--will-topic", topic(device, Channel.STATUS), "--will-payload", "offline", "--will-qos", "1",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    hearing = asyncio.ensure_future(process.stdout.readline())
    async with asyncio.timeout(10):
        while not hearing.done():
            await playing_centre.say(THIEF, b"are you there?")
            await asyncio.wait({hearing}, timeout=0.05)
    process.kill()
    await process.wait()


async def test_a_wrong_password_and_an_unknown_user_stay_out(shipped: Broker) -> None:
    for user, password in ((VICTIM, shipped.passwords[THIEF]), ("nobody", "x"), (None, None)):
        client = aiomqtt.Client(
            "localhost", shipped.port, username=user, password=password, tls_context=shipped.tls,
            protocol=aiomqtt.ProtocolVersion.V5, timeout=5,
        )  # fmt: skip
        with pytest.raises(aiomqtt.MqttError, match=r"[Nn]ot authori"):
            await client.__aenter__()


async def test_without_tls_nobody_comes_in(shipped: Broker) -> None:
    client = aiomqtt.Client(
        "localhost", shipped.port, username=THIEF, password=shipped.passwords[THIEF], timeout=0.4
    )
    with pytest.raises(aiomqtt.MqttError):
        await client.__aenter__()


async def test_a_certificate_makes_its_holder_that_device_and_no_other(shipped: Broker) -> None:
    context = shipped.tls
    context.load_cert_chain(*shipped.authority.issue(THIEF))
    async with centre(shipped) as ears:
        client = aiomqtt.Client(
            "localhost", shipped.certificate_port, tls_context=context, username=VICTIM, identifier=VICTIM,
            password=shipped.passwords[VICTIM], protocol=aiomqtt.ProtocolVersion.V5, timeout=5,
        )  # fmt: skip
        async with client:
            await client.publish(topic(VICTIM, Channel.DATA), b"forged", qos=1)
            await client.publish(topic(THIEF, Channel.DATA), b"last", qos=1)
            assert await ears.until(b"last") == []


async def test_without_a_certificate_the_second_door_stays_shut(shipped: Broker) -> None:
    client = aiomqtt.Client(
        "localhost", shipped.certificate_port, tls_context=shipped.tls, username=THIEF,
        password=shipped.passwords[THIEF], protocol=aiomqtt.ProtocolVersion.V5, timeout=0.4,
    )  # fmt: skip
    with pytest.raises(aiomqtt.MqttError):
        await client.__aenter__()


async def test_who_joins_the_centres_group_by_a_guess_takes_nothing_from_it(shipped: Broker) -> None:
    """The broker asks the ACL when it delivers: what it gives to a member that may not have it is gone. So
    the group's name is a secret; this is what it keeps out."""
    clients = shipped.client(THIEF), shipped.client(VICTIM)
    async with centre(shipped) as ears, clients[0] as thief, clients[1] as victim:
        for wanted in mqtt.subscriptions(mqtt.PREFIX, "holdfast"):
            await thief.subscribe(wanted, qos=1)
        sent: list[Any] = [f"batch {number}".encode() for number in range(20)]
        for payload in sent:
            await victim.publish(topic(VICTIM, Channel.DATA), payload, qos=1)
        await victim.publish(topic(VICTIM, Channel.DATA), b"last", qos=1)
        heard = [payload for _, payload in await ears.until(b"last")]
        assert heard == sent


async def test_a_flood_of_large_messages_does_not_fill_the_brokers_memory(shipped: Broker) -> None:
    """The centre stands still, and one device goes on."""
    async with shipped.client(CENTRE) as still, shipped.client(THIEF) as thief:
        await still.subscribe(mqtt.subscriptions(mqtt.PREFIX, GROUP)[1], qos=1)
        asyncio.get_running_loop().remove_reader(still._client.socket())  # type: ignore[arg-type]
        for _ in range(70):
            await thief.publish(topic(THIEF, Channel.DATA), bytes(2_000_000), qos=1)
        assert shipped.resident_bytes < 200 << 20


async def test_who_watches_says_nothing_and_hears_no_data(shipped: Broker) -> None:
    async with (
        shipped.client("monitor") as monitor,
        shipped.client(VICTIM) as victim,
        centre(shipped) as ears,
    ):
        await monitor.subscribe("#", qos=1)
        await monitor.publish(topic(VICTIM, Channel.DATA), b"forged", qos=1)
        await victim.publish(topic(VICTIM, Channel.DATA), b"the victim's data", qos=1)
        await victim.publish(topic(VICTIM, Channel.METRICS), b"last", qos=1)
        assert [payload for _, payload in await Ears(monitor).until(b"last")] == []
        await victim.publish(topic(VICTIM, Channel.DATA), b"end", qos=1)
        assert [payload for _, payload in await ears.until(b"end")] == [b"the victim's data"]
