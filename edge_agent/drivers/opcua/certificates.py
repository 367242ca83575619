"""The agent's own application certificate: made at first start, renewed before it ends, or the plant's.

A self-signed certificate lies in `pki/own` beside the buffer's database: `key.pem` (0600) and
`certificate.der`. Servers trust it by its thumbprint, so a new one has to be accepted at each of them:
`RENEWAL` before the end its successor is laid down as `next.der`, for the same key, and `SWITCH` before the
end it takes the place. The key is the truth: a certificate that does not fit to it is made anew, so that a
power cut between the two files does no harm. Files as OPC UA Part 6, 6.2.2 wants them.
"""

import contextlib
import fcntl
import ipaddress
import os
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge_agent.contracts.errors import NotConnected
from edge_agent.runtime.atomic import give_to_owner_of, make_private_directory, write_atomic

OWN: Final = "own"
KEY_NAME: Final = "key.pem"
CERTIFICATE_NAME: Final = "certificate.der"
NEXT_NAME: Final = "next.der"
LIFE: Final = timedelta(days=3650)
RENEWAL: Final = timedelta(days=180)
SWITCH: Final = timedelta(days=2)
KEY_BITS: Final = 2048
_CLOCKS_DIFFER: Final = timedelta(days=1)
_MOST_NAME: Final = 253
_MOST_COMMON_NAME: Final = 64
# Connections start at once, and a command may run beside the agent: one of them makes the certificate.
_MAKING: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who an application says it is. chain: certificates behind the first, for the peer."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def application_uri(self) -> str:
        """As the certificate has it; empty where it has none."""
        return next(iter(application_uris(self.certificate)), "")


def own_identity(store: Path, now: datetime | None = None, host: str | None = None) -> Identity:
    """The self-signed identity below `store`, made where it is missing. Blocks: makes a key once.

    Raises NotConnected where the directory cannot be used.
    """
    now = datetime.now(UTC) if now is None else now
    directory = store / OWN
    try:
        make_private_directory(directory)
        with _MAKING, _locked(directory):
            return _kept(directory, now, host or socket.gethostname())
    except OSError as error:
        raise NotConnected(
            f"{error.filename or directory}: {error.strerror}: the agent needs a place for its certificate"
        ) from error


def own_certificates(store: Path) -> list[tuple[Path, x509.Certificate]]:
    """What lies there now: the certificate in use, and its successor. Makes none."""
    found = []
    for name in (CERTIFICATE_NAME, NEXT_NAME):
        path = store / OWN / name
        certificate = _certificate_at(path)
        if certificate is not None:
            found.append((path, certificate))
    return found


def load_identity(cert_file: Path, key_file: Path) -> Identity:
    """A certificate with its chain, and its key, in PEM or DER form. Blocks. Raises NotConnected."""
    certificates = _certificates(_content(cert_file), cert_file)
    key = _key(_content(key_file), key_file)
    if certificates[0].public_key() != key.public_key():
        raise NotConnected(f"{key_file}: is not the key of the certificate in {cert_file}")
    return Identity(certificates[0], key, tuple(certificates[1:]))


def parse_certificates(data: bytes) -> list[x509.Certificate]:
    """Of PEM, or of DER with any number one behind the other. Raises ValueError where there is none."""
    if b"-----BEGIN" in data:
        return x509.load_pem_x509_certificates(data)
    found, rest = [], data
    while rest:
        size = _der_size(rest)
        found.append(x509.load_der_x509_certificate(rest[:size]))
        rest = rest[size:]
    if not found:
        raise ValueError("no certificate")
    return found


def thumbprint(certificate: x509.Certificate) -> str:
    """As OPC UA names certificates (Part 4, 7.2): SHA-1 of the DER form. It identifies, it proves nothing."""
    return certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 - the specification's


def application_uris(certificate: x509.Certificate) -> list[str]:
    names = alternative_names(certificate)
    return [] if names is None else names.get_values_for_type(x509.UniformResourceIdentifier)


def alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    """None where there are none, or none that can be read."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def self_signed(key: rsa.RSAPrivateKey, host: str, now: datetime, life: timedelta = LIFE) -> x509.Certificate:
    """An application instance certificate of this agent on `host`."""
    label = re.sub(r"[^A-Za-z0-9.-]+", "-", host)[:_MOST_NAME].strip("-.") or "edge"
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"Holdfast@{label}"[:_MOST_COMMON_NAME]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Holdfast"),
        ]
    )
    public = key.public_key()
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True,
        key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    serial = x509.random_serial_number()
    issuer = x509.AuthorityKeyIdentifier(identifier.digest, [x509.DirectoryName(name)], serial)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectAlternativeName(_names(label)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(issuer, critical=False)
        .sign(key, hashes.SHA256())
    )


def _names(label: str) -> list[x509.GeneralName]:
    """A host may be called by an address, where nobody gave it a name."""
    uri = x509.UniformResourceIdentifier(f"urn:{label}:Holdfast:edge-agent")
    try:
        return [uri, x509.IPAddress(ipaddress.ip_address(label))]
    except ValueError:
        return [uri, x509.DNSName(label)]


def _kept(directory: Path, now: datetime, host: str) -> Identity:
    key = _kept_key(directory / KEY_NAME)
    path, successor = directory / CERTIFICATE_NAME, directory / NEXT_NAME
    certificate = _fitting(path, key)
    if certificate is not None and now < certificate.not_valid_after_utc - SWITCH:
        if now >= certificate.not_valid_after_utc - RENEWAL and _fitting(successor, key) is None:
            _write(successor, self_signed(key, host, now))
        return Identity(certificate, key)
    following = _fitting(successor, key)
    if following is None or now >= following.not_valid_after_utc - SWITCH:
        following = self_signed(key, host, now)
    _write(path, following)
    successor.unlink(missing_ok=True)
    return Identity(following, key)


def _kept_key(path: Path) -> rsa.RSAPrivateKey:
    try:
        return _key(path.read_bytes(), path)
    except FileNotFoundError:
        pass
    key = rsa.generate_private_key(public_exponent=65_537, key_size=KEY_BITS)
    write_atomic(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    give_to_owner_of(path.parent, path)
    return key


def _fitting(path: Path, key: rsa.RSAPrivateKey) -> x509.Certificate | None:
    certificate = _certificate_at(path)
    return certificate if certificate is not None and certificate.public_key() == key.public_key() else None


def _certificate_at(path: Path) -> x509.Certificate | None:
    """None also for a file that is none: a new one takes its place."""
    try:
        return parse_certificates(path.read_bytes())[0]
    except (FileNotFoundError, ValueError):
        return None


def _write(path: Path, certificate: x509.Certificate) -> None:
    write_atomic(path, certificate.public_bytes(Encoding.DER), 0o644)
    give_to_owner_of(path.parent, path)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    path = directory / ".lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        give_to_owner_of(directory, path)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotConnected(f"{path}: {error.strerror}") from error


def _certificates(data: bytes, path: Path) -> list[x509.Certificate]:
    try:
        return parse_certificates(data)
    except ValueError as error:
        raise NotConnected(f"{path}: there is no certificate in PEM or DER form") from error


def _key(data: bytes, path: Path) -> rsa.RSAPrivateKey:
    load = load_pem_private_key if b"-----BEGIN" in data else load_der_private_key
    try:
        key = load(data, None)
    except TypeError as error:
        raise NotConnected(f"{path}: the key has a password; give one without") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NotConnected(f"{path}: there is no key in PEM or DER form") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise NotConnected(f"{path}: the key is not RSA, which these security policies want")
    return key


def _der_size(data: bytes) -> int:
    """Bytes of the SEQUENCE at the beginning (X.690, 8.1.3). Raises ValueError."""
    if len(data) < 2 or data[0] != 0x30:
        raise ValueError("no certificate")
    if data[1] < 0x80:
        return 2 + data[1]
    width = data[1] & 0x7F
    size = 2 + width + int.from_bytes(data[2 : 2 + width], "big")
    if width > 4 or size > len(data):
        raise ValueError("a certificate that is cut short")
    return size
