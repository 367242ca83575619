"""The S7 driver against the server of snap7 (C++), by node-snap7 from npm."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import s7_image as image

SERVER = Path(__file__).parent / "servers" / "snap7_server.js"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with subprocess.Popen(["node", str(SERVER)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["port"]
        process.terminate()


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


@pytest.mark.writes
async def test_a_bit_is_written_alone(port: int) -> None:
    await image.check_a_bit_is_written_alone(port)


async def test_who_it_says_it_is(port: int) -> None:
    found = await image.identity(port)
    assert found is not None
    assert found.product == "6ES7 315-2EH14-0AB0 (CPU 315-2 PN/DP)"
    assert found.vendor == "Original Siemens Equipment"
    assert found.revision == "V3.2.6"


async def test_the_state_of_the_cpu(port: int) -> None:
    assert await image.state(port) == 8
