"""Reading the audit trail: pages, figures, and an export that follows the pages.

It concerns everybody's doings on all devices, so that it is for admins who are not limited to some of them.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field

from central_sync.services.access.roles import Identity, require_unlimited
from central_sync.services.audit.chain import Place
from central_sync.services.clock import Clock
from central_sync.services.errors import Invalid
from central_sync.services.pages import decode_cursor, encode_cursor

EXPORT_PAGE: Final = 500
STATS_SPAN_MS: Final = 30 * 86_400_000


class AuditView(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, populate_by_name=True, serialize_by_alias=True)


class AuditActor(AuditView):
    kind: str = Field(description="user, token, device, cli or system.", examples=["user"])
    id: str = Field(examples=["7f3a91c2"])
    name: str = Field(examples=["kim"])
    address: str = Field(description="Where the request came from.", examples=["192.0.2.7"])


class AuditEntryView(AuditView):
    """One change: who did what to which, from where, what was before and what is after."""

    no: int = Field(examples=[4711])
    time: int = Field(examples=[1_800_000_000_000])
    actor: AuditActor
    action: str = Field(examples=["device.patch"])
    entity: str = Field(description="What kind of thing was changed.", examples=["device"])
    name: str = Field(description="Which one.", examples=["press-1"])
    device: str | None = Field(None, description="The device that it concerns.", examples=["press-1"])
    before: Any = Field(None, examples=[{"labels": {"line": "a"}}])
    after: Any = Field(None, examples=[{"labels": {"line": "b"}}])
    hash: str = Field(
        description="SHA-256 over the hash before it and the entry's canonical JSON.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )


class AuditPage(AuditView):
    items: list[AuditEntryView]
    next: str | None = Field(None, description="Cursor of the next page; null on the last.")


class AuditCount(AuditView):
    name: str = Field(examples=["device.patch"])
    entries: int = Field(examples=[12])


class AuditStats(AuditView):
    """How many entries there are in a span of time; each list has the hundred most frequent."""

    start: int = Field(alias="from", examples=[1_797_408_000_000])
    end: int = Field(alias="to", examples=[1_800_000_000_000])
    entries: int = Field(examples=[12])
    by_action: list[AuditCount]
    by_actor: list[AuditCount]
    by_entity: list[AuditCount]


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """None: any. actor: as `user:7f3a91c2`. start and end are UTC milliseconds, inclusive."""

    actor: str | None = None
    action: str | None = None
    entity: str | None = None
    name: str | None = None
    device: str | None = None
    start: int | None = None
    end: int | None = None


class TrailStore(Protocol):
    async def page(self, wanted: AuditFilter, before: int | None, limit: int) -> list[AuditEntryView]:
        """Newest first, with numbers below `before`."""
        ...

    async def stats(self, start: int, end: int) -> AuditStats: ...

    async def last_place(self) -> Place: ...


class TrailService:
    def __init__(self, store: TrailStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def page(self, who: Identity, wanted: AuditFilter, cursor: str | None, limit: int) -> AuditPage:
        """Raises Invalid, Forbidden."""
        require_unlimited(who)
        key = decode_cursor(cursor, int)
        before = None if key is None else int(key[0])
        items = await self._store.page(wanted, before, limit + 1)
        more = encode_cursor([items[limit - 1].no]) if len(items) > limit else None
        return AuditPage(items=items[:limit], next=more)

    async def stats(self, who: Identity, start: int | None, end: int | None) -> AuditStats:
        """The last 30 days where nothing else is asked for. Raises Invalid, Forbidden."""
        require_unlimited(who)
        end = self._clock.wall_ms() if end is None else end
        start = max(0, end - STATS_SPAN_MS) if start is None else start
        if start > end:
            raise Invalid("bad_span", "from is after to")
        return await self._store.stats(start, end)

    async def export(self, who: Identity, wanted: AuditFilter) -> AsyncIterator[bytes]:
        """JSON lines, newest first, in parts. Raises Forbidden before the first."""
        require_unlimited(who)
        before: int | None = None
        while items := await self._store.page(wanted, before, EXPORT_PAGE):
            yield b"".join(item.model_dump_json().encode() + b"\n" for item in items)
            before = items[-1].no
