"""MQTT links that go wrong, with a broker that sends what the test says, byte by byte."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contracts.driver import Reading
from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.mqtt.client import MqttDriver
from edge_agent.drivers.mqtt.link import MAX_PACKET_BYTES
from edge_agent.drivers.mqtt.plan import MqttPlan, plan
from edge_agent.drivers.mqtt.settings import MqttConnection
from edge_agent.drivers.mqtt.sparkplug import encode_rebirth
from edge_agent.wire.values import read_value
from tests.contract.driver_bench import SERVED_WITHIN_SECONDS, lost, until

CONNACK = b"\x20\x02\x00\x00"
RESUMED = b"\x20\x02\x01\x00"
Serve = Callable[["Wire"], Awaitable[None]]


class Wire:
    """The broker's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def packet(self) -> tuple[int, bytes]:
        """The next packet: its type, and its body."""
        kind = (await self._reader.readexactly(1))[0] >> 4
        size = shift = 0
        while True:
            byte = (await self._reader.readexactly(1))[0]
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return kind, await self._reader.readexactly(size)

    async def accept(self, connack: bytes = CONNACK) -> None:
        assert (await self.packet())[0] == 1
        self.send(connack)

    async def grant(self) -> None:
        """A subscription of one filter."""
        kind, body = await self.packet()
        assert kind == 8
        self.send(b"\x90\x03" + body[:2] + b"\x01")

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def publish(self, topic: str, payload: str, mid: int = 0, *, dup: bool = False) -> None:
        head = struct.pack(">H", len(topic)) + topic.encode() + (struct.pack(">H", mid) if mid else b"")
        body = head + payload.encode()
        self.send(bytes([0x30 | (2 if mid else 0) | (8 if dup else 0), len(body)]) + body)

    async def gone(self) -> None:
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(1000):
                pass

    def close(self) -> None:
        self._writer.transport.abort()


class Broker:
    """Each connection is served by the next of `turns`, the last one by all that follow."""

    def __init__(self) -> None:
        self.turns: list[Serve] = []
        self.ended = 0
        self.begun = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_stopped = False

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        assert self._server is not None
        self._is_stopped = True
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_stopped:  # the thread that connects was given up, and came late
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        turn = self.turns[min(self.begun, len(self.turns) - 1)]
        self.begun += 1
        wire = Wire(reader, writer)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                await turn(wire)
        finally:
            self.ended += 1
            wire.close()
            self._tasks.discard(task)


class House:
    def __init__(self, broker: Broker, port: int) -> None:
        self.broker = broker
        self.port = port

    def driver(self, groups: int = 1, **transport: Any) -> tuple[MqttDriver, list[MqttPlan]]:
        """Groups g0, g1, … with a tag each, of the topics t0, t1, …"""
        settings = MqttConnection.model_validate(
            {
                "name": "b", "driver": "mqtt",
                "transport": {"host": "127.0.0.1", "port": self.port, "version": "3.1.1", "timeout": "200ms",
                              **transport},
                "groups": [
                    {"name": f"g{n}", "interval": "1s", "tags": [{"name": "t", "topic": f"t{n}"}]}
                    for n in range(groups)
                ],
            }
        )  # fmt: skip
        return MqttDriver(settings), [plan(settings, group) for group in settings.groups]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    broker = Broker()
    yield House(broker, await broker.start())
    await broker.stop()


async def values(driver: MqttDriver, made: MqttPlan, count: int) -> list[Any]:
    """The next so many values of the only tag."""
    found: list[Any] = []
    async with asyncio.timeout(SERVED_WITHIN_SECONDS):
        while len(found) < count:
            found += _values(made, await driver.read(made))
            await asyncio.sleep(0.01)
    return found


def _values(made: MqttPlan, reading: Reading) -> list[Any]:
    return [
        None if part.quality and part.quality[0].null else read_value(made.schema.tags[0], part.row)
        for part in reading.news or ()
    ]


async def test_a_broker_that_hangs_up_before_its_answer_is_told_at_once(house: House) -> None:
    async def turn(wire: Wire) -> None:
        await wire.packet()

    house.broker.turns = [turn]
    driver, _ = house.driver(timeout="5s")
    async with asyncio.timeout(3):
        with pytest.raises(NotConnected, match=r"127\.0\.0\.1.*closed the link without an answer"):
            await driver.connect()


@pytest.mark.parametrize("answers", [True, False])
async def test_a_connecting_that_is_given_up_leaves_no_link_behind(house: House, answers: bool) -> None:
    """It goes on in a thread, and would take the client id away from the next link."""

    async def turn(wire: Wire) -> None:
        if answers:
            await wire.packet()
        await wire.gone()

    house.broker.turns = [turn]
    driver, _ = house.driver(timeout="5s")
    task = asyncio.create_task(driver.connect())
    if answers:
        await until(lambda: house.broker.begun == 1)
    else:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: house.broker.begun == house.broker.ended)
    await driver.close()


