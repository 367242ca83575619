"""Jobs that put configs on many devices."""

from typing import Any, Final

from aiohttp import web
from pydantic import Field

from central_sync.api.answers import model
from central_sync.api.bodies import parse_document, read_body
from central_sync.api.configs import BAD_CONFIG, UNCHECKED, author
from central_sync.api.parameters import Cursor, Limit
from central_sync.api.route import Answer, Body, Call, NoQuery, Query, Route
from central_sync.services.access.roles import Scope
from central_sync.services.configs.jobs import (
    ApplyRequest,
    ConfigJob,
    ConfigJobDevicePage,
    ConfigJobPage,
    ResultState,
)
from central_sync.services.configs.service import MAX_CONFIG_BYTES

APPLY: Final = Body("application/json", MAX_CONFIG_BYTES, "What to do, and with which devices.", ApplyRequest)
KEY: Final = {"Idempotency-Key": "Makes a repeat answer as the first did."}


class JobsQuery(Query):
    limit: Limit = 100
    cursor: Cursor | None = None


class JobDevicesQuery(Query):
    state: ResultState | None = Field(None, description="Only devices with this result.")
    limit: Limit = 100
    cursor: Cursor | None = None


async def apply(call: Call[NoQuery]) -> web.Response:
    body = await read_body(call.request, APPLY)
    request = await parse_document(body, ApplyRequest)
    job = await call.services.templates.apply_job(request, call.who, author(call), call.once(body))
    return model(job, 202)


async def jobs(call: Call[JobsQuery]) -> web.Response:
    return model(await call.services.config_jobs.page(call.who, call.query.cursor, call.query.limit))


async def job(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.config_jobs.get(call.request.match_info["job"], call.who))


async def job_devices(call: Call[JobDevicesQuery]) -> web.Response:
    query = call.query
    found = await call.services.config_jobs.devices(
        call.request.match_info["job"], call.who, query.state, query.cursor, query.limit
    )
    return model(found)


ROUTES: Final[list[Route[Any]]] = [
    Route(
        "POST", "/api/fleet/configs/apply", "apply_configs", Scope.ENGINEER, "configs",
        "Put sections, a patch or a template on chosen devices: a job with a result for each",
        apply, NoQuery, {202: Answer("The job; ask for its progress.", ConfigJob)}, APPLY, headers=KEY,
        errors={
            400: f"bad_body, bad_key, bad_selector, no_targets, too_many_targets, bad_device_id, bad_patch, "
            f"{BAD_CONFIG}",
            404: "unknown_device, unknown_template", 409: "key_reused, too_many_jobs", 413: "too_large",
            503: UNCHECKED,
        },
    ),
    Route(
        "GET", "/api/fleet/configs/jobs", "config_jobs", Scope.VIEWER, "configs",
        "Jobs with devices in your sight, newest first",
        jobs, JobsQuery, {200: Answer("A page.", ConfigJobPage)}, errors={400: "bad_query, bad_cursor"},
    ),
    Route(
        "GET", "/api/fleet/configs/jobs/{job}", "config_job", Scope.VIEWER, "configs", "How far a job is",
        job, NoQuery, {200: Answer("The job.", ConfigJob)}, errors={404: "unknown_job"},
    ),
    Route(
        "GET", "/api/fleet/configs/jobs/{job}/devices", "config_job_devices", Scope.VIEWER, "configs",
        "The result of a job for each device",
        job_devices, JobDevicesQuery, {200: Answer("A page.", ConfigJobDevicePage)},
        errors={400: "bad_query, bad_cursor", 404: "unknown_job"},
    ),
]  # fmt: skip
