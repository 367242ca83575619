"""Replies of an XGT PLC that are late, doubled, cut short, of another request or of no sense.

Whatever comes: nothing of it becomes a value, the read ends within its time-out, and the next ones are right.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from edge_agent.contracts.driver import Identity, Reading
from edge_agent.contracts.errors import NotConnected, Unsupported, WriteRefused, WriteUnknown
from edge_agent.drivers.xgt.client import XgtDriver
from edge_agent.drivers.xgt.plan import XgtPlan, plan
from edge_agent.drivers.xgt.settings import XgtConnection
from edge_agent.drivers.xgt.simulator.faults import Fault, FaultKind
from edge_agent.drivers.xgt.simulator.image import word
from edge_agent.drivers.xgt.simulator.server import Simulator, SimulatorConfig
from edge_agent.drivers.xgt.write import target
from edge_agent.wire.quality import Quality, QualityRun, whole

TIMEOUT_SECONDS = 0.1
SOON_SECONDS = 5.0


class Bench:
    def __init__(self, simulator: Simulator, transport: str, *addresses: str, **settings: Any) -> None:
        port = simulator.tcp_port if transport == "tcp" else simulator.udp_port
        tags = [{"name": address, "address": address} for address in addresses or ("%DW5", "%DW6")]
        self.settings = XgtConnection.model_validate(
            {
                "name": "plc",
                "transport": {
                    "type": transport, "host": "127.0.0.1", "port": port,
                    "timeout": f"{TIMEOUT_SECONDS * 1000:g}ms",
                },
                "groups": [{"name": "g", "interval": "1s", "tags": tags}],
                **settings,
            }
        )  # fmt: skip
        self.simulator = simulator
        self.now = 0.0
        self.driver = XgtDriver(self.settings, lambda: self.now)
        self.plan: XgtPlan = plan(self.settings, self.settings.groups[0])

    async def read_once(self) -> Reading:
        async with asyncio.timeout(SOON_SECONDS):
            return await self.driver.read(self.plan)

    async def read(self) -> Reading:
        """Connects first where the driver says that it has no link."""
        try:
            return await self.read_once()
        except NotConnected:
            await self.driver.connect()
            return await self.read_once()

    async def check(self) -> None:
        for _ in range(3):
            reading = await self.read()
            assert not reading.quality, reading
            assert reading.row == words(5, 6)

    def err(self, kind: FaultKind, **details: Any) -> None:
        self.simulator.faults.add(Fault(kind, **{"times": 1, **details}))


def words(*numbers: int) -> bytes:
    return b"".join(word("D", number, 0).to_bytes(2, "little") for number in numbers)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorConfig(wall_ms=lambda: 0, writable=True)) as made:
        yield made


@pytest.fixture(params=["tcp", "udp"])
async def bench(request: pytest.FixtureRequest, simulator: Simulator) -> AsyncIterator[Bench]:
    made = Bench(simulator, request.param)
    await made.driver.connect()
    yield made
    await made.driver.close()


@pytest.mark.parametrize(
    "kind", [FaultKind.WRONG_INVOKE_ID, FaultKind.WRONG_COMPANY, FaultKind.WRONG_CHECKSUM, FaultKind.TRUNCATE]
)
async def test_what_is_no_reply_to_this_request_is_no_answer(bench: Bench, kind: FaultKind) -> None:
    await bench.check()
    bench.err(kind)
    reading = await bench.read_once()
    assert reading.unanswered
    assert reading.quality == whole(2, Quality.BAD_COMM)
    assert reading.row == b""
    await bench.check()


@pytest.mark.parametrize("kind", [FaultKind.WRONG_COMMAND, FaultKind.WRONG_SIZE])
async def test_an_answer_of_another_shape_is_the_devices_fault(bench: Bench, kind: FaultKind) -> None:
    bench.err(kind)
    reading = await bench.read_once()
    assert reading.quality == whole(2, Quality.BAD_DEVICE)
    assert not reading.unanswered
    await bench.check()


async def test_a_doubled_reply_is_taken_once(bench: Bench) -> None:
    bench.err(FaultKind.REPEAT, times=5)
    for _ in range(3):
        await bench.check()


async def test_a_refusal_of_the_frame_is_told_and_not_split(bench: Bench) -> None:
    bench.err(FaultKind.REFUSE, code=0x75)
    before = bench.simulator.counters.requests
    reading = await bench.read_once()
    assert reading.quality == whole(2, Quality.BAD_DEVICE)
    assert reading.errors
    assert "company id" in next(iter(reading.errors.values()))
    assert bench.simulator.counters.requests == before + 1


@pytest.mark.parametrize("kind", [FaultKind.CUT, FaultKind.CUT_WITHIN])
async def test_a_connection_that_breaks_in_a_reply_is_lost(simulator: Simulator, kind: FaultKind) -> None:
    bench = Bench(simulator, "tcp")
    await bench.driver.connect()
    await bench.check()
    bench.err(kind, times=2)  # the driver asks once more over a new one where no reply was begun
    with pytest.raises(NotConnected):
        await bench.read_once()
    simulator.faults.clear()
    await bench.check()
    await bench.driver.close()


async def test_a_plc_that_hangs_up_after_each_reply_is_read_all_the_same(simulator: Simulator) -> None:
    bench = Bench(simulator, "tcp", "%DW5", "%DW6", "%TX1")
    await bench.driver.connect()
    bench.err(FaultKind.CUT_AFTER, times=None)
    for _ in range(3):
        reading = await bench.read_once()
        assert not reading.quality
        assert reading.row[:4] == words(5, 6)
    await bench.driver.close()


async def test_what_was_bad_is_asked_again_after_a_minute(bench: Bench) -> None:
    fault = bench.simulator.faults.add(Fault(FaultKind.REFUSE, code=4, area="D", ranges=((12, 13),)))
    bad = (QualityRun(1, 1, Quality.BAD_CONFIG),)
    reading = await bench.read_once()
    assert reading.quality == bad
    assert reading.row == words(5) + b"\0\0"
    bench.simulator.faults.remove(fault)
    before = bench.simulator.counters.requests
    assert (await bench.read_once()).quality == bad
    assert bench.simulator.counters.requests == before + 1
    bench.now = 61.0
    assert not (await bench.read_once()).quality
    before = bench.simulator.counters.requests
    await bench.check()
    assert bench.simulator.counters.requests == before + 3  # whole again


async def test_the_state_of_the_plc_is_a_tag(simulator: Simulator) -> None:
    bench = Bench(simulator, "tcp", "status:state", "status:cpu", "status:error", "status:version")
    await bench.driver.connect()
    names = [tag.name for tag in bench.plan.schema.tags]

    async def values() -> dict[str, int]:
        reading = await bench.read_once()
        assert not reading.quality
        edges = bench.plan.schema.edges
        return {
            name: int.from_bytes(reading.row[edges[at] : edges[at + 1]], "little")
            for at, name in enumerate(names)
        }

    assert await values() == {
        "status:state": 1, "status:cpu": 4, "status:error": 0, "status:version": 0x327,
    }  # fmt: skip
    simulator.world.state = "error"
    found = await values()
    assert (found["status:state"], found["status:error"]) == (4, 1)
    simulator.world.knows_status = False  # then the header alone tells
    reading = await bench.read_once()
    assert [run.quality for run in reading.quality] == [Quality.BAD_CONFIG]
    assert names[reading.quality[0].first] == "status:version"
    assert await bench.driver.identify(None) == Identity("LS Electric", "XGK CPUE", "")
    simulator.world.knows_status = True
    assert await bench.driver.identify(None) == Identity("LS Electric", "XGK CPUE", "3.39")
    await bench.driver.close()


@pytest.mark.writes
async def test_a_write_is_carried_out_refused_or_unknown(bench: Bench) -> None:
    group = bench.settings.groups[0]
    goal = target(bench.settings, group, group.tags[0])
    await bench.driver.write(goal, 99)
    assert await bench.driver.read_target(goal) == 99
    bench.err(FaultKind.REFUSE, code=4, writes=True)
    with pytest.raises(WriteRefused, match="behind the end"):
        await bench.driver.write(goal, 1)
    for kind in (FaultKind.LOST_REPLY, FaultKind.WRONG_INVOKE_ID, FaultKind.WRONG_COMMAND):
        bench.err(kind, writes=True)
        before = bench.simulator.counters.write_requests
        with pytest.raises(WriteUnknown):
            await bench.driver.write(goal, 2)
        assert bench.simulator.counters.write_requests == before + 1
    bench.err(FaultKind.REFUSE, code=4)
    with pytest.raises(Unsupported):
        await bench.driver.read_target(goal)
    await bench.driver.close()
    with pytest.raises(NotConnected):
        await bench.driver.write(goal, 3)


@pytest.mark.writes
async def test_a_bit_is_written_alone(simulator: Simulator) -> None:
    bench = Bench(simulator, "tcp", "M172.C", series="xgk")
    await bench.driver.connect()
    before = simulator.held("M", 344, 2)
    goal = target(bench.settings, bench.settings.groups[0], bench.settings.groups[0].tags[0])
    was = await bench.driver.read_target(goal)
    await bench.driver.write(goal, not was)
    assert await bench.driver.read_target(goal) is (not was)
    changed = int.from_bytes(before, "little") ^ int.from_bytes(simulator.held("M", 344, 2), "little")
    assert changed == 1 << 12
    await bench.driver.close()