async def test_a_packet_without_end_ends_the_link_before_it_is_read(house: House) -> None:
    async def turn(wire: Wire) -> None:
        await wire.accept()
        await wire.grant()
        wire.send(b"\x30\xff\xff\xff\x7f" + b"x" * 1000)
        await wire.gone()

    house.broker.turns = [turn]
    driver, (made,) = house.driver()
    await driver.connect()
    with pytest.raises(NotConnected, match=str(MAX_PACKET_BYTES)):
        await values(driver, made, 1)
    await until(lambda: house.broker.ended == 1)
    await driver.close()


@pytest.mark.parametrize(
    "packet",
    [b"\x30\x01\x00", b"\x32\x03\x00\x01t", b"\xf0\x00", b"\x90\x00", b"\x30\xff\xff\xff\xff\xff"],
)
async def test_a_packet_of_no_sense_ends_the_link_or_is_passed_over(house: House, packet: bytes) -> None:
    async def turn(wire: Wire) -> None:
        await wire.accept()
        await wire.grant()
        wire.send(packet)
        wire.publish("t0", "5")
        await wire.gone()

    house.broker.turns = [turn]
    driver, (made,) = house.driver(keepalive="1s")
    await driver.connect()
    with contextlib.suppress(NotConnected):
        assert await values(driver, made, 1) == [5]
    await driver.close()
    await until(lambda: house.broker.ended == 1)


async def test_a_half_open_link_is_given_up_by_its_keepalive(house: House) -> None:
    async def turn(wire: Wire) -> None:
        await wire.accept()
        await wire.grant()
        await wire.gone()

    house.broker.turns = [turn]
    driver, (made,) = house.driver(keepalive="1s")
    await driver.connect()
    await lost(lambda: _slow(driver, made))
    await driver.close()


async def _slow(driver: MqttDriver, made: MqttPlan) -> Reading:
    await asyncio.sleep(0.05)
    return await driver.read(made)


async def test_what_came_before_a_link_broke_is_handed_over_once(house: House) -> None:
    async def turn(wire: Wire) -> None:
        await wire.accept()
        await wire.grant()
        wire.publish("t0", "1", mid=1)
        wire.publish("t0", "2", mid=2)
        for _ in range(2):
            assert (await wire.packet())[0] == 4

    house.broker.turns = [turn]
    driver, (made,) = house.driver()
    await driver.connect()
    first = _values(made, await driver.read(made))
    await until(lambda: house.broker.ended == 1)
    rest = _values(made, await driver.read(made)) if len(first) < 3 else []
    assert [each for each in first + rest if each is not None] == [1, 2]
    await lost(lambda: driver.read(made))
    await driver.close()


async def test_a_message_that_a_resumed_session_repeats_counts_once(house: House) -> None:
    """Its acknowledgement was lost with the link. The same number without `dup` is another message."""

    async def first(wire: Wire) -> None:
        await wire.accept()
        await wire.grant()
        wire.publish("t0", "1", mid=7)
        await wire.packet()

    async def second(wire: Wire) -> None:
        await wire.accept(RESUMED)
        wire.publish("t0", "1", mid=7, dup=True)
        wire.publish("t0", "2", mid=8, dup=True)
        wire.publish("t0", "1", mid=7)
        await wire.gone()

    house.broker.turns = [first, second]
    driver, (made,) = house.driver(session="persistent", client_id="me")
    await driver.connect()
    assert _values(made, await driver.read(made)) == [1]
    driver.taken(made)
    await lost(lambda: driver.read(made))
    await driver.connect()
    await until(lambda: driver.repeated == 1)
    inbox = driver.inboxes[made]
    await until(lambda: inbox.messages == 3)
    assert _values(made, inbox.take(0.0)) == [2, 1]
    await driver.close()


async def test_a_repetition_is_known_over_more_than_one_broken_link(house: House) -> None:
    async def first(wire: Wire) -> None:
        await wire.accept()
        await wire.grant()
        wire.publish("t0", "1", mid=1)
        wire.publish("t0", "2", mid=2)

    async def second(wire: Wire) -> None:
        await wire.accept(RESUMED)
        wire.publish("t0", "1", mid=1, dup=True)

    async def third(wire: Wire) -> None:
        await wire.accept(RESUMED)
        wire.publish("t0", "1", mid=1, dup=True)
        wire.publish("t0", "2", mid=2, dup=True)
        wire.publish("t0", "3", mid=3)
        await wire.gone()

    house.broker.turns = [first, second, third]
    driver, (made,) = house.driver(session="persistent", client_id="me")
    came: list[Any] = []
    for _ in range(3):
        with contextlib.suppress(NotConnected):
            await driver.connect()
            for _ in range(2):
                came += [each for each in _values(made, await driver.read(made)) if each is not None]
    inbox = driver.inboxes[made]
    await until(lambda: inbox.messages == 3)
    assert came + _values(made, inbox.take(0.0)) == [1, 2, 3]
    await driver.close()


