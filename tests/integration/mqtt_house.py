"""A real mosquitto that runs the shipped configuration: only paths, ports and whom it runs as are others."""

import contextlib
import datetime as dt
import getpass
import ipaddress
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiomqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SHIPPED: Final = Path(__file__).parents[2] / "config" / "mosquitto"
INSTALLED: Final = "/etc/mosquitto/holdfast"
CENTRE: Final = "centre"


def program(name: str) -> str:
    """mosquitto is in /usr/sbin, which is not on everybody's path."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert found is not None, f"{name} is missing: run tests/install-system-packages"
    return found


class Authority:
    """Makes certificates; `ca` is its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("holdfast test authority")
        self.ca = directory / "ca.cert.pem"
        self.ca.write_bytes(self._signed(self._name, self._key, is_ca=True))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Files of a certificate for this common name, good for loopback, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        cert_file, key_file = self._directory / f"{name}.cert.pem", self._directory / f"{name}.key.pem"
        cert_file.write_bytes(self._signed(_name(name), key, is_ca=False))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return cert_file, key_file

    def _signed(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_ca: bool) -> bytes:
        now = dt.datetime.now(dt.UTC)
        alternatives = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


class Broker:
    """One mosquitto, on the same ports in each of its lives. passwords: by user."""

    def __init__(self, directory: Path, users: Iterable[str]) -> None:
        self._directory = directory / "mosquitto"
        self._directory.mkdir(mode=0o700)
        self.authority = Authority(self._directory)
        self.passwords = {user: f"password of {user}" for user in (*users, CENTRE)}
        self.port, self.certificate_port = _free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        self._prepare()

    @property
    def url(self) -> str:
        return f"mqtts://localhost:{self.port}"

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority.ca))

    def _prepare(self) -> None:
        """The files of config/mosquitto, with other paths and ports."""
        directory = self._directory
        cert, key = self.authority.issue("localhost")
        shutil.copy(cert, directory / "broker.cert.pem")
        shutil.copy(key, directory / "broker.key.pem")
        shutil.copy(self.authority.ca, directory / "devices-ca.cert.pem")
        shutil.copy(SHIPPED / "acl", directory / "acl")
        (directory / "acl").chmod(0o600)
        text = "".join((SHIPPED / name).read_text() for name in ("holdfast.conf", "certificates.conf"))
        for port, own in (("8883", self.port), ("8884", self.certificate_port)):
            line = re.compile(rf"^listener {port}$", re.MULTILINE)
            text, found = line.subn(f"listener {own} 127.0.0.1", text)
            assert found == 1, f"listener {port} stands once in the shipped files"
        assert INSTALLED in text
        # Started by root it would become a user that may not look into a test's directory.
        text = f"user {getpass.getuser()}\n" + text.replace(INSTALLED, str(directory))
        (directory / "mosquitto.conf").write_text(text)
        (directory / "passwords").touch(mode=0o600)
        for user, password in self.passwords.items():
            command = [program("mosquitto_passwd"), "-b", str(directory / "passwords"), user, password]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        """Returns once it listens."""
        command = [program("mosquitto"), "-c", str(self._directory / "mosquitto.conf")]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while True:
            assert self._process.poll() is None, self.log()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def resident_bytes(self) -> int:
        assert self._process is not None
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        return (self._directory / "log").read_text(errors="replace")

    def client(self, user: str, identifier: str | None = None, **more: Any) -> aiomqtt.Client:
        """Somebody who knows the user's password."""
        return aiomqtt.Client(
            "localhost", self.port, username=user, password=self.passwords[user], identifier=identifier,
            protocol=aiomqtt.ProtocolVersion.V5, tls_context=self.tls, timeout=5, **more,
        )  # fmt: skip

    def password_file(self, user: str) -> Path:
        file = self._directory / f"{user}.password"
        file.write_text(self.passwords[user])
        return file


@contextmanager
def broker(directory: Path, *users: str) -> Iterator[Broker]:
    made = Broker(directory, users)
    try:
        made.start()
        yield made
    finally:
        made.kill()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
