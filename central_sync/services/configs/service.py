"""The configs the centre wants on its devices: whole documents with a monotonic version.

The envelope is stored as canonical bytes (sorted keys, no blanks), and its ETag is their SHA-256: what
a device fetches is byte for byte what the ETag names. A rollback is a higher version. The agent's rules
judge a document before it is saved; what became of it is the device's own report.
"""

import asyncio
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import orjson

from central_sync.services.audit.entries import Actor
from central_sync.services.clock import Clock
from central_sync.services.configs.checking import CheckService
from central_sync.services.configs.diff import diff
from central_sync.services.configs.edits import put_tags
from central_sync.services.configs.views import (
    AppliedConfig,
    ConfigChecked,
    ConfigDiff,
    ConfigOutcome,
    ConfigProblem,
    ConfigStatus,
    ConfigVersion,
    ConfigVersionDetail,
    ConfigVersionPage,
    ConfigWritten,
    DesiredConfig,
    ReportedConfig,
)
from central_sync.services.database import Once
from central_sync.services.documents import canonical_object
from central_sync.services.errors import Invalid, NotFound
from central_sync.services.pages import decode_cursor, encode_cursor
from edge_agent.wire.messages import ConfigReport, ConfigState

MAX_CONFIG_BYTES: Final = 4 << 20
# Larger documents are read in a thread, so that no other request waits for them.
INLINE_BYTES: Final = 64 << 10
# Newest versions that are kept of a device, beside the desired and the applied one.
KEPT_VERSIONS: Final = 100
MAX_NOTE: Final = 500
_PLACED: Final = re.compile(r"centre config version \d+: remote:(.*?): (.*)")
_IN_FORCE: Final = (ConfigState.APPLIED, ConfigState.APPLIED_WITH_WARNINGS)


@dataclass(frozen=True, slots=True)
class ConfigRow:
    """One version. `body` are the canonical bytes of the envelope. outcome: what the device last said of it
    before the next version was made."""

    version: int
    etag: str
    body: bytes
    author: str
    created: int
    note: str = ""
    source: str = "put"
    outcome: ConfigOutcome | None = None

    @property
    def sections(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.body)["sections"]
        return found


@dataclass(frozen=True, slots=True)
class Precondition:
    """If-Match and If-None-Match as lists of strong ETags without quotes; `*` stands for any."""

    match: tuple[str, ...] | None = None
    none_match: tuple[str, ...] | None = None

    def holds(self, etag: str | None) -> bool:
        if self.match is not None and (etag is None or not {etag, "*"} & set(self.match)):
            return False
        return not (self.none_match and etag is not None and {etag, "*"} & set(self.none_match))


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes a config. name: as versions show it."""

    name: str
    actor: Actor


@dataclass(frozen=True, slots=True)
class Change:
    """Sections that a device is to have. `sections` is canonical. source: what made them."""

    device: str
    sections: bytes
    author: Author
    now: int
    condition: Precondition = field(default_factory=Precondition)
    note: str = ""
    source: str = "put"
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class TagPlace:
    """Where a tag list goes. interval: of the group; None: as it is. replace: the group has these alone."""

    connection: str
    group: str
    interval: str | None = None
    encoding: str | None = None
    replace: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored about one device's configs. report: of its newest heartbeat, which arrived at `time`."""

    desired: ConfigRow | None
    report: ConfigReport | None
    time: int | None


class ConfigStore(Protocol):
    async def config(self, device: str) -> ConfigRow | None: ...

    async def etag(self, device: str) -> str | None:
        """Of the desired config."""
        ...

    async def put_config(self, change: Change) -> ConfigWritten:
        """The desired config afterwards and whether it is new.

        Raises NotFound for an unknown device, PreconditionFailed, Conflict.
        """
        ...

    async def known(self, device: str) -> Known:
        """Raises NotFound for an unknown device."""
        ...

    async def versions(self, device: str, below: int | None, limit: int) -> list[ConfigRow]:
        """Newest first; of those below a version. Their bodies may be empty."""
        ...

    async def version(self, device: str, version: int) -> ConfigRow | None: ...

    async def version_before(self, device: str, version: int) -> int | None: ...


