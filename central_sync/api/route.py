"""One route, declared once: the router and the OpenAPI document are both made of these."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from central_sync.api.authentication import Gate
from central_sync.services.access.roles import Identity, Scope
from central_sync.services.access.sight import Sight
from central_sync.services.access.targets import TargetService
from central_sync.services.access.tokens import TokenService
from central_sync.services.audit.entries import Actor
from central_sync.services.audit.trail import TrailService
from central_sync.services.commands.desk import CommandDesk
from central_sync.services.commands.service import CommandService
from central_sync.services.configs.jobs import ConfigJobService
from central_sync.services.configs.service import ConfigService
from central_sync.services.configs.templates import TemplateService
from central_sync.services.configs.v1_mappings import MappingService
from central_sync.services.data.history import HistoryService
from central_sync.services.data.ingest import IngestService
from central_sync.services.database import Once, once
from central_sync.services.devices.exposition import ExpositionService
from central_sync.services.devices.figures import FigureService
from central_sync.services.devices.inventory import InventoryService
from central_sync.services.devices.registry import RegistryService
from central_sync.services.devices.service import DeviceService
from central_sync.services.devices.topology import TopologyService
from central_sync.services.devices.trends import TrendService
from central_sync.services.enrolment.credentials import CredentialService
from central_sync.services.enrolment.service import EnrolmentService
from central_sync.services.errors import Invalid
from central_sync.services.live import Hub
from central_sync.services.people.api_tokens import ApiTokenService
from central_sync.services.people.sessions import SessionService
from central_sync.services.people.users import UserService
from central_sync.services.scripts.dry_run import DryRunService
from central_sync.services.scripts.service import ScriptService

MAX_KEY_LENGTH: Final = 200


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers may call. `alive` says whether the store can still write."""

    gate: Gate
    tokens: TokenService
    sessions: SessionService
    users: UserService
    api_tokens: ApiTokenService
    sight: Sight
    targets: TargetService
    enrolment: EnrolmentService
    credentials: CredentialService
    ingest: IngestService
    configs: ConfigService
    config_jobs: ConfigJobService
    templates: TemplateService
    v1_mappings: MappingService
    scripts: ScriptService
    dry_runs: DryRunService
    devices: DeviceService
    inventory: InventoryService
    registry: RegistryService
    trends: TrendService
    topology: TopologyService
    figures: FigureService
    exposition: ExpositionService
    history: HistoryService
    trail: TrailService
    commands: CommandService
    desk: CommandDesk
    hub: Hub
    alive: Callable[[], bool]


class Query(BaseModel):
    """Base of all query parameters: an unknown one is an error, not ignored."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", populate_by_name=True)


class NoQuery(Query):
    pass


Q = TypeVar("Q", bound=Query)


@dataclass(frozen=True, slots=True)
class Call(Generic[Q]):
    """An authenticated request with valid parameters. `identity` is None on public routes."""

    request: web.Request
    services: Services
    identity: Identity | None
    query: Q

    @property
    def device(self) -> str:
        return self.request.match_info["id"]

    @property
    def who(self) -> Identity:
        """Of a route that is not public."""
        assert self.identity is not None, "public routes have no identity"
        return self.identity

    @property
    def author(self) -> str:
        return self.who.author

    @property
    def actor(self) -> Actor:
        """For the audit trail."""
        address = self.request.remote or ""
        if self.identity is None:
            return Actor("anonymous", "", "", address)
        return actor_of(self.identity, address)

    def once(self, body: bytes) -> Once | None:
        """The request's Idempotency-Key, where it has one. Raises Invalid."""
        key = self.request.headers.get("Idempotency-Key")
        if key is not None and not 1 <= len(key) <= MAX_KEY_LENGTH:
            raise Invalid("bad_key", f"Idempotency-Key has 1 to {MAX_KEY_LENGTH} characters")
        return once(self.who.id, key, f"{self.request.method} {self.request.path}", body)


def actor_of(identity: Identity, address: str) -> Actor:
    if identity.device is not None:
        return Actor("device", identity.device, identity.id, address)
    if identity.user is not None:
        return Actor("user", identity.user, identity.name, address)
    return Actor("token", identity.id, identity.name, address)


Handler = Callable[[Call[Q]], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Body:
    """What a route takes. `schema` is a model, or None for bytes."""

    content_type: str
    limit: int
    description: str
    schema: type[BaseModel] | dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    description: str
    schema: type[BaseModel] | None = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Route(Generic[Q]):
    """`errors` are the problem codes of its own, beyond those that every route has."""

    method: str
    path: str
    name: str
    scope: Scope
    tag: str
    summary: str
    handler: Handler[Q]
    query: type[Q]
    answers: dict[int, Answer]
    body: Body | None = None
    headers: dict[str, str] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    description: str = ""
