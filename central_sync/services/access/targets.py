"""Which devices something is meant for: named ones, a selector's, or both together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field

from central_sync.services.access.roles import Identity
from central_sync.services.access.selectors import Selector, parse
from central_sync.services.access.tokens import check_device_id
from central_sync.services.errors import Invalid, NotFound

MAX_TARGETS: Final = 10_000


class Targets(BaseModel):
    """Devices by id, by selector, or both: all that either names. Decommissioned ones are left out."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    devices: Annotated[list[str], Field(max_length=MAX_TARGETS)] = []
    selector: str | None = Field(
        None, max_length=2_000, description="Labels: `site=north, line in (a, b), !retired`; `*`: all.",
        examples=["site=north"],
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """devices: ids that were named; selector: of labels; limits: what the asker is limited to."""

    devices: tuple[str, ...]
    selector: Selector | None
    limits: Mapping[str, str]


class TargetStore(Protocol):
    async def targets(self, wanted: Wanted) -> list[str]:
        """Ids in order, at most MAX_TARGETS + 1: those in the asker's sight that are not decommissioned."""
        ...


class TargetService:
    def __init__(self, store: TargetStore) -> None:
        self._store = store

    async def resolve(self, targets: Targets, identity: Identity) -> list[str]:
        """The devices, each once, in order. Raises Invalid where nothing or too much is chosen, NotFound
        where a named device does not exist for the asker."""
        if not targets.devices and targets.selector is None:
            raise Invalid("no_targets", "name devices or give a selector")
        named = tuple(dict.fromkeys(check_device_id(device) for device in targets.devices))
        selector = None if targets.selector is None else parse(targets.selector)
        found = await self._store.targets(Wanted(named, selector, identity.labels))
        if len(found) > MAX_TARGETS:
            raise Invalid("too_many_targets", f"more than {MAX_TARGETS} devices are chosen")
        known = set(found)
        missing = [device for device in named if device not in known]
        if missing:
            raise NotFound("unknown_device", f"there is no device {', '.join(missing[:10])}", devices=missing)
        if not found:
            raise Invalid("no_targets", "the selector chooses no device")
        return found
