"""The names that an older system had for tags, and where each is now: for those who move over."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from central_sync.services.access.roles import Identity
from central_sync.services.access.sight import Sight
from central_sync.services.access.tokens import check_device_id
from central_sync.services.clock import Clock
from central_sync.services.configs.service import MAX_NOTE, Author
from central_sync.services.database import Once
from central_sync.services.errors import NotFound
from central_sync.services.pages import decode_cursor, encode_cursor
from central_sync.services.views import LatestItem, View

MAX_MAPPINGS: Final = 1_000_000
# Tags of one connection that are looked through for the latest values of a page.
MAX_LATEST: Final = 10_000
Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class MappingBody(BaseModel):
    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="forbid",
        json_schema_extra={"example": {
            "v1_name": "PLC1.D100", "device": "press-shop-01", "connection": "press1", "tag": "oil_temp",
        }},
    )  # fmt: skip

    v1_name: Text = Field(description="Its name there; unique.")
    device: Annotated[str, StringConstraints(max_length=51)]
    connection: Annotated[str, StringConstraints(max_length=51, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    tag: Text
    note: str = Field("", max_length=MAX_NOTE)


class V1Value(View):
    value: JsonValue
    quality: str
    time: int
    unit: str


class V1Mapping(View):
    id: str
    v1_name: str
    device: str
    connection: str
    tag: str
    note: str = ""
    author: str
    created: int
    updated: int
    latest: V1Value | None = Field(
        None, description="With `resolve`: the newest sample; null: there is none."
    )


class V1MappingPage(View):
    items: list[V1Mapping]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class MappingFilter:
    device: str | None
    v1_name: str | None
    limits: Mapping[str, str]
    after: str
    limit: int


class MappingStore(Protocol):
    """Everything raises Conflict (`name_taken`, `too_many_mappings`) or NotFound where it applies."""

    async def create(self, mapping: V1Mapping, author: Author, once: Once | None) -> V1Mapping: ...

    async def get(self, mapping: str) -> V1Mapping | None: ...

    async def page(self, wanted: MappingFilter) -> list[V1Mapping]: ...

    async def replace(self, mapping: V1Mapping, author: Author) -> None: ...

    async def delete(self, mapping: str, author: Author, now: int) -> None: ...


class LatestValues(Protocol):
    async def latest(
        self, device: str, connection: str | None, after: Sequence[str | int] | None, limit: int
    ) -> list[dict[str, Any]] | None: ...


class MappingService:
    def __init__(self, store: MappingStore, latest: LatestValues, sight: Sight, clock: Clock) -> None:
        self._store = store
        self._latest = latest
        self._sight = sight
        self._clock = clock

    async def create(
        self, body: MappingBody, identity: Identity, author: Author, once: Once | None
    ) -> V1Mapping:
        await self._sight.require(identity, check_device_id(body.device))
        now = self._clock.wall_ms()
        mapping = V1Mapping(
            id=f"v1-{uuid4().hex[:16]}", author=author.name, created=now, updated=now, **body.model_dump()
        )
        return await self._store.create(mapping, author, once)

    async def page(
        self, identity: Identity, device: str | None, v1_name: str | None, cursor: str | None, limit: int,
        *, resolve: bool,
    ) -> V1MappingPage:  # fmt: skip
        key = decode_cursor(cursor, str)
        after = str(key[0]) if key else ""
        found = await self._store.page(MappingFilter(device, v1_name, identity.labels, after, limit + 1))
        more = encode_cursor([found[limit - 1].v1_name]) if len(found) > limit else None
        items = found[:limit]
        return V1MappingPage(items=await self._resolved(items) if resolve else items, next=more)

    async def replace(self, mapping: str, body: MappingBody, identity: Identity, author: Author) -> V1Mapping:
        old = await self._require(mapping, identity)
        await self._sight.require(identity, check_device_id(body.device))
        fields = {**dict(old), **body.model_dump(), "author": author.name, "updated": self._clock.wall_ms()}
        new = V1Mapping(**fields)
        await self._store.replace(new, author)
        return new

    async def delete(self, mapping: str, identity: Identity, author: Author) -> None:
        await self._require(mapping, identity)
        await self._store.delete(mapping, author, self._clock.wall_ms())

    async def export(self, identity: Identity) -> str:
        """All in sight, as a table."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(("v1_name", "device", "connection", "tag", "note"))
        found = await self._store.page(MappingFilter(None, None, identity.labels, "", MAX_MAPPINGS))
        for each in found:
            cells = (each.v1_name, each.device, each.connection, each.tag, each.note)
            writer.writerow([_harmless(cell) for cell in cells])
        return text.getvalue()

    async def _require(self, mapping: str, identity: Identity) -> V1Mapping:
        found = await self._store.get(mapping)
        if found is None:
            raise NotFound("unknown_mapping", f"there is no mapping {mapping[:64]}")
        await self._sight.require(identity, found.device)
        return found

    async def _resolved(self, items: list[V1Mapping]) -> list[V1Mapping]:
        values: dict[tuple[str, str, str], V1Value] = {}
        for device, connection in dict.fromkeys((each.device, each.connection) for each in items):
            for item in await self._latest.latest(device, connection, None, MAX_LATEST) or ():
                found = LatestItem.model_validate(item)
                values[device, connection, found.tag] = V1Value(
                    value=found.value, quality=found.quality, time=found.time, unit=found.unit
                )
        return [
            each.model_copy(update={"latest": values.get((each.device, each.connection, each.tag))})
            for each in items
        ]


def _harmless(cell: str) -> str:
    """Spreadsheets take what begins so for a formula, whoever wrote it."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell
