"""Single devices: heartbeats in; details, latest values and events out. Lists and figures: inventory.py."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from pydantic import ValidationError

from central_sync.services.clock import Clock
from central_sync.services.data.accounting import Account, HeadState, head_problem
from central_sync.services.devices import health
from central_sync.services.devices.health import DeviceState
from central_sync.services.devices.likeness import Beat, Likenesses, Steady, beat_of, steady_of
from central_sync.services.devices.presence import Presence
from central_sync.services.devices.roll import Entry, Roll, point
from central_sync.services.devices.standing import standing
from central_sync.services.errors import Invalid, NotFound
from central_sync.services.live import Hub
from central_sync.services.pages import decode_cursor, encode_cursor
from central_sync.services.views import (
    ConfigSummary,
    DeviceDetail,
    DeviceSummary,
    EpochView,
    EventPage,
    EventView,
)
from edge_agent.wire.messages import Heartbeat, HeartbeatAnswer, Resend
from edge_agent.wire.ranges import size

MAX_GAPS_NAMED: Final = 1_000
# Larger heartbeats are read in a thread, so that no other request waits for them.
INLINE_BYTES: Final = 128 << 10
# Whose heartbeats are written another way each time has them read.
_MAX_READINGS: Final = 8


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device as it is stored. `heartbeat` is the newest one; `registry`: its labels there; `conflict`:
    which two agents used its identity, at `conflict_at` last."""

    no: int
    id: str
    created: int
    state: DeviceState
    state_since: int
    last_seen: int | None
    last_upload: int | None
    last_loss: int | None
    clock_offset: int | None
    config_version: int | None
    config_etag: str | None
    heartbeat: Heartbeat | None
    batches: int
    samples: int
    redelivered: int
    name: str
    decommissioned: int | None
    registry: dict[str, str]
    conflict: str = ""
    conflict_at: int | None = None
    scripts_etag: str | None = None

    @property
    def labels(self) -> dict[str, str]:
        """What the device reports, under what the registry says."""
        return {**(self.heartbeat.labels if self.heartbeat else {}), **self.registry}


@dataclass(frozen=True, slots=True)
class EpochRow:
    id: str
    ordinal: int
    head: HeadState
    account: Account


@dataclass(frozen=True, slots=True)
class DeviceAccount:
    device: DeviceRow
    epochs: list[EpochRow]
    lost_samples: dict[str, int]


@dataclass(frozen=True, slots=True)
class Heard:
    """A device after its heartbeat, and what it is asked for again."""

    device: DeviceRow
    resend: list[Resend]


class DeviceStore(Protocol):
    @property
    def centre(self) -> str: ...

    @property
    def load(self) -> float: ...

    @property
    def roll(self) -> Roll: ...

    async def settle(self) -> None:
        """Afterwards every question finds the heartbeats that came before this call."""
        ...

    async def heartbeat(
        self, device: str, message: Heartbeat, now: int, body: bytes, address: str = ""
    ) -> Heard:
        """Stores it as the newest and in the series, applies its heads, closes epochs not named. `body`: the
        message as it came, from `address`."""
        ...

    async def account(self, device: str) -> DeviceAccount | None: ...

    async def latest(
        self, device: str, connection: str | None, after: Sequence[str | int] | None, limit: int
    ) -> list[dict[str, Any]] | None:
        """Items of `views.LatestItem`, ordered by connection, group, tag; None: no such device."""
        ...

    async def events(self, device: str, before: int | None, limit: int) -> list[EventView] | None:
        """Newest first; None: no such device."""
        ...


def summary(row: DeviceRow, now: int) -> DeviceSummary:
    return DeviceSummary(**_summary_fields(row, now))


def _problems(row: DeviceRow, beat: Heartbeat, now: int) -> list[str]:
    double = [row.conflict] if health.in_conflict(row.conflict_at, now) else []
    return [*double, *health.problems(beat, row.last_loss, now)]


