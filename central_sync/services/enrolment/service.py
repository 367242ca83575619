"""Enrolment: operators prepare it, devices ask for it, operators decide where no token did.

The centre learns the SHA-256 of a device's secret and never the secret: what a device sends may be lost,
repeated or overheard, and asking again with the same key gets the same answer and burns no token.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from central_sync.services.access.ratelimit import RateLimit, subject
from central_sync.services.access.roles import Identity, require_unlimited
from central_sync.services.audit.entries import Actor
from central_sync.services.clock import Clock
from central_sync.services.database import Once
from central_sync.services.enrolment import tokens as enrolment_tokens
from central_sync.services.enrolment.provision import Ask, Prepared
from central_sync.services.enrolment.tokens import Claims
from central_sync.services.enrolment.views import (
    Accept,
    Decided,
    EnrolmentRequest,
    EnrolmentRequestPage,
    Facts,
    PreRegister,
    PreRegistered,
    PreRegistration,
    PreRegistrationPage,
    Provisioned,
    ProvisionPending,
    ProvisionRequest,
    Reject,
)
from central_sync.services.errors import Forbidden, Invalid, TooMany
from central_sync.services.pages import decode_cursor, encode_cursor

# Requests of one address, in the long run; a factory's devices may share one.
PER_ADDRESS: Final = 5.0
# Of all addresses: each may take a write.
OF_ALL: Final = 50.0
RETRY_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings. pending: whether devices without a token may wait for an operator. ca: SHA-256 of the
    certificate that agents must meet; None: none, as without TLS of the centre's own."""

    pending: bool = False
    max_pending: int = 1_000
    pending_seconds: float = 86_400.0
    life_seconds: float = 90 * 86_400.0
    url: str | None = None
    ca: str | None = None
    heartbeat_interval: float | None = None


@dataclass(frozen=True, slots=True)
class PreRegistrationRow:
    prepared: Prepared
    zone: str | None
    note: str
    author: str
    created: int


