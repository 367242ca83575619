"""The simulator as others use it: many ports, faults at run time, the command line."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_agent.drivers.modbus.simulator.faults import Fault, FaultKind
from edge_agent.drivers.modbus.simulator.server import Simulator, SimulatorConfig
from edge_agent.drivers.modbus.simulator.signals import Kind, Signal

SOON_SECONDS = 10.0
READ_TWO = bytes((3, 0, 10, 0, 2))
COMMAND = (
    "import argparse, sys;"
    "from edge_agent.drivers.modbus.simulator.command import add_arguments, run;"
    "parser = argparse.ArgumentParser(); add_arguments(parser); sys.exit(run(parser.parse_args()))"
)


class Client:
    """Asks one PDU at a time over Modbus TCP, byte by byte as the specification says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, pdu: bytes, unit: int = 1) -> bytes:
        """The reply's bytes behind the transaction and protocol ids."""
        self._writer.write(b"\x12\x34\0\0" + (len(pdu) + 1).to_bytes(2) + bytes((unit,)) + pdu)
        async with asyncio.timeout(SOON_SECONDS):
            head = await self._reader.readexactly(6)
            assert head[:4] == b"\x12\x34\0\0"
            return await self._reader.readexactly(int.from_bytes(head[4:6]))


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def still(**values: Any) -> SimulatorConfig:
    """A simulator whose clock stands at tick 1."""
    return SimulatorConfig(wall_ms=lambda: 1000, **values)


async def test_registers_follow_the_formula() -> None:
    async with Simulator(still()) as simulator, client(simulator.ports[0]) as peer:
        assert await peer.ask(READ_TWO, unit=9) == bytes((9, 3, 4)) + (317).to_bytes(2) + (348).to_bytes(2)


async def test_scripted_signals_lie_over_it() -> None:
    config = still(signals=(Signal("holding", 11, Kind.CONSTANT, "int16", low=-2),))
    async with Simulator(config) as simulator, client(simulator.ports[0]) as peer:
        assert (await peer.ask(READ_TWO))[3:] == (317).to_bytes(2) + b"\xff\xfe"


async def test_many_ports_are_one_process() -> None:
    async with Simulator(still(ports=100)) as simulator:
        assert len(set(simulator.ports)) == 100
        for port in (simulator.ports[0], simulator.ports[99]):
            async with client(port) as peer:
                assert len(await peer.ask(READ_TWO)) == 7


# Functions 6, 16, 5, 15 and 22, each at address 10.
ALL_WRITES = [
    bytes((6, 0, 10, 0, 99)),
    bytes((16, 0, 10, 0, 1, 2, 0, 98)),
    bytes((5, 0, 10, 0xFF, 0)),
    bytes((15, 0, 10, 0, 1, 1, 1)),
    bytes((22, 0, 10, 0xFF, 0xF0, 0, 0x05)),
]


@pytest.mark.writes
async def test_writes_are_counted_and_refused() -> None:
    async with Simulator(still()) as simulator, client(simulator.ports[0]) as peer:
        before = await peer.ask(READ_TWO)
        for number, pdu in enumerate(ALL_WRITES, start=1):
            assert await peer.ask(pdu) == bytes((1, pdu[0] | 0x80, 1))
            assert simulator.counters.write_requests == number
        assert await peer.ask(READ_TWO) == before


@pytest.mark.writes
async def test_where_it_was_told_to_it_takes_writes_which_stand_over_the_formulas() -> None:
    async with Simulator(still(writable=True)) as simulator, client(simulator.ports[0]) as peer:
        for pdu in ALL_WRITES[:4]:
            assert await peer.ask(pdu) == bytes((1, *pdu[:5]))
        assert await peer.ask(ALL_WRITES[4]) == bytes((1,)) + ALL_WRITES[4]
        assert (await peer.ask(READ_TWO))[3:5] == (98 & 0xFFF0 | 0x05).to_bytes(2)
        assert (await peer.ask(bytes((1, 0, 10, 0, 1))))[3:] == b"\x01"
        assert simulator.held("holding", 10) == 98 & 0xFFF0 | 0x05
        assert simulator.counters.write_requests == 5


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        (bytes((7,)), 1),
        (bytes((3, 0, 0, 0, 126)), 3),
        (bytes((1, 0, 0, 0x07, 0xD1)), 3),
        (bytes((3, 0, 0, 0, 0)), 3),
        (bytes((4, 0xFF, 0xFF, 0, 2)), 2),
    ],
)
async def test_what_no_station_answers_is_refused(pdu: bytes, code: int) -> None:
    async with Simulator(still()) as simulator, client(simulator.ports[0]) as peer:
        assert await peer.ask(pdu) == bytes((1, pdu[0] | 0x80, code))


