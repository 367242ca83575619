"""Lists and figures of devices, each for the eyes of who asks: what he is limited to is all that counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Protocol

from central_sync.services.access.selectors import Selector
from central_sync.services.clock import Clock
from central_sync.services.data.accounting import named
from central_sync.services.devices.health import DeviceState
from central_sync.services.devices.service import DeviceAccount, DeviceRow, summary
from central_sync.services.errors import NotFound
from central_sync.services.pages import decode_cursor, encode_cursor
from central_sync.services.views import (
    CompleteThrough,
    DataStats,
    DevicePage,
    DeviceStats,
    FleetStats,
    GapView,
)
from edge_agent.wire.ranges import size

MAX_GAPS_NAMED: Final = 1_000


class Sort(StrEnum):
    """By id; by state, then id; by the newest heartbeat, oldest or newest first."""

    ID = "id"
    STATE = "state"
    LAST_SEEN = "last_seen"
    LAST_SEEN_DOWN = "-last_seen"


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """Which devices, in which order, behind which key. limits: what the asker sees. label: `key`, or key and
    value. text: a part of id, name or a label, in either case of ASCII. device: this one alone."""

    limits: Mapping[str, str] = field(default_factory=dict)
    state: DeviceState | None = None
    label: tuple[str, str | None] | None = None
    selector: Selector | None = None
    text: str | None = None
    decommissioned: bool = False
    device: str | None = None
    sort: Sort = Sort.ID
    after: tuple[str | int, ...] | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Totals:
    """Figures over the devices of one sight; the last two over the whole database."""

    states: dict[str, int]
    decommissioned: int
    batches: int
    samples: int
    redelivered: int
    database_bytes: int
    arrival: int


@dataclass(frozen=True, slots=True)
class ModelState:
    """How far the read models are; duplicates: by device number, of the devices of one sight."""

    arrival: int
    unreadable: int
    duplicates: dict[int, int]


class InventoryStore(Protocol):
    @property
    def centre(self) -> str: ...

    async def devices(self, wanted: DeviceFilter) -> list[DeviceRow]: ...

    async def accounts(self, wanted: DeviceFilter) -> list[DeviceAccount]:
        """By id; of a filter the limits, `after` and the limit count."""
        ...

    async def account(self, device: str) -> DeviceAccount | None: ...

    async def sees(self, device: str, limits: Mapping[str, str]) -> bool: ...

    async def seen_devices(self, limits: Mapping[str, str]) -> frozenset[str]: ...

    async def label_changes(self) -> int: ...

    async def totals(self, limits: Mapping[str, str]) -> Totals: ...

    async def model_state(self, limits: Mapping[str, str]) -> ModelState: ...


_KEYS: Final = {
    Sort.ID: (str,),
    Sort.STATE: (str, str),
    Sort.LAST_SEEN: (int, int),
    Sort.LAST_SEEN_DOWN: (int, int),
}


def sort_key(row: DeviceRow, sort: Sort) -> list[str | int]:
    """What a cursor holds of the last item of a page."""
    match sort:
        case Sort.ID:
            return [row.id]
        case Sort.STATE:
            return [str(row.state), row.id]
        case Sort.LAST_SEEN | Sort.LAST_SEEN_DOWN:
            return [row.last_seen or 0, row.no]


def device_stats(found: DeviceAccount, duplicates: int) -> DeviceStats:
    gaps = [
        gap
        for row in found.epochs
        for gap in (*named(row.account.gaps, row.id, "below_floor"), *named(row.account.tail, row.id, "tail"))
    ]
    return DeviceStats(
        device_id=found.device.id,
        batches=found.device.batches,
        samples=found.device.samples,
        redelivered=found.device.redelivered,
        duplicates=duplicates,
        pending=sum(size(row.account.pending) for row in found.epochs),
        gaps=[GapView.model_validate(gap) for gap in gaps[:MAX_GAPS_NAMED]],
        lost=sum(size(row.account.lost) for row in found.epochs),
        lost_samples=found.lost_samples,
        complete_through=[
            CompleteThrough(epoch=row.id, seq=row.account.complete_through) for row in found.epochs
        ],
    )


class InventoryService:
    def __init__(self, store: InventoryStore, clock: Clock, version: str) -> None:
        self._store = store
        self._clock = clock
        self._version = version
        self._started = clock.monotonic()

    async def page(self, wanted: DeviceFilter, cursor: str | None) -> DevicePage:
        """`wanted` without `after`. Raises Invalid for a bad cursor."""
        key = decode_cursor(cursor, *_KEYS[wanted.sort])
        after = tuple(key) if key else None
        rows = await self._store.devices(replace(wanted, after=after, limit=wanted.limit + 1))
        now = self._clock.wall_ms()
        shown = rows[: wanted.limit]
        more = encode_cursor(sort_key(shown[-1], wanted.sort)) if len(rows) > wanted.limit else None
        return DevicePage(items=[summary(row, now) for row in shown], next=more)

    async def data_stats(
        self, device: str | None, limits: Mapping[str, str], cursor: str | None, limit: int
    ) -> DataStats:
        """Raises NotFound, Invalid for a bad cursor."""
        model = await self._store.model_state(limits)
        found, more = await self._accounts(device, limits, cursor, limit)
        devices = [device_stats(entry, model.duplicates.get(entry.device.no, 0)) for entry in found]
        return DataStats(devices=devices, next=more)

    async def _accounts(
        self, device: str | None, limits: Mapping[str, str], cursor: str | None, limit: int
    ) -> tuple[list[DeviceAccount], str | None]:
        if device is not None:
            one = await self._store.account(device) if await self._store.sees(device, limits) else None
            if one is None:
                raise NotFound("unknown_device", f"there is no device {device}")
            return [one], None
        key = decode_cursor(cursor, str)
        wanted = DeviceFilter(limits, after=tuple(key) if key else None, limit=limit + 1)
        found = await self._store.accounts(wanted)
        more = encode_cursor([found[limit - 1].device.id]) if len(found) > limit else None
        return found[:limit], more

    async def stats(self, limits: Mapping[str, str]) -> FleetStats:
        totals = await self._store.totals(limits)
        model = await self._store.model_state(limits)
        states = {str(state): totals.states.get(state, 0) for state in DeviceState}
        whole = not limits
        return FleetStats(
            centre=self._store.centre,
            version=self._version,
            uptime_seconds=round(self._clock.monotonic() - self._started, 1),
            devices={"total": sum(states.values()), **states},
            decommissioned=totals.decommissioned,
            batches=totals.batches,
            samples=totals.samples,
            redelivered=totals.redelivered,
            duplicates=sum(model.duplicates.values()),
            database_bytes=totals.database_bytes if whole else None,
            arrival=totals.arrival if whole else None,
            read_model_arrival=model.arrival if whole else None,
            unreadable_batches=model.unreadable if whole else None,
        )

    async def seen_devices(self, limits: Mapping[str, str]) -> frozenset[str] | None:
        """None: all there are."""
        return await self._store.seen_devices(limits) if limits else None

    async def label_changes(self) -> int:
        """Grows whenever a label changes that limits look at: ask again what is seen."""
        return await self._store.label_changes()
