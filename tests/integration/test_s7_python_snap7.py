"""The S7 driver against the server of python-snap7, which encodes all values with setters of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.wire.quality import Quality
from tests.integration import s7_image as image

SERVER = Path(__file__).parent / "servers" / "python_snap7_server.py"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    command = [sys.executable, str(SERVER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["port"]
        process.stdin.close()


@pytest.mark.parametrize("pdu", [240, 480, 960])
async def test_every_type(port: int, pdu: int) -> None:
    await image.check_every_type(port, pdu)


@pytest.mark.parametrize("pdu", [240, 480, 960])
async def test_long_reads(port: int, pdu: int) -> None:
    await image.check_long_reads(port, pdu)


async def test_a_bad_tag_is_bad_alone(port: int) -> None:
    await image.check_a_bad_tag_is_bad_alone(port)


@pytest.mark.writes
async def test_writes(port: int) -> None:
    await image.check_writes(port)


async def test_who_it_says_it_is(port: int) -> None:
    """Its list of components has no records."""
    found = await image.identity(port)
    assert found is not None
    assert found.product == "6ES7 315-2EH14-0AB0"


async def test_a_list_that_the_cpu_does_not_have_is_bad_alone(port: int) -> None:
    """It does not tell its state (test_s7_node_snap7 has that, and writing bits)."""
    async with image.Cpu(port) as cpu:
        tags = [{"name": "state", "address": "CPU:STATE"}, {"name": "w", "address": "MW20"}]
        plan = cpu.plan(tags)
        reading = await cpu.driver.read(plan)
        assert [plan.schema.tags[run.first].name for run in reading.quality] == ["state"]
        assert reading.quality[0].quality is Quality.BAD_CONFIG
        assert image.values_of(plan, reading)["w"] == 1111
