"""Prepares a client of asyncua: who it is, what it trusts, and how a password may travel.

A server is judged before a secure channel is opened, by the certificate of its endpoint, and again with the
session, whose answer is signed (OPC UA Part 4, 5.6.2 and 6.1.3). asyncua itself makes sure that the channel
is encrypted for this very certificate, so that who shows a trusted one without its key gets no further.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto import security_policies, uacrypto
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.opcua.bounds import bounded_client
from edge_agent.drivers.opcua.certificates import (
    Identity,
    load_identity,
    own_identity,
    parse_certificates,
    thumbprint,
)
from edge_agent.drivers.opcua.security_settings import ClearText, Mode, Policy, SecuritySettings, Trust
from edge_agent.drivers.opcua.trust import Expected, Untrusted, describe, judge
from edge_agent.drivers.opcua.trust_store import TrustStore

APPLICATION_NAME: Final = "Holdfast edge agent"
PRODUCT_URI: Final = "urn:holdfast:edge-agent"
_UNIDENTIFIED_URI: Final = "urn:holdfast:edge-agent:anonymous"
_POLICIES: Final[dict[Policy, type[security_policies.SecurityPolicy]]] = {
    Policy.NONE: security_policies.SecurityPolicyNone,
    Policy.BASIC256SHA256: security_policies.SecurityPolicyBasic256Sha256,
    Policy.AES128_SHA256_RSAOAEP: security_policies.SecurityPolicyAes128Sha256RsaOaep,
    Policy.AES256_SHA256_RSAPSS: security_policies.SecurityPolicyAes256Sha256RsaPss,
}
_MODES: Final = {
    Mode.SIGN: ua.MessageSecurityMode.Sign,
    Mode.SIGN_AND_ENCRYPT: ua.MessageSecurityMode.SignAndEncrypt,
}
_CLEAR: Final = ("", security_policies.SecurityPolicyNone.URI)
_ENCRYPTED: Final = tuple(each.URI for policy, each in _POLICIES.items() if policy is not Policy.NONE)
_UNKNOWN: Final = (
    ": it may not trust this agent yet: let it take the certificate that is `own` in "
    "`edge-agent opcua trust list`"
)
# Part 6, A.2: BadCertificateInvalid, BadSecurityChecksFailed, BadCertificate….
_REFUSALS: Final = frozenset(range(0x80120000, 0x801E0001, 0x10000)) | {0x810D0000}
# Deprecated, and still far better than clear text.
_OLD: Final = ("http://opcfoundation.org/UA/SecurityPolicy#Basic256",)

Now = Callable[[], datetime]


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def secure(
    client: Client, settings: SecuritySettings, directory: Path | None = None, now: Now = _utc_now
) -> None:
    """Makes `client` ready for `connect`. Asks the server for its endpoints where a policy is configured.

    directory: where certificates are kept; absent: `settings.store`. Raises NotConnected, for an untrusted
    server with the command that accepts it, and what asyncua raises for a link that does not come about.
    """
    guard = _Guard(client, settings, TrustStore(settings.store if directory is None else directory), now)
    client.name = client.description = APPLICATION_NAME
    client.product_uri = PRODUCT_URI
    client.application_uri = _UNIDENTIFIED_URI
    if settings.user is not None:
        client.set_user(settings.user)
        client.set_password(settings.password or "")
    # asyncua takes the first token of a kind, and sends a password in the clear where that one says so.
    setattr(client, "server_policy", guard.token_policy)  # noqa: B010 - a method of this one client
    if not settings.needs_certificates:
        return
    client.certificate_validator = guard.validate
    if settings.user_cert_file is not None and settings.user_key_file is not None:
        user = await asyncio.to_thread(
            load_identity, Path(settings.user_cert_file), Path(settings.user_key_file)
        )
        client.user_certificate, client.user_private_key = user.certificate, user.key
        client.user_certificate_chain = list(user.chain)
    if settings.is_secured:
        await _secure_channel(client, settings, guard)


async def is_same_server(client: Client) -> bool:
    """Whether a session of before may be taken up over a new link: a renewed certificate needs a new client.

    Raises NotConnected for a server that is trusted no more, and what asyncua raises where none answers.
    """
    guard = getattr(client.certificate_validator, "__self__", None)
    return not isinstance(guard, _Guard) or await guard.is_same_server()


async def open_channel(client: Client, *, renew: bool = False) -> None:
    """Raises NotConnected where the server refuses the channel, and what asyncua raises."""
    try:
        await client.open_secure_channel(renew=renew)
    except AssertionError as error:  # asyncua expects nothing but consent there
        raise NotConnected(f"the server refuses a secure channel{_UNKNOWN}") from error


def refusal(status: int) -> str:
    """What to do where the server does not take the agent's certificate; empty for another status."""
    return _UNKNOWN if status & 0xFFFF0000 in _REFUSALS else ""


