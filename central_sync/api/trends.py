"""A device over time: heartbeats, figures for curves, when it was online."""

from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import Field

from central_sync.api.answers import model
from central_sync.api.parameters import Cursor, Limit, Time
from central_sync.api.route import Answer, Call, Query, Route
from central_sync.services.access.roles import Scope
from central_sync.services.devices.trends import MAX_POINTS, AvailabilityView, BeatPage, MetricsView

Step = Annotated[int, Field(ge=1_000, le=31 * 86_400_000)]


class SpanQuery(Query):
    start: Time | None = Field(
        None, alias="from", description="UTC milliseconds, inclusive; a day before `to` by default."
    )
    to: Time | None = Field(None, description="UTC milliseconds, inclusive; now by default.")


class HeartbeatsQuery(SpanQuery):
    step: Step | None = Field(None, description="Milliseconds: only the last heartbeat of each step.")
    limit: Limit = 100
    cursor: Cursor | None = None


class MetricsQuery(SpanQuery):
    step: Step | None = Field(None, description="Milliseconds of a point, at least.")
    points: Annotated[int, Field(ge=1, le=MAX_POINTS)] = Field(300, description="At most so many.")


async def heartbeats(call: Call[HeartbeatsQuery]) -> web.Response:
    query, trends = call.query, call.services.trends
    span = trends.span(query.start, query.to)
    return model(await trends.heartbeats(call.device, span, query.step, query.cursor, query.limit))


async def metrics(call: Call[MetricsQuery]) -> web.Response:
    query, trends = call.query, call.services.trends
    return model(
        await trends.metrics(call.device, trends.span(query.start, query.to), query.step, query.points)
    )


async def availability(call: Call[SpanQuery]) -> web.Response:
    trends = call.services.trends
    return model(await trends.availability(call.device, trends.span(call.query.start, call.query.to)))


_UNKNOWN: Final = {404: "unknown_device"}

ROUTES: Final[list[Route[Any]]] = [
    Route(
        "GET", "/api/fleet/devices/{id}/heartbeats", "device_heartbeats", Scope.VIEWER, "devices",
        "The series of a device's heartbeats, oldest first",
        heartbeats, HeartbeatsQuery, {200: Answer("A page.", BeatPage)},
        errors={400: "bad_query, bad_cursor, bad_span", **_UNKNOWN},
    ),
    Route(
        "GET", "/api/fleet/devices/{id}/metrics", "device_metrics", Scope.VIEWER, "devices",
        "A device's figures as columns over time, condensed to at most so many points",
        metrics, MetricsQuery, {200: Answer("The columns.", MetricsView)},
        errors={400: "bad_query, bad_span", **_UNKNOWN},
    ),
    Route(
        "GET", "/api/fleet/devices/{id}/availability", "device_availability", Scope.VIEWER, "devices",
        "When a device was online, degraded, offline, with sums and percent",
        availability, SpanQuery, {200: Answer("The intervals.", AvailabilityView)},
        errors={400: "bad_query, bad_span", **_UNKNOWN},
    ),
]  # fmt: skip
