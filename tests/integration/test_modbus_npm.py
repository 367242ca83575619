"""The Modbus driver against servers from npm: modbus-serial (TCP) and jsmodbus (RTU frames over TCP)."""

import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration import modbus_image as image

SERVER = Path(__file__).parent / "servers" / "npm_modbus.js"


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with subprocess.Popen(["node", str(SERVER)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.terminate()


@pytest.fixture(params=["tcp", "rtu_over_tcp"])
async def station(ports: dict[str, int], request: pytest.FixtureRequest) -> AsyncIterator[image.Station]:
    async with image.Station(ports[request.param], request.param) as made:
        yield made


@pytest.mark.parametrize("order", image.ORDERS)
@pytest.mark.parametrize("area", ["holding", "input"])
async def test_every_type_in_every_order(station: image.Station, area: str, order: str) -> None:
    await image.check_every_type(station, area, order)


@pytest.mark.parametrize("area", ["coil", "discrete"])
async def test_bits(station: image.Station, area: str) -> None:
    await image.check_bits(station, area)


async def test_bits_of_a_register(station: image.Station) -> None:
    await image.check_bits_of_a_register(station)


@pytest.mark.parametrize("area", ["holding", "input"])
async def test_full_requests(station: image.Station, area: str) -> None:
    await image.check_full_requests(station, area)


async def test_a_bad_tag_is_bad_alone(ports: dict[str, int]) -> None:
    """jsmodbus answers fewer registers than were asked for instead of refusing, so TCP only."""
    async with image.Station(ports["tcp"], "tcp") as station:
        await image.check_a_bad_tag_is_bad_alone(station)


async def test_a_reply_with_too_few_registers_is_no_value(ports: dict[str, int]) -> None:
    """What jsmodbus does behind its last register."""
    async with image.Station(ports["rtu_over_tcp"], "rtu_over_tcp") as station:
        made = station.plan([{"name": "r", "address": "holding:399", "type": "uint32"}])
        reading = await station.driver.read(made)
        assert reading.row == b""
        assert reading.unanswered
        assert "announces 2 bytes, not 4" in str(reading.errors)


async def test_a_dead_unit(ports: dict[str, int]) -> None:
    async with image.Station(ports["tcp"], "tcp", timeout="100ms") as station:
        await image.check_a_dead_unit(station)
