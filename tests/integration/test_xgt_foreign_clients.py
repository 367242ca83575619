"""What clients that others wrote read and write at the simulated PLC, and what our driver does there.

There is no FEnet server that others wrote and that runs here. So the simulator stands between: the packages
pyXGTClient and PyXGT say whether it is a PLC as their authors know PLCs, and what one side writes the other
reads. The two are synchronous, so they work in threads.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from PyXGT.LS import plc_ls
from pyXGTClient.client import XGTClient

from edge_agent.drivers.xgt.client import XgtDriver
from edge_agent.drivers.xgt.plan import plan
from edge_agent.drivers.xgt.settings import XgtConnection
from edge_agent.drivers.xgt.simulator.server import Simulator, SimulatorConfig
from edge_agent.drivers.xgt.write import target
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.values import read_value

SOON_SECONDS = 20.0


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorConfig(wall_ms=lambda: 5000, writable=True)) as made:
        yield made


def settings(simulator: Simulator, tags: dict[str, dict[str, Any]]) -> XgtConnection:
    return XgtConnection.model_validate(
        {
            "name": "plc",
            "transport": {"host": "127.0.0.1", "port": simulator.tcp_port},
            "groups": [
                {
                    "name": "g",
                    "interval": "1s",
                    "tags": [{"name": address, "address": address, **tag} for address, tag in tags.items()],
                }
            ],
        }
    )


async def ours(simulator: Simulator, **tags: dict[str, Any]) -> dict[str, JsonValue]:
    """What our driver reads, by address."""
    made = settings(simulator, tags)
    driver, planned = XgtDriver(made), plan(made, made.groups[0])
    await driver.connect()
    reading = await driver.read(planned)
    await driver.close()
    assert not reading.quality
    edges = planned.schema.edges
    return {
        tag.name: read_value(tag, reading.row[edges[at] : edges[at + 1]])
        for at, tag in enumerate(planned.schema.tags)
    }


async def write(simulator: Simulator, address: str, value: JsonValue, **tag: Any) -> None:
    made = settings(simulator, {address: tag})
    driver = XgtDriver(made)
    await driver.connect()
    await driver.write(target(made, made.groups[0], made.groups[0].tags[0]), value)
    await driver.close()


async def theirs(simulator: Simulator, method: str, *arguments: Any) -> Any:
    """One call of pyXGTClient."""

    def call() -> Any:
        client = XGTClient(host="127.0.0.1", port=simulator.tcp_port, timeout=SOON_SECONDS)
        client.open()
        try:
            return getattr(client, method)(*arguments)
        finally:
            client.close()

    return await asyncio.to_thread(call)


ADDRESSES = ("%DW100", "%DW5000", "%MW3", "%MX2764", "%MX2765", "%DD50", "%DL25", "%MB345", "%TX5", "%TW5")


async def test_another_client_reads_by_name_what_we_read(simulator: Simulator) -> None:
    found = await ours(simulator, **{address: {} for address in ADDRESSES})
    for address in ADDRESSES:
        assert await theirs(simulator, "readData", [address]) == [found[address]], address
    pair = ["%DW100", "%MW3"]
    assert await theirs(simulator, "readData", pair) == [found[address] for address in pair]


async def test_another_client_reads_in_blocks_what_we_read(simulator: Simulator) -> None:
    found = await ours(simulator, **{"%DB200": {"count": 700}})
    assert await theirs(simulator, "readContinuousData", "%DB200", 700) == found["%DB200"]


async def test_a_third_client_reads_the_same(simulator: Simulator) -> None:
    def call(kind: str, names: str) -> Any:
        client = plc_ls("127.0.0.1", simulator.tcp_port)
        try:
            return client.command("XGT", "read", kind, names)
        finally:
            client.conn_class.close()

    found = await ours(simulator, **{address: {} for address in ADDRESSES})
    for kind, names, address in (
        ("word", "D100", "%DW100"), ("bit", "M2764", "%MX2764"), ("dword", "D50", "%DD50"),
        ("lword", "D25", "%DL25"),
    ):  # fmt: skip
        assert await asyncio.to_thread(call, kind, names) == [found[address]], address


@pytest.mark.writes
async def test_what_another_client_writes_we_read(simulator: Simulator) -> None:
    assert await theirs(simulator, "writeData", ["%DW7", "%DW8"], [1000, 2000])
    assert await theirs(simulator, "writeData", ["%MX2764"], [1])
    assert await theirs(simulator, "writeData", ["%MX2765"], [0])
    assert await theirs(simulator, "writeContinuousData", "%MB300", list(struct.pack("<f", 1.5)))
    assert await ours(
        simulator, **{"%DW7": {}, "%DW8": {}, "M172.C": {}, "M172.D": {}, "%MW150": {"type": "float32"}}
    ) == {"%DW7": 1000, "%DW8": 2000, "M172.C": True, "M172.D": False, "%MW150": 1.5}


@pytest.mark.writes
async def test_what_we_write_another_client_reads(simulator: Simulator) -> None:
    await write(simulator, "%DW7", 1234)
    await write(simulator, "M172.C", True)
    await write(simulator, "M172.D", False)
    await write(simulator, "%DW101", -2, type="int32")
    assert await theirs(simulator, "readData", ["%DW7", "%DW101", "%DW102"]) == [1234, 0xFFFE, 0xFFFF]
    assert await theirs(simulator, "readData", ["%MX2764", "%MX2765"]) == [1, 0]
