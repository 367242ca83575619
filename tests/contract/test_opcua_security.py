"""How a client gets in at a server of the library: each policy and mode, logins, and whom it refuses.

One server for all tests of the module, started and stopped by each: its address space takes seconds to make.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua.client.client import Client
from asyncua.ua.uaerrors import UaError
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.opcua.certificates import own_identity, thumbprint
from edge_agent.drivers.opcua.client import OpcUaDriver
from edge_agent.drivers.opcua.security import secure
from edge_agent.drivers.opcua.security_settings import Mode, Policy, SecuritySettings
from edge_agent.drivers.opcua.settings import OpcUaConnection
from edge_agent.drivers.opcua.simulator.server import Identity, Simulator, SimulatorConfig, self_signed
from edge_agent.drivers.opcua.trust_store import TrustStore

SECURED = [(policy, mode) for policy in Policy if policy is not Policy.NONE for mode in Mode]
USER = {"user": "holdfast", "password": "geheim-4711"}


@pytest.fixture(scope="module")
def identity() -> Identity:
    return self_signed(socket.gethostname())


@pytest.fixture(scope="module")
def login() -> Identity:
    return self_signed("operator", uri="urn:plant:operator")


@pytest.fixture(scope="module")
def built() -> Simulator:
    return Simulator(SimulatorConfig(signals=(), changing=False))


@pytest.fixture
def bare(built: Simulator) -> Simulator:
    """Without a certificate, and not started."""
    built.config = SimulatorConfig(signals=(), changing=False)
    return built


@pytest.fixture
async def simulator(bare: Simulator, identity: Identity, login: Identity) -> AsyncIterator[Simulator]:
    bare.config = replace(
        bare.config, identity=identity, users={USER["user"]: USER["password"]},
        user_certificates=frozenset({login.certificate.public_bytes(Encoding.DER)}),
    )  # fmt: skip
    async with bare:
        yield bare


@pytest.fixture
def store(tmp_path: Path) -> TrustStore:
    return TrustStore(tmp_path / "pki")


@pytest.fixture
def trusting(store: TrustStore, identity: Identity) -> TrustStore:
    store.refused(identity.certificate)
    store.accept(thumbprint(identity.certificate))
    return store


def settings(**given: Any) -> SecuritySettings:
    return SecuritySettings.model_validate({"policy": "basic256sha256", **USER, **given})


async def namespaces(
    simulator: Simulator, security: SecuritySettings, store: TrustStore, **more: Any
) -> list[str]:
    """What is read over a link that is made for it. Raises what the link raises."""
    client = Client(simulator.url, timeout=5)
    await secure(client, security, store.directory, **more)
    await client.connect()
    try:
        return await client.get_namespace_array()
    finally:
        await client.disconnect()


async def refusal(simulator: Simulator, security: SecuritySettings, store: TrustStore, **more: Any) -> str:
    with pytest.raises(NotConnected) as refused:
        await namespaces(simulator, security, store, **more)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(("policy", "mode"), SECURED, ids=str)
async def test_each_policy_and_mode_reads(
    simulator: Simulator, trusting: TrustStore, policy: Policy, mode: Mode
) -> None:
    read = await namespaces(simulator, settings(policy=policy, mode=mode), trusting)
    assert read[0] == "http://opcfoundation.org/UA/"


async def test_an_unknown_server_is_refused_until_it_is_accepted(
    simulator: Simulator, store: TrustStore, identity: Identity
) -> None:
    requests = simulator.counters.services.get("CreateSession", 0)
    print_ = thumbprint(identity.certificate)
    text = await refusal(simulator, settings(), store)
    assert text == (
        "the server's certificate is refused: it is not trusted (CN=Holdfast simulator, thumbprint "
        f"{print_}); compare the thumbprint at the server, then run `edge-agent opcua trust accept {print_}`"
    )
    assert simulator.counters.services.get("CreateSession", 0) == requests, "no secret went there"
    command = re.search(r"trust accept (\w+)", text)
    assert command is not None
    store.accept(command[1])
    assert await namespaces(simulator, settings(), store)
    store.reject(print_)
    assert "not trusted" in await refusal(simulator, settings(), store)


async def test_an_expired_server_is_refused_though_accepted(
    simulator: Simulator, trusting: TrustStore
) -> None:
    def later() -> datetime:
        return datetime.now(UTC) + timedelta(days=4000)

    assert "expired" in await refusal(simulator, settings(), trusting, now=later)
    assert await namespaces(simulator, settings(tolerate=["time"]), trusting, now=later)


async def test_without_a_list_any_server_is_taken(simulator: Simulator, store: TrustStore) -> None:
    assert await namespaces(simulator, settings(trust="none"), store)
    assert not (store.directory / "rejected").exists()


async def test_a_wrong_password_is_refused_and_an_anonymous_one_too(
    simulator: Simulator, trusting: TrustStore
) -> None:
    with pytest.raises(Exception, match=r"BadUserAccessDenied|BadIdentityToken"):
        await namespaces(simulator, settings(password="wrong"), trusting)
    text = await refusal(simulator, settings(user=None, password=None), trusting)
    assert text == "the server takes no login by Anonymous; it takes: Certificate, UserName"


async def test_a_certificate_is_a_login(
    simulator: Simulator, trusting: TrustStore, login: Identity, identity: Identity, tmp_path: Path
) -> None:
    def given(who: Identity) -> SecuritySettings:
        cert, key = tmp_path / "user.der", tmp_path / "user.key"
        cert.write_bytes(who.certificate.public_bytes(Encoding.DER))
        key.write_bytes(who.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return settings(user=None, password=None, user_cert_file=str(cert), user_key_file=str(key))

    assert await namespaces(simulator, given(login), trusting)
    with pytest.raises(Exception, match="Bad"):
        await namespaces(simulator, given(identity), trusting)


async def test_a_password_over_an_open_link_is_encrypted_for_a_trusted_server_alone(
    simulator: Simulator, store: TrustStore, identity: Identity
) -> None:
    assert "not trusted" in await refusal(simulator, settings(policy="none"), store)
    store.accept(thumbprint(identity.certificate))
    assert await namespaces(simulator, settings(policy="none"), store)


async def test_a_missing_endpoint_names_those_that_there_are(bare: Simulator, store: TrustStore) -> None:
    async with bare:
        assert await refusal(bare, settings(), store) == (
            "the server has no endpoint with Basic256Sha256 SignAndEncrypt; it has: None None_"
        )


async def test_a_password_goes_in_the_clear_only_where_that_is_allowed(
    bare: Simulator, store: TrustStore
) -> None:
    bare.config = replace(bare.config, users={USER["user"]: USER["password"]})
    async with bare, Tap(bare.port) as tap:
        open_link = {"policy": "none", "trust": "none"}
        text = await refusal(tap.to(bare), settings(**open_link), store)
        assert "the server wants the password in the clear and the link is not encrypted" in text
        assert b"geheim" not in tap.sent
        assert await namespaces(tap.to(bare), settings(**open_link, clear_text="allow"), store)
        assert b"geheim" in tap.sent


async def test_another_server_in_its_place_is_refused(
    bare: Simulator, trusting: TrustStore, identity: Identity
) -> None:
    stranger = self_signed(socket.gethostname())
    bare.config = replace(bare.config, identity=stranger, users={USER["user"]: USER["password"]})
    async with bare:
        assert f"thumbprint {thumbprint(stranger.certificate)}" in await refusal(bare, settings(), trusting)
        assert await namespaces(bare, settings(trust="none"), trusting), "which is why a list is the default"


async def test_who_shows_a_trusted_certificate_without_its_key_gets_no_further(
    bare: Simulator, trusting: TrustStore, identity: Identity
) -> None:
    impostor = Identity(identity.certificate, self_signed().key)
    bare.config = replace(bare.config, identity=impostor, users={USER["user"]: USER["password"]})
    before = bare.counters.services.get("CreateSession", 0)
    async with bare:
        client = Client(bare.url, timeout=0.5)
        await secure(client, settings(), trusting.directory)
        with pytest.raises((OSError, TimeoutError, UaError)):
            await client.connect()
        client.disconnect_socket()
    assert bare.counters.services.get("CreateSession", 0) == before, "not even the user's name went there"


def driver_for(simulator: Simulator, store: TrustStore) -> Any:
    security = {"policy": "basic256sha256", **USER}
    made = OpcUaConnection.model_validate(
        {"name": "press1", "transport": {"url": simulator.url, "timeout": "5s", "security": security}}
    )
    transport = made.transport.kept_in(store.directory.parent)
    return OpcUaDriver(made.model_copy(update={"transport": transport}))


async def test_a_server_that_renewed_its_certificate_is_reached_once_that_is_accepted(
    simulator: Simulator, trusting: TrustStore
) -> None:
    driver = driver_for(simulator, trusting)
    await driver.connect()
    await simulator.stop()
    renewed = self_signed(socket.gethostname())
    simulator.config = replace(simulator.config, identity=renewed)
    await simulator.start()
    with pytest.raises(NotConnected, match="is not trusted"):
        await driver.connect()
    trusting.accept(thumbprint(renewed.certificate))
    await driver.connect()
    await driver.close()


async def test_a_session_is_not_taken_up_at_a_server_that_was_rejected(
    simulator: Simulator, trusting: TrustStore, identity: Identity
) -> None:
    driver = driver_for(simulator, trusting)
    await driver.connect()
    client = driver._link.client
    # The server keeps a session with a subscription when its link is gone.
    await client.create_subscription(60_000)
    trusting.reject(thumbprint(identity.certificate))
    simulator.drop_connections()
    with pytest.raises(NotConnected, match="is not trusted"):
        await driver.connect()
    trusting.accept(thumbprint(identity.certificate))
    await driver.connect()
    assert driver._link.resumed
    await driver.close()


async def test_the_agent_is_known_by_its_own_certificate(simulator: Simulator, trusting: TrustStore) -> None:
    shown: list[tuple[x509.Certificate, str]] = []

    async def look(certificate: x509.Certificate, application: Any) -> None:
        shown.append((certificate, application.ApplicationUri))

    server = simulator._server
    assert server is not None
    server.set_certificate_validator(look)
    try:
        await namespaces(simulator, settings(), trusting)
        await namespaces(simulator, settings(), trusting)
    finally:
        server.iserver.certificate_validator = None
    own = own_identity(trusting.directory)
    assert shown == [(own.certificate, own.application_uri)] * 2


class Tap:
    """A wire to a server that somebody listens to."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent = b""
        self.port = 0

    def to(self, simulator: Simulator) -> Any:
        """The simulator as seen through this wire."""
        return type("Tapped", (), {"url": f"opc.tcp://{simulator.config.host}:{self.port}"})()

    async def __aenter__(self) -> "Tap":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer, keep=True))
                group.create_task(self._pump(far_reader, writer, keep=False))
        finally:
            far_writer.close()
            writer.close()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keep: bool) -> None:
        try:
            while data := await reader.read(65_536):
                if keep:
                    self.sent += data
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()