def _summary_fields(row: DeviceRow, now: int) -> dict[str, Any]:
    beat = row.heartbeat
    fields: dict[str, Any] = {
        "device_id": row.id,
        "name": row.name,
        "labels": row.labels,
        "decommissioned": row.decommissioned,
        "state": row.state,
        "state_since": row.state_since,
        "last_seen": row.last_seen,
        "last_upload": row.last_upload,
        "clock_offset_ms": row.clock_offset,
        "config": ConfigSummary(
            desired_version=row.config_version,
            desired_etag=row.config_etag,
            reported=beat.config if beat else None,
        ),
    }
    if beat is not None:
        alive = row.state is not DeviceState.OFFLINE
        fields |= {
            "problems": _problems(row, beat, now) if alive else [],
            "version": beat.version,
            "uptime_seconds": beat.uptime_seconds,
            "host": beat.host,
            "buffer": beat.buffer,
            "connections_ok": beat.connections_ok,
            "connections_total": beat.connections_total,
        }
    return fields


def _detail(found: DeviceAccount, now: int) -> DeviceDetail:
    beat = found.device.heartbeat
    epochs = [
        EpochView(
            epoch=row.id,
            ordinal=row.ordinal,
            floor=row.head.floor,
            next=row.head.next,
            closed=row.head.closed,
            complete_through=row.account.complete_through,
            pending=size(row.account.pending),
            gaps=size(row.account.gaps) + size(row.account.tail),
            lost=size(row.account.lost),
        )
        for row in found.epochs
    ]
    fields = _summary_fields(found.device, now)
    if beat is not None:
        fields |= {
            "run": beat.run,
            "boot": beat.boot,
            "machine": beat.machine,
            "clock": beat.clock,
            "connections": beat.connections,
            "hooks": beat.hooks,
        }
    return DeviceDetail(**fields, created=found.device.created, epochs=epochs)


def read_heartbeat(body: bytes) -> Heartbeat:
    """Raises Invalid with the place."""
    try:
        message = Heartbeat.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Invalid("bad_heartbeat", f"{place}: {first['msg']}") from error
    for index, head in enumerate(message.heads):
        problem = head_problem(head)
        if problem is not None:
            raise Invalid("bad_heartbeat", f"heads.{index}: {problem}")
    return message


