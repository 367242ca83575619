"""`edge-agent doctor` against real things: TLS servers, a centre, a simulated PLC, a running agent."""

import asyncio
import base64
import contextlib
import shutil
import ssl
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.app.doctor import examine
from edge_agent.contracts.diagnosis import Outcome, Verdict
from edge_agent.demo.children import Child, output_of
from edge_agent.doctor.names import Names
from edge_agent.doctor.resolving import Resolver
from edge_agent.doctor.site import Site
from edge_agent.runtime.paths import SOCKET_NAME
from edge_agent.web.client import LocalClient

CERTIFICATES = Path(__file__).parents[1] / "golden" / "tls"
DEVICE = "press-shop-01"
SOON_SECONDS = 15.0
TAG = {"name": "oil_temp", "address": "holding:100"}


def connection(name: str, port: int, *, unit: int = 1, address: str = "holding:100") -> dict[str, Any]:
    return {
        "name": name,
        "driver": "modbus",
        "transport": {"type": "tcp", "host": "127.0.0.1", "port": port, "unit_id": unit, "timeout": "500ms"},
        "groups": [{"name": "fast", "interval": "200ms", "tags": [{**TAG, "address": address}]}],
    }


def write_config(directory: Path, **sections: Any) -> Path:
    path = directory / "edge-agent.yaml"
    document = {"agent": {"id": DEVICE, "page_listen": None}, **sections}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    path.chmod(0o600)
    return path


def by_subject(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {f"{outcome.check} {outcome.subject}".strip(): outcome for outcome in outcomes}


async def only(path: Path, *names: str) -> Outcome:
    """The one outcome of one check."""
    (outcome,) = await examine(path, names)
    return outcome


# --- TLS -----------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def listening(context: ssl.SSLContext | None, answer: bytes = b"") -> AsyncIterator[int]:
    """A server on a free port that sends `answer` to whoever asks something."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            await reader.read(4096)
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def shows(name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.cert.pem", CERTIFICATES / "localhost.key.pem")
    return context


@pytest.mark.parametrize(
    ("shown", "trusted", "expected", "says"),
    [
        ("issued", True, Verdict.OK, "more days"),
        ("expired", True, Verdict.FAILED, "has expired on 2021-01-01"),
        ("not-yet", True, Verdict.FAILED, "not valid yet, not before 2120-01-01"),
        ("other-name", True, Verdict.FAILED, "it is for central.plant.example"),
        ("issued", False, Verdict.FAILED, "the authority, localhost, that issued"),
        ("localhost", False, Verdict.FAILED, "self-signed"),
    ],
)
async def test_each_certificate_that_is_not_trusted_says_why(
    tmp_path: Path, shown: str, trusted: bool, expected: Verdict, says: str
) -> None:
    ca_file = {"ca_file": str(CERTIFICATES / "localhost.cert.pem")} if trusted else {}
    async with listening(shows(shown)) as port:
        path = write_config(
            tmp_path, central={"url": f"https://127.0.0.1:{port}", "token": "t-12345678", **ca_file}
        )
        outcome = await only(path, "tls")
    assert outcome.verdict is expected, outcome.text
    assert says in outcome.text
    assert bool(outcome.remedies) is (expected is not Verdict.OK)


async def test_a_port_without_tls_is_recognised(tmp_path: Path) -> None:
    async with listening(None, b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        path = write_config(tmp_path, central={"url": f"https://127.0.0.1:{port}", "token": "t-12345678"})
        outcome = await only(path, "tls")
    assert "does not speak TLS" in outcome.text


async def test_a_ca_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    central = {"url": "https://127.0.0.1:1", "token": "t-12345678", "ca_file": "ca.pem"}
    outcome = await only(write_config(tmp_path, central=central), "tls")
    assert "there is no PEM certificate in it" in outcome.text


async def test_a_portal_that_answers_everything_is_not_told_the_token(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n<html>log in!\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    path = write_config(tmp_path, central={"url": f"http://127.0.0.1:{port}", "token": "t-12345678"})
    outcome = await only(path, "centre")
    server.close()
    assert "a web page answers, not the centre" in outcome.text
    assert asked
    assert not any(b"t-12345678" in request for request in asked)


async def test_a_proxy_is_given_its_login_and_says_when_it_wants_another(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy = f"http://op:s%40fe@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for scheme, name in (("http", "centre"), ("https", "tls")):
        central = {"url": f"{scheme}://central.plant.example", "token": "t-12345678", "proxy": proxy}
        outcome = await only(write_config(tmp_path, central=central), name)
        assert "proxy wants a login" in outcome.text
        assert "s@fe" not in outcome.text + str(outcome.remedies)
    server.close()
    assert asked[0].startswith(b"GET http://central.plant.example/api/fleet/health ")
    assert asked[-1].startswith(b"CONNECT central.plant.example:443 ")
    login = base64.b64encode(b"op:s@fe")
    assert all(b"Proxy-Authorization: Basic " + login in request for request in asked)


# --- a whole site --------------------------------------------------------------------------------------


class Plant:
    """A centre, a simulator that has unit 1 alone, and an agent that can be started."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.runtime = Path(tempfile.mkdtemp(prefix="holdfast-doctor-", dir="/dev/shm"))
        self.tokens: dict[str, str] = {}
        self.centre_url = ""
        self.plc = 0

    async def build(self, stack: contextlib.AsyncExitStack) -> None:
        data = str(self.directory / "central")
        for device in (DEVICE, "other"):
            arguments = ("central_sync", "token", "create", "--data", data, "--device", device)
            self.tokens[device] = await output_of(*arguments)
        run = ["central_sync", "run", "--data", data, "--listen", "127.0.0.1:0", "--json"]
        ready = await self._ready(stack, "centre", run)
        self.centre_url = ready["url"]
        simulate = ["edge_agent", "simulate", "modbus", "--port", "0", "--units", "1", "--json"]
        simulate += ["--fault", '{"kind": "exception", "code": 2, "area": "holding", "ranges": [[500, 510]]}']
        self.plc = (await self._ready(stack, "simulator", simulate))["ports"][0]

    async def _ready(
        self, stack: contextlib.AsyncExitStack, name: str, arguments: list[str]
    ) -> dict[str, Any]:
        child = Child(name, arguments, self.directory / f"{name}.log")
        await child.start()
        stack.push_async_callback(child.stop)
        return await child.ready()

    def config(self, token: str = "", **sections: Any) -> Path:
        central = {"url": self.centre_url, "token": token or self.tokens[DEVICE]}
        agent = {"id": DEVICE, "page_listen": None, "runtime_dir": str(self.runtime)}
        given = {"agent": agent, "central": central, "connections": [connection("press1", self.plc)]}
        return write_config(self.directory, **{**given, **sections})

    @contextlib.asynccontextmanager
    async def agent(self, path: Path) -> AsyncIterator[None]:
        child = Child("agent", ["edge_agent", "run", "-c", str(path)], self.directory / "agent.log")
        await child.start()
        try:
            await self._until_connected()
            yield
        finally:
            await child.stop()

    async def _until_connected(self) -> None:
        client = LocalClient(self.runtime / SOCKET_NAME)
        async with asyncio.timeout(SOON_SECONDS):
            while True:
                with contextlib.suppress(Exception):
                    status = await asyncio.to_thread(client.status)
                    if status.connections[0].state == "connected" and status.sinks[0].state == "ok":
                        return
                await asyncio.sleep(0.05)


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    built = Plant(tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, built.runtime)
        await built.build(stack)
        yield built


async def test_a_site_that_works_has_nothing_that_failed(plant: Plant) -> None:
    outcomes = await examine(plant.config())
    assert [outcome.text for outcome in outcomes if outcome.verdict is Verdict.FAILED] == []
    found = by_subject(outcomes)
    assert "as the centre's" in found["clock"].text
    assert "the token is accepted" in found["centre"].text
    assert "a tag read in" in found["connections connection press1"].text
    assert "a durable write takes" in found["disk"].text


async def test_tokens_that_are_not_accepted_are_told_apart(plant: Plant) -> None:
    unknown = await only(plant.config("hf_0123456789ab_" + "x" * 43), "centre")
    other = await only(plant.config(plant.tokens["other"]), "centre")
    assert "not known there or revoked" in unknown.text
    assert "not this device's" in other.text
    for outcome in (unknown, other):
        assert outcome.verdict is Verdict.FAILED
        assert f"central-sync token create --device {DEVICE}" in outcome.remedies[0]


async def test_plcs_that_are_away_silent_or_refuse_are_told_apart(plant: Plant) -> None:
    path = plant.config(
        connections=[
            connection("good", plant.plc),
            connection("away", 1),
            connection("silent", plant.plc, unit=9),
            connection("refuses", plant.plc, address="holding:505"),
        ]
    )
    found = by_subject(await examine(path, ["connections"]))
    good, away, silent, refuses = (
        found[f"connections connection {name}"] for name in ("good", "away", "silent", "refuses")
    )
    assert good.verdict is Verdict.OK
    assert away.findings[-1].elsewhere
    assert "unit 9 does not answer" in silent.text
    assert "unit 1 refuses oil_temp" in refuses.text
    assert not refuses.findings[-1].elsewhere


async def test_beside_a_running_agent_its_view_is_told_and_no_link_opened(plant: Plant) -> None:
    path = plant.config()
    async with plant.agent(path):
        found = by_subject(await examine(path))
        direct = by_subject(await examine(path, ["connections"], direct=True))
    press1 = "connections connection press1"
    assert "connected, says the running agent" in found[press1].text
    assert "in use by the running agent" in found["disk"].text
    assert found["disk"].verdict is not Verdict.FAILED
    assert "a tag read in" in direct[press1].text


# --- machines on which much is broken ------------------------------------------------------------------


async def test_a_name_server_that_never_answers_holds_nobody_up(tmp_path: Path) -> None:
    released = threading.Event()

    def hang(host: str) -> tuple[str, ...]:
        released.wait(30)
        return ()

    site = await asyncio.to_thread(_site_with_names, tmp_path, Resolver(hang, seconds=0.2))
    outcomes: list[Outcome] = []
    began = time.monotonic()
    await Names().run(site, outcomes.append)
    took = time.monotonic() - began
    released.set()
    assert took < 2.0
    assert {outcome.verdict for outcome in outcomes} == {Verdict.FAILED}
    assert all("no name server answered within 0.2 s" in outcome.text for outcome in outcomes)


def _site_with_names(directory: Path, resolver: Resolver) -> Site:
    from edge_agent.app.settings import load_config

    named = [connection(f"plc{number}", 502) for number in range(20)]
    for number, each in enumerate(named):
        each["transport"]["host"] = f"plc{number}.plant.example"
    loaded = load_config(write_config(directory, connections=named))
    return Site(loaded.files[0], {}, loaded.document, resolver=resolver)


async def test_an_invalid_config_fails_and_the_clock_is_looked_at_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.yaml"
    path.write_text("agent: {id: X Y}\nbuffer: [\n")
    found = by_subject(await examine(path))
    assert found["config"].verdict is Verdict.FAILED
    assert found["clock"].verdict is not Verdict.SKIPPED
    skipped = ("disk", "rights", "dns", "tls", "centre", "connections")
    assert {found[name].verdict for name in skipped} == {Verdict.SKIPPED}


async def test_a_directory_that_takes_no_file_and_one_in_memory_are_told(
    tmp_path: Path, plant: Plant
) -> None:
    takes_none = await only(plant.config(buffer={"path": "/proc/self/buffer.db"}), "disk")
    assert "takes no file" in takes_none.text
    assert takes_none.verdict is Verdict.FAILED
    in_memory = await only(plant.config(buffer={"path": str(plant.runtime / "buffer.db")}), "disk")
    assert "in memory, a power cut takes all of it" in in_memory.text


async def test_an_exposed_secret_and_a_port_that_is_not_there_are_told(tmp_path: Path) -> None:
    serial = connection("meter", 1)
    serial["transport"] = {"type": "serial", "port": str(tmp_path / "ttyUSB7")}
    central = {"url": "http://127.0.0.1:1", "token": "t-12345678"}
    path = write_config(tmp_path, connections=[serial], central=central)
    path.chmod(0o644)
    outcome = await only(path, "rights")
    assert "a secret stands in" in outcome.text
    assert f"there is no serial port {tmp_path / 'ttyUSB7'}" in outcome.text
