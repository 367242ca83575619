"""The configs the centre wants on its devices: whole documents with a monotonic version.

The envelope is stored as canonical bytes (sorted keys, no blanks), and its ETag is their SHA-256: what
a device fetches is byte for byte what the ETag names. A rollback is a higher version. The centre checks
the shape only; the agent judges the content and reports it.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Final, Protocol

from central_sync.services.clock import Clock
from central_sync.services.documents import canonical_object
from central_sync.services.errors import NotFound
from central_sync.services.views import ConfigStored

MAX_CONFIG_BYTES: Final = 4 << 20
# Larger documents are read in a thread, so that no other request waits for them.
INLINE_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class ConfigRow:
    """One version. `body` are the canonical bytes of the envelope."""

    version: int
    etag: str
    body: bytes
    author: str
    created: int


@dataclass(frozen=True, slots=True)
class Precondition:
    """If-Match and If-None-Match as lists of strong ETags without quotes; `*` stands for any."""

    match: tuple[str, ...] | None = None
    none_match: tuple[str, ...] | None = None

    def holds(self, etag: str | None) -> bool:
        if self.match is not None and (etag is None or not {etag, "*"} & set(self.match)):
            return False
        return not (self.none_match and etag is not None and {etag, "*"} & set(self.none_match))


class ConfigStore(Protocol):
    async def config(self, device: str) -> ConfigRow | None: ...

    async def put_config(
        self, device: str, sections: bytes, condition: Precondition, author: str, now: int
    ) -> tuple[ConfigRow, bool]:
        """The desired config afterwards and whether it is new. `sections` is canonical.

        Raises NotFound for an unknown device, PreconditionFailed.
        """
        ...


def envelope(version: int, sections: bytes) -> bytes:
    """The canonical bytes of a `ConfigEnvelope` around canonical sections."""
    return b'{"sections":%s,"version":%d}' % (sections, version)


def make_row(version: int, sections: bytes, author: str, now: int) -> ConfigRow:
    body = envelope(version, sections)
    return ConfigRow(version, hashlib.sha256(body).hexdigest()[:32], body, author, now)


def same_sections(row: ConfigRow, sections: bytes) -> bool:
    return row.body == envelope(row.version, sections)


class ConfigService:
    def __init__(self, store: ConfigStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def get(self, device: str) -> ConfigRow:
        """Raises NotFound where the centre wants nothing of this device."""
        row = await self._store.config(device)
        if row is None:
            raise NotFound("no_config", f"the centre has no config for {device}")
        return row

    async def put(self, device: str, body: bytes, condition: Precondition, author: str) -> ConfigStored:
        """Raises Invalid with the place, NotFound, PreconditionFailed."""
        if len(body) > INLINE_BYTES:
            sections = await asyncio.to_thread(canonical_object, body, "bad_config")
        else:
            sections = canonical_object(body, "bad_config")
        row, created = await self._store.put_config(
            device, sections, condition, author, self._clock.wall_ms()
        )
        return ConfigStored(
            version=row.version, etag=row.etag, created=created, author=row.author, time=row.created
        )
