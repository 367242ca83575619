"""The S7 driver and CPUs that refuse, grant less, answer oddly or break off."""

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from edge_agent.contracts.driver import Reading
from edge_agent.contracts.errors import NotConnected, Unsupported, WriteRefused, WriteUnknown
from edge_agent.drivers.halving import PROBES_PER_READ
from edge_agent.drivers.s7 import SPEC
from edge_agent.drivers.s7.client import S7Driver
from edge_agent.drivers.s7.plan import S7Plan, plan
from edge_agent.drivers.s7.settings import S7Connection
from edge_agent.drivers.s7.simulator.faults import Fault, FaultKind
from edge_agent.drivers.s7.simulator.memory import Fixed, word
from edge_agent.drivers.s7.simulator.server import Simulator, SimulatorConfig
from edge_agent.drivers.s7.simulator.station import Counters
from edge_agent.wire.quality import Quality, whole
from tests.contract.driver_bench import lost, until

WORDS = 400


class Bench:
    """A driver beside a simulator whose clock stands still."""

    def __init__(self, simulator: Simulator, **transport: Any) -> None:
        self.simulator = simulator
        tags = [{"name": f"t{index}", "address": f"DB1.DBW{2 * index}"} for index in range(WORDS)]
        self.connection = S7Connection.model_validate(
            {
                "name": "cpu",
                "driver": "s7",
                "transport": {
                    "host": "127.0.0.1", "port": simulator.ports[0], "timeout": "100ms", **transport,
                },
                "groups": [{"name": "g", "interval": "1s", "tags": tags}],
            }
        )  # fmt: skip
        self.driver = S7Driver(self.connection)
        self.plan: S7Plan = plan(self.connection, self.connection.groups[0])

    async def read(self) -> Reading:
        return await self.driver.read(self.plan)

    def fault(self, kind: FaultKind, **more: Any) -> None:
        self.simulator.faults.add(Fault(kind, **more))

    async def heals(self) -> None:
        """After the fault every value is right again, on this link or on a new one."""
        self.simulator.faults.clear()
        for _ in range(3):
            try:
                reading = await self.read()
            except NotConnected:
                await self.driver.connect()
                continue
            if not reading.quality:
                break
        assert reading.row == ROW
        assert not reading.quality


ROW = b"".join(word("DB", 1, 2 * index, 0).to_bytes(2) for index in range(WORDS))


async def bench_of(config: SimulatorConfig, **transport: Any) -> AsyncIterator[Bench]:
    async with Simulator(config) as simulator:
        made = Bench(simulator, **transport)
        yield made
        await made.driver.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async for made in bench_of(SimulatorConfig(wall_ms=lambda: 0)):
        await made.driver.connect()
        yield made


@pytest.mark.parametrize("granted", [112, 240, 480, 960])
async def test_a_cpu_that_grants_less_gets_more_requests_and_the_row_is_the_same(granted: int) -> None:
    async for bench in bench_of(SimulatorConfig(pdu=granted, wall_ms=lambda: 0)):
        await bench.driver.connect()
        assert (await bench.read()).row == ROW
        assert bench.simulator.counters.requests == len(bench.plan.layout(min(granted, 480)).requests)
        assert bench.simulator.counters.refused == 0


async def test_a_cpu_whose_messages_are_too_short_is_not_read() -> None:
    async for bench in bench_of(SimulatorConfig(pdu=64)):
        with pytest.raises(NotConnected, match="64 bytes"):
            await bench.driver.connect()


async def test_a_wrong_slot_is_named_as_what_it_may_be() -> None:
    async for bench in bench_of(SimulatorConfig(tsaps=frozenset({b"\x02\x02"}))):
        with pytest.raises(NotConnected, match="rack, slot"):
            await bench.driver.connect()
    async for bench in bench_of(SimulatorConfig(tsaps=frozenset({b"\x02\x02"})), slot=2):
        await bench.driver.connect()