async def _secure_channel(client: Client, settings: SecuritySettings, guard: "_Guard") -> None:
    identity = await asyncio.to_thread(_identity, settings, guard.store.directory)
    if not identity.application_uri:
        raise NotConnected(f"{settings.cert_file}: has no application URI among its alternative names")
    client.application_uri = identity.application_uri
    policy, mode = _POLICIES[settings.policy], _MODES[settings.mode]
    unsecured = security_policies.SecurityPolicyNone()  # type: ignore[no-untyped-call]
    client.security_policy = client.uaclient.security_policy = unsecured
    endpoints = await client.connect_and_get_server_endpoints()
    endpoint = _endpoint(endpoints, policy.URI, mode)
    certificates = _parsed(endpoint.ServerCertificate)
    await guard.check(certificates, endpoint.Server)
    await client.set_security(
        policy,
        identity.certificate.public_bytes(Encoding.DER),
        uacrypto.CertProperties(
            identity.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), "der"
        ),
        server_certificate=certificates[0].public_bytes(Encoding.DER),
        mode=mode,
        certificate_chain=[each.public_bytes(Encoding.DER) for each in identity.chain],
    )


def _identity(settings: SecuritySettings, store: Path) -> Identity:
    if settings.cert_file is not None and settings.key_file is not None:
        return load_identity(Path(settings.cert_file), Path(settings.key_file))
    return own_identity(store)


def _endpoint(
    endpoints: Sequence[ua.EndpointDescription], policy: str, mode: ua.MessageSecurityMode
) -> ua.EndpointDescription:
    for endpoint in endpoints:
        if endpoint.SecurityPolicyUri == policy and endpoint.SecurityMode == mode:
            return endpoint
    offered = sorted({f"{_short(each.SecurityPolicyUri)} {each.SecurityMode.name}" for each in endpoints})
    raise NotConnected(
        f"the server has no endpoint with {_short(policy)} {mode.name}; "
        f"it has: {', '.join(offered) or 'none'}"
    )


def _short(policy: str | None) -> str:
    return (policy or "").rpartition("#")[2]


def _parsed(data: bytes | None) -> list[x509.Certificate]:
    try:
        return parse_certificates(data or b"")
    except ValueError as error:
        raise NotConnected("the server shows no certificate that can be read") from error


