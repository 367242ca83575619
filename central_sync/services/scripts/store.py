"""What the services of scripts ask of a database, and what they give it to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from central_sync.services.configs.service import Author, Precondition
from central_sync.services.database import Once
from central_sync.services.scripts.sets import ServedScripts
from central_sync.services.scripts.views import (
    USUAL_POSITION,
    AssignmentBody,
    AssignmentChanged,
    DesiredScript,
    ScriptDetail,
    ScriptDevice,
    ScriptPatch,
    ScriptVersion,
    ScriptVersionDetail,
    ScriptView,
    ScriptWritten,
)
from edge_agent.wire.messages import HooksReport
from edge_agent.wire.scripts import HookPoint, Script, Signature

MAX_SCRIPTS: Final = 500
KEPT_VERSIONS: Final = 100


@dataclass(frozen=True, slots=True)
class NewScript:
    id: str
    content: Script
    scope: Mapping[str, str]
    description: str
    author: Author
    now: int
    note: str = ""
    position: int = USUAL_POSITION
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a script; None: as it is. action: as the audit trail names it. signatures: of the version
    `signed`."""

    script: str
    action: str
    limits: Mapping[str, str]
    author: Author
    now: int
    condition: Precondition = field(default_factory=Precondition)
    content: Script | None = None
    note: str = ""
    back_to: int | None = None
    signed: tuple[int, list[Signature]] | None = None
    patch: ScriptPatch | None = None
    delete: bool = False
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class Reassignment:
    """An assignment of a script, or its preview. mode: see `AssignmentBody`."""

    script: str
    wanted: AssignmentBody
    limits: Mapping[str, str]
    author: Author
    now: int
    condition: Precondition
    dry_run: bool


@dataclass(frozen=True, slots=True)
class ScriptFilter:
    limits: Mapping[str, str]
    hook_type: HookPoint | None
    mark: str | None
    deleted: bool
    after: str
    limit: int


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What is stored of a device's scripts: those that it has, in order, with whether each is enabled."""

    etag: str | None
    scripts: list[tuple[DesiredScript, bool]]
    report: HooksReport | None
    time: int | None


class ScriptStore(Protocol):
    """Scripts that are not for the eyes of `limits` do not exist: NotFound (`unknown_script`)."""

    async def create(self, new: NewScript) -> ScriptWritten:
        """Raises Conflict where the name is taken or there are too many."""
        ...

    async def edit(self, edit: Edit) -> ScriptWritten:
        """Raises NotFound, Forbidden, PreconditionFailed, Invalid, Conflict."""
        ...

    async def assign(self, wanted: Reassignment) -> AssignmentChanged:
        """Raises NotFound, Forbidden, PreconditionFailed, Invalid."""
        ...

    async def get(self, script: str, limits: Mapping[str, str]) -> ScriptDetail: ...

    async def page(self, wanted: ScriptFilter) -> list[ScriptView]: ...

    async def versions(
        self, script: str, limits: Mapping[str, str], below: int | None, limit: int
    ) -> list[ScriptVersion]: ...

    async def version(self, script: str, version: int, limits: Mapping[str, str]) -> ScriptVersionDetail:
        """Raises NotFound (`unknown_version`) too."""
        ...

    async def devices(
        self, script: str, limits: Mapping[str, str], after: str, limit: int
    ) -> list[ScriptDevice]: ...

    async def device_state(self, device: str) -> DeviceState:
        """Raises NotFound for an unknown device."""
        ...

    async def etag(self, device: str) -> str | None:
        """Of what is served, as it was last worked out; None: the device never had a script."""
        ...

    async def served(self, device: str) -> ServedScripts | None: ...