async def test_a_cpu_that_says_nothing_in_the_handshake_is_named() -> None:
    async for bench in bench_of(SimulatorConfig()):
        bench.fault(FaultKind.SILENCE)
        with pytest.raises(NotConnected, match=re.escape("no answer within 0.1 s")):
            await bench.driver.connect()


@pytest.mark.parametrize(
    ("code", "quality", "said"),
    [
        (0x8104, Quality.BAD_CONFIG, "PUT/GET"),
        (0x8304, Quality.BAD_CONFIG, "PUT/GET"),
        (0xD241, Quality.BAD_CONFIG, "password"),
        (0x8404, Quality.BAD_DEVICE, "0x8404"),
        (0x8500, Quality.BAD_DEVICE, "smaller pdu"),
        (0x1234, Quality.BAD_DEVICE, "0x1234"),
    ],
)
async def test_a_cpu_that_refuses_everything_says_why(
    bench: Bench, code: int, quality: Quality, said: str
) -> None:
    bench.fault(FaultKind.ERROR, code=code)
    reading = await bench.read()
    assert reading.row == b""
    assert reading.quality == whole(WORDS, quality)
    assert not reading.unanswered
    assert reading.errors
    assert all(said in text for text in reading.errors.values())
    await bench.heals()


@pytest.mark.parametrize(
    ("code", "quality", "said"),
    [
        (0x01, Quality.BAD_DEVICE, "hardware"),
        (0x03, Quality.BAD_CONFIG, "optimized block access"),
        (0x05, Quality.BAD_CONFIG, "shorter"),
        (0x06, Quality.BAD_CONFIG, "not supported"),
        (0x07, Quality.BAD_CONFIG, "inconsistent"),
        (0x0A, Quality.BAD_CONFIG, "no such block"),
    ],
)
async def test_a_range_that_is_refused_is_bad_alone_and_says_why(
    bench: Bench, code: int, quality: Quality, said: str
) -> None:
    bench.fault(FaultKind.ITEM, code=code, area="DB", db=1, start=100, end=102)
    for _ in range(2):
        reading = await bench.read()
        assert [(run.first, run.count, run.quality) for run in reading.quality] == [(50, 1, quality)]
        assert reading.row == ROW[:100] + b"\0\0" + ROW[102:]
        assert reading.errors is not None
        assert list(reading.errors) == ["DB1.DBB100..101"]
        assert said in reading.errors["DB1.DBB100..101"]


async def test_a_whole_block_that_is_not_there_is_learnt_within_few_reads(bench: Bench) -> None:
    bench.fault(FaultKind.ITEM, code=0x0A, area="DB", db=1)
    for _ in range(4):
        reading = await bench.read()
    assert reading.quality == whole(WORDS, Quality.BAD_CONFIG)
    before = bench.simulator.counters.requests
    await bench.read()
    assert bench.simulator.counters.requests == before
    bench.simulator.drop_connections()
    await until(lambda: not bench.simulator.connections)
    await lost(bench.read)
    await bench.driver.connect()
    await bench.heals()


async def test_asking_again_what_is_refused_is_spread_over_reads() -> None:
    """A missing block of many tags must not hold up the connection once a minute."""
    clock = [0.0]
    async for bench in bench_of(SimulatorConfig(blocks={2: 100}, pdu=112, wall_ms=lambda: 0)):
        tags = [{"name": f"t{at}", "address": f"DB1.DBW{2 * at}"} for at in range(1000)]
        group = {"name": "many", "interval": "1s", "tags": tags}
        connection = S7Connection.model_validate({**bench.connection.model_dump(), "groups": [group]})
        driver, many = S7Driver(connection, lambda: clock[0]), plan(connection, connection.groups[0])
        counters = bench.simulator.counters
        await driver.connect()
        costs = []
        for _ in range(30):
            before = counters.requests
            reading = await driver.read(many)
            costs.append(counters.requests - before)
        assert reading.quality == whole(1000, Quality.BAD_CONFIG)
        assert costs[-1] == 0
        clock[0] = 60.0
        before = counters.requests
        await driver.read(many)
        assert counters.requests - before == PROBES_PER_READ
        await driver.close()


