"""The last config of the centre that ran well, on disk, and the versions that did not. Boot needs no network.
The centre's scripts are kept in another file of the same kind.

One file, replaced as a whole by the writer that `app` passes in (write, fsync, rename, fsync of the
directory): a power cut leaves the old one or the new one. A digest over its content tells damage from
content; a damaged file is set aside as `NAME.corrupt` and the agent starts from its local file.

Three lines: format and digest; version, ETag and quarantine; the document as the centre sent it, which may
be long and is looked into by nobody here.
"""

import contextlib
import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from edge_agent.wire.messages import ConfigEnvelope

Writer = Callable[[Path, bytes], None]
FORMAT: Final = 2
# A centre that tries one bad version after the other must not fill the disk.
MAX_QUARANTINED: Final = 100


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True)


class Applied(_Stored):
    """Which document of the centre runs. content: its hash, see `envelope_hash`. A set of scripts has no
    version."""

    version: int = 0
    etag: str
    content: str


class Failure(_Stored):
    """A version that was tried and taken back, or refused: not to be tried again as it is."""

    version: int = 0
    code: str
    message: str


class Kept(_Stored):
    """The file's second line. `failed`: by content, the oldest first."""

    applied: Applied | None = None
    failed: dict[str, Failure] = {}


def envelope_hash(envelope: ConfigEnvelope) -> str:
    """SHA-256 of the sections' canonical JSON. The version is not in it: the same content under a new
    number would fail as before."""
    return hashlib.sha256(orjson.dumps(envelope.sections, option=orjson.OPT_SORT_KEYS)).hexdigest()


class LastGood:
    """Call `load` once at the start; then it answers from memory and writes each change through.

    Raises OSError where the disk does not take a change: what was kept before is then still there.
    """

    def __init__(self, path: Path, write: Writer) -> None:
        self._path = path
        self._write = write
        self._kept = Kept()
        self._packed = zlib.compress(b"")

    @property
    def applied(self) -> Applied | None:
        return self._kept.applied

    @property
    def body(self) -> bytes:
        """The document that runs, as the centre sent it; empty where `applied` is None."""
        return zlib.decompress(self._packed)

    @property
    def known_bad(self) -> frozenset[str]:
        """The contents in quarantine."""
        return frozenset(self._kept.failed)

    def load(self) -> str:
        """Reads the file. Returns what was wrong with it, in one line for the log; empty if nothing."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"{self._path} cannot be read, starting from the local file: {error.strerror}"
        try:
            self._kept, body = _decode(data)
        except ValueError as error:
            aside = self._path.with_name(self._path.name + ".corrupt")
            with contextlib.suppress(OSError):
                self._path.replace(aside)
            place = f"it is kept as {aside}"
            return f"{self._path} cannot be used, starting from the local file; {place}: {error}"
        self._packed = zlib.compress(body)
        return ""

    def save(self, applied: Applied, body: bytes) -> None:
        """From now on this document is the last good one."""
        failed = {key: value for key, value in self._kept.failed.items() if key != applied.content}
        self._replace(Kept(applied=applied, failed=failed), body)

    def quarantine(self, content: str, failure: Failure) -> None:
        """This content is not to be tried again."""
        failed = dict(self._kept.failed)
        failed.pop(content, None)
        failed[content] = failure
        newest = list(failed.items())[-MAX_QUARANTINED:]
        self._replace(Kept(applied=self._kept.applied, failed=dict(newest)), self.body)

    def failure(self, content: str) -> Failure | None:
        """Why this content is in quarantine; None where it may be tried."""
        return self._kept.failed.get(content)

    def release(self) -> None:
        """Empties the quarantine: the local file has changed, and what failed may work now."""
        if self._kept.failed:
            self._replace(Kept(applied=self._kept.applied), self.body)

    def _replace(self, kept: Kept, body: bytes) -> None:
        self._write(self._path, _encode(kept, body))
        self._kept, self._packed = kept, zlib.compress(body)


def _encode(kept: Kept, body: bytes) -> bytes:
    content = kept.model_dump_json().encode() + b"\n" + body
    head = {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest()}
    return orjson.dumps(head) + b"\n" + content


def _decode(data: bytes) -> tuple[Kept, bytes]:
    """Raises ValueError for anything that `_encode` did not make."""
    first, _, content = data.partition(b"\n")
    head = orjson.loads(first)
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise ValueError("its format is not known to this version")
    if head.get("sha256") != hashlib.sha256(content).hexdigest():
        raise ValueError("its content does not match its digest")
    second, _, body = content.partition(b"\n")
    try:
        return Kept.model_validate_json(second), body
    except ValidationError as error:
        raise ValueError(f"its content is not valid: {error.error_count()} errors") from error
