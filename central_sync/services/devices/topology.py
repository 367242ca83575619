"""What devices are connected to: connections, units and their states, from the newest heartbeats. Pure rules,
and the service.

Of a device that is offline nobody knows how its connections are: their state is `unknown` since it was last
heard, never the last good one. The same holds for a device that was never seen, without a time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import orjson
from pydantic import Field

from central_sync.services.devices.health import DeviceState
from central_sync.services.devices.inventory import DeviceFilter
from central_sync.services.errors import NotFound
from central_sync.services.pages import decode_cursor, encode_cursor
from central_sync.services.views import View

UNKNOWN: Final = "unknown"
CONNECTED: Final = "connected"
ANSWERING: Final = "answering"
GOOD: Final = frozenset({CONNECTED, ANSWERING})
# Devices that one page of rows looks through at most: a filter that matches few gives short pages.
MAX_LOOKED_THROUGH: Final = 2_000
_LOOK: Final = 500


@dataclass(frozen=True, slots=True)
class Report:
    """A device and its newest heartbeat as it came; body None: none came."""

    no: int
    id: str
    name: str
    state: DeviceState
    state_since: int
    last_seen: int | None
    body: bytes | None
    labels_json: str = "{}"

    @property
    def labels(self) -> dict[str, str]:
        """Those that count: of the registry, and reported ones beside them."""
        found: dict[str, str] = orjson.loads(self.labels_json)
        return found

    def heartbeat(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.body) if self.body else {}
        return found

    @property
    def is_heard(self) -> bool:
        return self.state in (DeviceState.ONLINE, DeviceState.DEGRADED)


class UnitView(View):
    unit_id: int | None = None
    state: str = Field(description="answering, silent, probing, refusing; else that of its connection.")
    error: str = ""
    vendor: str = ""
    product: str = ""
    revision: str = ""
    good_cycles: int = 0
    bad_cycles: int = 0


class LateGroupView(View):
    """A group of tags of which nothing came for longer than it should."""

    name: str
    unit_id: int | None = None
    state: str
    last_data: int | None = None


class ConnectionView(View):
    name: str
    driver: str
    address: str = ""
    state: str = Field(description="connected, connecting, down, stopped; unknown: the device is not heard.")
    since: int | None = None
    error: str = ""
    latency_ms: float | None = None
    rebuilds: int = 0
    units: list[UnitView] = Field([])
    groups_late: list[LateGroupView] = Field([])


class DeviceTopology(View):
    device_id: str
    name: str = ""
    state: DeviceState
    last_seen: int | None = None
    connections: list[ConnectionView] = Field([])


class TopologyPage(View):
    items: list[DeviceTopology]
    next: str | None = None


class PlcStatusView(View):
    """One unit of a connection; of a connection without units the connection itself."""

    device_id: str
    connection: str
    driver: str
    unit_id: int | None = None
    address: str = ""
    state: str = Field(
        description="connected, answering, silent, probing, refusing, connecting, down, stopped; unknown: "
        "the device is not heard."
    )
    since: int | None = Field(
        None, description="As far as it is known; of `unknown`: when the device was last heard."
    )
    error: str = Field("", description="The last one.")
    latency_ms: float | None = None
    last_data: int | None = Field(
        None, description="When it last gave something: of good ones the device's newest heartbeat."
    )
    bad_cycles: int = 0


class PlcStatusPage(View):
    items: list[PlcStatusView]
    next: str | None = Field(
        None, description="Null on the last page. A page may be short, even empty, before that."
    )


class WorstDevice(View):
    device_id: str
    bad: int = Field(description="Its rows that are neither connected nor answering.")
    rows: int


class PlcSummary(View):
    """Counts over all rows of /plc-status."""

    time: int = Field(description="When it was counted; counting again takes some seconds' pause.")
    rows: int
    states: dict[str, int]
    drivers: dict[str, dict[str, int]] = Field(description="States by driver.")
    worst: list[WorstDevice] = Field(description="Devices with the most bad rows, at most 20.")


@dataclass(frozen=True, slots=True)
class RowFilter:
    state: str | None = None
    driver: str | None = None

    def wants(self, row: PlcStatusView) -> bool:
        return self.state in (None, row.state) and self.driver in (None, row.driver)


class ReportStore(Protocol):
    async def reports(self, wanted: DeviceFilter) -> list[Report]:
        """By id, as a list of devices is chosen."""
        ...


def _dicts(value: object) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def connection_state(report: Report, entry: dict[str, Any]) -> str:
    return str(entry["state"]) if report.is_heard else UNKNOWN


def unit_state(entry: dict[str, Any], of_connection: str) -> str:
    """A unit behind a connection that is not there is as that is."""
    return str(entry["state"]) if of_connection == CONNECTED else of_connection


def row_states(report: Report, heartbeat: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Driver and state of each row of `plc_rows`, for counting: `unit_state` without the calls."""
    for entry in _dicts(heartbeat.get("connections")):
        driver, state = entry["driver"], connection_state(report, entry)
        units = _dicts(entry.get("units"))
        if not units:
            yield driver, state
        elif state == CONNECTED:
            yield from ((driver, unit["state"]) for unit in units)
        else:
            yield from [(driver, state)] * len(units)