async def test_a_reply_that_comes_twice_is_taken_once(bench: Bench) -> None:
    bench.fault(FaultKind.REPEAT)
    for _ in range(3):
        assert (await bench.read()).row == ROW


async def test_a_reply_to_another_job_is_no_value(bench: Bench) -> None:
    bench.fault(FaultKind.WRONG_REFERENCE)
    reading = await bench.read()
    assert reading.unanswered
    assert reading.row == b""
    await bench.heals()


async def test_a_reply_that_is_too_short_is_no_value(bench: Bench) -> None:
    bench.fault(FaultKind.WRONG_LENGTH)
    reading = await bench.read()
    assert reading.quality == whole(WORDS, Quality.BAD_DEVICE)
    await bench.heals()


@pytest.mark.parametrize("kind", [FaultKind.TRUNCATE, FaultKind.GARBAGE])
async def test_a_stream_that_breaks_off_or_is_no_s7_is_no_value(bench: Bench, kind: FaultKind) -> None:
    bench.fault(kind)
    reading = await bench.read()
    assert reading.unanswered
    assert reading.quality == whole(WORDS, Quality.BAD_COMM)
    await bench.heals()


@pytest.mark.parametrize("kind", [FaultKind.CUT, FaultKind.CUT_WITHIN])
async def test_a_connection_that_ends_is_reported_at_once(bench: Bench, kind: FaultKind) -> None:
    bench.fault(kind)
    with pytest.raises(NotConnected):
        await bench.read()
    await bench.heals()


async def test_who_it_is_takes_several_messages_where_they_are_short() -> None:
    async for bench in bench_of(SimulatorConfig(pdu=112, wall_ms=lambda: 0)):
        await bench.driver.connect()
        found = await bench.driver.identify(None)
        assert found is not None
        assert found.product == "6ES7 315-2EH14-0AB0 (CPU 315-2 PN/DP)"
        assert found.revision == "V3.2.6"
        assert (await bench.read()).row == ROW


@pytest.mark.parametrize(("jobs", "connections"), [(4, 1), (1, 2)])
async def test_a_late_answer_costs_the_link_only_where_the_cpu_takes_one_job(
    jobs: int, connections: int
) -> None:
    async for bench in bench_of(SimulatorConfig(jobs=jobs, wall_ms=lambda: 0)):
        await bench.driver.connect()
        for _ in range(3):
            bench.fault(FaultKind.DELAY, seconds=0.15, times=1)
            assert (await bench.read()).unanswered
            await bench.heals()
            if jobs == 1:
                break
        assert bench.simulator.counters.connections == connections


async def test_a_cancelled_request_costs_no_link_where_the_cpu_answers_it_yet() -> None:
    """What is asked in a pause is cancelled when the pause ends (contracts.driver.Identifying)."""
    async for bench in bench_of(SimulatorConfig(jobs=1, wall_ms=lambda: 0)):
        await bench.driver.connect()
        counters = bench.simulator.counters
        for seconds in (0.0, 0.05):
            before = counters.requests
            bench.fault(FaultKind.DELAY, seconds=seconds, times=1)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(bench.driver.identify(None))
                await until(partial(has_more, counters, before))
                task.cancel()
            assert (await bench.read()).row == ROW
        assert counters.connections == 1


def has_more(counters: Counters, requests: int) -> bool:
    return counters.requests > requests


def target_of(bench: Bench, address: str) -> Any:
    group = {"name": "out", "interval": "1s", "tags": [{"name": "set", "address": address}]}
    connection = S7Connection.model_validate({**bench.connection.model_dump(), "groups": [group]})
    assert SPEC.target is not None
    return SPEC.target(connection, connection.groups[0], connection.groups[0].tags[0])


