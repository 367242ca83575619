"""Enrolment: what operators prepare and decide, and where devices ask."""

from typing import Any, Final

from aiohttp import web
from pydantic import Field

from central_sync.api.answers import model
from central_sync.api.bodies import read_body, read_model
from central_sync.api.route import Answer, Body, Call, NoQuery, Query, Route
from central_sync.services.access.roles import Scope, require_unlimited
from central_sync.services.documents import parse_model
from central_sync.services.enrolment.service import Preparer
from central_sync.services.enrolment.views import (
    Accept,
    Decided,
    EnrolmentRequestPage,
    PreRegister,
    PreRegistered,
    PreRegistration,
    PreRegistrationPage,
    Provisioned,
    ProvisionPending,
    ProvisionRequest,
    Reject,
)

_LIMIT: Final = 64 << 10
PROVISION: Final = Body("application/json", 32 << 10, "The device's key and hardware.", ProvisionRequest)
PREPARE: Final = Body("application/json", _LIMIT, "What may enrol.", PreRegister)
ACCEPT: Final = Body("application/json", _LIMIT, "As which device; `{}`: as it asked.", Accept)
REJECT: Final = Body("application/json", _LIMIT, "Why; `{}`: no reason.", Reject)


class PageQuery(Query):
    limit: int = Field(100, ge=1, le=1_000, description="Most items on a page.")
    cursor: str | None = Field(None, max_length=1_000, description="`next` of the page before.")


async def provision(call: Call[NoQuery]) -> web.Response:
    address = call.request.remote or ""
    call.services.enrolment.admit(address)
    body = await read_model(call.request, PROVISION, ProvisionRequest)
    answer = await call.services.enrolment.provision(body, address)
    if isinstance(answer, ProvisionPending):
        return model(answer, 202, {"Retry-After": str(round(answer.retry_after))})
    return model(answer)


async def pre_register(call: Call[NoQuery]) -> web.Response:
    raw = await read_body(call.request, PREPARE)
    who = Preparer(call.author, call.actor, call.who.labels)
    url = f"{call.request.scheme}://{call.request.host}"
    body = parse_model(raw, PreRegister)
    return model(await call.services.enrolment.prepare(body, url, who, call.once(raw)), 201)


async def pre_registered(call: Call[PageQuery]) -> web.Response:
    return model(await call.services.enrolment.prepared(call.who, call.query.cursor, call.query.limit))


async def delete_pre_registered(call: Call[NoQuery]) -> web.Response:
    name = call.request.match_info["pre"]
    return model(await call.services.enrolment.end(name, call.who.labels, call.actor))


async def pending(call: Call[PageQuery]) -> web.Response:
    return model(await call.services.enrolment.waiting(call.who, call.query.cursor, call.query.limit))


async def accept(call: Call[NoQuery]) -> web.Response:
    require_unlimited(call.who)
    body = await read_model(call.request, ACCEPT, Accept)
    return model(await call.services.enrolment.accept(call.request.match_info["request"], body, call.actor))


async def reject(call: Call[NoQuery]) -> web.Response:
    require_unlimited(call.who)
    body = await read_model(call.request, REJECT, Reject)
    return model(await call.services.enrolment.reject(call.request.match_info["request"], body, call.actor))


_BODY: Final = {400: "bad_body", 413: "too_large: `max` bytes are taken"}
_LIST: Final = {400: "bad_query, bad_cursor"}
_REQUEST: Final = {
    403: "limited: this concerns devices that nobody has placed yet",
    404: "unknown_request: nobody waits under this id, or no longer",
}

ROUTES: Final[list[Route[Any]]] = [
    Route(
        "POST", "/api/fleet/provision", "provision", Scope.PUBLIC, "enrolment",
        "Enrol a device: its key for a credential",
        provision, NoQuery,
        {
            200: Answer("Enrolled; the same again for the same key and machine.", Provisioned),
            202: Answer("An operator must accept it: ask again after Retry-After.", ProvisionPending),
        },
        PROVISION,
        errors={
            **_BODY,
            400: "bad_body, no_device_id",
            403: "rejected, token_revoked, key_revoked, decommissioned",
            404: "unknown_token, unknown_device",
            409: "token_used, device_taken, other_device, other_hardware; for a new key: key_used, key_taken",
            410: "token_expired, key_expired",
            429: "too_many_requests: come back after Retry-After",
            503: "too_many_pending, not_installed: come back after Retry-After",
        },
        description="The device makes a secret of 256 random bits, keeps it and sends its SHA-256. Its "
        "bearer token is `hf_<credential>_<secret>`.",
    ),
    Route(
        "POST", "/api/fleet/provision/pre-register", "pre_register", Scope.ENGINEER, "enrolment",
        "Prepare an enrolment and get its token, which is shown this once",
        pre_register, NoQuery, {201: Answer("Prepared.", PreRegistered)}, PREPARE,
        headers={"Idempotency-Key": "The same key gets the same answer for a day."},
        errors={
            400: "bad_body, bad_key",
            403: "limited: the labels do not hold those that you are limited to",
            404: "unknown_device",
            409: "too_many, key_reused",
            413: "too_large: `max` bytes are taken",
            503: "not_installed: the extra `central` is missing",
        },
    ),
    Route(
        "GET", "/api/fleet/provision/pre-registered", "pre_registered", Scope.ENGINEER, "enrolment",
        "Prepared enrolments, newest first, without their tokens",
        pre_registered, PageQuery, {200: Answer("A page.", PreRegistrationPage)}, errors=_LIST,
    ),
    Route(
        "DELETE", "/api/fleet/provision/pre-registered/{pre}", "delete_pre_registered", Scope.ENGINEER,
        "enrolment", "Revoke a token: it enrols nobody any more; who is enrolled stays so",
        delete_pre_registered, NoQuery, {200: Answer("Revoked.", PreRegistration)},
        errors={404: "unknown_pre_registration"},
    ),
    Route(
        "GET", "/api/fleet/provision/pending", "pending", Scope.ENGINEER, "enrolment",
        "Devices that wait for an operator, oldest first",
        pending, PageQuery, {200: Answer("A page.", EnrolmentRequestPage)},
        errors={**_LIST, 403: _REQUEST[403]},
    ),
    Route(
        "POST", "/api/fleet/provision/{request}/accept", "accept_request", Scope.ENGINEER, "enrolment",
        "Accept a device that waits",
        accept, NoQuery, {200: Answer("It has a credential when it asks again.", Decided)}, ACCEPT,
        errors={**_BODY, **_REQUEST, 409: "no_device_id, other_device, decommissioned"},
    ),
    Route(
        "POST", "/api/fleet/provision/{request}/reject", "reject_request", Scope.ENGINEER, "enrolment",
        "Reject a device that waits",
        reject, NoQuery, {200: Answer("It is told when it asks again.", Decided)}, REJECT,
        errors={**_BODY, **_REQUEST},
    ),
]  # fmt: skip