async def test_what_a_session_missed_waits_for_groups_that_have_not_read_yet(house: House) -> None:
    async def turn(wire: Wire) -> None:
        await wire.accept(RESUMED)
        wire.publish("t0", "1", mid=1)
        wire.publish("t1", "2", mid=2)
        wire.publish("elsewhere", "3", mid=3)
        await wire.grant()
        await wire.grant()
        acknowledged.extend([await wire.packet() for _ in range(3)])
        await wire.gone()

    acknowledged: list[tuple[int, bytes]] = []
    house.broker.turns = [turn]
    driver, plans = house.driver(groups=2, session="persistent", client_id="me")
    await driver.connect()
    assert await values(driver, plans[0], 1) == [1]
    driver.taken(plans[0])
    reading = await driver.read(plans[1])
    assert _values(plans[1], reading) == [2]
    assert reading.lost == ("messages of the topic elsewhere: no tag takes it",)
    assert acknowledged == []
    driver.taken(plans[1])
    await until(lambda: len(acknowledged) == 3)
    assert acknowledged == [(4, bytes((0, mid))) for mid in (1, 2, 3)]
    await driver.close()


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_birth_is_asked_for_at_once_and_then_each_half_minute_or_never(
    house: House, allowed: bool
) -> None:
    asked: list[bytes] = []

    async def turn(wire: Wire) -> None:
        await wire.accept()
        await wire.grant()
        while True:
            kind, body = await wire.packet()
            if kind == 3:
                asked.append(body)

    house.broker.turns = [turn]
    settings = MqttConnection.model_validate(
        {
            "name": "b", "driver": "mqtt", "rebirth": allowed,
            "transport": {"host": "127.0.0.1", "port": house.port, "version": "3.1.1", "timeout": "200ms"},
            "groups": [{"name": "g", "interval": "1s", "tags": [{"name": "t", "metric": "g/e/d:m"}]}],
        }
    )  # fmt: skip
    now = [1000.0]
    driver = MqttDriver(settings, lambda: now[0], lambda: 1234)
    made = plan(settings, settings.groups[0])
    await driver.connect()
    await driver.read(made)
    now[0] += 29.9
    await driver.read(made)
    await asyncio.sleep(0.05)
    assert len(asked) == allowed
    now[0] += 0.1
    await driver.read(made)
    if allowed:
        await until(lambda: len(asked) == 2)
        topic = b"spBv1.0/g/NCMD/e"
        assert asked[1] == len(topic).to_bytes(2) + topic + encode_rebirth(1234)
    await driver.close()
    await until(lambda: house.broker.ended == 1)
    assert len(asked) == 2 * allowed


async def test_closing_says_goodbye(house: House) -> None:
    """Else a broker takes it for a failure, and sends the will of who has one."""
    said: list[int] = []

    async def turn(wire: Wire) -> None:
        await wire.accept()
        while True:
            said.append((await wire.packet())[0])

    house.broker.turns = [turn]
    driver, _ = house.driver()
    await driver.connect()
    await driver.close()
    await until(lambda: house.broker.ended == 1)
    assert said == [14]


async def test_a_key_that_is_not_there_is_named(house: House, tmp_path: Path) -> None:
    driver, _ = house.driver(tls={"ca_file": str(tmp_path / "no.pem")})
    with pytest.raises(NotConnected, match=r"no\.pem: there is no such file"):
        await driver.connect()


async def test_another_client_of_the_same_id_is_told_once(house: House) -> None:
    """Two of one id throw each other out for ever, and each gets a part of the messages. MQTT 5, 0x8E."""

    async def thrown_out(wire: Wire) -> None:
        await wire.accept(b"\x20\x03\0\0\0")
        await wire.packet()
        wire.send(b"\xe0\x02\x8e\0")
        await wire.gone()

    async def served(wire: Wire) -> None:
        await wire.accept(b"\x20\x03\0\0\0")
        _, body = await wire.packet()
        wire.send(b"\x90\x04" + body[:2] + b"\0\x01")
        await wire.gone()

    house.broker.turns = [thrown_out, thrown_out, served]
    driver, (made,) = house.driver(version="5", client_id="me")
    for _ in range(2):
        await driver.connect()
        with contextlib.suppress(NotConnected):
            await driver.read(made)
        with pytest.raises(NotConnected, match="taken over"):
            await driver.read(made)
    await driver.connect()
    reading = await driver.read(made)
    assert reading.lost == ("messages while another client had the client_id 'me': give each its own",)
    await driver.close()


@pytest.mark.parametrize("goodbye", [b"", b"\xe0\x02\x8e\0"])
async def test_a_broker_that_hangs_up_right_after_its_answer_is_no_link(house: House, goodbye: bytes) -> None:
    """Subscriptions over it were not confirmed for ever, and nothing built it anew."""

    async def turn(wire: Wire) -> None:
        await wire.accept(b"\x20\x03\0\0\0" + goodbye)

    house.broker.turns = [turn]
    driver, (made,) = house.driver(version="5")

    async def use() -> None:
        await driver.connect()
        for _ in range(2):
            await driver.read(made)

    with pytest.raises(NotConnected, match=r"closed|broke"):
        await use()
    await driver.close()
