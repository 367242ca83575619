"""The simulated S7 CPU as others use it: python-snap7's client, the command line, orders while it runs."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from snap7.client import Client
from snap7.error import S7ProtocolError

from edge_agent.drivers.s7.simulator.memory import Fixed, counter, timer, word
from edge_agent.drivers.s7.simulator.server import Simulator, SimulatorConfig

TICK = 1_700_000_000
COMMAND = (
    "import argparse, sys;"
    "from edge_agent.drivers.s7.simulator.command import add_arguments, run;"
    "parser = argparse.ArgumentParser(); add_arguments(parser); sys.exit(run(parser.parse_args()))"
)


def still(**more: Any) -> SimulatorConfig:
    return SimulatorConfig(wall_ms=lambda: 1000 * TICK, **more)


def words(db: int, start: int, count: int) -> bytes:
    return b"".join(word("DB", db, at, TICK).to_bytes(2) for at in range(start, start + 2 * count, 2))


def read_all(port: int) -> dict[str, bytes]:
    client = Client()
    client.connect("127.0.0.1", 0, 1, port)
    found = {
        "db": bytes(client.db_read(7, 100, 1000)), "odd": bytes(client.db_read(7, 101, 3)),
        "timers": bytes(client.tm_read(5, 2)), "counters": bytes(client.ct_read(5, 2)),
        "fixed": bytes(client.db_read(8, 0, 4)), "order": client.get_order_code().OrderCode,
    }  # fmt: skip
    client.disconnect()
    return found


async def test_a_client_of_others_reads_what_the_formula_says() -> None:
    fixed = (Fixed("DB", 8, 1, b"\xab\xcd"),)
    async with Simulator(still(fixed=fixed)) as simulator:
        found = await asyncio.to_thread(read_all, simulator.ports[0])
        assert found["db"] == words(7, 100, 500)
        assert found["odd"] == words(7, 100, 2)[1:]
        assert found["timers"] == timer(5, TICK) + timer(6, TICK)
        assert found["counters"] == counter(5, TICK) + counter(6, TICK)
        plain = words(8, 0, 2)
        assert found["fixed"] == plain[:1] + b"\xab\xcd" + plain[3:]
        assert found["order"].startswith(b"6ES7 315-2EH14-0AB0")
        assert simulator.counters.write_requests == 0
        assert simulator.counters.refused == 0


def write_some(port: int) -> bytes:
    client = Client()
    client.connect("127.0.0.1", 0, 1, port)
    try:
        client.db_write(7, 10, bytearray(b"\1\2\3\4"))
        return bytes(client.db_read(7, 8, 8))
    finally:
        client.disconnect()


@pytest.mark.writes
async def test_what_a_client_of_others_writes_lies_over_the_formula_and_is_counted() -> None:
    async with Simulator(still(writable=True)) as simulator:
        plain = words(7, 8, 4)
        found = await asyncio.to_thread(write_some, simulator.ports[0])
        assert found == plain[:2] + b"\1\2\3\4" + plain[6:]
        assert simulator.counters.write_requests == 1


@pytest.mark.writes
async def test_without_being_told_to_it_refuses_writes_and_counts_them() -> None:
    async with Simulator(still()) as simulator:
        with pytest.raises(S7ProtocolError, match="not allowed"):
            await asyncio.to_thread(write_some, simulator.ports[0])
        assert simulator.counters.write_requests == 1
        assert simulator.memory.read("DB", 7, 8, 8, TICK) == words(7, 8, 4)


@asynccontextmanager
async def command(*arguments: str) -> AsyncIterator[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, "--json", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield json.loads(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


async def test_the_command_says_where_it_listens_and_takes_orders(tmp_path: Path) -> None:
    values = tmp_path / "values.json"
    values.write_text('[{"area": "DB", "db": 1, "start": 0, "hex": "41200000"}]')
    arguments = ("--ports", "2", "--control", "0", "--values", str(values), "--db", "1:100")
    async with command(*arguments) as ready:
        assert len(ready["ports"]) == 2
        reader, writer = await asyncio.open_connection("127.0.0.1", ready["control"])

        async def order(line: str) -> dict[str, Any]:
            writer.write(line.encode() + b"\n")
            answer: dict[str, Any] = json.loads(await reader.readline())
            return answer

        port = ready["ports"][1]
        assert await asyncio.to_thread(read_once, port, 4) == b"\x41\x20\0\0"
        assert await asyncio.to_thread(read_once, port, 104) == b""
        assert (await order('{"add": {"kind": "error", "code": 33028}}'))["fault"] == 1
        assert await asyncio.to_thread(read_once, port, 4) == b""
        assert "error" not in await order('{"clear": true}')
        assert await asyncio.to_thread(read_once, port, 4) == b"\x41\x20\0\0"
        stats = await order('{"state": 4}')
        assert (stats["requests"], stats["write_requests"]) == (4, 0)
        assert "earthquake" in (await order('{"add": {"kind": "earthquake"}}'))["error"]
        assert "error" in await order("[1, 2")
        writer.close()


def read_once(port: int, nbytes: int) -> bytes:
    """Empty where the CPU refuses."""
    client = Client()
    client.connect("127.0.0.1", 0, 1, port)
    try:
        return bytes(client.db_read(1, 0, nbytes))
    except Exception:  # noqa: BLE001  (python-snap7 has no one root of its errors)
        return b""
    finally:
        client.disconnect()


async def test_the_command_refuses_what_it_does_not_know() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, "--fault", '{"kind": "earthquake"}', stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"earthquake" in errors


@pytest.mark.parametrize(
    "job",
    [
        "3201000000010002000004", "32010000000100000000 0401120a", "320100000001000e00000401120a100200",
        "32070000000100000000000000", "3205000000010000000000000000", "00000000000000000000000000",
    ],
)  # fmt: skip
async def test_a_request_that_makes_no_sense_is_refused_and_harms_nobody(job: str) -> None:
    """The envelope and the handshake are right, the job is not."""
    async with Simulator(still()) as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.ports[0])
        writer.write(bytes.fromhex("0300001611e00000000100c1020100c2020102c0010a"))
        await reader.readexactly(22)
        writer.write(bytes.fromhex("0300001902f08032010000040000080000f0000001000101e0"))
        await reader.readexactly(27)
        pdu = bytes.fromhex(job)
        writer.write(b"\x03\x00" + (len(pdu) + 7).to_bytes(2) + b"\x02\xf0\x80" + pdu)
        writer.write_eof()
        said = await reader.read()
        assert simulator.counters.refused == 1 or int.from_bytes(said[17:19]) in (0x8104, 0x8500)
        writer.close()
        found = await asyncio.to_thread(read_once, simulator.ports[0], 4)
        assert found == b"".join(word("DB", 1, at, TICK).to_bytes(2) for at in (0, 2))