async def test_only_the_units_that_exist_answer() -> None:
    async with Simulator(still(units=frozenset({2}))) as simulator, client(simulator.ports[0]) as peer:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await peer.ask(READ_TWO, unit=1)
        assert (await peer.ask(READ_TWO, unit=2))[0] == 2


async def test_faults_come_and_go() -> None:
    async with Simulator(still()) as simulator, client(simulator.ports[0]) as peer:
        number = simulator.faults.add(Fault(FaultKind.EXCEPTION, code=6))
        assert await peer.ask(READ_TWO) == bytes((1, 0x83, 6))
        simulator.faults.remove(number)
        assert len(await peer.ask(READ_TWO)) == 7
        simulator.faults.add(Fault(FaultKind.MISSING, area="holding", ranges=((0, 10),)))
        assert await peer.ask(READ_TWO) == bytes((1, 0x83, 2))


async def test_a_station_takes_its_time_for_one_request_after_the_other() -> None:
    async with Simulator(still(latency_seconds=0.03)) as simulator, client(simulator.ports[0]) as peer:
        loop = asyncio.get_running_loop()
        start = loop.time()
        for _ in range(3):
            await peer.ask(READ_TWO)
        assert loop.time() - start >= 0.09


async def test_a_restart_keeps_the_ports() -> None:
    async with Simulator(still(ports=3)) as simulator:
        ports = simulator.ports
        async with client(ports[1]) as peer:
            await peer.ask(READ_TWO)
            await simulator.stop()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await peer.ask(READ_TWO)
        await simulator.start()
        assert simulator.ports == ports
        async with client(ports[1]) as peer:
            await peer.ask(READ_TWO)


CONFIG = """
agent: {{id: box}}
connections:
  - name: meters
    driver: modbus
    transport: {{type: serial, port: {port}, baud: 115200}}
    groups:
      - {{name: one, interval: 1s, unit_id: 1, tags: [{{name: "a[0..1]", address: "holding:0..1"}}]}}
      - {{name: two, interval: 1s, unit_id: 2, tags: [{{name: b, address: "input:0", type: int32}}]}}
"""


@asynccontextmanager
async def command(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, "--json", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SOON_SECONDS):
            yield process, json.loads(await process.stdout.readline())
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_command_says_where_it_listens_and_takes_orders(tmp_path: Any) -> None:
    signals = tmp_path / "signals.json"
    signals.write_text('[{"area": "holding", "address": 10, "kind": "constant", "low": 7, "count": 2}]')
    async with command("--ports", "2", "--control", "0", "--signals", str(signals)) as (_, ready):
        assert len(ready["ports"]) == 2
        reader, writer = await asyncio.open_connection("127.0.0.1", ready["control"])

        async def order(line: str) -> dict[str, Any]:
            writer.write(line.encode() + b"\n")
            answer: dict[str, Any] = json.loads(await reader.readline())
            return answer

        async with client(ready["ports"][0]) as peer:
            assert (await peer.ask(READ_TWO))[3:] == b"\0\x07\0\x07"
            assert (await order('{"add": {"kind": "exception", "code": 4}}'))["fault"] == 1
            assert await peer.ask(READ_TWO) == bytes((1, 0x83, 4))
            assert "error" not in await order('{"clear": true}')
            assert len(await peer.ask(READ_TWO)) == 7
            stats = await order('{"stats": true}')
            assert (stats["requests"], stats["write_requests"], stats["open"]) == (3, 0, 1)
            assert "earthquake" in (await order('{"add": {"kind": "earthquake"}}'))["error"]
            assert "error" in await order("[1, 2")
        writer.close()


@pytest.mark.parametrize("named", [True, False])
async def test_the_command_serves_a_line_of_its_own(tmp_path: Path, named: bool) -> None:
    """From the words of a config to values, through a port that the command makes."""
    path = tmp_path / "line"
    async with command("--serial", *([str(path)] if named else [])) as (_, ready):
        assert ready["ports"] == []
        assert ready["serial"] == str(path) if named else ready["serial"].startswith("/dev/pts/")
        config = tmp_path / "agent.yaml"
        config.write_text(CONFIG.format(port=ready["serial"]))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edge_agent", "read", "--direct", "--json", "-c", str(config)),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        assert [value["quality"] for value in json.loads(out)] == ["good"] * 3
    assert not path.exists()


async def test_the_command_refuses_what_it_does_not_know() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, "--fault", '{"kind": "earthquake"}', stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"earthquake" in errors


async def test_a_taken_port_is_named_as_such() -> None:
    async with Simulator(still()) as simulator:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", COMMAND, "--port", str(simulator.ports[0]), stderr=asyncio.subprocess.PIPE
        )
        _, errors = await process.communicate()
    assert process.returncode == 3
    assert b"cannot listen" in errors
