"""`edge-agent simulate xgt` as a program: what it announces, takes and says at its end."""

import asyncio
import sys

import orjson

from edge_agent.drivers.xgt.client import XgtDriver
from edge_agent.drivers.xgt.plan import plan
from edge_agent.drivers.xgt.settings import XgtConnection

SOON_SECONDS = 30.0


async def started(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge_agent", "simulate", "xgt", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_it_tells_its_ports_takes_orders_and_counts_what_is_asked() -> None:
    async with asyncio.timeout(SOON_SECONDS):
        process = await started("--json", "--series", "xgi", "--control", "0", "--tick-ms", "3600000")
        assert process.stdout is not None
        told = orjson.loads(await process.stdout.readline())
        for kind, port in (("tcp", told["ports"][0]), ("udp", told["udp_ports"][0])):
            settings = XgtConnection.model_validate(
                {
                    "name": "plc",
                    "series": "xgi",
                    "transport": {"type": kind, "host": "127.0.0.1", "port": port},
                    "groups": [
                        {"name": "g", "interval": "1s", "tags": [{"name": "t", "address": "status:state"}]}
                    ],
                }
            )
            driver = XgtDriver(settings)
            await driver.connect()
            assert (await driver.read(plan(settings, settings.groups[0]))).row == b"\x01"
            await driver.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", told["control"])
        writer.write(b'{"state": "stop"}\n')
        counted = orjson.loads(await reader.readline())
        writer.close()
        assert (counted["requests"], counted["write_requests"]) == (2, 0)
        process.terminate()
        assert await process.wait() == 0


async def test_wrong_use_is_told() -> None:
    async with asyncio.timeout(SOON_SECONDS):
        process = await started("--fault", '{"kind": "laziness"}')
        _, error = await process.communicate()
        assert process.returncode == 2
        assert b"laziness" in error