class DeviceService:
    def __init__(
        self,
        store: DeviceStore,
        hub: Hub,
        clock: Clock,
        presence: Presence,
        interval: float | None,
        waiting: Callable[[str], int] = lambda _: 0,
    ) -> None:
        """waiting: how many commands wait for a device; asked in every heartbeat."""
        self._waiting = waiting
        self._presence = presence
        self._store = store
        self._hub = hub
        self._clock = clock
        self._interval = interval
        self._likenesses = Likenesses()

    def now(self) -> int:
        return self._clock.wall_ms()

    async def heartbeat(self, device: str, body: bytes, address: str = "") -> HeartbeatAnswer:
        """Raises Invalid, Busy."""
        if len(body) > INLINE_BYTES:
            return await self._loud(device, body, await asyncio.to_thread(read_heartbeat, body), address)
        message = read_heartbeat(body)
        return self.quiet(device, body, message) or await self._loud(device, body, message, address)

    async def _loud(self, device: str, body: bytes, message: Heartbeat, address: str) -> HeartbeatAnswer:
        now = self._clock.wall_ms()
        self._presence.heard(device, message.interval_seconds)
        heard = await self._store.heartbeat(device, message, now, body, address)
        row = heard.device
        if self._hub.wants("heartbeat", device):
            self._hub.publish("heartbeat", summary(row, now).model_dump(mode="json"), device)
        return self._answer(device, now, row, heard.resend)

    def quiet(self, device: str, body: bytes, message: Heartbeat | None = None) -> HeartbeatAnswer | None:
        """The answer to a heartbeat that says nothing new (`roll`), out of memory; None: it does, or nobody
        knows. Raises Invalid. message: what the body says, where that was read already."""
        entry = self._store.roll.get(device)
        if entry is None:
            return None
        if entry.like is not None and message is None and not self._hub.wants("heartbeat", device):
            beat = self._likenesses.read(entry.like, body)
            if beat is not None:
                return self._alike(device, entry, beat, entry.like.steady, body)
        return self._read(device, entry, body, message or read_heartbeat(body))

    def _alike(
        self, device: str, entry: Entry, beat: Beat, steady: Steady, body: bytes
    ) -> HeartbeatAnswer | None:
        """The answer to a heartbeat of the entry's standing; None: the device's state is another one now."""
        now = self._clock.wall_ms()
        passing = health.passing(beat.pending_bytes, steady.quota_bytes, entry.last_loss, now)
        state = DeviceState.DEGRADED if steady.troubled or passing else DeviceState.ONLINE
        if state is not entry.state:
            return None
        self._presence.heard(device, steady.interval_seconds)
        # Whoever calls it offline forgets it first: a heartbeat in that moment brings it back.
        if self._store.roll.get(device) is not entry:
            return None
        waiting = self._store.roll.wait(device, entry.no, self._clock.monotonic())
        waiting.body, waiting.seen, waiting.offset = body, now, beat.now - now
        waiting.version = steady.version
        waiting.add(point(beat, steady, now))
        return self._answer(device, now, entry, [])

    def _read(self, device: str, entry: Entry, body: bytes, message: Heartbeat) -> HeartbeatAnswer | None:
        watched = self._hub.wants("heartbeat", device)
        if standing(message) != entry.standing or (watched and not isinstance(entry.row, DeviceRow)):
            return None
        answer = self._alike(device, entry, beat_of(message), steady_of(message), body)
        if answer is None:
            return None
        if watched and isinstance(entry.row, DeviceRow):
            offset = message.now - answer.now
            row = replace(entry.row, heartbeat=message, last_seen=answer.now, clock_offset=offset)
            self._hub.publish("heartbeat", summary(row, answer.now).model_dump(mode="json"), device)
        elif entry.readings < _MAX_READINGS:
            entry.like = self._likenesses.learn(body, message, self._clock.monotonic())
            entry.readings += entry.like is not None
        return answer

    async def settle(self) -> None:
        """Before an operator reads: quiet heartbeats may wait for minutes, and nobody shall see that."""
        await self._store.settle()

    def desired(self, device: str) -> Entry | None:
        """What is known of the config and the scripts that the centre wants on a device; None: nobody
        knows."""
        return self._store.roll.get(device)

    def _answer(
        self, device: str, now: int, known: DeviceRow | Entry, resend: list[Resend]
    ) -> HeartbeatAnswer:
        return HeartbeatAnswer(
            centre=self._store.centre,
            now=now,
            resend=resend,
            heartbeat_interval=self._interval,
            config_etag=known.config_etag,
            scripts_etag=known.scripts_etag,
            commands_waiting=self._waiting(device),
        )

    async def get(self, device: str) -> DeviceDetail:
        found = await self._store.account(device)
        if found is None:
            raise NotFound("unknown_device", f"there is no device {device}")
        return _detail(found, self._clock.wall_ms())

    async def latest(
        self, device: str, connection: str | None, cursor: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Items of `LatestItem`, as objects for speed, and the cursor behind them."""
        key = decode_cursor(cursor, str, str, str)
        items = await self._store.latest(device, connection, key, limit + 1)
        if items is None:
            raise NotFound("unknown_device", f"there is no device {device}")
        if len(items) <= limit:
            return items, None
        last = items[limit - 1]
        return items[:limit], encode_cursor([last["connection"], last["group"], last["tag"]])

    async def events(self, device: str, cursor: str | None, limit: int) -> EventPage:
        key = decode_cursor(cursor, int)
        items = await self._store.events(device, int(key[0]) if key else None, limit + 1)
        if items is None:
            raise NotFound("unknown_device", f"there is no device {device}")
        more = encode_cursor([items[limit - 1].id]) if len(items) > limit else None
        return EventPage(items=items[:limit], next=more)