@pytest.mark.writes
@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (Fault(FaultKind.ERROR, code=0x8104), WriteRefused, "PUT/GET"),
        (Fault(FaultKind.ERROR, code=0x8500), WriteRefused, "0x8500"),
        (Fault(FaultKind.ITEM, code=0x0A), WriteRefused, "no such block"),
        (Fault(FaultKind.ITEM, code=0x01), WriteUnknown, "hardware fault"),
        (Fault(FaultKind.WRONG_REFERENCE), WriteUnknown, "no answer"),
        (Fault(FaultKind.CUT_WITHIN), WriteUnknown, "closed"),
        (Fault(FaultKind.CUT), WriteUnknown, "closed|broke|reset"),
    ],
)
async def test_what_becomes_of_a_write_is_told(fault: Fault, error: type[Exception], said: str) -> None:
    async for bench in bench_of(SimulatorConfig(writable=True, wall_ms=lambda: 0)):
        await bench.driver.connect()
        bench.simulator.faults.add(fault)
        with pytest.raises(error, match=said):
            await bench.driver.write(target_of(bench, "DB9.DBW0"), 1)
        assert bench.simulator.counters.write_requests == 1
        await bench.heals()


async def test_what_cannot_be_read_back_says_why(bench: Bench) -> None:
    target = target_of(bench, "DB9.DBW0")
    bench.fault(FaultKind.ITEM, code=0x0A)
    with pytest.raises(Unsupported, match="no such block"):
        await bench.driver.read_target(target)
    bench.simulator.faults.clear()
    bench.fault(FaultKind.ERROR, code=0x8104)
    with pytest.raises(Unsupported, match="PUT/GET"):
        await bench.driver.read_target(target)
    await bench.heals()


@pytest.mark.writes
async def test_a_text_longer_than_the_program_declared_is_not_written_over_its_neighbours() -> None:
    """The tag says 254 characters, as it does where no length is given; the CPU's string holds five."""
    fixed = (Fixed("DB", 9, 0, b"\5\0"),)
    async for bench in bench_of(SimulatorConfig(writable=True, wall_ms=lambda: 0, fixed=fixed)):
        await bench.driver.connect()
        target = target_of(bench, "DB9.DBB0:STRING")
        before = bench.simulator.memory.read("DB", 9, 0, 300, 0)
        with pytest.raises(WriteRefused, match="declared 5"):
            await bench.driver.write(target, "longer")
        assert bench.simulator.counters.write_requests == 0
        assert bench.simulator.memory.read("DB", 9, 0, 300, 0) == before
        await bench.driver.write(target, "short")
        assert await bench.driver.read_target(target) == "short"


async def test_a_text_in_two_replies_is_uncertain_and_one_in_a_single_reply_good() -> None:
    fixed = (Fixed("DB", 1, 0, b"\xfe\2ab"), Fixed("DB", 1, 300, b"\x14\2cd"))
    async for bench in bench_of(SimulatorConfig(pdu=240, wall_ms=lambda: 0, fixed=fixed)):
        tags = [
            {"name": "long", "address": "DB1.DBB0:STRING[254]"},
            {"name": "short", "address": "DB1.DBB300:STRING[20]"},
        ]
        group = {"name": "texts", "interval": "1s", "tags": tags}
        connection = S7Connection.model_validate({**bench.connection.model_dump(), "groups": [group]})
        texts = plan(connection, connection.groups[0])
        await bench.driver.connect()
        reading = await bench.driver.read(texts)
        assert reading.text == ("ab", "cd")
        assert reading.errors is None
        (run,) = reading.quality
        assert (texts.schema.tags[run.first].name, run.count) == ("long", 1)
        assert (run.quality, run.null) == (Quality.UNCERTAIN, False)