def no_config(device: str) -> NotFound:
    return NotFound("no_config", f"the centre has no config for {device}")


def envelope(version: int, sections: bytes) -> bytes:
    """The canonical bytes of a `ConfigEnvelope` around canonical sections."""
    return b'{"sections":%s,"version":%d}' % (sections, version)


def make_row(
    version: int, sections: bytes, author: str, now: int, note: str = "", source: str = "put"
) -> ConfigRow:
    body = envelope(version, sections)
    return ConfigRow(version, hashlib.sha256(body).hexdigest()[:32], body, author, now, note, source)


def same_sections(row: ConfigRow, sections: bytes) -> bool:
    return row.body == envelope(row.version, sections)


def canonical(sections: dict[str, Any]) -> bytes:
    """Of sections that were made of canonical ones. Raises Invalid where they have become too long."""
    body = orjson.dumps(sections, option=orjson.OPT_SORT_KEYS)
    if len(body) > MAX_CONFIG_BYTES:
        raise Invalid("bad_config", f"the config would have more than {MAX_CONFIG_BYTES} bytes")
    return body


async def read_sections(body: bytes) -> bytes:
    """An operator's document as canonical bytes. Raises Invalid with the place."""
    if len(body) > INLINE_BYTES:
        return await asyncio.to_thread(canonical_object, body, "bad_config")
    return canonical_object(body, "bad_config")


def outcomes(report: ConfigReport | None) -> dict[int, ConfigOutcome]:
    """What a report says of versions: of the one that was seen last, and of the one that runs."""
    found: dict[int, ConfigOutcome] = {}
    if report is None:
        return found
    if report.applied_version is not None:
        found[report.applied_version] = ConfigOutcome(state=ConfigState.APPLIED)
    if report.seen_version is not None and report.state is not ConfigState.LOCAL:
        found[report.seen_version] = ConfigOutcome(
            state=report.state, code=report.code, message=report.message
        )
    return found