def connection_views(report: Report) -> list[ConnectionView]:
    return [_connection(report, entry) for entry in _dicts(report.heartbeat().get("connections"))]


def _connection(report: Report, entry: dict[str, Any]) -> ConnectionView:
    heard = report.is_heard
    state = connection_state(report, entry)
    return ConnectionView(
        name=entry["name"],
        driver=entry["driver"],
        address=entry.get("address", ""),
        state=state,
        since=(entry.get("since") or None) if heard else report.last_seen,
        error=entry.get("error", "") if heard else "",
        latency_ms=entry.get("latency_ms") if heard else None,
        rebuilds=entry.get("rebuilds", 0),
        units=[_unit(unit, state) for unit in _dicts(entry.get("units"))],
        groups_late=[
            LateGroupView(
                name=group["name"], unit_id=group.get("unit_id"), state=group["state"],
                last_data=group.get("last_data"),
            )
            for group in _dicts(entry.get("groups"))
            if heard and group["state"] not in ("live", "waiting")
        ],
    )  # fmt: skip


def _unit(entry: dict[str, Any], of_connection: str) -> UnitView:
    return UnitView(
        unit_id=entry.get("unit_id"),
        state=unit_state(entry, of_connection),
        error=entry.get("error", "") if of_connection != UNKNOWN else "",
        vendor=entry.get("vendor", ""),
        product=entry.get("product", ""),
        revision=entry.get("revision", ""),
        good_cycles=entry.get("good_cycles", 0),
        bad_cycles=entry.get("bad_cycles", 0),
    )


def plc_rows(report: Report) -> Iterator[PlcStatusView]:
    """In the order of the agent's config."""
    for connection in connection_views(report):
        if not connection.units:
            yield _row(report, connection, None)
        for unit in connection.units:
            yield _row(report, connection, unit)


def _row(report: Report, connection: ConnectionView, unit: UnitView | None) -> PlcStatusView:
    state = unit.state if unit else connection.state
    late = [
        group.last_data
        for group in connection.groups_late
        if group.last_data is not None and (unit is None or group.unit_id in (None, unit.unit_id))
    ]
    last_data = min(late, default=report.last_seen if state in GOOD else None)
    # Of a unit alone it is not known since when: its groups' last data says it best.
    since = last_data if unit and state not in GOOD and connection.state == CONNECTED else connection.since
    return PlcStatusView(
        device_id=report.id,
        connection=connection.name,
        driver=connection.driver,
        unit_id=unit.unit_id if unit else None,
        address=connection.address,
        state=state,
        since=since,
        error=(unit.error if unit else "") or connection.error,
        latency_ms=connection.latency_ms,
        last_data=last_data,
        bad_cycles=unit.bad_cycles if unit else 0,
    )


def topology(report: Report) -> DeviceTopology:
    return DeviceTopology(
        device_id=report.id,
        name=report.name,
        state=report.state,
        last_seen=report.last_seen,
        connections=connection_views(report),
    )


class TopologyService:
    def __init__(self, store: ReportStore) -> None:
        self._store = store

    async def page(self, wanted: DeviceFilter, cursor: str | None) -> TopologyPage:
        """By device id. Raises Invalid for a bad cursor."""
        key = decode_cursor(cursor, str)
        after = tuple(key) if key else None
        found = await self._store.reports(replace(wanted, after=after, limit=wanted.limit + 1))
        more = encode_cursor([found[wanted.limit - 1].id]) if len(found) > wanted.limit else None
        return TopologyPage(items=[topology(report) for report in found[: wanted.limit]], next=more)

    async def of_device(self, device: str, limits: Mapping[str, str]) -> DeviceTopology:
        """Also of one out of service. Raises NotFound."""
        for gone in (False, True):
            wanted = DeviceFilter(limits, device=device, decommissioned=gone, limit=1)
            for report in await self._store.reports(wanted):
                return topology(report)
        raise NotFound("unknown_device", f"there is no device {device}")

    async def plc_status(
        self, devices: DeviceFilter, rows: RowFilter, cursor: str | None, limit: int
    ) -> PlcStatusPage:
        """By device id, then in the order of its config. Raises Invalid for a bad cursor."""
        key = decode_cursor(cursor, str, str, int)
        # The last device that was shown whole, the one that was begun, and how many rows of that were shown.
        after, begun, shown = (str(key[0]), str(key[1]), int(key[2])) if key else ("", "", 0)
        items: list[PlcStatusView] = []
        looked = 0
        while looked < MAX_LOOKED_THROUGH:
            found = await self._store.reports(replace(devices, after=(after,), limit=_LOOK))
            for report in found:
                for index, row in enumerate(plc_rows(report)):
                    if (report.id == begun and index < shown) or not rows.wants(row):
                        continue
                    if len(items) == limit:
                        return PlcStatusPage(items=items, next=encode_cursor([after, report.id, index]))
                    items.append(row)
                after = report.id
            looked += len(found)
            if len(found) < _LOOK:
                return PlcStatusPage(items=items, next=None)
        return PlcStatusPage(items=items, next=encode_cursor([after, "", 0]))
