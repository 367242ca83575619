"""Certificates for tests: of servers, of authorities, and with every flaw."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime(2026, 6, 1, tzinfo=UTC)
URI = "urn:plant:press:server"


@lru_cache
def _key(_number: int, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


def key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The same one for the same number: making one takes a tenth of a second."""
    return _key(number, bits)


@dataclass(frozen=True)
class Issuer:
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def server(
    name: str = "press",
    *,
    number: int = 0,
    bits: int = 2048,
    uri: str | None = URI,
    hosts: Sequence[x509.GeneralName] = (x509.DNSName("press.plant.example"),),
    begin: datetime = NOW - timedelta(days=100),
    end: datetime = NOW + timedelta(days=100),
    issuer: Issuer | None = None,
    purposes: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH,),
    signs: bool = True,
    serial: int | None = None,
) -> x509.Certificate:
    own = key(number, bits)
    names = [*([] if uri is None else [x509.UniformResourceIdentifier(uri)]), *hosts]
    usage = x509.KeyUsage(
        digital_signature=signs, content_commitment=signs, key_encipherment=True, data_encipherment=True,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer.certificate.subject if issuer else _name(name))
        .public_key(own.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(usage, critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder.sign(issuer.key if issuer else own, hashes.SHA256())


def authority(
    name: str = "plant authority",
    *,
    number: int = 10,
    issuer: Issuer | None = None,
    is_authority: bool = True,
    path_length: int | None = None,
    end: datetime = NOW + timedelta(days=1000),
) -> Issuer:
    own = key(number)
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=is_authority, crl_sign=True, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer.certificate.subject if issuer else _name(name))
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1000))
        .not_valid_after(end)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.BasicConstraints(ca=is_authority, path_length=path_length if is_authority else None),
            critical=True,
        )
        .sign(issuer.key if issuer else own, hashes.SHA256())
    )
    return Issuer(certificate, own)


def revocations(issuer: Issuer, *serials: int) -> x509.CertificateRevocationList:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW - timedelta(days=1))
        .next_update(NOW + timedelta(days=1))
    )
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW).build()
        builder = builder.add_revoked_certificate(revoked)
    return builder.sign(issuer.key, hashes.SHA256())
