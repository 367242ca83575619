"""The simulated server: asyncua's, with faults on demand and counters of what it was asked."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

from asyncua import ua as library
from asyncua.common.utils import Buffer
from asyncua.crypto import cert_gen
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.server import Server
from asyncua.server.uaprocessor import UaProcessor
from asyncua.server.user_managers import UserManager
from asyncua.ua.ua_binary import nodeid_from_binary
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from edge_agent.drivers.opcua.simulator.nodes import Nodes
from edge_agent.drivers.opcua.simulator.signals import Signal, signals
from edge_agent.drivers.write_tally import tell_write

ua: Any = library
APPLICATION_URI: Final = "urn:holdfast:simulator:server"
_SECURED: Final = tuple(
    getattr(ua.SecurityPolicyType, f"{policy}_{mode}")
    for policy in ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
    for mode in ("SignAndEncrypt", "Sign")
)
_WRITE: Final = ua.ObjectIds.WriteRequest_Encoding_DefaultBinary
_NAMES: Final[dict[int, str]] = {
    getattr(ua.ObjectIds, f"{name}Request_Encoding_DefaultBinary"): name
    for name in (
        "Read", "Write", "Browse", "BrowseNext", "Publish", "Call", "CreateSession", "ActivateSession",
        "CreateSubscription", "ModifySubscription", "DeleteSubscriptions", "CreateMonitoredItems",
        "ModifyMonitoredItems", "DeleteMonitoredItems", "GetEndpoints", "Republish", "RegisterNodes",
    )
}  # fmt: skip


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Identity:
    """The server's own certificate and key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


def self_signed(host: str = "localhost", uri: str = APPLICATION_URI, days: int = 3650) -> Identity:
    """A new identity for a server on `host`."""
    key = cert_gen.generate_private_key()
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri), x509.DNSName(host)]
    certificate = cert_gen.generate_self_signed_app_certificate(
        key, "Holdfast simulator", {}, names, [ExtendedKeyUsageOID.SERVER_AUTH], days
    )
    return Identity(certificate, key)


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """items: how many variables in `Items`. identity: absent, the server has no secured endpoints. users: by
    name, their passwords; where there are any, or certificates, nobody else gets in. user_certificates: DER,
    of logins. open: whether there is an endpoint without security. latency_seconds: what each request takes,
    one after the other on each connection. changing: false, the values stand still. writable: variables in
    `Settings` take writes; else they are refused, as all others are.
    """

    host: str = "127.0.0.1"
    port: int = 0
    items: int = 100
    tick_ms: int = 1000
    latency_seconds: float = 0.0
    identity: Identity | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    user_certificates: frozenset[bytes] = frozenset()
    open: bool = True
    changing: bool = True
    writable: bool = False
    signals: tuple[Signal, ...] | None = None
    wall_ms: Callable[[], int] = field(default=_wall_ms)


@dataclass(slots=True)
class Counters:
    """Requests by service since the beginning, and requests to write among them."""

    requests: int = 0
    writes: int = 0
    services: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Faults:
    """latency_seconds: of each request. silent: no answer to Publish is sent any more; those that were asked
    for meanwhile are gone for good, as with a subscription that has died. deaf: no request is answered."""

    latency_seconds: float = 0.0
    silent: bool = False
    deaf: bool = False


class Simulator:
    """`async with Simulator(config) as simulator:` starts and stops it.

    After a stop it may be started again, on the same port and with the same certificate: a server that has
    lost its sessions and subscriptions. What `config` says of security may be another one then.
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        self.config = config or SimulatorConfig()
        self.counters = Counters()
        self.faults = Faults(self.config.latency_seconds)
        self.signals = signals(self.config.items) if self.config.signals is None else self.config.signals
        self.port = self.config.port
        self._server: _Server | None = None
        self._nodes = Nodes(self.signals, self.config.tick_ms, writable=self.config.writable)
        self._clock: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"opc.tcp://{self.config.host}:{self.port}"

    @property
    def protocols(self) -> list["_Protocol"]:
        """The connections that are open."""
        server = self._server
        found = [] if server is None or server.bserver is None else server.bserver.clients
        return [each for each in found if isinstance(each, _Protocol)]

    def tick(self) -> int:
        return self.config.wall_ms() // self.config.tick_ms

    async def start(self) -> None:
        """Raises OSError where the port is taken."""
        if self._server is None:
            self._server = await self._built()
        elif self.config.changing:
            await self._bring(self._server, self._nodes.values(0, self.tick()))
        await self._server.secure(self.config)
        listener = await self._server.listen(self.config.host, self.port)
        self.port = listener.port
        if self.config.changing:
            self._clock = asyncio.create_task(self._change(self._server))

    async def _built(self) -> "_Server":
        """Making the address space takes seconds, so it outlives restarts."""
        config = self.config
        server = _Server(self)
        server.set_endpoint(f"opc.tcp://{config.host}:{self.port}")
        server.disable_clock()
        await server.init()
        await server.set_application_uri(APPLICATION_URI)
        server.set_server_name("Holdfast simulator")
        await self._nodes.build(server, self.tick())
        await server.iserver.start()
        return server

    async def stop(self) -> None:
        clock, self._clock = self._clock, None
        if clock is not None:
            clock.cancel()
            await asyncio.gather(clock, return_exceptions=True)
        if self._server is not None:
            self.drop_connections()
            await self._server.forget()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def drop_connections(self) -> None:
        server = self._server
        for protocol in list(() if server is None or server.bserver is None else server.bserver.clients):
            if protocol.transport is not None:
                protocol.transport.abort()

    def freeze_connections(self) -> None:
        """The present connections never answer again, and stay open; new ones work."""
        for protocol in self.protocols:
            protocol.gate.frozen = True

    async def _change(self, server: "_Server") -> None:
        last = self.tick()
        while True:
            now = self.config.wall_ms()
            await asyncio.sleep((self.config.tick_ms - now % self.config.tick_ms) / 1000)
            k = self.tick()
            if k == last:
                continue
            await self._bring(server, self._nodes.values(last, k))
            await server.iserver.current_time_node.write_value(datetime.now(UTC))
            last = k

    @staticmethod
    async def _bring(server: "_Server", values: Iterable[tuple[Any, Any]]) -> None:
        for identifier, value in values:
            await server.write_attribute_value(identifier, value)


def _secure(server: Server, config: SimulatorConfig) -> None:
    identity = config.identity
    server.iserver.certificate = None if identity is None else identity.certificate
    server.iserver.private_key = None if identity is None else identity.key
    open_ones = [ua.SecurityPolicyType.NoSecurity] if config.open or identity is None else []
    server.set_security_policy([*open_ones, *([] if identity is None else _SECURED)])
    tokens: list[type] = []
    if config.users:
        tokens.append(ua.UserNameIdentityToken)
    if config.user_certificates:
        tokens.append(ua.X509IdentityToken)
    server.set_identity_tokens(tokens or [ua.AnonymousIdentityToken])


class _Users(UserManager):
    """Who gets in, for asyncua."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        del iserver
        config = self._simulator.config
        if not config.users and not config.user_certificates:
            return User(role=UserRole.User, name="anyone")
        known = username is not None and config.users.get(username) == password
        shown = _der(certificate)
        known = known or (shown is not None and shown in config.user_certificates)
        return User(role=UserRole.User, name=username or "certificate") if known else None


def _der(certificate: Any) -> bytes | None:
    if isinstance(certificate, x509.Certificate):
        return certificate.public_bytes(Encoding.DER)
    return certificate if isinstance(certificate, bytes) else None


class _Server(Server):
    """asyncua's server with protocols that obey faults."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(user_manager=_Users(simulator))
        self._simulator = simulator

    async def secure(self, config: SimulatorConfig) -> None:
        """Makes the endpoints."""
        self.iserver.endpoints.clear()
        self._policies.clear()
        _secure(self, config)
        await self._setup_server_nodes()

    async def listen(self, host: str, port: int) -> BinaryServer:
        self.bserver = _Listener(self._simulator, self.iserver, host, port, self.limits)
        self.bserver.set_policies(self._policies)
        await self.bserver.start()
        return self.bserver

    async def forget(self) -> None:
        """Ends all sessions and subscriptions, and listens no more."""
        if self.bserver is not None:
            await self.bserver.stop()
            self.bserver = None
        internal = self.iserver
        for session in list(internal._external_sessions.values()):
            await session.close_session(True)
            if session._timeout_task is not None:
                await asyncio.gather(session._timeout_task, return_exceptions=True)
        await internal.subscription_service.delete_subscriptions(
            list(internal.subscription_service.subscriptions)
        )


class _Listener(BinaryServer):
    def __init__(self, simulator: Simulator, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._simulator = simulator

    def _make_protocol(self) -> OPCUAProtocol:
        return _Protocol(
            self._simulator, iserver=self.iserver, policies=self._policies, clients=self.clients,
            closing_tasks=self.closing_tasks, limits=self.limits,
        )  # fmt: skip


class _Gate:
    """A transport that lets nothing out while its connection is frozen."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.frozen = False

    def write(self, data: bytes) -> None:
        if not self.frozen and not self._transport.is_closing():
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Protocol(OPCUAProtocol):
    gate: _Gate

    def __init__(self, simulator: Simulator, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._simulator = simulator

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "TCP has one"
        super().connection_made(transport)
        self.gate = _Gate(transport)
        if self.transport is not None:  # else there were too many
            self.processor = _Processor(self._simulator, self.iserver, self.gate, self.limits)
            self.processor.set_policies(self.policies)  # type: ignore[no-untyped-call]

    def data_received(self, data: bytes) -> None:
        if not self.gate.frozen:
            super().data_received(data)


class _Processor(UaProcessor):
    def __init__(self, simulator: Simulator, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._simulator = simulator

    async def process_message(self, seqhdr: Any, body: Buffer) -> Any:
        simulator = self._simulator
        number: Any = nodeid_from_binary(body.copy()).Identifier
        self._count(number, simulator.counters)
        if simulator.faults.latency_seconds:
            await asyncio.sleep(simulator.faults.latency_seconds)
        if simulator.faults.deaf:
            return True
        return await super().process_message(seqhdr, body)  # type: ignore[no-untyped-call]

    @staticmethod
    def _count(number: int, counters: Counters) -> None:
        name = _NAMES.get(number, "Other")
        counters.requests += 1
        counters.services[name] = counters.services.get(name, 0) + 1
        if number == _WRITE:
            counters.writes += 1
            tell_write("opcua", "WriteRequest")

    async def forward_publish_response(self, result: Any, requestdata: Any) -> None:
        if not self._simulator.faults.silent:
            await super().forward_publish_response(result, requestdata)


async def run_simulator(config: SimulatorConfig, ready: Callable[[Simulator], None] | None = None) -> None:
    """Runs until cancelled; `ready` is called once the port is open."""
    async with Simulator(config) as simulator:
        if ready is not None:
            ready(simulator)
        await asyncio.get_running_loop().create_future()