class _Guard:
    """Judges the server of one client, and which token may carry a login."""

    def __init__(self, client: Client, settings: SecuritySettings, store: TrustStore, now: Now) -> None:
        self.store = store
        self._client = client
        self._settings = settings
        self._now = now
        self._sent: list[x509.Certificate] = []
        self._is_judged = False
        self._last: tuple[Sequence[x509.Certificate], ua.ApplicationDescription] | None = None

    async def is_same_server(self) -> bool:
        settings, client = self._settings, self._client
        if not settings.is_secured:
            if self._last is not None:
                await self.check(*self._last)
            return True
        asking = bounded_client(client.server_url.geturl(), client.uaclient._timeout)
        endpoints = await asking.connect_and_get_server_endpoints()
        endpoint = _endpoint(endpoints, _POLICIES[settings.policy].URI, _MODES[settings.mode])
        certificates = _parsed(endpoint.ServerCertificate)
        if certificates[0].public_bytes(Encoding.DER) != client.security_policy.peer_certificate:
            return False
        await self.check(certificates, endpoint.Server)
        return True

    async def validate(self, certificate: x509.Certificate, server: ua.ApplicationDescription) -> None:
        """asyncua calls it with the answer to CreateSession."""
        await self.check([certificate, *self._sent], server)

    async def check(
        self, certificates: Sequence[x509.Certificate], server: ua.ApplicationDescription
    ) -> None:
        """Raises NotConnected for a server that is not to be trusted. The first certificate is its own."""
        self._sent = list(certificates[1:])
        self._last = certificates, server
        settings = self._settings
        # A password that may be sent in the clear may as well be encrypted for somebody unknown.
        is_open = not settings.is_secured and settings.clear_text is ClearText.ALLOW
        if settings.trust is Trust.LIST and not is_open:
            await asyncio.to_thread(self._judge, certificates, server.ApplicationUri or "")
        self._is_judged = True

    def _judge(self, certificates: Sequence[x509.Certificate], application_uri: str) -> None:
        host = urlsplit(self._client.server_url.geturl()).hostname or ""
        expected = Expected(host, application_uri, self._now(), frozenset(self._settings.tolerate))
        certificate = certificates[0]
        try:
            judge(certificate, certificates[1:], expected, self.store.lists())
        except Untrusted as error:
            raise NotConnected(self._refusal(certificate, error)) from error
        except OSError as error:
            raise NotConnected(
                f"{error.filename}: {error.strerror}: the trust lists cannot be read"
            ) from error

    def _refusal(self, certificate: x509.Certificate, why: Untrusted) -> str:
        text = f"the server's certificate is refused: {why} ({describe(certificate)})"
        try:
            self.store.refused(certificate)
        except OSError as error:
            return f"{text}; it cannot be kept for accepting: {error.filename}: {error.strerror}"
        if why.can_be_accepted:
            text += (
                "; compare the thumbprint at the server, then run "
                f"`edge-agent opcua trust accept {thumbprint(certificate)}`"
            )
        return text

    def token_policy(self, kind: ua.UserTokenType) -> ua.UserTokenPolicy:
        """Which of the server's login policies is used: the strongest that this client knows.

        Stands in for asyncua's `Client.server_policy`. Raises NotConnected where the server takes no such
        login, and before a password would be sent in the clear against the settings.
        """
        channel = self._client.security_policy.URI
        offered = [
            (each.SecurityPolicyUri or channel, each)
            for each in self._client._policy_ids
            if each.TokenType == kind
        ]
        if not offered:
            taken = sorted({each.TokenType.name for each in self._client._policy_ids})
            raise NotConnected(
                f"the server takes no login by {kind.name}; it takes: {', '.join(taken) or 'none'}"
            )
        if kind == ua.UserTokenType.Anonymous:
            return offered[0][1]
        uri, policy = min(offered, key=lambda each: _rank(each[0]))
        if uri not in (*_ENCRYPTED, *_OLD, *_CLEAR):
            raise NotConnected(f"the server wants a login with {_short(uri)}, which is not supported")
        if uri in _CLEAR:
            self._check_clear_text(kind)
        elif not self._is_judged:
            raise NotConnected("the server shows no certificate that the login could be encrypted for")
        return _with_policy(policy, uri)

    def _check_clear_text(self, kind: ua.UserTokenType) -> None:
        if kind == ua.UserTokenType.Certificate:
            raise NotConnected("the server wants the certificate's login unsigned: that would prove nothing")
        settings = self._settings
        if settings.password is None or settings.is_encrypted or settings.clear_text is ClearText.ALLOW:
            return
        raise NotConnected(
            "the server wants the password in the clear and the link is not encrypted: set policy and "
            "mode: sign_and_encrypt, or clear_text: allow"
        )


def _rank(uri: str) -> int:
    for rank, known in enumerate((_ENCRYPTED, _OLD, _CLEAR)):
        if uri in known:
            return rank
    return 9


def _with_policy(policy: Any, uri: str) -> ua.UserTokenPolicy:
    changed: ua.UserTokenPolicy = dataclasses.replace(policy, SecurityPolicyUri=uri)
    return changed