class ConfigService:
    def __init__(self, store: ConfigStore, clock: Clock, checks: CheckService) -> None:
        self._store = store
        self._clock = clock
        self._checks = checks

    async def get(self, device: str) -> ConfigRow:
        """Raises NotFound where the centre wants nothing of this device."""
        row = await self._store.config(device)
        if row is None:
            raise no_config(device)
        return row

    async def etag(self, device: str) -> str | None:
        """Of what `get` gives, without reading its body; None: the centre wants nothing of this device."""
        return await self._store.etag(device)

    async def put(
        self,
        device: str,
        body: bytes,
        condition: Precondition,
        author: Author,
        note: str = "",
        source: str = "put",
        once: Once | None = None,
    ) -> ConfigWritten:
        """Raises Invalid with the places, NotFound, PreconditionFailed, Busy."""
        sections = await read_sections(body)
        await self._store.known(device)
        checked = await self._checks.require(sections)
        now = self._clock.wall_ms()
        change = Change(device, sections, author, now, condition, note, source, once)
        return (await self._store.put_config(change)).model_copy(update={"warnings": checked.warnings})

    async def check(self, body: bytes) -> ConfigChecked:
        """Changes nothing. Raises Invalid for what is no document, Busy."""
        return await self._checks.check(await read_sections(body))

    async def rollback(
        self, device: str, version: int, condition: Precondition, author: Author, note: str, once: Once | None
    ) -> ConfigWritten:
        """The old content under a higher version. Raises NotFound, Invalid, PreconditionFailed, Busy."""
        row = await self._require(device, version)
        text = note or f"back to version {version}"
        body = canonical(row.sections)
        return await self.put(device, body, condition, author, text, "rollback", once)

    async def import_tags(
        self, device: str, data: bytes, place: TagPlace, author: Author, note: str, once: Once | None
    ) -> ConfigWritten:
        """A tag list, read as agents read it, into a group. Raises Invalid, NotFound, PreconditionFailed,
        Busy."""
        current = await self.get(device)
        listed = await self._checks.read_tags(data, "tags.csv", place.encoding)
        sections = put_tags(
            current.sections,
            place.connection,
            place.group,
            listed.tags,
            place.interval,
            replace=place.replace,
        )
        body, condition = canonical(sections), Precondition((current.etag,))
        if place.dry_run:
            checked = await self._checks.require(body)
            written = ConfigWritten(
                version=current.version, etag=current.etag, created=False, author=current.author,
                time=current.created, warnings=checked.warnings,
            )  # fmt: skip
        else:
            text = note or f"{len(listed.tags)} tags into {place.connection}.{place.group}"
            written = await self.put(device, body, condition, author, text, "tags", once)
        return written.model_copy(update={"warnings": [*listed.warnings, *written.warnings]})

    # --- questions ----------------------------------------------------------------------------------

    async def page(self, device: str, cursor: str | None, limit: int) -> ConfigVersionPage:
        key = decode_cursor(cursor, int)
        known = await self._store.known(device)
        rows = await self._store.versions(device, None if key is None else int(key[0]), limit + 1)
        items = [_view(row, known) for row in rows[:limit]]
        more = encode_cursor([rows[limit - 1].version]) if len(rows) > limit else None
        return ConfigVersionPage(items=items, next=more)

    async def version(self, device: str, version: int) -> ConfigVersionDetail:
        row = await self._require(device, version)
        view = _view(row, await self._store.known(device))
        return ConfigVersionDetail(**dict(view), sections=row.sections)

    async def diff(self, device: str, start: int | None, end: int | None) -> ConfigDiff:
        """start: absent, the version before `end`; 0 and where there is none: nothing. end: absent, the
        desired one."""
        if end is None:
            end = (await self.get(device)).version
        if start is None:
            start = await self._store.version_before(device, end) or 0
        before = (await self._require(device, start)).sections if start else {}
        after = (await self._require(device, end)).sections if end else {}
        return await asyncio.to_thread(diff, before, after, (start, end))

    async def status(self, device: str) -> ConfigStatus:
        known = await self._store.known(device)
        report, row = known.report, known.desired
        desired = row and DesiredConfig(
            version=row.version, etag=row.etag, author=row.author, time=row.created, note=row.note
        )
        applied = report and AppliedConfig(version=report.applied_version, hash=report.running_hash)
        in_sync = row is None if report is None or row is None else _runs(report, row)
        return ConfigStatus(
            device_id=device, desired=desired, applied=applied, reported=_reported(known), in_sync=in_sync
        )

    async def _require(self, device: str, version: int) -> ConfigRow:
        row = await self._store.version(device, version)
        if row is None:
            await self._store.known(device)
            raise NotFound("unknown_version", f"{device} has no version {version} (any more)")
        return row


def _runs(report: ConfigReport, row: ConfigRow) -> bool:
    # The ETag too: another centre, or this one before it was restored, counted its versions from 1 as well.
    # Proxies that compress put something behind it.
    is_same = report.applied_version == row.version and (report.etag or "").startswith(row.etag)
    return is_same and report.state in _IN_FORCE


def _view(row: ConfigRow, known: Known) -> ConfigVersion:
    return ConfigVersion(
        version=row.version, etag=row.etag, author=row.author, time=row.created, note=row.note,
        source=row.source, desired=known.desired is not None and known.desired.version == row.version,
        outcome=outcomes(known.report).get(row.version, row.outcome),
    )  # fmt: skip


def _reported(known: Known) -> ReportedConfig | None:
    report = known.report
    if report is None:
        return None
    return ReportedConfig(
        state=report.state, seen_version=report.seen_version, etag=report.etag, code=report.code,
        message=report.message, problems=_problems(report.message), time=known.time,
    )  # fmt: skip


def _problems(message: str) -> list[ConfigProblem]:
    """What a device says of a document, by place."""
    found = (_PLACED.fullmatch(line) for line in message.splitlines())
    return [ConfigProblem(path=match[1], message=match[2]) for match in found if match]
