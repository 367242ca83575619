"""The registry of devices: lists, one device, its registration, changes, and the end of its service."""

from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import Field

from central_sync.api.answers import model
from central_sync.api.bodies import precondition, read_body, read_model
from central_sync.api.parameters import Cursor, Limit
from central_sync.api.route import Answer, Body, Call, NoQuery, Query, Route
from central_sync.services.access.roles import Scope
from central_sync.services.access.selectors import parse
from central_sync.services.devices.health import DeviceState
from central_sync.services.devices.inventory import DeviceFilter, Sort
from central_sync.services.devices.registry import DevicePatch, Registration, RegistryView
from central_sync.services.documents import parse_model
from central_sync.services.views import DeviceDetail, DevicePage

Selector = Annotated[
    str, Field(max_length=2_000, description="Labels: `site=north, line in (a, b), !spare`.")
]

REGISTRATION: Final = Body("application/json", 64 << 10, "What is known of the device.", Registration)
PATCH: Final = Body("application/json", 64 << 10, "What shall change.", DevicePatch)
_IF_MATCH: Final = {"If-Match": "The `etag` that was read; 412 where it is not the newest."}


class DevicesQuery(Query):
    state: DeviceState | None = Field(None, description="Only devices in this state.")
    label: str | None = Field(None, max_length=400, description="`key` or `key=value`.")
    selector: Selector | None = None
    q: str | None = Field(None, max_length=200, description="A part of id, name, or a label's key or value.")
    decommissioned: bool = Field(False, description="Those out of service, and no others.")
    sort: Sort = Field(Sort.ID, description="`last_seen`: oldest first; `-last_seen`: newest first.")
    limit: Limit = 100
    cursor: Cursor | None = None


class DecommissionQuery(Query):
    purge: bool = Field(False, description="Also delete what it sent, in the background. For admins.")


def device_filter(call: Call[Any], query: DevicesQuery) -> DeviceFilter:
    """Raises Invalid for a bad selector."""
    name, sign, value = (query.label or "").partition("=")
    return DeviceFilter(
        limits=call.who.labels,
        state=query.state,
        label=(name, value if sign else None) if query.label else None,
        selector=parse(query.selector) if query.selector is not None else None,
        text=query.q,
        decommissioned=query.decommissioned,
        sort=query.sort,
        limit=query.limit,
    )


def _tagged(view: RegistryView, status: int = 200) -> web.Response:
    return model(view, status, {"ETag": f'"{view.etag}"'})


async def devices(call: Call[DevicesQuery]) -> web.Response:
    wanted = device_filter(call, call.query)
    return model(await call.services.inventory.page(wanted, call.query.cursor))


async def device(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.devices.get(call.device))


async def register(call: Call[NoQuery]) -> web.Response:
    body = await read_body(call.request, REGISTRATION)
    wanted = parse_model(body, Registration)
    made = await call.services.registry.register(wanted, call.who, call.actor, call.once(body))
    return _tagged(made, 201)


async def registry(call: Call[NoQuery]) -> web.Response:
    return _tagged(await call.services.registry.get(call.device))


async def patch(call: Call[NoQuery]) -> web.Response:
    condition = precondition(call.request)
    wanted = await read_model(call.request, PATCH, DevicePatch)
    return _tagged(await call.services.registry.patch(call.device, wanted, call.who, call.actor, condition))


async def decommission(call: Call[DecommissionQuery]) -> web.Response:
    condition = precondition(call.request)
    found = await call.services.registry.decommission(
        call.device, call.query.purge, call.who, call.actor, condition
    )
    return _tagged(found, 202 if found.purging is not None else 200)


async def recommission(call: Call[NoQuery]) -> web.Response:
    condition = precondition(call.request)
    return _tagged(await call.services.registry.recommission(call.device, call.actor, condition))


_UNKNOWN: Final = {404: "unknown_device"}
_EDIT: Final = {400: "bad_etag, bad_device_id", 404: "unknown_device", 412: "stale"}
_BUSY: Final = {503: "busy, storage: nothing was stored; come back after Retry-After"}

ROUTES: Final[list[Route[Any]]] = [
    Route(
        "GET", "/api/fleet/devices", "devices", Scope.VIEWER, "devices", "Devices, in pages",
        devices, DevicesQuery, {200: Answer("A page.", DevicePage)},
        errors={400: "bad_query, bad_cursor, bad_selector"},
    ),
    Route(
        "POST", "/api/fleet/devices/register", "register_device", Scope.ENGINEER, "devices",
        "Register a device before its agent comes",
        register, NoQuery, {201: Answer("It is there, never seen.", RegistryView)}, REGISTRATION,
        headers={"Idempotency-Key": "The same key gets the same answer, and nothing twice."},
        errors={
            400: "bad_body, bad_device_id, bad_key", 409: "device_exists, key_reused", 413: "too_large",
            **_BUSY,
        },
    ),
    Route(
        "GET", "/api/fleet/devices/{id}", "device", Scope.VIEWER, "devices",
        "One device with connections, epochs and config state",
        device, NoQuery, {200: Answer("The device.", DeviceDetail)}, errors=_UNKNOWN,
    ),
    Route(
        "GET", "/api/fleet/devices/{id}/registry", "device_registry", Scope.VIEWER, "devices",
        "What operators say of a device: read it before a change",
        registry, NoQuery, {200: Answer("The entry.", RegistryView)}, errors=_UNKNOWN,
    ),
    Route(
        "PATCH", "/api/fleet/devices/{id}", "patch_device", Scope.ENGINEER, "devices",
        "Change a device's name, labels or notes",
        patch, NoQuery, {200: Answer("The entry afterwards.", RegistryView)}, PATCH, headers=_IF_MATCH,
        errors={
            **_EDIT, 400: "bad_body, bad_etag, bad_device_id, too_many_labels", 413: "too_large", **_BUSY,
        },
    ),
    Route(
        "DELETE", "/api/fleet/devices/{id}", "decommission_device", Scope.ENGINEER, "devices",
        "Take a device out of service: its credentials are revoked, its history stays",
        decommission, DecommissionQuery,
        {
            200: Answer("It is out of service.", RegistryView),
            202: Answer("It is, and its data is being deleted.", RegistryView),
        },
        headers=_IF_MATCH, errors={**_EDIT, 400: "bad_query, bad_etag, bad_device_id", **_BUSY},
    ),
    Route(
        "POST", "/api/fleet/devices/{id}/recommission", "recommission_device", Scope.ENGINEER, "devices",
        "Put a device into service again; it needs a new credential",
        recommission, NoQuery, {200: Answer("It is in service.", RegistryView)}, headers=_IF_MATCH,
        errors={**_EDIT, 409: "purging: its data is still being deleted", **_BUSY},
    ),
]  # fmt: skip
