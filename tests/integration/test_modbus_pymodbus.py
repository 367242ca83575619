"""The Modbus driver against pymodbus' servers: TCP, UDP, TLS with client certificates, a serial line."""

import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contracts.driver import Identity
from edge_agent.contracts.errors import NotConnected
from tests.integration import modbus_image as image

SERVER = Path(__file__).parent / "servers" / "pymodbus_server.py"
TLS = Path(__file__).parents[1] / "golden" / "tls"
# One pair serves both sides, and is its own authority.
CERT, KEY = str(TLS / "localhost.cert.pem"), str(TLS / "localhost.key.pem")
TRUST = {"ca_file": CERT, "server_name": "localhost"}
CLIENT = {**TRUST, "cert_file": CERT, "key_file": KEY}
TRANSPORTS = ["tcp", "udp", "tls", "serial"]
SOON_SECONDS = 10.0


@contextlib.contextmanager
def server(kind: str, *arguments: str) -> Iterator[int]:
    command = [sys.executable, str(SERVER), kind, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@contextlib.contextmanager
def serial_server(directory: Path) -> Iterator[str]:
    ours, theirs = directory / "ours", directory / "theirs"
    with subprocess.Popen(["socat", *(f"PTY,link={end},raw,echo=0" for end in (ours, theirs))]) as socat:
        try:
            deadline = time.monotonic() + SOON_SECONDS
            while not (ours.exists() and theirs.exists()):
                assert time.monotonic() < deadline, "socat made no serial line"
                time.sleep(0.01)
            with server("serial", str(theirs)):
                yield str(ours)
        finally:
            socat.terminate()


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int | str]]:
    with (
        server("tcp") as tcp,
        server("udp") as udp,
        server("tls", CERT, KEY, CERT) as tls,
        serial_server(tmp_path_factory.mktemp("line")) as serial,
    ):
        yield {"tcp": tcp, "udp": udp, "tls": tls, "serial": serial}


def settings_of(transport: str) -> dict[str, Any]:
    return CLIENT if transport == "tls" else {"baud": 115_200} if transport == "serial" else {}


@pytest.fixture(params=TRANSPORTS)
async def station(
    ports: dict[str, int | str], request: pytest.FixtureRequest
) -> AsyncIterator[image.Station]:
    kind = request.param
    async with image.Station(ports[kind], kind, **settings_of(kind)) as made:
        yield made


@pytest.mark.parametrize("order", image.ORDERS)
@pytest.mark.parametrize("area", ["holding", "input"])
async def test_every_type_in_every_order(station: image.Station, area: str, order: str) -> None:
    await image.check_every_type(station, area, order)


@pytest.mark.parametrize("area", ["coil", "discrete"])
async def test_bits(station: image.Station, area: str) -> None:
    await image.check_bits(station, area)


@pytest.mark.parametrize("area", ["holding", "input"])
async def test_full_requests(station: image.Station, area: str) -> None:
    await image.check_full_requests(station, area)


async def test_a_bad_tag_is_bad_alone(station: image.Station) -> None:
    await image.check_a_bad_tag_is_bad_alone(station)


async def test_a_station_says_who_it_is(station: image.Station) -> None:
    assert await station.driver.identify(1) == Identity("ACME", "P-7", "2.10")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        pytest.param({"server_name": "localhost"}, "certificate is not trusted: self-signed", id="unknown"),
        pytest.param(
            {**CLIENT, "server_name": "press1"}, "not trusted: Hostname mismatch", id="another's name"
        ),
        pytest.param(TRUST, "may want a certificate of this agent", id="no client certificate"),
        pytest.param({"ca_file": "/no/ca.pem"}, r"ca_file /no/ca\.pem: there is no such file", id="no file"),
        pytest.param({"ca_file": KEY}, "no certificate or key in PEM form", id="no certificate"),
        pytest.param({**TRUST, "cert_file": CERT}, r"cert_file .*: no certificate or key", id="no key"),
    ],
)
async def test_a_tls_connection_that_fails_says_why(
    ports: dict[str, int | str], settings: dict[str, str], reason: str
) -> None:
    station = image.Station(ports["tls"], "tls", **settings)
    made = station.plan([{"name": "r", "address": "holding:200"}])
    with pytest.raises(NotConnected, match=reason):
        async with station:
            await station.values(made)


async def test_tls_meets_a_server_without_tls(ports: dict[str, int | str]) -> None:
    station = image.Station(ports["tcp"], "tls", timeout="500ms", **CLIENT)
    with pytest.raises(NotConnected, match=r"127\.0\.0\.1"):
        await station.driver.connect()
