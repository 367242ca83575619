"""The agent's own certificate: made once, kept, renewed in time; and those that people give."""

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.opcua.certificates import (
    LIFE,
    RENEWAL,
    SWITCH,
    application_uris,
    load_identity,
    own_certificates,
    own_identity,
    parse_certificates,
    thumbprint,
)
from tests.unit.drivers.opcua.authority import NOW, authority, key, server


def made(store: Path, now: datetime = NOW, host: str = "gate-1") -> x509.Certificate:
    return own_identity(store, now, host).certificate


def test_the_certificate_is_as_the_specification_wants_it(tmp_path: Path) -> None:
    identity = own_identity(tmp_path, NOW, "gate-1")
    certificate = identity.certificate
    assert identity.application_uri == "urn:gate-1:Holdfast:edge-agent"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["gate-1"]
    assert identity.key.key_size >= 2048
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.content_commitment
    assert usage.key_encipherment
    assert usage.data_encipherment
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.CLIENT_AUTH in purposes
    certificate.verify_directly_issued_by(certificate)
    assert certificate.not_valid_before_utc < NOW, "clocks differ"


def test_the_key_is_the_agents_alone(tmp_path: Path) -> None:
    made(tmp_path)
    own = tmp_path / "own"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert stat.S_IMODE((own / "key.pem").stat().st_mode) == 0o600
    assert sorted(each.name for each in own.iterdir()) == [".lock", "certificate.der", "key.pem"]


def test_it_is_made_once_though_many_ask_for_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: thumbprint(made(tmp_path)), range(16)))
    assert found == {thumbprint(made(tmp_path, NOW + timedelta(days=300), "another-name"))}


@pytest.mark.parametrize(
    ("host", "uri"),
    [
        ("192.0.2.9", "urn:192.0.2.9:Holdfast:edge-agent"), ("공장 gate", "urn:gate:Holdfast:edge-agent"),
        ("공장", "urn:edge:Holdfast:edge-agent"), ("x" * 63, f"urn:{'x' * 63}:Holdfast:edge-agent"),
    ],
)  # fmt: skip
def test_any_name_of_a_host_will_do(tmp_path: Path, host: str, uri: str) -> None:
    assert application_uris(made(tmp_path, host=host)) == [uri]


def test_a_successor_lies_ready_before_the_end_and_then_takes_its_place(tmp_path: Path) -> None:
    first = made(tmp_path)
    end = first.not_valid_after_utc
    assert end == NOW + LIFE
    assert made(tmp_path, end - RENEWAL - timedelta(days=1)) == first
    assert [path.name for path, _ in own_certificates(tmp_path)] == ["certificate.der"]
    assert made(tmp_path, end - RENEWAL) == first, "servers know it"
    (_, _), (path, successor) = own_certificates(tmp_path)
    assert path.name == "next.der"
    assert successor.public_key() == first.public_key()
    assert made(tmp_path, end - SWITCH - timedelta(seconds=1)) == first
    assert own_certificates(tmp_path)[1][1] == successor, "one, that can be accepted at the servers"
    assert made(tmp_path, end - SWITCH) == successor
    assert made(tmp_path, end) == successor
    assert [path.name for path, _ in own_certificates(tmp_path)] == ["certificate.der"]


def test_an_agent_that_slept_over_the_end_makes_another(tmp_path: Path) -> None:
    first = made(tmp_path)
    later = first.not_valid_after_utc + timedelta(days=400)
    second = made(tmp_path, later)
    assert second != first
    assert second.not_valid_after_utc == later + LIFE


@pytest.mark.parametrize("content", [b"", b"\x30\x82\x01", b"no certificate"])
def test_a_power_cut_between_key_and_certificate_does_no_harm(tmp_path: Path, content: bytes) -> None:
    first = made(tmp_path)
    (tmp_path / "own" / "certificate.der").write_bytes(content)
    again = made(tmp_path)
    assert again.public_key() == first.public_key()
    (tmp_path / "own" / "certificate.der").write_bytes(
        server(number=1).public_bytes(serialization.Encoding.DER)
    )
    assert made(tmp_path).public_key() == first.public_key(), "one of another key is of no use"


def test_a_place_where_nothing_can_be_kept_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotConnected, match=r"file/own: Not a directory: the agent needs a place"):
        own_identity(tmp_path / "file", NOW)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "key.pem").write_text("nonsense")
    with pytest.raises(NotConnected, match=r"key\.pem: there is no key"):
        own_identity(tmp_path, NOW)


def files(directory: Path, *certificates: x509.Certificate, form: str = "PEM") -> tuple[Path, Path]:
    encoding = getattr(serialization.Encoding, form)
    cert, private = directory / "cert", directory / "key"
    cert.write_bytes(b"".join(each.public_bytes(encoding) for each in certificates))
    private.write_bytes(
        key().private_bytes(
            encoding, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return cert, private


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_a_given_certificate_comes_with_its_chain(tmp_path: Path, form: str) -> None:
    root = authority()
    signed = server(issuer=root)
    identity = load_identity(*files(tmp_path, signed, root.certificate, form=form))
    assert (identity.certificate, identity.chain) == (signed, (root.certificate,))


def test_what_is_wrong_with_given_files_is_told_by_their_names(tmp_path: Path) -> None:
    cert, private = files(tmp_path, server(number=1))
    with pytest.raises(NotConnected, match="key: is not the key of the certificate in"):
        load_identity(cert, private)
    with pytest.raises(NotConnected, match="missing: No such file"):
        load_identity(tmp_path / "missing", private)
    with pytest.raises(NotConnected, match="key: there is no certificate in PEM or DER form"):
        load_identity(private, private)
    cert, private = files(tmp_path, server())
    locked = key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"word"),
    )  # fmt: skip
    private.write_bytes(locked)
    with pytest.raises(NotConnected, match="the key has a password"):
        load_identity(cert, private)
    private.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(NotConnected, match="the key is not RSA"):
        load_identity(cert, private)


@pytest.mark.parametrize(
    "data", [b"", b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03abc", b"\x30\x80", b"x" * 99]
)
def test_what_is_no_certificate_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_certificates(data)
