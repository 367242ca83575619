"""The certificate that an enrolment token names: whoever merely shows it is not that centre."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.contracts.errors import ConfigError
from edge_agent.uplink.pinning import Claims, Place, authority, fingerprint


def make_centre(directory: Path) -> Path:
    """An authority, ca.pem, and the certificate and key of a centre at 127.0.0.1."""
    directory.mkdir()

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *new, "-keyout", "ca-key.pem", "-out", "ca.pem", "-days", "2", "-subj", "/CN=a")
    openssl("req", *new, "-keyout", "key.pem", "-out", "csr.pem", "-subj", "/CN=c")
    (directory / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(
        "x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial",
        "-days", "2", "-extfile", "names", "-out", "cert.pem",
    )  # fmt: skip
    return directory


@contextmanager
def shown(key: Path, *chain: Path) -> Iterator[Place]:
    """Somebody who shows these certificates to all who come."""
    joined = key.parent / "shown.pem"
    joined.write_text("".join(file.read_text() for file in chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(joined, key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                plain, _ = listening.accept()
                plain.settimeout(5)
                try:
                    context.wrap_socket(plain, server_side=True).close()
                except OSError:
                    plain.close()

        thread = threading.Thread(target=serve)
        thread.start()
        port = listening.getsockname()[1]
        try:
            yield Place(f"https://127.0.0.1:{port}")
        finally:
            ended.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join(10)


def pin(certificate: Path) -> Claims:
    return Claims(ca=fingerprint(ssl.PEM_cert_to_DER_cert(certificate.read_text())))


def test_who_merely_shows_the_named_certificate_is_refused_though_the_system_trusts_his(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificates are public: a stranger with a good one of his own put the named one behind it."""
    centre, stranger = make_centre(tmp_path / "centre"), make_centre(tmp_path / "stranger")
    monkeypatch.setenv("SSL_CERT_FILE", str(stranger / "ca.pem"))
    with (
        shown(stranger / "key.pem", stranger / "cert.pem", centre / "ca.pem") as place,
        pytest.raises(ConfigError, match="not trusted"),
    ):
        authority(place, pin(centre / "ca.pem"), None)


@pytest.mark.parametrize("named", ["ca.pem", "cert.pem"])
def test_the_named_certificate_is_written_where_the_system_does_not_know_it(
    tmp_path: Path, named: str
) -> None:
    centre = make_centre(tmp_path / "centre")
    with shown(centre / "key.pem", centre / "cert.pem", centre / "ca.pem") as place:
        pem = authority(place, pin(centre / named), None)
    assert pem is not None
    assert ssl.PEM_cert_to_DER_cert(pem) == ssl.PEM_cert_to_DER_cert((centre / named).read_text())


def test_the_systems_authorities_do_where_they_know_the_named_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    centre = make_centre(tmp_path / "centre")
    monkeypatch.setenv("SSL_CERT_FILE", str(centre / "ca.pem"))
    with shown(centre / "key.pem", centre / "cert.pem", centre / "ca.pem") as place:
        assert authority(place, pin(centre / "ca.pem"), None) is None
