"""Builds enrolment, and does for the command line what operators do over the API."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from central_sync.services.access.tokens import TokenService
from central_sync.services.audit.entries import Actor
from central_sync.services.clock import Clock, SystemClock
from central_sync.services.enrolment.credentials import CredentialService, credential_view
from central_sync.services.enrolment.provision import Ask
from central_sync.services.enrolment.service import (
    Asked,
    EnrolmentService,
    Policy,
    Preparer,
    PreRegistrationRow,
    RequestRow,
    new_pre_registration,
    pre_view,
)
from central_sync.services.enrolment.tokens import pinned
from central_sync.services.enrolment.views import (
    Accept,
    CredentialView,
    PreRegister,
    PreRegistered,
    PreRegistration,
    Reject,
)
from central_sync.services.errors import Invalid, Refusal
from central_sync.settings import Settings, duration
from central_sync.store import credentials, enrolment
from central_sync.store.credentials import SqliteCredentials
from central_sync.store.database import DATABASE_NAME, connect, prepare, read_meta, transaction
from central_sync.store.enrolment import SqliteEnrolment
from central_sync.store.errors import CannotOpen
from central_sync.store.generation import bump
from central_sync.store.sqlite import SqliteStore

__all__ = [
    "CredentialView",
    "PreRegistered",
    "PreRegistration",
    "Refusal",
    "RequestRow",
]

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


def policy(settings: Settings) -> Policy:
    """Raises Invalid where the certificate to pin cannot be read."""
    chosen = settings.enrolment
    certificate = chosen.ca_file or (settings.tls.cert if settings.tls is not None else None)
    return Policy(
        chosen.pending,
        chosen.max_pending,
        chosen.pending_life,
        chosen.credential_life,
        chosen.url,
        None if certificate is None else pinned(certificate),
        settings.heartbeat_interval,
    )


def enrolment_service(settings: Settings, store: SqliteStore, clock: Clock) -> EnrolmentService:
    return EnrolmentService(SqliteEnrolment(store), clock, lambda: store.centre, policy(settings))


def credential_service(
    settings: Settings, store: SqliteStore, clock: Clock, tokens: TokenService
) -> CredentialService:
    life = settings.enrolment.credential_life
    service = CredentialService(SqliteCredentials(store), clock, tokens.forget, life)
    tokens.on_first_use(service.first_use)
    return service


# --- for the command line -------------------------------------------------------------------------------


def prepare_enrolment(
    settings: Settings, actor: Actor, ca_file: Path | None, valid: str | None, **wanted: Any
) -> PreRegistered:
    """wanted: fields of PreRegister. Raises Refusal, CannotOpen."""
    if valid is not None:
        wanted["valid_seconds"] = _seconds(valid)
    body = _model(PreRegister, wanted)
    chosen = policy(settings)
    if ca_file is not None:
        chosen = replace(chosen, ca=pinned(ca_file))
    if body.url is None and chosen.url is None:
        raise Invalid(
            "no_url", "devices need the centre's address: give --url, or set enrolment.url in the settings"
        )
    now = SystemClock().wall_ms()
    path = prepare(settings.data)
    with contextlib.closing(connect(path)) as connection, transaction(connection):
        centre = str(read_meta(connection, "centre"))
        who = Preparer(actor.text, actor)
        new = new_pre_registration(body, chosen, centre, "", who, now)
        return enrolment.pre_register(connection, new, None, who.actor, now)


def _seconds(text: str) -> int:
    try:
        return int(duration(text))
    except ValueError as error:
        raise Invalid("bad_duration", f"--valid {error}") from error


def list_enrolments(settings: Settings) -> list[PreRegistration]:
    now = SystemClock().wall_ms()

    def ask(connection: Any) -> list[PreRegistrationRow]:
        return enrolment.pre_registered(connection, None, {}, 10_000)

    return [pre_view(row, now) for row in _do(settings, ask)]


def end_enrolment(settings: Settings, actor: Actor, name: str) -> PreRegistration:
    now = SystemClock().wall_ms()
    row = _do(settings, lambda connection: enrolment.end_pre_registration(connection, name, {}, actor, now))
    return pre_view(row, now)


def waiting_devices(settings: Settings) -> list[RequestRow]:
    now = SystemClock().wall_ms()
    return _do(settings, lambda connection: enrolment.requests(connection, None, now, 10_000))


def accept_device(settings: Settings, actor: Actor, name: str, **wanted: Any) -> str:
    """wanted: fields of Accept. The device's id."""
    body = _model(Accept, wanted)
    now = SystemClock().wall_ms()
    labels = {**body.labels, **({} if body.zone is None else {"zone": body.zone})}
    expires = now + int(settings.enrolment.credential_life * 1000)
    asked = Asked(Ask(b"", ""), b"", "", "", expires, True, settings.enrolment.max_pending, 0)
    return _do(
        settings,
        lambda connection: enrolment.accept(connection, name, body.device_id, labels, asked, actor, now),
    )


def reject_device(settings: Settings, actor: Actor, name: str, reason: str) -> RequestRow:
    body = _model(Reject, {"reason": reason})
    now = SystemClock().wall_ms()
    return _do(settings, lambda connection: enrolment.reject(connection, name, body.reason, actor, now))


def list_credentials(settings: Settings, device: str) -> list[CredentialView]:
    now = SystemClock().wall_ms()
    found = _do(settings, lambda connection: credentials.listed(connection, device))
    return [credential_view(row, now) for row in found]


def revoke_credentials(settings: Settings, actor: Actor, device: str, credential: str | None) -> list[str]:
    now = SystemClock().wall_ms()
    revoked = _do(settings, lambda connection: credentials.revoke(connection, device, credential, actor, now))
    bump(settings.data)
    return revoked


def _do(settings: Settings, work: Callable[[Any], T]) -> T:
    """In a transaction beside a running service. Raises CannotOpen where there is no database."""
    with contextlib.closing(connect(_existing(settings.data))) as connection, transaction(connection):
        return work(connection)


def _existing(directory: Path) -> Path:
    if not (directory / DATABASE_NAME).exists():
        raise CannotOpen(f"{directory}: there is no {DATABASE_NAME} here; `run` makes one")
    return prepare(directory)


def _model(wanted: type[M], values: dict[str, Any]) -> M:
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return wanted.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise Invalid("bad_body", f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
