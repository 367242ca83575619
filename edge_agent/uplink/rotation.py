"""Keeps this device's credential good: renewed before it ends, asked for anew once it is refused for long.

Renewing: a new key is written to the disk, the centre takes it, the answer is written, the new one is used,
the old one is dropped. Enrolling again: only after an hour of nothing but refusals, so that no fault of the
centre's turns into a wave of enrolments; the centre decides, and what was there is kept until then.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

import structlog
from pydantic import BaseModel

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.errors import StorageFailed
from edge_agent.runtime.backoff import Backoff
from edge_agent.runtime.logging import OutageLog
from edge_agent.runtime.waiting import wait_for_event
from edge_agent.uplink import enrolment
from edge_agent.uplink.client import parse_answer
from edge_agent.uplink.credentials import Credential, Credentials
from edge_agent.uplink.enrolment import Hardware, Refusal, Refused
from edge_agent.uplink.errors import NotAccepted, SeqConflict, UplinkFault
from edge_agent.uplink.transport import Reply
from edge_agent.wire.enrolment import Pending, Provisioned, Renewed

logger = structlog.stdlib.get_logger(__name__)

# A credential is renewed in this part of its life: a fleet that enrolled in one hour does not renew in one.
RENEW_FROM: Final = 0.75
RENEW_UNTIL: Final = 0.8
LOOK_SECONDS: Final = 30.0
# How long a new credential may stay unused before another is asked for.
PROOF_SECONDS: Final = 600.0
_RETRY: Final = (30.0, 3_600.0)
_ASK_AGAIN: Final = (60.0, 3_600.0)


class Centre(Protocol):
    """The client, as far as it is needed here."""

    async def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        content_type: str | None,
        if_none_match: str | None = None,
        wait_seconds: float = 0.0,
    ) -> Reply: ...

    async def provision(self, body: bytes) -> Reply: ...


class _Key(BaseModel):
    key: str


def due_ms(credential: Credential, share: float) -> int | None:
    """When it is to be renewed (UTC milliseconds), at `share` of its life; None: it has no end."""
    if credential.expires is None or credential.issued is None:
        return None
    return credential.issued + int((credential.expires - credential.issued) * share)


class Rotation:
    """`run` is a part of the crew. renewals: how many there were."""

    def __init__(
        self,
        client: Centre,
        credentials: Credentials,
        device: str,
        hardware: Hardware,
        refused_seconds: Callable[[], float | None],
        clock: Clock,
        *,
        grace_seconds: float,
        token: Callable[[], str | None] = lambda: None,
        is_wanted: Callable[[], bool] = lambda: True,
        on_enrolled: Callable[[], None] = lambda: None,
        random: Random | None = None,
    ) -> None:
        """refused_seconds: for how long nothing but refusals has come. token: an enrolment token, where the
        config has one. is_wanted: whether the stored credential is the one that is used. on_enrolled: there
        is a new one: try it now."""
        self.renewals = 0
        self._client = client
        self._credentials = credentials
        self._device = device
        self._hardware = hardware
        self._refused_seconds = refused_seconds
        self._clock = clock
        self._grace = grace_seconds
        self._token = token
        self._is_wanted = is_wanted
        self._on_enrolled = on_enrolled
        random = random or Random()
        self._share = RENEW_FROM + (RENEW_UNTIL - RENEW_FROM) * random.random()
        self._retry = Backoff(*_RETRY, random=random)
        self._ask_again = Backoff(*_ASK_AGAIN, random=random)
        self._outages = OutageLog(logger, clock)
        self._answered_at: float | None = None

    async def run(self) -> None:
        """Never returns."""
        while True:
            try:
                pause = await self.step()
            except StorageFailed as error:
                self._outages.down("disk", "a credential cannot be written", error=str(error))
                await self._clock.sleep(self._retry.next())
                continue
            self._outages.back("disk", "credentials can be written again")
            await wait_for_event(self._credentials.proved, pause, self._clock)

    async def step(self) -> float:
        """What is to be done now. The longest pause before the next step, in seconds."""
        credentials = self._credentials
        if not self._is_wanted():
            return LOOK_SECONDS
        if await asyncio.to_thread(credentials.refresh):
            self._on_enrolled()
        if credentials.proved.is_set():
            await asyncio.to_thread(credentials.promote)
            self._answered_at = None
            self._retry.reset()
            self._ask_again.reset()
            logger.info(
                "the new credential is in use", credential=credentials.current and credentials.current.id
            )
            return 0.0
        refused = self._refused_seconds()
        if (credentials.current is None and credentials.next is None) or self._may_enrol(refused):
            return await self._enrol()
        if refused is not None:
            return LOOK_SECONDS
        return await self._renew_when_due()

    def _may_enrol(self, refused: float | None) -> bool:
        following = self._credentials.next
        if self._credentials.current is None and following is not None and following.id is None:
            return True  # it was asked for, and there is nothing else to wait for
        return refused is not None and refused >= self._grace

    # --- renewing -------------------------------------------------------------------------------------

    async def _renew_when_due(self) -> float:
        following, current = self._credentials.next, self._credentials.current
        if following is not None and following.id is not None:
            return await self._await_proof()
        if current is None:
            return LOOK_SECONDS
        due = due_ms(current, self._share)
        if due is None:
            return LOOK_SECONDS
        left = (due - self._clock.wall_ms()) / 1000
        if left > 0:
            return min(left, LOOK_SECONDS)
        return await self._renew()

    async def _await_proof(self) -> float:
        """A new one is known and the centre does not take it: one that was restored knows the old one."""
        now = self._clock.monotonic()
        if self._answered_at is None:
            self._answered_at = now
        left = self._answered_at + PROOF_SECONDS - now
        if left > 0:
            return min(left, LOOK_SECONDS)
        self._answered_at = None
        await asyncio.to_thread(self._credentials.drop_next)
        return self._retry.next()

    async def _renew(self) -> float:
        key = await asyncio.to_thread(self._credentials.new_key)
        now = self._clock.wall_ms()
        try:
            body = _Key(key=key.key).model_dump_json().encode()
            reply = await self._client.exchange("POST", "/credentials", body, "application/json")
            answer = parse_answer(Renewed, reply)
        except UplinkFault as fault:
            # 409, 403 and 410 are about the key; 401 is about what is shown, and changes nothing here.
            about_key = isinstance(fault, SeqConflict) or str(fault).startswith("410")
            if about_key or (isinstance(fault, NotAccepted) and fault.status == 403):
                await asyncio.to_thread(self._credentials.drop_next)
            self._outages.down("renewal", "the credential cannot be renewed", error=str(fault))
            return self._retry.next()
        self._outages.back("renewal", "the credential can be renewed again")
        await asyncio.to_thread(
            self._credentials.accept, key.key, self._device, answer.credential, now, answer.expires
        )
        self.renewals += 1
        self._answered_at = self._clock.monotonic()
        self._on_enrolled()
        return LOOK_SECONDS

    # --- enrolling ------------------------------------------------------------------------------------

    async def _enrol(self) -> float:
        key = await asyncio.to_thread(self._credentials.new_key)
        now = self._clock.wall_ms()
        body = enrolment.request(self._device, self._token(), key.key, self._hardware)
        try:
            outcome = enrolment.judge(await self._client.provision(body))
        except UplinkFault:
            return self._retry.next()
        match outcome:
            case Provisioned():
                if outcome.device_id != self._device:
                    return self._refused(f"the centre enrols this device as {outcome.device_id}")
                accept = self._credentials.accept
                await asyncio.to_thread(
                    accept, key.key, outcome.device_id, outcome.credential, now, outcome.expires
                )
                self._outages.back("enrolment", "this device is enrolled")
                self._on_enrolled()
                return LOOK_SECONDS
            case Pending():
                self._outages.down(
                    "enrolment", "this device waits for an operator to accept it", request=outcome.request
                )
                return max(outcome.retry_after, self._ask_again.next())
            case Refused():
                if outcome.kind is Refusal.KEY:
                    await asyncio.to_thread(self._credentials.drop_next)
                return max(outcome.wait_seconds, self._refused(outcome.text))

    def _refused(self, text: str) -> float:
        self._outages.down("enrolment", "the centre does not enrol this device", error=text)
        return self._ask_again.next()
