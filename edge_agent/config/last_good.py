"""The last config of the centre that ran well, on disk, and the versions that did not. Boot needs no network.

One file, replaced as a whole by the writer that `app` passes in (write, fsync, rename, fsync of the
directory): a power cut leaves the old one or the new one. A digest over its content tells damage from
content; a damaged file is set aside as `NAME.corrupt` and the agent starts from its local file.
"""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from edge_agent.wire.messages import ConfigEnvelope

Writer = Callable[[Path, bytes], None]
FORMAT: Final = 1
# A centre that tries one bad version after the other must not fill the disk.
MAX_QUARANTINED: Final = 100


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True)


class Applied(_Stored):
    """The envelope that runs, and the ETag that it came with."""

    envelope: ConfigEnvelope
    etag: str


class Failure(_Stored):
    """A version that was tried and taken back, or refused: not to be tried again as it is."""

    version: int
    code: str
    message: str


class Kept(_Stored):
    """The file's content. `failed`: by `envelope_hash`, the oldest first."""

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

    @property
    def applied(self) -> Applied | None:
        return self._kept.applied

    def load(self) -> str:
        """Reads the file. Returns what was wrong with it, in one line for the log; empty if nothing."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"{self._path} cannot be read, starting from the local file: {error.strerror}"
        try:
            self._kept = _decode(data)
        except ValueError as error:
            aside = self._path.with_name(self._path.name + ".corrupt")
            with contextlib.suppress(OSError):
                self._path.replace(aside)
            return f"{self._path} is damaged, starting from the local file; it is kept as {aside}: {error}"
        return ""

    def save(self, envelope: ConfigEnvelope, etag: str) -> None:
        """From now on this envelope is the last good one."""
        failed = {key: value for key, value in self._kept.failed.items() if key != envelope_hash(envelope)}
        self._replace(Kept(applied=Applied(envelope=envelope, etag=etag), failed=failed))

    def forget(self) -> None:
        """The centre manages nothing any more: the local file alone counts."""
        self._replace(Kept(failed=self._kept.failed))

    def quarantine(self, envelope: ConfigEnvelope, code: str, message: str) -> None:
        """This content is not to be tried again."""
        failed = dict(self._kept.failed)
        failed.pop(envelope_hash(envelope), None)
        failed[envelope_hash(envelope)] = Failure(version=envelope.version, code=code, message=message)
        newest = list(failed.items())[-MAX_QUARANTINED:]
        self._replace(Kept(applied=self._kept.applied, failed=dict(newest)))

    def failure(self, envelope: ConfigEnvelope) -> Failure | None:
        """Why this content is in quarantine; None where it may be tried."""
        return self._kept.failed.get(envelope_hash(envelope))

    def release(self) -> None:
        """Empties the quarantine: the local file has changed, and what failed may work now."""
        if self._kept.failed:
            self._replace(Kept(applied=self._kept.applied))

    def _replace(self, kept: Kept) -> None:
        self._write(self._path, _encode(kept))
        self._kept = kept


def _encode(kept: Kept) -> bytes:
    content = kept.model_dump_json().encode()
    head = {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest()}
    return orjson.dumps(head) + b"\n" + content


def _decode(data: bytes) -> Kept:
    """Raises ValueError for anything that `_encode` did not make."""
    first, _, content = data.partition(b"\n")
    head = orjson.loads(first)
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise ValueError("its format is not known to this version")
    if head.get("sha256") != hashlib.sha256(content).hexdigest():
        raise ValueError("its content does not match its digest")
    try:
        return Kept.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(f"its content is not valid: {error.error_count()} errors") from error
