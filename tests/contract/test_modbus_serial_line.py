"""What is peculiar to a serial line: noise, late replies of several units, one process at a port, no port.

Units on a pseudo-terminal do what a test scripts.
"""

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from edge_agent.contracts.driver import Reading
from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.modbus.client import ModbusDriver
from edge_agent.drivers.modbus.plan import ModbusPlan, plan
from edge_agent.drivers.modbus.settings import ModbusConnection
from tests.contract.modbus_peer import crc, registers

TIMEOUT_SECONDS = 0.2
SOON_SECONDS = 5.0
Answer = Callable[[bytes], bytes]


class Line:
    """The other end of a line. `answers`: what a unit sends for a request; honest where nothing stands."""

    def __init__(self) -> None:
        self._fd, self._other = os.openpty()
        tty.setraw(self._fd)
        os.set_blocking(self._fd, False)
        self.name = os.ttyname(self._other)
        self.answers: dict[int, Answer] = {}
        self.requests: list[tuple[int, float]] = []
        self._buffer = b""
        asyncio.get_running_loop().add_reader(self._fd, self._on_readable)

    def _on_readable(self) -> None:
        self._buffer += os.read(self._fd, 4096)
        while len(self._buffer) >= 8:
            request, self._buffer = self._buffer[:8], self._buffer[8:]
            self.requests.append((request[0], asyncio.get_running_loop().time()))
            self.send(self.answers.get(request[0], honest)(request))

    def send(self, data: bytes) -> None:
        os.write(self._fd, data)

    def unplug(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            os.close(self._other)
            self._fd = -1


def honest(request: bytes, shift: int = 0) -> bytes:
    """Registers hold their own address, and `shift` more."""
    start, count = int.from_bytes(request[2:4]), int.from_bytes(request[4:6])
    frame = bytes((request[0], request[1], 2 * count)) + registers(
        range(start + shift, start + shift + count)
    )
    return frame + crc(frame)


def silent(_request: bytes) -> bytes:
    return b""


class Bench:
    def __init__(self, line: Line, **transport: Any) -> None:
        self.line = line
        groups = [
            {
                "name": f"g{unit}", "interval": "10s", "unit_id": unit,
                "tags": [{"name": f"u{unit}t{n}", "address": f"holding:{100 * unit + n}"} for n in range(10)],
            }
            for unit in (1, 2, 3)
        ]  # fmt: skip
        self.settings = ModbusConnection.model_validate(
            {
                "name": "line", "groups": groups,
                "transport": {
                    "type": "serial", "port": line.name, "baud": 1_000_000,
                    "timeout": f"{TIMEOUT_SECONDS}s", **transport,
                },
            }
        )  # fmt: skip
        self.driver = ModbusDriver(self.settings)
        self.plans = {
            made.unit_id: made for made in (plan(self.settings, each) for each in self.settings.groups)
        }

    async def read(self, unit: int) -> Reading:
        made: ModbusPlan = self.plans[unit]
        async with asyncio.timeout(SOON_SECONDS):
            return await self.driver.read(made)

    async def check(self, *units: int) -> None:
        for unit in units:
            reading = await self.read(unit)
            assert reading.row == registers(range(100 * unit, 100 * unit + 10)), reading.errors


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    line = Line()
    made = Bench(line)
    await made.driver.connect()
    yield made
    await made.driver.close()
    line.unplug()


async def test_units_share_a_line(bench: Bench) -> None:
    for _ in range(3):
        await bench.check(1, 2, 3)
    assert [unit for unit, _ in bench.line.requests] == [1, 2, 3] * 3


async def test_noise_before_and_behind_a_reply_is_passed_over(bench: Bench) -> None:
    bench.line.answers[1] = lambda request: b"\0\xff\x01\x03" + honest(request) + b"\0\0"
    for _ in range(3):
        await bench.check(1, 2)


async def test_an_adapter_that_echoes_is_understood(bench: Bench) -> None:
    bench.line.answers[1] = lambda request: request + honest(request)
    await bench.check(1, 2, 1)


async def test_bytes_that_came_unasked_are_no_answer(bench: Bench) -> None:
    """They are a whole reply, as if by the unit that is asked next."""
    request = bytes((1, 3)) + (100).to_bytes(2) + (10).to_bytes(2) + b"\0\0"
    bench.line.send(honest(request, shift=5000))
    await asyncio.sleep(0)
    await bench.check(1)


async def test_a_silent_unit_holds_up_no_other_and_its_late_reply_is_no_value(bench: Bench) -> None:
    asked: list[bytes] = []

    def late(request: bytes) -> bytes:
        asked.append(request)
        return b""

    bench.line.answers[1] = late
    assert (await bench.read(1)).unanswered
    loop = asyncio.get_running_loop()
    bench.line.answers[1] = honest
    begun = loop.time()
    # It comes while another unit is asked, and again before the unit itself is.
    bench.line.answers[2] = lambda request: honest(asked[0], shift=5000) + honest(request)
    await bench.check(2)
    assert loop.time() - begun < TIMEOUT_SECONDS / 2
    bench.line.send(honest(asked[0], shift=5000))
    await bench.check(1)
    assert bench.line.requests[-1][1] - begun >= 0.9 * TIMEOUT_SECONDS  # it was given time to be quiet


async def test_a_unit_is_left_alone_on_the_next_link_too_where_the_first_ended_meanwhile(
    bench: Bench,
) -> None:
    bench.line.answers[1] = silent
    assert (await bench.read(1)).unanswered
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_outcome(bench.read(1)))
        await asyncio.sleep(0)  # it waits for the unit to fall quiet
        await bench.driver.close()
    assert task.result() == "closed"
    await bench.driver.connect()
    bench.line.answers[1] = honest
    await bench.check(1)
    assert bench.line.requests[-1][1] - begun >= 0.9 * TIMEOUT_SECONDS


