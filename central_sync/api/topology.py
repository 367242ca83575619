"""What devices are connected to, and how each connection and unit is."""

from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import Field

from central_sync.api.answers import model
from central_sync.api.devices import Selector
from central_sync.api.parameters import Cursor, Limit
from central_sync.api.route import Answer, Call, NoQuery, Query, Route
from central_sync.services.access.roles import Scope
from central_sync.services.access.selectors import parse
from central_sync.services.devices.health import DeviceState
from central_sync.services.devices.inventory import DeviceFilter
from central_sync.services.devices.topology import (
    DeviceTopology,
    PlcStatusPage,
    PlcSummary,
    RowFilter,
    TopologyPage,
)


class TopologyQuery(Query):
    state: DeviceState | None = Field(None, description="Only devices in this state.")
    selector: Selector | None = None
    q: str | None = Field(None, max_length=200, description="A part of id, name, or a label's key or value.")
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Cursor | None = None


class PlcQuery(Query):
    device: str | None = Field(None, max_length=51, description="Only this device.")
    selector: Selector | None = None
    state: str | None = Field(None, max_length=50, description="Only rows in this state.")
    driver: str | None = Field(None, max_length=200, description="Only rows of this driver.")
    limit: Limit = 100
    cursor: Cursor | None = None


async def topology(call: Call[TopologyQuery]) -> web.Response:
    query = call.query
    wanted = DeviceFilter(
        call.who.labels,
        state=query.state,
        selector=parse(query.selector) if query.selector is not None else None,
        text=query.q,
        limit=query.limit,
    )
    return model(await call.services.topology.page(wanted, query.cursor))


async def device_topology(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.topology.of_device(call.device, call.who.labels))


async def plc_status(call: Call[PlcQuery]) -> web.Response:
    query = call.query
    devices = DeviceFilter(
        call.who.labels,
        selector=parse(query.selector) if query.selector is not None else None,
        device=query.device,
    )
    rows = RowFilter(query.state, query.driver)
    return model(await call.services.topology.plc_status(devices, rows, query.cursor, query.limit))


async def plc_summary(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.figures.plc_summary(call.who.labels))


_LIST: Final = {400: "bad_query, bad_cursor, bad_selector"}

ROUTES: Final[list[Route[Any]]] = [
    Route(
        "GET", "/api/fleet/topology", "topology", Scope.VIEWER, "devices",
        "Devices with their connections, units and late groups, by device id",
        topology, TopologyQuery, {200: Answer("A page.", TopologyPage)}, errors=_LIST,
    ),
    Route(
        "GET", "/api/fleet/devices/{id}/topology", "device_topology", Scope.VIEWER, "devices",
        "One device with its connections, units and late groups",
        device_topology, NoQuery, {200: Answer("The device.", DeviceTopology)},
        errors={404: "unknown_device"},
    ),
    Route(
        "GET", "/api/fleet/plc-status", "plc_status", Scope.VIEWER, "devices",
        "How each connection and unit is, by device id; `unknown` where the device is not heard",
        plc_status, PlcQuery, {200: Answer("A page.", PlcStatusPage)}, errors=_LIST,
    ),
    Route(
        "GET", "/api/fleet/plc-status/summary", "plc_summary", Scope.VIEWER, "devices",
        "Connections and units counted by state and driver, and the devices with most bad ones",
        plc_summary, NoQuery, {200: Answer("The counts, at most 10 s old.", PlcSummary)},
    ),
]  # fmt: skip
