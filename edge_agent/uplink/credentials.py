"""The device's credential on the disk: `credentials.json` beside the buffer, readable by the agent alone.

The secret is made here, written before anybody hears of it, and never leaves: the centre gets its SHA-256.
A new key stands beside the old one until the centre has taken it: whenever the process dies, what is on the
disk still works. Nothing that the centre says deletes a credential; only one that works replaces another.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_agent.contracts.errors import StorageFailed
from edge_agent.runtime.atomic import write_atomic
from edge_agent.uplink.errors import NotAccepted

FILE_NAME: Final = "credentials.json"
# A credential's id begins its key's SHA-256: it is known even where the centre's answer was lost.
_ID_DIGITS: Final = 12


class Credential(BaseModel):
    """One secret. issued, expires: UTC milliseconds; None: the centre has not answered yet."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    secret: str
    id: str | None = None
    issued: int | None = None
    expires: int | None = None

    @property
    def key(self) -> str:
        """What the centre is told of the secret."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    @property
    def bearer(self) -> str:
        return f"hf_{self.id or self.key[:_ID_DIGITS]}_{self.secret}"


class Kept(BaseModel):
    """The file. current: the credential that worked last; next: the one that is to follow it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = 1
    device: str | None = None
    current: Credential | None = None
    next: Credential | None = None


def _stamp(path: Path) -> tuple[int, int] | None:
    """Differs from what it was once the file has been replaced."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


class Credentials:
    """What is on the disk, and which of it to show. Methods that write block on the disk: call them in a
    thread, one at a time. They raise StorageFailed, and then nothing has changed."""

    def __init__(self, path: Path, write: Callable[[Path, bytes], None] = write_atomic) -> None:
        self._path = path
        self._write = write
        self._kept = Kept()
        self._stamp: tuple[int, int] | None = None
        self._shows_next = False
        self.proved = asyncio.Event()  # the next one worked: `promote` it

    @property
    def path(self) -> Path:
        return self._path

    @property
    def device(self) -> str | None:
        """Whom they were issued to."""
        return self._kept.device

    @property
    def current(self) -> Credential | None:
        return self._kept.current

    @property
    def next(self) -> Credential | None:
        return self._kept.next

    def load(self) -> str:
        """Reads the file; what is wrong with it, or nothing. It is left as it is."""
        self._stamp = _stamp(self._path)
        try:
            self._kept = Kept.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            self._kept = Kept()
        except OSError as error:
            return f"{self._path}: cannot be read: {error.strerror}"
        except ValidationError:
            return f"{self._path}: is no credentials file: enrol this device again"
        self._shows_next = self._kept.next is not None and (
            self._kept.next.id is not None or self._kept.current is None
        )
        return ""

    def refresh(self) -> bool:
        """Reads the file again where somebody else has written it, as `edge-agent enroll` does."""
        if self._stamp == _stamp(self._path):
            return False
        before = self._kept
        return not self.load() and self._kept != before

    # --- in requests ------------------------------------------------------------------------------

    def bearer(self) -> str:
        """Raises NotAccepted where there is none."""
        shown = self._shown()
        if shown is None:
            raise NotAccepted(f"{self._path}: no credential: run `edge-agent enroll`", 401)
        return shown.bearer

    def worked(self, bearer: str) -> None:
        """The centre took a request with it."""
        following = self._kept.next
        if following is not None and following.bearer == bearer:
            self.proved.set()

    def failed(self, bearer: str) -> None:
        """The centre did not: the other one is shown next, if there is another."""
        shown = self._shown()
        if shown is not None and shown.bearer == bearer and self._kept.current and self._kept.next:
            self._shows_next = not self._shows_next

    def _shown(self) -> Credential | None:
        return self._kept.next if self._shows_next and self._kept.next else self._kept.current

    # --- on the disk ------------------------------------------------------------------------------

    def new_key(self) -> Credential:
        """The key to ask with: the one that was asked with before, if that was never answered."""
        following = self._kept.next
        if following is None:
            following = Credential(secret=secrets.token_urlsafe(32))
            self._save(self._kept.model_copy(update={"next": following}))
        if self._kept.current is None:
            self._shows_next = True
        return following

    def accept(self, key: str, device: str, credential: str, issued: int, expires: int) -> None:
        """The centre's answer to the key: it is shown from now on."""
        following = self._kept.next
        if following is None or following.key != key:
            return
        taken = following.model_copy(update={"id": credential, "issued": issued, "expires": expires})
        self._save(self._kept.model_copy(update={"next": taken, "device": device}))
        self._shows_next = True

    def promote(self) -> None:
        """The next one has worked: the one before it is of no use any more."""
        following = self._kept.next
        if following is not None:
            self._save(self._kept.model_copy(update={"current": following, "next": None}))
            self._shows_next = False
        self.proved.clear()

    def drop_next(self) -> None:
        """The centre will not have this key: the next one is new."""
        self._save(self._kept.model_copy(update={"next": None}))
        self._shows_next = False
        self.proved.clear()

    def _save(self, kept: Kept) -> None:
        try:
            self._write(self._path, kept.model_dump_json(indent=1).encode() + b"\n")
        except OSError as error:
            raise StorageFailed(f"{self._path}: cannot be written: {error.strerror or error}") from error
        self._kept, self._stamp = kept, _stamp(self._path)
