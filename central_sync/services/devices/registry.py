"""The registry of devices: what operators say of them, and who is out of service.

A device is made by its registration, by its enrolment, or by its first heartbeat. Names, notes and labels of
the registry are the operators'; labels that a device reports itself count where the registry has none of that
key. A decommissioned device has no credential, is refused, and keeps its history until it is purged.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Protocol

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from central_sync.services.access.roles import Identity, Role
from central_sync.services.access.tokens import check_device_id
from central_sync.services.audit.entries import Actor
from central_sync.services.clock import Clock
from central_sync.services.configs.service import Precondition
from central_sync.services.database import Once
from central_sync.services.errors import Forbidden, Invalid, NotFound
from central_sync.services.views import View

MAX_LABELS: Final = 100
# What selectors can name: no blanks and none of their signs.
LABEL_KEY: Final = r"^[^\s=!,()\x00-\x1f]{1,100}$"
LABEL_VALUE: Final = r"^[^\s=!,()\x00-\x1f]{0,200}$"


def _text(text: str) -> str:
    """Raises ValueError for what no database or terminal takes: lone surrogates, control characters."""
    if any((ord(sign) < 32 and sign not in "\n\t") or 0xD800 <= ord(sign) <= 0xDFFF for sign in text):
        raise ValueError("control characters and lone surrogates are not taken")
    return text


Key = Annotated[str, StringConstraints(pattern=LABEL_KEY), AfterValidator(_text)]
Value = Annotated[str, StringConstraints(pattern=LABEL_VALUE), AfterValidator(_text)]
Name = Annotated[str, Field(max_length=200), AfterValidator(_text)]
Notes = Annotated[str, Field(max_length=10_000), AfterValidator(_text)]
_EXAMPLE: Final = {"site": "north", "line": "a"}


class Registration(BaseModel):
    """A device that is to come, or one without an agent yet."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    device_id: str = Field(max_length=51, examples=["press-shop-01"])
    name: Name = Field("", examples=["Press shop, gateway 1"])
    labels: dict[Key, Value] = Field({}, max_length=MAX_LABELS, examples=[_EXAMPLE])
    notes: Notes = ""


class DevicePatch(BaseModel):
    """What is left out stays. Labels are merged: null deletes one."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    name: Name | None = None
    labels: dict[Key, Value | None] = Field({}, max_length=2 * MAX_LABELS, examples=[_EXAMPLE])
    notes: Notes | None = None


class RegistryView(View):
    """What the registry says of a device. `etag` is for If-Match."""

    device_id: str
    name: str
    labels: dict[str, str] = Field(description="Of the registry alone; a device reports others itself.")
    notes: str
    created: int
    decommissioned: int | None = Field(None, description="Since when it is out of service.")
    purging: int | None = Field(None, description="Since when its data is being deleted.")
    etag: str = Field("", description="Of name, labels, notes and service: for If-Match.")

    @classmethod
    def of(cls, **fields: Any) -> "RegistryView":
        body = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
        return cls(**fields, etag=hashlib.sha256(body).hexdigest()[:32])

    def state(self) -> dict[str, Any]:
        """For the audit trail."""
        return self.model_dump(exclude={"etag", "created"})


@dataclass(frozen=True, slots=True)
class Change:
    """Who changes something, and when. condition: the ETag that must hold."""

    actor: Actor
    now: int
    condition: Precondition = field(default_factory=Precondition)


class RegistryStore(Protocol):
    async def register(self, wanted: Registration, change: Change, once: Once | None) -> RegistryView:
        """Raises Conflict where the device exists."""
        ...

    async def patch(
        self, device: str, wanted: DevicePatch, change: Change, limits: Mapping[str, str]
    ) -> RegistryView:
        """Raises NotFound, PreconditionFailed, Invalid for too many labels, Forbidden where the device would
        leave the asker's sight."""
        ...

    async def decommission(self, device: str, change: Change, purge: bool) -> tuple[RegistryView, list[str]]:
        """The device afterwards and the ids of its tokens, which it revokes. Doing it again changes nothing.
        Raises NotFound, PreconditionFailed."""
        ...

    async def recommission(self, device: str, change: Change) -> tuple[RegistryView, list[str]]:
        """The same, in service again; its tokens stay revoked. Raises NotFound, PreconditionFailed, and
        Conflict while its data is being deleted."""
        ...

    async def registry(self, device: str) -> RegistryView | None: ...

    async def purging(self) -> list[str]:
        """Devices whose data is being deleted."""
        ...

    async def purge_step(self, device: str, now: int) -> bool:
        """Deletes a bounded part of a device's data; True once there is nothing left."""
        ...


class Credentials(Protocol):
    """Who remembers tokens."""

    def forget(self, token_id: str) -> None:
        """What is known of the token is old: the next request reads it anew."""
        ...


class RegistryService:
    def __init__(self, store: RegistryStore, credentials: Credentials, clock: Clock) -> None:
        self._store = store
        self._credentials = credentials
        self._clock = clock

    async def register(
        self, wanted: Registration, who: Identity, actor: Actor, once: Once | None
    ) -> RegistryView:
        """Raises Invalid, Conflict; Forbidden where the asker would not see the device."""
        check_device_id(wanted.device_id)
        if not who.may_see(wanted.labels):
            raise Forbidden("limited", "give the device the labels that you are limited to")
        return await self._store.register(wanted, self._change(actor), once)

    async def get(self, device: str) -> RegistryView:
        """Raises NotFound."""
        found = await self._store.registry(device)
        if found is None:
            raise NotFound("unknown_device", f"there is no device {device}")
        return found

    async def patch(
        self, device: str, wanted: DevicePatch, who: Identity, actor: Actor, condition: Precondition
    ) -> RegistryView:
        """Raises what the store does."""
        return await self._store.patch(device, wanted, self._change(actor, condition), who.labels)

    async def decommission(
        self, device: str, purge: bool, who: Identity, actor: Actor, condition: Precondition
    ) -> RegistryView:
        """purge: deletes what it sent, in the background. Raises Forbidden where that needs an admin."""
        if purge and not who.has_role(Role.ADMIN):
            raise Forbidden("role", "deleting a device's data needs the role admin")
        found, tokens = await self._store.decommission(device, self._change(actor, condition), purge)
        self._forget(tokens)
        return found

    async def recommission(self, device: str, actor: Actor, condition: Precondition) -> RegistryView:
        found, tokens = await self._store.recommission(device, self._change(actor, condition))
        self._forget(tokens)
        return found

    def _forget(self, tokens: list[str]) -> None:
        for token_id in tokens:
            self._credentials.forget(token_id)

    def _change(self, actor: Actor, condition: Precondition | None = None) -> Change:
        return Change(actor, self._clock.wall_ms(), condition or Precondition())


def merge_labels(known: Mapping[str, str], wanted: Mapping[str, str | None]) -> dict[str, str]:
    """Raises Invalid for too many."""
    merged = {key: value for key, value in {**known, **wanted}.items() if value is not None}
    if len(merged) > MAX_LABELS:
        raise Invalid("too_many_labels", f"a device has at most {MAX_LABELS} labels of the registry")
    return merged
