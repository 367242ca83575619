"""The operators' resources: values, events, figures, configs, the live stream."""

from typing import Annotated, Any, Final

import orjson
from aiohttp import web
from pydantic import Field

from central_sync.api.answers import json, model, objects
from central_sync.api.parameters import Cursor, Limit, Time
from central_sync.api.route import Answer, Call, NoQuery, Query, Route
from central_sync.api.stream import StreamQuery, stream
from central_sync.services.access.roles import Scope
from central_sync.services.data.history import DEFAULT_SPAN_MS
from central_sync.services.views import (
    DataStats,
    EventPage,
    FleetStats,
    Health,
    LatestPage,
    SeriesView,
)


class LatestQuery(Query):
    connection: str | None = Field(None, max_length=200, description="Only this connection.")
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    cursor: Cursor | None = None


class SeriesQueryParameters(Query):
    connection: str | None = Field(
        None, max_length=200, description="Needed where several connections have the tag."
    )
    start: Time | None = Field(
        None, alias="from", description="UTC milliseconds, inclusive; an hour before `to` by default."
    )
    to: Time | None = Field(None, description="UTC milliseconds, inclusive; now by default.")
    limit: Annotated[int, Field(ge=1, le=100_000)] = 1_000


class EventsQuery(Query):
    limit: Limit = 100
    cursor: Cursor | None = None


class StatsQuery(Query):
    device: str | None = Field(None, max_length=51, description="Only this device.")
    limit: Limit = 1_000
    cursor: Cursor | None = None


async def health(call: Call[NoQuery]) -> web.Response:
    good = call.services.alive()
    return json(Health(status="ok" if good else "failing").model_dump_json(), 200 if good else 503)


async def latest_values(call: Call[LatestQuery]) -> web.Response:
    query = call.query
    items, more = await call.services.devices.latest(call.device, query.connection, query.cursor, query.limit)
    return objects(items, more)


async def timeseries(call: Call[SeriesQueryParameters]) -> web.Response:
    query = call.query
    tag = call.request.match_info["tag"]
    end = query.to if query.to is not None else call.services.devices.now()
    start = query.start if query.start is not None else max(0, end - DEFAULT_SPAN_MS)
    connection, series = await call.services.history.series(
        call.device, tag, query.connection, (start, end), query.limit
    )
    body = {
        "device_id": call.device,
        "connection": connection,
        "tag": tag,
        "unit": series.unit,
        "points": series.points,
        "truncated": series.truncated,
        "corrected": list(series.corrected),
    }
    return web.Response(body=orjson.dumps(body), content_type="application/json")


async def events(call: Call[EventsQuery]) -> web.Response:
    return model(await call.services.devices.events(call.device, call.query.cursor, call.query.limit))


async def data_stats(call: Call[StatsQuery]) -> web.Response:
    query, limits = call.query, call.who.labels
    return model(await call.services.inventory.data_stats(query.device, limits, query.cursor, query.limit))


async def stats(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.inventory.stats(call.who.labels))


_UNKNOWN: Final = {404: "unknown_device"}
_PAGED: Final = {400: "bad_query, bad_cursor"}

ROUTES: Final[list[Route[Any]]] = [
    Route(
        "GET", "/api/fleet/health", "health", Scope.PUBLIC, "fleet", "Whether the centre works",
        health, NoQuery, {200: Answer("It works.", Health), 503: Answer("It cannot store.", Health)},
    ),
    Route(
        "GET", "/api/fleet/devices/{id}/latest-values", "latest_values", Scope.VIEWER, "values",
        "The newest sample of each tag, ordered by connection, group and tag; `stale` where none can follow",
        latest_values, LatestQuery, {200: Answer("A page.", LatestPage)}, errors={**_PAGED, **_UNKNOWN},
    ),
    Route(
        "GET", "/api/fleet/devices/{id}/tags/{tag}/timeseries", "timeseries", Scope.VIEWER, "values",
        "The newest samples of one tag in a span of time",
        timeseries, SeriesQueryParameters, {200: Answer("Points, ascending.", SeriesView)},
        errors={
            400: "bad_query, bad_span; ambiguous_tag: `candidates` names the connections",
            404: "unknown_device, unknown_tag",
            503: "busy: too many series are being read; come back after Retry-After",
        },
    ),
    Route(
        "GET", "/api/fleet/devices/{id}/events", "device_events", Scope.VIEWER, "devices",
        "What happened to a device, newest first",
        events, EventsQuery, {200: Answer("A page.", EventPage)}, errors={**_PAGED, **_UNKNOWN},
    ),
    Route(
        "GET", "/api/fleet/data/stats", "data_stats", Scope.VIEWER, "fleet",
        "The account of each device: stored, pending, lost; gaps and duplicates must be none",
        data_stats, StatsQuery, {200: Answer("One entry a device, by id.", DataStats)},
        errors={**_PAGED, **_UNKNOWN},
    ),
    Route(
        "GET", "/api/fleet/stats", "stats", Scope.VIEWER, "fleet",
        "Figures of the fleet, as far as the asker sees it",
        stats, NoQuery, {200: Answer("The figures.", FleetStats)},
    ),
    Route(
        "GET", "/api/fleet/events", "events", Scope.VIEWER, "fleet",
        "Live events as they happen (server-sent events)",
        stream, StreamQuery,
        {200: Answer(
            "`device` and `heartbeat` carry a DeviceSummary, `values` `{device_id, items}` with the latest "
            "values that moved (once a second at most), `command` a CommandView, `stats` a FleetStats. A "
            "client that cannot follow is cut off and reads the lists again.",
            None, "text/event-stream",
        )},
        errors={503: "too_many_streams"},
    ),
]  # fmt: skip
