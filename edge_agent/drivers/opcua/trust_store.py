"""The trust lists on disk: `pki/trusted`, `pki/issuers`, `pki/rejected`, `pki/crl`.

Each directory holds certificates (PEM or DER, any name; revocation lists in `crl`), so that people may copy
files there by hand. What this module writes is called by its thumbprint. The lists are read at each
connecting: what a command or a person changes beside a running agent counts from the next one on. Of refused
certificates the newest `MOST_REJECTED` are kept, so that nobody fills the disk by offering new ones.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from edge_agent.contracts.errors import ConfigError, NotConnected
from edge_agent.drivers.opcua.certificates import application_uris, parse_certificates, thumbprint
from edge_agent.drivers.opcua.trust import Lists
from edge_agent.runtime.atomic import give_to_owner_of, make_private_directory, write_atomic

TRUSTED: Final = "trusted"
ISSUERS: Final = "issuers"
REJECTED: Final = "rejected"
REVOKED: Final = "crl"
MOST_REJECTED: Final = 50
_MOST_FILE_BYTES: Final = 1 << 20
_MOST_FILES: Final = 2_000
_SHORTEST: Final = 8
_Content = TypeVar("_Content")


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate of a list."""

    list: str
    file: Path
    certificate: x509.Certificate

    @property
    def thumbprint(self) -> str:
        return thumbprint(self.certificate)

    def shown(self) -> dict[str, object]:
        """For people and programs."""
        certificate = self.certificate
        return {
            "list": self.list,
            "thumbprint": self.thumbprint,
            "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
            "subject": certificate.subject.rfc4514_string(),
            "issuer": certificate.issuer.rfc4514_string(),
            "application_uri": next(iter(application_uris(certificate)), ""),
            "not_before": int(certificate.not_valid_before_utc.timestamp() * 1000),
            "not_after": int(certificate.not_valid_after_utc.timestamp() * 1000),
            "file": str(self.file),
        }


class TrustStore:
    """The lists below one directory. Calls block on the disk and raise OSError where it fails."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def lists(self) -> Lists:
        """Raises NotConnected for a file in there that is no certificate: a list that seems to be longer than
        it is would be worse."""
        return Lists(
            tuple(entry.certificate for entry in self.entries(TRUSTED)),
            tuple(entry.certificate for entry in self.entries(ISSUERS)),
            tuple(each for _, each in self._read(REVOKED, _parse_revocations)),
        )

    def entries(self, name: str) -> list[Entry]:
        return [Entry(name, file, each) for file, each in self._read(name, parse_certificates)]

    def refused(self, certificate: x509.Certificate) -> Path:
        """Keeps a certificate, so that it can be accepted. Returns its file."""
        path = self._path(REJECTED, certificate)
        make_private_directory(path.parent)
        if path.exists():
            os.utime(path)
        else:
            _write(path, certificate.public_bytes(Encoding.DER))
        self._forget_the_oldest(path)
        return path

    def accept(self, wanted: str) -> Entry:
        """Moves a refused certificate to the trusted ones. Raises ConfigError where there is no such one."""
        known = self._find(wanted, (TRUSTED,))
        if known is not None:
            return known
        found = self._wanted(
            wanted, (REJECTED,), "no server was refused with it; see `edge-agent opcua trust list`"
        )
        return self._move(found, TRUSTED)

    def reject(self, wanted: str) -> Entry:
        """Takes a certificate from the trusted ones. Raises ConfigError where there is no such one."""
        known = self._find(wanted, (REJECTED,))
        if known is not None and self._find(wanted, (TRUSTED,)) is None:
            return known
        found = self._wanted(wanted, (TRUSTED,), "it is not trusted; see `edge-agent opcua trust list`")
        return self._move(found, REJECTED)

    def _wanted(self, wanted: str, names: Sequence[str], hint: str) -> Entry:
        found = self._find(wanted, names)
        if found is None:
            raise ConfigError(f"there is no certificate {wanted}: {hint}")
        return found

    def _find(self, wanted: str, names: Sequence[str]) -> Entry | None:
        """By the thumbprint, its beginning, or the SHA-256 fingerprint, in any common way of writing."""
        digits = re.sub(r"[\s:.-]", "", wanted).lower()
        if len(digits) < _SHORTEST or not re.fullmatch(r"[0-9a-f]+", digits):
            raise ConfigError(f"{wanted!r} is no thumbprint: give at least its first {_SHORTEST} hex digits")
        found: dict[str, Entry] = {}
        for name in names:
            for entry in self.entries(name):
                full = entry.certificate.fingerprint(hashes.SHA256()).hex()
                if entry.thumbprint.lower().startswith(digits) or full.startswith(digits):
                    found.setdefault(full, entry)
        if len(found) > 1:
            raise ConfigError(f"{wanted} fits {len(found)} certificates: give the whole thumbprint")
        return next(iter(found.values()), None)

    def _move(self, entry: Entry, name: str) -> Entry:
        """Written to the new list first: a power cut leaves it in both, and never in none. A file with
        several certificates keeps the others."""
        path = self._path(name, entry.certificate)
        make_private_directory(path.parent)
        _write(path, entry.certificate.public_bytes(Encoding.DER))
        for other in self.entries(entry.list):
            if other.certificate == entry.certificate:
                self._strike(other)
        return Entry(name, path, entry.certificate)

    def _strike(self, entry: Entry) -> None:
        rest = [each for each in parse_certificates(entry.file.read_bytes()) if each != entry.certificate]
        if rest:
            _write(entry.file, b"".join(each.public_bytes(Encoding.PEM) for each in rest))
        else:
            entry.file.unlink()

    def _path(self, name: str, certificate: x509.Certificate) -> Path:
        return self.directory / name / f"{thumbprint(certificate)}.der"

    def _forget_the_oldest(self, newest: Path) -> None:
        files = [file for file in self._files(REJECTED) if file != newest]
        for file in sorted(files, key=_changed)[: max(0, len(files) + 1 - MOST_REJECTED)]:
            with contextlib.suppress(FileNotFoundError):
                file.unlink()

    def _files(self, name: str) -> list[Path]:
        """Hidden files are those that are being written."""
        try:
            found = sorted(
                each for each in (self.directory / name).iterdir() if not each.name.startswith(".")
            )
        except FileNotFoundError:
            return []
        files = [each for each in found if each.is_file()]
        if len(files) > _MOST_FILES:
            raise NotConnected(f"{self.directory / name}: more than {_MOST_FILES} files")
        return files

    def _read(
        self, name: str, parse: Callable[[bytes], Sequence[_Content]]
    ) -> Iterator[tuple[Path, _Content]]:
        for file in self._files(name):
            try:
                with file.open("rb") as opened:
                    data = opened.read(_MOST_FILE_BYTES + 1)
                if len(data) > _MOST_FILE_BYTES:
                    raise ValueError("too large")
                contents = parse(data)
            except FileNotFoundError:
                continue  # moved meanwhile
            except ValueError as error:
                if name == REJECTED:
                    continue  # nothing depends on it
                raise NotConnected(f"{file}: is not what belongs there (PEM or DER): remove it") from error
            yield from ((file, each) for each in contents)


def _write(path: Path, data: bytes) -> None:
    """Also for the agent's user where root runs the command."""
    write_atomic(path, data, 0o644)
    give_to_owner_of(path.parent, path)


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _parse_revocations(data: bytes) -> list[x509.CertificateRevocationList]:
    if b"-----BEGIN" in data:
        return [x509.load_pem_x509_crl(data)]
    return [x509.load_der_x509_crl(data)]
