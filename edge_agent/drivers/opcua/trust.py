"""Whether a server's certificate is taken. Pure: lists, names and the time come in, a verdict goes out.

The steps are those of OPC UA Part 4, 6.1.3: chain and signatures, the policy's strength, trust, revocation,
time, host name, application URI, usage. Part 12's lists: what is in `trusted` is trusted, and so is all that
an authority in there has signed; `issuers` only complete a chain. Where a server's own certificate is in the
list, its host name is not asked for: the key is pinned, and PLCs are reached by addresses and through
gateways that their certificates know nothing of. A self-signed certificate and an authority's own are found
by their whole content, never by their names.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from edge_agent.drivers.opcua.certificates import alternative_names, application_uris, thumbprint
from edge_agent.drivers.opcua.security_settings import Flaw

# Part 7: all three policies take keys of 2048 to 4096 bits, signed with SHA-2.
_LEAST_BITS: Final = 2048
_MOST_BITS: Final = 4096
_WEAK_HASHES: Final = (hashes.MD5, hashes.SHA1)
_LONGEST_CHAIN: Final = 6
_MOST_SHOWN: Final = 300
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Lists:
    """trusted: servers and authorities. issuers: authorities that only complete chains. revocations: lists
    of whatever authority."""

    trusted: tuple[x509.Certificate, ...] = ()
    issuers: tuple[x509.Certificate, ...] = ()
    revocations: tuple[x509.CertificateRevocationList, ...] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """Whom the agent meant to reach. host: as configured. application_uri: as the server says it is called.
    tolerate: flaws that are no reason to refuse."""

    host: str
    application_uri: str
    now: datetime
    tolerate: frozenset[Flaw] = field(default_factory=frozenset)


class Untrusted(Exception):
    """Refuse this server. can_be_accepted: putting its certificate into the list would help."""

    def __init__(self, reason: str, *, can_be_accepted: bool = False) -> None:
        super().__init__(reason)
        self.can_be_accepted = can_be_accepted


def judge(
    certificate: x509.Certificate, sent: Sequence[x509.Certificate], expected: Expected, lists: Lists
) -> None:
    """Raises Untrusted, with the first reason. sent: what else the server showed, to complete the chain."""
    _check_strength(certificate)
    pinned = certificate in lists.trusted
    chain = [certificate] if pinned else _trusted_chain(certificate, sent, lists)
    _check_revocation(chain, lists)
    for each in chain:
        _check_time(each, expected)
    if not pinned:
        _check_host(certificate, expected)
    _check_uri(certificate, expected)
    _check_usage(certificate, expected)


def describe(certificate: x509.Certificate) -> str:
    """Subject and thumbprint, on one line."""
    subject = _plain(certificate.subject.rfc4514_string()) or "no subject"
    return f"{subject}, thumbprint {thumbprint(certificate)}"


def _plain(text: str) -> str:
    """What a stranger wrote, on one line and not too long."""
    shown = "".join(char if char.isprintable() else "?" for char in text[:_MOST_SHOWN])
    return shown if len(text) <= _MOST_SHOWN else f"{shown}…"


def _check_strength(certificate: x509.Certificate) -> None:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Untrusted("its key cannot be read") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise Untrusted("its key is not RSA, which the security policies want")
    if not _LEAST_BITS <= key.key_size <= _MOST_BITS:
        raise Untrusted(f"its key has {key.key_size} bits: the security policies want 2048 to 4096")
    if _is_weakly_signed(certificate):
        raise Untrusted("it is signed with SHA-1 or MD5, which the security policies forbid")


def _is_weakly_signed(certificate: x509.Certificate) -> bool:
    try:
        return isinstance(certificate.signature_hash_algorithm, _WEAK_HASHES)
    except UnsupportedAlgorithm:
        return True


def _trusted_chain(
    certificate: x509.Certificate, sent: Sequence[x509.Certificate], lists: Lists
) -> list[x509.Certificate]:
    """From the certificate up to one in the list. The anchor alone decides: what was sent proves nothing."""
    chain = [certificate]
    pool = [*lists.trusted, *lists.issuers, *sent]
    while len(chain) < _LONGEST_CHAIN:
        issuer = _issuer(chain[-1], pool, len(chain) - 1)
        if issuer is None or issuer in chain:
            break
        chain.append(issuer)
        if issuer in lists.trusted:
            return chain
    raise Untrusted("it is not trusted", can_be_accepted=True)


def _issuer(
    certificate: x509.Certificate, pool: Iterable[x509.Certificate], below: int
) -> x509.Certificate | None:
    """below: how many authorities stand below the one that is looked for."""
    for candidate in pool:
        if candidate.subject != certificate.issuer or not _may_sign(candidate, below):
            continue
        try:
            certificate.verify_directly_issued_by(candidate)
        except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
            continue
        return candidate
    return None


def _may_sign(certificate: x509.Certificate, below: int) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    has_room = constraints.path_length is None or below <= constraints.path_length
    return constraints.ca and has_room and usage.key_cert_sign and not _is_weakly_signed(certificate)


def _check_revocation(chain: Sequence[x509.Certificate], lists: Lists) -> None:
    for certificate, issuer in zip(chain, [*chain[1:], None], strict=True):
        for revoked in lists.revocations:
            if revoked.issuer != certificate.issuer or not _signed_by(revoked, issuer, certificate, lists):
                continue
            if revoked.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                raise Untrusted(f"its authority has revoked it ({describe(certificate)})")


def _signed_by(
    revoked: x509.CertificateRevocationList,
    issuer: x509.Certificate | None,
    certificate: x509.Certificate,
    lists: Lists,
) -> bool:
    """A pinned certificate's issuer is looked for in the lists. At worst that refuses too much."""
    candidates = [issuer] if issuer is not None else [*lists.trusted, *lists.issuers]
    for candidate in candidates:
        key = candidate.public_key()
        is_namesake = candidate.subject == certificate.issuer
        if is_namesake and isinstance(key, rsa.RSAPublicKey) and revoked.is_signature_valid(key):
            return True
    return False


