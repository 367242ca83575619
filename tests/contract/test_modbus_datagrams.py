"""What is peculiar to UDP: datagrams that are late, repeated, cut short, lost or somebody else's."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from edge_agent.drivers.modbus.client import ModbusDriver
from edge_agent.drivers.modbus.plan import ModbusPlan, plan
from edge_agent.drivers.modbus.settings import ModbusConnection
from edge_agent.drivers.modbus.simulator.faults import Fault, FaultKind
from edge_agent.drivers.modbus.simulator.server import Simulator, SimulatorConfig

TIMEOUT_SECONDS = 0.1


class Bench:
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        tags = [{"name": f"t{number}", "address": f"holding:{number}"} for number in range(10)]
        connection = ModbusConnection.model_validate(
            {
                "name": "plc",
                "groups": [{"name": "g", "interval": "1s", "tags": tags}],
                "transport": {
                    "type": "udp", "host": "127.0.0.1", "port": simulator.ports[0],
                    "timeout": f"{TIMEOUT_SECONDS}s",
                },
            }
        )  # fmt: skip
        self.driver = ModbusDriver(connection)
        self.plan: ModbusPlan = plan(connection, connection.groups[0])

    async def check(self) -> None:
        reading = await self.driver.read(self.plan)
        assert reading.row == b"".join((31 * address).to_bytes(2) for address in range(10)), reading.errors


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Simulator(SimulatorConfig(framing="udp", wall_ms=lambda: 0)) as simulator:
        made = Bench(simulator)
        await made.driver.connect()
        yield made
        await made.driver.close()


async def test_a_repeated_datagram_is_used_once(bench: Bench) -> None:
    bench.simulator.faults.add(Fault(FaultKind.REPEAT))
    for _ in range(5):
        await bench.check()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FaultKind.SILENCE, "no answer within 0.1 s"),
        (FaultKind.WRONG_TRANSACTION, "a reply to transaction .* was discarded"),
        (FaultKind.WRONG_UNIT, "a reply of unit 2 instead of 1 was discarded"),
        (FaultKind.TRUNCATE, "no answer within 0.1 s"),
    ],
)
async def test_a_lost_or_foreign_datagram_costs_a_time_out_and_nothing_else(
    bench: Bench, kind: FaultKind, reason: str
) -> None:
    await bench.check()
    bench.simulator.faults.add(Fault(kind, times=1))
    reading = await bench.driver.read(bench.plan)
    assert reading.unanswered
    assert reading.errors is not None
    assert list(reading.errors) == ["holding 0..9"]
    assert re.search(reason, reading.errors["holding 0..9"]), reading.errors
    for _ in range(3):
        await bench.check()


async def test_a_late_datagram_is_no_answer_to_the_next_request(bench: Bench) -> None:
    bench.simulator.faults.add(Fault(FaultKind.DELAY, seconds=1.5 * TIMEOUT_SECONDS, times=1))
    reading = await bench.driver.read(bench.plan)
    assert reading.unanswered
    for _ in range(8):
        await bench.check()
        await asyncio.sleep(TIMEOUT_SECONDS / 8)