async def test_frames_are_kept_apart_by_silence() -> None:
    """At 1,200 baud 3.5 characters take 32 ms."""
    line = Line()
    bench = Bench(line, baud=1200)
    sent: list[float] = []

    def answer(request: bytes) -> bytes:
        sent.append(asyncio.get_running_loop().time())
        return honest(request)

    line.answers = dict.fromkeys((1, 2, 3), answer)
    await bench.driver.connect()
    await bench.check(1, 2, 3)
    gaps = [later - answered for (_, later), answered in zip(line.requests[1:], sent, strict=False)]
    assert all(gap >= 3.5 * 11 / 1200 for gap in gaps), gaps
    await bench.driver.close()
    line.unplug()


async def test_a_port_is_for_one_process(bench: Bench) -> None:
    other = Bench(bench.line)
    with pytest.raises(NotConnected, match="another process or connection uses it"):
        await other.driver.connect()
    await bench.check(1)
    await bench.driver.close()
    await other.driver.connect()
    await other.check(1)
    await other.driver.close()


async def test_an_unplugged_adapter_is_a_lost_link(bench: Bench) -> None:
    await bench.check(1)
    bench.line.unplug()
    with pytest.raises(NotConnected, match=f"{bench.line.name} is gone"):
        await bench.read(1)
    with pytest.raises(NotConnected, match="is the adapter plugged in"):
        await bench.driver.connect()


async def test_unplugging_ends_a_request_under_way(bench: Bench) -> None:
    bench.line.answers[1] = silent
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_outcome(bench.read(1)))
        async with asyncio.timeout(SOON_SECONDS):
            while not bench.line.requests:
                await asyncio.sleep(0.001)
        bench.line.unplug()
    assert "is gone" in task.result()


async def _outcome(read: Any) -> str:
    try:
        return str(await read)
    except NotConnected as error:
        return str(error)


@pytest.mark.parametrize(
    ("transport", "reason"),
    [
        ({"port": "/dev/null"}, "it is no serial port"),
        ({"port": "/dev/ttyNOBODY"}, "there is no such port"),
        ({"rs485": True}, "no RS-485 mode"),
    ],
)
async def test_a_port_that_cannot_be_used_is_named(
    bench: Bench, transport: dict[str, Any], reason: str
) -> None:
    await bench.driver.close()
    other = Bench(bench.line, **transport)
    with pytest.raises(NotConnected, match=reason):
        await other.driver.connect()
