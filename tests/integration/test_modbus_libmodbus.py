"""The Modbus driver against libmodbus: TCP, its RTU server on a serial line, and behind a gateway (socat)."""

import contextlib
import re
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration import modbus_image as image
from tests.integration import modbus_writing as writing

SOURCE = Path(__file__).parent / "servers" / "libmodbus_server.c"
SOON_SECONDS = 10.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("libmodbus") / "server"
    subprocess.run(
        [
            "gcc",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-I/usr/include/modbus",
            "-o",
            str(path),
            str(SOURCE),
            "-lmodbus",
        ],
        check=True,
    )
    return path


@contextlib.contextmanager
def running(*command: str, **pipes: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.terminate()


@contextlib.contextmanager
def tcp_server(program: Path) -> Iterator[int]:
    with running(str(program), "tcp", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


@contextlib.contextmanager
def serial_server(program: Path, directory: Path) -> Iterator[Path]:
    """libmodbus on one end of a serial line. Gives the other end."""
    ours, theirs = directory / "ours", directory / "theirs"
    line = [f"PTY,link={end},raw,echo=0" for end in (ours, theirs)]
    with running("socat", *line):
        deadline = time.monotonic() + SOON_SECONDS
        while not (ours.exists() and theirs.exists()):
            assert time.monotonic() < deadline, "socat made no serial line"
            time.sleep(0.01)
        with running(str(program), "rtu", str(theirs), stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"0\n"
            yield ours


@contextlib.contextmanager
def rtu_server(program: Path, directory: Path) -> Iterator[int]:
    """A gateway that passes bytes through from TCP to a serial line with libmodbus."""
    with serial_server(program, directory) as ours:
        # One client at a time, or two would share the replies of the line.
        gateway = [
            "TCP-LISTEN:0,bind=127.0.0.1,fork,reuseaddr,max-children=1",
            f"FILE:{ours},raw,echo=0",
        ]
        with running("socat", "-d", "-d", "-t", "0.01", *gateway, stderr=subprocess.PIPE) as bridge:
            assert bridge.stderr is not None
            for text in bridge.stderr:
                if match := re.search(rb"listening on .*:(\d+)", text):
                    yield int(match[1])
                    return


@pytest.fixture(scope="module")
def ports(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int | str]]:
    gateway, line = tmp_path_factory.mktemp("gateway"), tmp_path_factory.mktemp("line")
    with (
        tcp_server(program) as tcp,
        rtu_server(program, gateway) as rtu,
        serial_server(program, line) as port,
    ):
        yield {"tcp": tcp, "rtu_over_tcp": rtu, "serial": str(port)}


@pytest.fixture(params=["tcp", "rtu_over_tcp", "serial"])
async def station(
    ports: dict[str, int | str], request: pytest.FixtureRequest
) -> AsyncIterator[image.Station]:
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


async def test_a_bad_tag_is_bad_alone(station: image.Station) -> None:
    await image.check_a_bad_tag_is_bad_alone(station)


@pytest.mark.parametrize("transport", ["rtu_over_tcp", "serial"])
async def test_a_dead_unit(ports: dict[str, int | str], transport: str) -> None:
    """On TCP libmodbus answers for every unit; on a line it answers for its own alone."""
    async with image.Station(ports[transport], transport, timeout="200ms") as station:
        await image.check_a_dead_unit(station)


@pytest.mark.parametrize("transport", ["tcp", "serial"])
async def test_a_station_that_does_not_say_who_it_is_reads_on(
    ports: dict[str, int | str], transport: str
) -> None:
    """libmodbus refuses function 43 on TCP after half a second, and does not answer it on a line.

    It takes nothing else meanwhile, which is why short pauses between polls are left alone.
    """
    async with image.Station(ports[transport], transport) as station:
        assert await station.driver.identify(1) is None
        await image.check_full_requests(station, "holding")


@pytest.mark.parametrize("transport", ["tcp", "rtu_over_tcp", "serial"])
async def test_it_holds_what_was_written(ports: dict[str, int | str], transport: str) -> None:
    """Functions 5, 6, 15, 16, and 22 where the line lets its reply be told from an echo."""
    async with image.Station(ports[transport], transport) as station, writing.put_back(station, transport):
        for order in image.ORDERS:
            await writing.check_every_type(station, transport, order)
        await writing.check_text_and_arrays(station, transport)
        await writing.check_coils(station, transport)
        if transport != "serial":
            await writing.check_bits_of_a_register(station, transport)
        await writing.check_several_registers_where_one_would_do(station, transport)
        await writing.check_what_is_not_there(station, transport)
    async with image.Station(ports[transport], transport) as station:
        await image.check_bits(station, "coil")
        await image.check_full_requests(station, "holding")
