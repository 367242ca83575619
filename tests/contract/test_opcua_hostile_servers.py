"""What an OPC UA server may send at once, and what becomes of one that sends more."""

import asyncio
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua.ua.uatypes import Variant, VariantType

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.opcua.bounds import MOST_MESSAGE_BYTES, bounded_client
from edge_agent.drivers.registry import lookup
from tests.contract.opcua_server import OpcUaServer

ENDED_WITHIN_SECONDS = 20.0
HELD_AT_MOST_BYTES = 16 << 20


@pytest.fixture
async def server() -> AsyncIterator[OpcUaServer]:
    made = OpcUaServer({"ns=1;s=a": Variant(b"", VariantType.ByteString)}, datetime.now(UTC))
    await made.start()
    yield made
    await made.stop()


def a_driver(server: OpcUaServer) -> tuple[Any, Any]:
    spec: Any = lookup("opcua")
    settings: Any = spec.settings.model_validate({
        "name": "c",
        "transport": {"url": f"opc.tcp://127.0.0.1:{server.port}", "timeout": "5s"},
        "groups": [
            {"name": "g", "interval": "1s", "mode": "poll", "tags": [{"name": "a", "address": "ns=1;s=a"}]}
        ],
    })  # fmt: skip
    return spec.factory(settings), spec.plan(settings, settings.groups[0])


async def test_a_message_beyond_all_measure_costs_the_link_and_becomes_no_value(server: OpcUaServer) -> None:
    driver, plan = a_driver(server)
    await driver.connect()
    server.values["ns=1;s=a"] = Variant(bytes(MOST_MESSAGE_BYTES), VariantType.ByteString)
    with pytest.raises(NotConnected):
        await driver.read(plan)
    server.values["ns=1;s=a"] = Variant(bytes(MOST_MESSAGE_BYTES // 2), VariantType.ByteString)
    await driver.connect()
    reading = await driver.read(plan)
    assert str(reading.text[0]).startswith("AAAA")
    await driver.close()


async def test_a_chunk_that_never_ends_is_not_held() -> None:
    """Its header announces 4 GB; the library would wait for them, and copy all of it at each packet."""
    sent = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        try:
            writer.write(struct.pack("<3scI", b"MSG", b"F", 0xFFFFFFF0))
            while sent < 4 * HELD_AT_MOST_BYTES:
                writer.write(bytes(1 << 18))
                await writer.drain()
                sent += 1 << 18
        except OSError:
            pass
        finally:
            writer.transport.abort()

    listening = await asyncio.start_server(flood, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    client = bounded_client(f"opc.tcp://127.0.0.1:{port}", ENDED_WITHIN_SECONDS)
    await client.connect_socket()
    with pytest.raises((OSError, EOFError)):
        await client.send_hello()
    listening.close()
    await listening.wait_closed()
    assert sent < HELD_AT_MOST_BYTES
