"""The agent's end of the uplink at a real mosquitto; the centre answers late, wrongly, twice or never."""

import asyncio
import gc
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.config.models import BrokerSettings, CentralSettings
from edge_agent.uplink.client import CentreClient, transport_of
from edge_agent.uplink.errors import BodyTooLarge, NotAccepted, Refused, Unreachable, Unusable, UplinkFault
from edge_agent.wire import mqtt
from edge_agent.wire.messages import ConnectionReport, Heartbeat
from edge_agent.wire.mqtt import Channel
from tests.integration.mqtt_house import CENTRE, Broker, broker

DEVICE = "dev-1"
ANSWER = b'{"centre": "c", "epoch": "e", "acked": [[1, 1]]}'
Say = Callable[..., Awaitable[None]]
Handler = Callable[[aiomqtt.Message, Say], Awaitable[None]]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("transport"), DEVICE, "dev-2") as made:
        yield made


@asynccontextmanager
async def centre(made: Broker, handler: Handler) -> AsyncIterator[list[bytes]]:
    """Answers each request with what the handler says; yields the payloads that came."""
    heard: list[bytes] = []
    async with made.client(CENTRE) as client:

        async def say(message: aiomqtt.Message, payload: bytes = ANSWER, **said: str) -> None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.CorrelationData = message.properties.CorrelationData  # type: ignore[union-attr]
            properties.UserProperty = list(({"status": "200"} | said).items())
            topic = mqtt.topic(mqtt.PREFIX, DEVICE, Channel.ACKS)
            await client.publish(topic, payload, properties=properties)

        async def serve() -> None:
            async for message in client.messages:
                if message.payload in (mqtt.ONLINE, mqtt.OFFLINE):
                    continue
                assert isinstance(message.payload, bytes)
                heard.append(message.payload)
                await handler(message, say)

        for topic in mqtt.subscriptions(mqtt.PREFIX, "a-group"):
            await client.subscribe(topic, qos=1)
        serving = asyncio.ensure_future(serve())
        try:
            yield heard
        finally:
            serving.cancel()
            await asyncio.wait({serving})


def settings_of(made: Broker, device: str = DEVICE, **more: Any) -> CentralSettings:
    user = more.pop("user", device)
    return CentralSettings(
        url=made.url,
        ca_file=str(made.authority.ca),
        mqtt=BrokerSettings(**{"user": user, "password": made.passwords[user], **more}),
    )


@asynccontextmanager
async def agent(
    made: Broker, seconds: float = 10.0, device: str = DEVICE, **more: Any
) -> AsyncIterator[CentreClient]:
    client = CentreClient(settings_of(made, device, **more), device, Path("/"), seconds)
    await client.open()
    try:
        yield client
    finally:
        await client.close()


async def good(message: aiomqtt.Message, say: Say) -> None:
    await say(message)


async def nothing(message: aiomqtt.Message, say: Say) -> None:
    """A centre that hears and does not answer."""


async def test_an_upload_is_the_bytes_as_they_are_and_only_an_answer_counts(shipped: Broker) -> None:
    async with centre(shipped, good) as heard, agent(shipped) as client:
        assert (await client.upload(b"batches")).acked == [(1, 1)]
        assert heard == [b"batches"]


async def test_a_puback_is_no_answer(shipped: Broker) -> None:
    """The broker confirms it, the centre has it, and its answer is lost: the same bytes go again."""
    answers = iter([nothing, good])

    async def once(message: aiomqtt.Message, say: Say) -> None:
        await next(answers)(message, say)

    async with centre(shipped, once) as heard, agent(shipped, 0.5) as client:
        with pytest.raises(Unusable, match="no answer"):
            await client.upload(b"x")
        await client.upload(b"x")
        assert heard == [b"x", b"x"]


async def test_where_no_centre_listens_the_broker_says_so_at_once(shipped: Broker) -> None:
    async with agent(shipped) as client:
        began = time.monotonic()
        with pytest.raises(Unusable, match="no centre listens"):
            await client.upload(b"x")
        assert time.monotonic() - began < 5


