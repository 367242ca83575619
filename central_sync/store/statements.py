"""The key that signs statements about the audit trail, and the file of the daily checkpoints.

The key is a file of its own in the data directory, readable by its owner alone: a copy of the database
alone cannot sign. `cryptography` comes with the extra `central` and is imported where it is first needed.
"""

import os
import secrets
from pathlib import Path
from typing import Any, Final

from central_sync.services.audit.chain import Place, Statement, decode, encode, read_statements, sign
from central_sync.services.errors import Invalid
from central_sync.store.errors import CannotOpen

KEY_NAME: Final = "audit-key.pem"
CHECKPOINTS_NAME: Final = "audit-checkpoints.jsonl"


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise CannotOpen("signing needs the library cryptography: pip install 'holdfast[central]'") from error
    return ed25519


class AuditKey:
    """Ed25519. Made at its first use."""

    def __init__(self, directory: Path) -> None:
        """Raises CannotOpen where the key cannot be read or made, or the library is missing."""
        ed25519 = _ed25519()
        from cryptography.hazmat.primitives import serialization

        path = directory / KEY_NAME
        try:
            if not path.exists():
                made = ed25519.Ed25519PrivateKey.generate().private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
                _create(path, made)
            self._key: Any = serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError) as error:
            raise CannotOpen(f"{path}: {error}") from error
        if not isinstance(self._key, ed25519.Ed25519PrivateKey):
            raise CannotOpen(f"{path}: this is no Ed25519 key")
        raw = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self._public = encode(raw)

    @property
    def public(self) -> str:
        return self._public

    def sign(self, message: bytes) -> bytes:
        signature: bytes = self._key.sign(message)
        return signature


def known_key(directory: Path) -> str | None:
    """The public key, where one was made. Raises CannotOpen."""
    return AuditKey(directory).public if (directory / KEY_NAME).exists() else None


def verifies(key: str, signature: bytes, message: bytes) -> bool:
    """Raises ValueError where `key` is none, CannotOpen where the library is missing."""
    ed25519 = _ed25519()
    from cryptography.exceptions import InvalidSignature

    try:
        ed25519.Ed25519PublicKey.from_public_bytes(decode(key)).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _create(path: Path, content: bytes) -> None:
    """Whole or not at all; whoever is second keeps the first one's."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:  # noqa: PTH123
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class CheckpointFile:
    """The statements that the centre makes every day; copies of them belong elsewhere."""

    def __init__(self, directory: Path, centre: str) -> None:
        self._directory = directory
        self._path = directory / CHECKPOINTS_NAME
        self._centre = centre

    def newest(self) -> Statement | None:
        """None: there is none that can be read."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
            return read_statements(lines[-1], str(self._path))[0]
        except (FileNotFoundError, IndexError, Invalid, UnicodeDecodeError):
            return None

    def keep(self, place: Place, now: int) -> Statement:
        """Signs and appends, synced. Raises CannotOpen."""
        statement = sign(AuditKey(self._directory), "checkpoint", self._centre, place.no, place.hash, now)
        try:
            opened = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with open(opened, "r+b") as file:  # noqa: PTH123
                # A line that a power cut left half written goes.
                whole = file.read().rfind(b"\n") + 1
                file.truncate(whole)
                file.seek(whole)
                file.write(statement.line().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise CannotOpen(f"{self._path}: {error}") from error
        return statement
