"""What the operators' API shows. Times are UTC milliseconds, sizes bytes; absent facts are null."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from central_sync.services.devices.health import DeviceState
from edge_agent.wire.messages import (
    BufferReport,
    ClockReport,
    ConfigReport,
    ConnectionReport,
    HooksReport,
    HostReport,
)


class View(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True)


class ConfigSummary(View):
    """The version the centre wants, and what the agent reports about it."""

    desired_version: int | None = None
    desired_etag: str | None = None
    reported: ConfigReport | None = None


class DeviceSummary(View):
    device_id: str
    name: str = ""
    state: DeviceState
    state_since: int
    decommissioned: int | None = Field(None, description="Since when it is out of service.")
    problems: list[str] = Field(default=[], description="What makes the device degraded, for people.")
    last_seen: int | None = Field(None, description="Arrival of the newest heartbeat.")
    last_upload: int | None = None
    version: str | None = None
    labels: dict[str, str] = Field({}, description="What it reports, under what the registry says.")
    uptime_seconds: float | None = None
    host: HostReport = HostReport()
    buffer: BufferReport = BufferReport()
    connections_ok: int = 0
    connections_total: int = 0
    clock_offset_ms: int | None = Field(None, description="The device's clock minus the centre's at arrival.")
    config: ConfigSummary = ConfigSummary()


class EpochView(View):
    epoch: str
    ordinal: int
    floor: int
    next: int
    closed: bool
    complete_through: int
    pending: int
    gaps: int
    lost: int


class DeviceDetail(DeviceSummary):
    created: int
    run: str | None = None
    boot: str | None = None
    machine: str | None = None
    clock: ClockReport = ClockReport()
    connections: list[ConnectionReport] = []
    hooks: HooksReport | None = Field(
        None, description="Its scripts, the layers of their sandbox, and what became of the centre's."
    )
    epochs: list[EpochView] = []


class DevicePage(View):
    items: list[DeviceSummary]
    next: str | None = Field(None, description="Cursor of the next page; null on the last.")


class LatestItem(View):
    connection: str
    group: str
    tag: str
    value: JsonValue
    quality: str
    time: int
    unit: str


class LatestPage(View):
    items: list[LatestItem]
    next: str | None = None


class SeriesView(View):
    device_id: str
    connection: str
    tag: str
    unit: str
    points: list[tuple[int, JsonValue, str]] = Field(description="[time, value, quality], ascending by time.")
    truncated: bool = Field(description="The span holds more than these, the newest.")
    corrected: list[int | None] = Field(
        default=[],
        description="For each point the time by the device's clock records where its own is wrong; or empty.",
    )


class GapView(View):
    """Missing batches that the agent no longer holds as pending. `name`: below_floor or tail."""

    epoch: str
    from_: int = Field(serialization_alias="from", validation_alias="from")
    to: int
    name: str


class CompleteThrough(View):
    epoch: str
    seq: int


class DeviceStats(View):
    device_id: str
    batches: int
    samples: int
    redelivered: int = Field(description="Repeats that were discarded.")
    duplicates: int = Field(description="Frames that are stored twice; must be 0.")
    pending: int = Field(description="Batches that the agent still holds.")
    gaps: list[GapView] = Field(description="Must be empty.")
    lost: int = Field(description="Batches that are declared lost.")
    lost_samples: dict[str, int] = Field(description="Samples declared lost, by reason.")
    complete_through: list[CompleteThrough]


class DataStats(View):
    devices: list[DeviceStats]
    next: str | None = Field(None, description="Cursor of the next page; null on the last.")


class FleetStats(View):
    centre: str
    version: str
    uptime_seconds: float
    devices: dict[str, int] = Field(description="Number of devices by state, and `total`.")
    decommissioned: int = Field(0, description="Devices out of service; they are in no other number.")
    batches: int
    samples: int
    redelivered: int
    duplicates: int
    database_bytes: int | None = Field(description="Null for who sees some devices only, like the next ones.")
    arrival: int | None = Field(description="Number of the newest stored batch.")
    read_model_arrival: int | None = Field(description="The newest batch in the read models.")
    unreadable_batches: int | None = Field(description="Stored batches that the read models could not read.")


class Health(View):
    status: str = Field(description="ok, or failing.")


class EventView(View):
    id: int
    time: int
    code: str
    message: str
    connection: str | None = None
    data: dict[str, Any] = {}


class EventPage(View):
    items: list[EventView]
    next: str | None = None


class Problem(View):
    """RFC 9457. `code` repeats the last part of `type` for programs."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None = Field(None, description="As in `X-Request-Id`, and in the centre's log.")