@dataclass(frozen=True, slots=True)
class NewPreRegistration:
    """answer: without its token. sign: the token's text, of the answer and the signing key."""

    row: PreRegistrationRow
    answer: PreRegistered
    sign: Callable[[PreRegistered, bytes], str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A device's request with what the centre's settings make of it. expires: of the credential."""

    ask: Ask
    token_digest: bytes
    address: str
    facts: str
    expires: int
    pending: bool
    max_pending: int
    pending_ms: int


@dataclass(frozen=True, slots=True)
class Accepted:
    device: str
    credential: str
    expires: int
    config_etag: str | None


# Accepted, or the name under which it waits.
Verdict = Accepted | str


@dataclass(frozen=True, slots=True)
class RequestRow:
    id: str
    digest: bytes
    device: str | None
    machine: str
    serial: str | None
    facts: str
    address: str
    state: str
    reason: str
    created: int
    asked: int
    expires: int
    known_device: bool = False
    same_machine: bool = False


class EnrolmentStore(Protocol):
    async def signing_key(self, now: int) -> bytes: ...

    async def pre_register(
        self, new: NewPreRegistration, key: Once | None, actor: Actor, now: int
    ) -> PreRegistered:
        """Raises Conflict, NotFound."""
        ...

    async def pre_registered(
        self, after: tuple[int, str] | None, limits: Mapping[str, str], limit: int
    ) -> list[PreRegistrationRow]: ...

    async def end_pre_registration(
        self, name: str, limits: Mapping[str, str], actor: Actor, now: int
    ) -> PreRegistrationRow: ...

    async def provision(self, asked: Asked, now: int) -> Verdict:
        """Raises Refusal."""
        ...

    async def requests(self, after: tuple[int, str] | None, now: int, limit: int) -> list[RequestRow]: ...

    async def accept(
        self, name: str, device: str | None, labels: Mapping[str, str], asked: Asked, actor: Actor, now: int
    ) -> str: ...

    async def reject(self, name: str, reason: str, actor: Actor, now: int) -> RequestRow: ...


@dataclass(frozen=True, slots=True)
class Preparer:
    """Who prepares an enrolment. limits: the labels of the devices that he sees."""

    author: str
    actor: Actor
    limits: Mapping[str, str] = field(default_factory=dict)


class EnrolmentService:
    def __init__(
        self, store: EnrolmentStore, clock: Clock, centre: Callable[[], str], policy: Policy
    ) -> None:
        self._store = store
        self._clock = clock
        self._centre = centre
        self._policy = policy
        self._secret: bytes | None = None
        self._by_address = RateLimit(PER_ADDRESS, clock)
        self._of_all = RateLimit(OF_ALL, clock)

    # --- operators ------------------------------------------------------------------------------------

    async def prepare(self, body: PreRegister, url: str, who: Preparer, key: Once | None) -> PreRegistered:
        """url: how the centre was reached. Raises Invalid, Forbidden, NotFound, Conflict."""
        now = self._clock.wall_ms()
        new = new_pre_registration(body, self._policy, self._centre(), url, who, now)
        return await self._store.pre_register(new, key, who.actor, now)

    async def prepared(self, identity: Identity, cursor: str | None, limit: int) -> PreRegistrationPage:
        now = self._clock.wall_ms()
        found = await self._store.pre_registered(_after(cursor), identity.labels, limit + 1)
        items = [pre_view(row, now) for row in found[:limit]]
        following = encode_cursor([items[-1].created, items[-1].id]) if len(found) > limit else None
        return PreRegistrationPage(items=items, next=following)

    async def end(self, name: str, limits: Mapping[str, str], actor: Actor) -> PreRegistration:
        """Raises NotFound."""
        now = self._clock.wall_ms()
        return pre_view(await self._store.end_pre_registration(name, limits, actor, now), now)

    async def waiting(self, identity: Identity, cursor: str | None, limit: int) -> EnrolmentRequestPage:
        """Raises Forbidden for who sees some devices only: nobody knows yet whose these are."""
        require_unlimited(identity)
        found = await self._store.requests(_after(cursor), self._clock.wall_ms(), limit + 1)
        items = [_request_view(row) for row in found[:limit]]
        following = encode_cursor([items[-1].created, items[-1].id]) if len(found) > limit else None
        return EnrolmentRequestPage(items=items, next=following)

    async def accept(self, name: str, body: Accept, actor: Actor) -> Decided:
        """Raises NotFound, Conflict."""
        now = self._clock.wall_ms()
        labels = _labels(body.labels, body.zone)
        asked = self._asked(Ask(b"", ""), "", "", b"")
        device = await self._store.accept(name, body.device_id, labels, asked, actor, now)
        return Decided(request=name, state="accepted", device_id=device)

    async def reject(self, name: str, body: Reject, actor: Actor) -> Decided:
        """Raises NotFound."""
        row = await self._store.reject(name, body.reason, actor, self._clock.wall_ms())
        return Decided(request=name, state="rejected", device_id=row.device)

    # --- devices --------------------------------------------------------------------------------------

    def admit(self, address: str) -> None:
        """Before anything of a request is read. Raises TooMany."""
        wait = self._by_address.take(subject(address)) or self._of_all.take("")
        if wait:
            raise TooMany("too_many_requests", "too many devices ask at once: come back later", wait)

    async def provision(self, request: ProvisionRequest, address: str) -> Provisioned | ProvisionPending:
        """Raises Refusal: what becomes of it is one of its kinds."""
        now = self._clock.wall_ms()
        token_id, token_digest = None, b""
        if request.token is not None:
            if self._secret is None:
                self._secret = await self._store.signing_key(now)
            token_id = enrolment_tokens.read(request.token, self._secret, self._centre())
            token_digest = enrolment_tokens.digest(request.token)
        ask = Ask(
            bytes.fromhex(request.key), request.machine, request.serial, request.device_id, token_id
        )  # fmt: skip
        asked = self._asked(ask, address, request.facts.model_dump_json(), token_digest)
        verdict = await self._store.provision(asked, now)
        if isinstance(verdict, str):
            return ProvisionPending(request=verdict, retry_after=RETRY_SECONDS)
        return Provisioned(
            device_id=verdict.device,
            credential=verdict.credential,
            expires=verdict.expires,
            url=self._policy.url,
            heartbeat_interval=self._policy.heartbeat_interval,
            config_etag=verdict.config_etag,
        )

    def _asked(self, ask: Ask, address: str, facts: str, token_digest: bytes) -> Asked:
        policy = self._policy
        return Asked(
            ask,
            token_digest,
            address,
            facts,
            self._clock.wall_ms() + int(policy.life_seconds * 1000),
            policy.pending,
            policy.max_pending,
            int(policy.pending_seconds * 1000),
        )


def new_pre_registration(
    body: PreRegister, policy: Policy, centre: str, url: str, who: Preparer, now: int
) -> NewPreRegistration:
    """Raises Invalid, Forbidden."""
    if body.device_id is not None and body.uses != 1:
        raise Invalid("bad_body", "uses: a token of one device enrols one: leave it out")
    if body.without_token and (body.device_id is None or body.serial is None):
        raise Invalid("bad_body", "without_token: needs device_id and serial")
    labels = _labels(body.labels, body.zone)
    if any(labels.get(key) != value for key, value in who.limits.items()):
        wanted = ", ".join(f"{key}={value}" for key, value in who.limits.items())
        raise Forbidden(
            "limited", f"you may enrol devices with the labels {wanted} alone: give them in labels"
        )
    expires = now + body.valid_seconds * 1000
    prepared = Prepared(
        secrets.token_hex(6), body.device_id, body.serial, body.without_token, body.uses, 0, expires, None,
        labels, who.limits,
    )  # fmt: skip
    row = PreRegistrationRow(prepared, body.zone, body.note, who.author, now)
    shown = pre_view(row, now).model_dump()
    address = (body.url or policy.url or url).rstrip("/")
    answer = PreRegistered(**shown, token="", url=address, ca=policy.ca)
    return NewPreRegistration(row, answer, partial(_sign, centre))


def _sign(centre: str, answer: PreRegistered, secret: bytes) -> str:
    """The same text for the same answer: a repeated request gets its token again, which is kept nowhere."""
    claims = Claims(
        answer.id,
        centre,
        answer.created,
        answer.expires,
        answer.url,
        answer.ca,
        answer.device_id,
        answer.zone,
    )
    return enrolment_tokens.sign(claims, secret)


def _labels(labels: Mapping[str, str], zone: str | None) -> dict[str, str]:
    return {**labels, **({} if zone is None else {"zone": zone})}


def _after(cursor: str | None) -> tuple[int, str] | None:
    key = decode_cursor(cursor, int, str)
    return None if key is None else (int(key[0]), str(key[1]))


def pre_view(row: PreRegistrationRow, now: int) -> PreRegistration:
    prepared = row.prepared
    if prepared.revoked is not None:
        state = "revoked"
    elif prepared.used >= prepared.uses:
        state = "used"
    else:
        state = "open" if prepared.is_open(now) else "expired"
    return PreRegistration.model_validate(
        {
            "id": prepared.id,
            "device_id": prepared.device,
            "serial": prepared.serial,
            "without_token": prepared.without_token,
            "zone": row.zone,
            "labels": dict(prepared.labels),
            "uses": prepared.uses,
            "used": prepared.used,
            "note": row.note,
            "author": row.author,
            "created": row.created,
            "expires": prepared.expires,
            "revoked": prepared.revoked,
            "state": state,
        }
    )


def _request_view(row: RequestRow) -> EnrolmentRequest:
    return EnrolmentRequest(
        id=row.id,
        device_id=row.device,
        machine=row.machine,
        serial=row.serial,
        facts=Facts.model_validate_json(row.facts),
        address=row.address,
        created=row.created,
        asked=row.asked,
        expires=row.expires,
        known_device=row.known_device,
        same_machine=row.same_machine,
    )
