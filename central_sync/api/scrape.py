"""For Prometheus: the fleet's figures, and where its agents can be scraped."""

from typing import Any, Final

import orjson
from aiohttp import web
from pydantic import Field, RootModel

from central_sync.api.route import Answer, Call, Query, Route
from central_sync.services.access.roles import Scope
from central_sync.services.devices.exposition import CONTENT_TYPE
from central_sync.services.views import View


class MetricsQuery(Query):
    devices: bool = Field(False, description="Also figures of each device, of at most 2,000.")


class TargetsQuery(Query):
    loopback: bool = Field(
        False, description="Also agents that listen on loopback: for a Prometheus on the same machine."
    )


class TargetView(View):
    """One agent, as Prometheus' HTTP service discovery wants it."""

    targets: list[str] = Field(examples=[["192.0.2.10:9464"]])
    labels: dict[str, str] = Field(examples=[{"__meta_holdfast_device": "press-shop-01"}])


class TargetList(RootModel[list[TargetView]]):
    """All of them: Prometheus forgets what a list leaves out."""


async def prometheus(call: Call[MetricsQuery]) -> web.Response:
    body = await call.services.exposition.metrics(call.who.labels, call.query.devices)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


async def targets(call: Call[TargetsQuery]) -> web.Response:
    found = await call.services.exposition.targets(call.who.labels, call.query.loopback)
    return web.Response(body=orjson.dumps(found), content_type="application/json")


_BUSY: Final = {503: "busy: the state is not known now; a list that is not whole is never given"}

ROUTES: Final[list[Route[Any]]] = [
    Route(
        "GET", "/api/fleet/prometheus", "prometheus", Scope.VIEWER, "fleet",
        "The fleet's figures as Prometheus text, as far as the asker sees it",
        prometheus, MetricsQuery, {200: Answer("The exposition.", None, "text/plain")},
        errors={400: "bad_query, too_many_devices"},
    ),
    Route(
        "GET", "/api/fleet/sd", "service_discovery", Scope.VIEWER, "fleet",
        "Prometheus HTTP service discovery of the agents' metrics: the registry label `metrics-address` of a "
        "device, else the address that its agent says",
        targets, TargetsQuery, {200: Answer("All targets.", TargetList)}, errors=_BUSY,
    ),
]  # fmt: skip