async def test_answers_find_their_requests_in_whatever_order(shipped: Broker) -> None:
    waiting: list[aiomqtt.Message] = []

    async def backwards(message: aiomqtt.Message, say: Say) -> None:
        waiting.append(message)
        if len(waiting) == 3:
            for each in reversed(waiting):
                text = ANSWER.replace(b'"e"', b'"%s"' % each.payload)
                await say(each, text)
                await say(each, b"a second answer counts for nothing", status="500")

    async with centre(shipped, backwards), agent(shipped) as client:
        found = await asyncio.gather(*(client.upload(name) for name in (b"one", b"two", b"three")))
        assert [answer.epoch for answer in found] == ["one", "two", "three"]


async def test_a_late_answer_is_that_of_no_other_request(shipped: Broker) -> None:
    first: list[aiomqtt.Message] = []

    async def late(message: aiomqtt.Message, say: Say) -> None:
        if not first:
            first.append(message)
            return
        await say(first[0], b'{"centre": "c", "epoch": "late", "acked": []}')
        await say(message)

    async with centre(shipped, late), agent(shipped, 0.5) as client:
        with pytest.raises(Unusable):
            await client.upload(b"x")
        assert (await client.upload(b"x")).epoch == "e"


@pytest.mark.parametrize(
    ("said", "payload", "kind"),
    [
        ({"status": "200"}, b"<html>a portal</html>", Unusable),
        ({"status": "fine"}, ANSWER, Unusable),
        ({"status": "403"}, b'{"detail": "not registered"}', NotAccepted),
        ({"status": "413", "encoding": "gzip"}, b"", Unusable),
        ({"status": "413"}, b'{"max": 10}', BodyTooLarge),
        ({"status": "500"}, b"", Unreachable),
    ],
)
async def test_what_an_answer_means_is_what_it_means_over_http(
    shipped: Broker, said: dict[str, str], payload: bytes, kind: type[UplinkFault]
) -> None:
    async def odd(message: aiomqtt.Message, say: Say) -> None:
        await say(message, payload, **said)

    async with centre(shipped, odd), agent(shipped) as client:
        with pytest.raises(kind):
            await client.upload(b"x")


async def test_what_is_larger_than_a_message_is_not_sent(shipped: Broker) -> None:
    async with centre(shipped, good) as heard, agent(shipped, max_packet="16KiB") as client:
        with pytest.raises(BodyTooLarge) as refused:
            await client.upload(bytes(16 << 10))
        assert refused.value.max_bytes == client.most_bytes < 16 << 10
        await client.upload(bytes(client.most_bytes))
        assert [len(each) for each in heard] == [client.most_bytes]


async def test_states_of_more_connections_than_a_message_holds_do_not_cost_the_connection(
    shipped: Broker,
) -> None:
    """They are for who watches, and in the heartbeat; a broker would hang up."""
    one = ConnectionReport(name="c", driver="modbus", state="down", error="x" * 80)
    beat = Heartbeat(now=1, version="1", protocol=1, run="r", boot="b", machine="m", uptime_seconds=2.0)
    transport = transport_of(settings_of(shipped, max_packet="8MiB"), DEVICE, Path("/"))
    connections = 0

    def connected() -> None:
        nonlocal connections
        connections += 1

    transport.on_connected = connected
    async with centre(shipped, good):
        for _ in range(2):
            path = f"/api/fleet/edge/{DEVICE}/data"
            assert (await transport.request("POST", path, b"x", {}, 10)).status == 200
            await transport.announce(beat.model_copy(update={"connections": [one] * 40_000}))
    await transport.close()
    assert connections == 1


async def test_the_largest_upload_passes_the_shipped_broker(shipped: Broker) -> None:
    async with centre(shipped, good) as heard, agent(shipped, max_packet="8MiB") as client:
        await client.upload(bytes(1 << 20))
        assert [len(each) for each in heard] == [1 << 20]


async def test_the_brokers_limit_counts_once_it_is_known(shipped: Broker) -> None:
    """The shipped configuration takes 2 MiB; of more the broker would end the connection."""
    async with centre(shipped, good) as heard, agent(shipped, max_packet="8MiB") as client:
        with pytest.raises(BodyTooLarge, match="the broker allow 2093056"):
            await client.exchange("PUT", "/commands/c/artifact", bytes(2 << 20), "application/octet-stream")
        await client.upload(b"x")
        assert heard == [b"x"]