def _check_time(certificate: x509.Certificate, expected: Expected) -> None:
    if Flaw.TIME in expected.tolerate:
        return
    if expected.now > certificate.not_valid_after_utc:
        raise Untrusted(
            f"it expired on {certificate.not_valid_after_utc:%Y-%m-%d}; `tolerate: [time]` takes it"
        )
    if expected.now < certificate.not_valid_before_utc:
        since = certificate.not_valid_before_utc
        raise Untrusted(f"it is valid only from {since:%Y-%m-%d %H:%M} UTC: look at both clocks")


def _check_host(certificate: x509.Certificate, expected: Expected) -> None:
    if Flaw.HOST_NAME in expected.tolerate:
        return
    names = _hosts(certificate)
    host = expected.host.strip("[]").rstrip(".").lower()
    try:
        wanted = ipaddress.ip_address(host).compressed
    except ValueError:
        wanted = host
    if wanted not in names and not any(_is_wildcard_for(name, wanted) for name in names):
        shown = _plain(", ".join(sorted(names))) or "none"
        raise Untrusted(
            f"it is for other hosts ({shown}), not {expected.host}; "
            "accept this very certificate, or `tolerate: [host_name]`",
            can_be_accepted=True,
        )


def _hosts(certificate: x509.Certificate) -> set[str]:
    names = alternative_names(certificate)
    if names is None:
        return set()
    hosts = {name.lower().rstrip(".") for name in names.get_values_for_type(x509.DNSName)}
    return hosts | {address.compressed for address in names.get_values_for_type(x509.IPAddress)}


def _is_wildcard_for(name: str, host: str) -> bool:
    """RFC 6125, 6.4.3: the leftmost label alone."""
    return name.startswith("*.") and "." in host and host.split(".", 1)[1] == name[2:]


def _check_uri(certificate: x509.Certificate, expected: Expected) -> None:
    if Flaw.APPLICATION_URI in expected.tolerate:
        return
    uris = application_uris(certificate)
    if expected.application_uri not in uris:
        shown = _plain(", ".join(uris)) or "without a URI"
        raise Untrusted(
            f"it belongs to the application {shown}, and the server calls itself "
            f"{_plain(expected.application_uri) or 'nothing'}; `tolerate: [application_uri]` takes it"
        )


def _check_usage(certificate: x509.Certificate, expected: Expected) -> None:
    if Flaw.USAGE in expected.tolerate:
        return
    try:
        extensions = certificate.extensions
        usage = _value(extensions, x509.KeyUsage)
        purposes = _value(extensions, x509.ExtendedKeyUsage)
    except ValueError as error:
        raise Untrusted("its extensions cannot be read") from error
    signs = usage is None or (usage.digital_signature and (usage.key_encipherment or usage.data_encipherment))
    serves = purposes is None or ExtendedKeyUsageOID.SERVER_AUTH in purposes
    if not (signs and serves):
        raise Untrusted("it is not for use by a server; `tolerate: [usage]` takes it")


def _value(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