async def test_who_may_not_is_told_and_asks_again_in_minutes(shipped: Broker) -> None:
    """Another device's user: the topics of this one are not its own."""
    async with agent(shipped, user="dev-2") as client:
        with pytest.raises(Refused, match="does not let this device publish"):
            await client.upload(b"x")
    async with agent(shipped, password="wrong") as client:
        with pytest.raises(Refused, match="does not let this device in"):
            await client.upload(b"x")


@asynccontextmanager
async def stranger(hangs_up: bool) -> AsyncIterator[tuple[CentreClient, asyncio.Queue[bytes]]]:
    """A client of a broker that takes connections and never says a word; of each the first byte, and its
    end."""
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.put_nowait(await reader.read(1))
        if not hangs_up:
            await reader.read()
            seen.put_nowait(b"")
        writer.close()

    async with await asyncio.start_server(taken, "127.0.0.1", 0) as server:
        url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = CentreClient(CentralSettings(url=url), DEVICE, Path("/"))
        try:
            yield client, seen
        finally:
            await client.close()


async def test_a_broker_that_hangs_up_is_told_at_once() -> None:
    async with stranger(hangs_up=True) as (client, _):
        began = time.monotonic()
        with pytest.raises(Unreachable, match="closed the link without an answer"):
            await client.upload(b"x")
        assert time.monotonic() - began < 3


async def test_what_is_given_up_while_it_connects_leaves_no_connection_behind() -> None:
    """A broker that was frozen would find all of them when it wakes up."""
    async with stranger(hangs_up=False) as (client, seen), asyncio.timeout(5):
        asking = asyncio.ensure_future(client.upload(b"x"))
        assert await seen.get() == b"\x10", "a CONNECT"
        await client.renew()
        with pytest.raises(Unreachable, match="given up"):
            await asking
        assert await seen.get() == b"", "and the end"


async def test_a_broker_that_lets_in_and_hangs_up_leaves_nothing_behind() -> None:
    """It ends before anybody listens for answers."""
    forgotten: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: forgotten.append(said["message"]))

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\x20\x03\x00\x00\x00")  # CONNACK: welcome
        writer.close()

    async with await asyncio.start_server(taken, "127.0.0.1", 0) as server:
        url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = CentreClient(CentralSettings(url=url), DEVICE, Path("/"))
        with pytest.raises(Unreachable):
            await client.upload(b"x")
        await client.close()
    gc.collect()
    await asyncio.sleep(0)
    assert forgotten == []


async def test_a_broker_that_goes_takes_the_requests_with_it_and_comes_back(
    tmp_path: Path,
) -> None:
    made = await asyncio.to_thread(Broker, tmp_path, [DEVICE])
    try:
        await asyncio.to_thread(made.start)
        async with agent(made, 20.0) as client:
            async with centre(made, nothing) as heard:
                asking = asyncio.ensure_future(client.upload(b"x"))
                async with asyncio.timeout(5):
                    while not heard:
                        await asyncio.sleep(0.01)
                began = time.monotonic()
                await asyncio.to_thread(made.kill)
                with pytest.raises(Unreachable, match="lost"):
                    await asking
                assert time.monotonic() - began < 3
            with pytest.raises(Unreachable):
                await client.upload(b"x")
            await asyncio.to_thread(made.start)
            async with centre(made, good):
                assert (await client.upload(b"x")).acked == [(1, 1)]
    finally:
        await asyncio.to_thread(made.kill)


async def test_a_frozen_broker_costs_a_bounded_time_and_the_connection(tmp_path: Path) -> None:
    made = await asyncio.to_thread(Broker, tmp_path, [DEVICE])
    try:
        await asyncio.to_thread(made.start)
        async with agent(made, 60.0) as client:
            async with centre(made, good):
                await client.upload(b"x")
            made.signal(signal.SIGSTOP)
            began = time.monotonic()
            with pytest.raises(Unreachable, match="did not confirm"):
                await client.upload(b"x")
            assert time.monotonic() - began < 10
            made.signal(signal.SIGCONT)
            async with centre(made, good):
                assert (await client.upload(b"x")).acked == [(1, 1)]
    finally:
        await asyncio.to_thread(made.kill)
