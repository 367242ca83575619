"""One route, declared once: the router and the OpenAPI document are both made of these."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from central_sync.services.configs import ConfigService
from central_sync.services.devices import DeviceService
from central_sync.services.history import HistoryService
from central_sync.services.ingest import IngestService
from central_sync.services.live import Hub
from central_sync.services.tokens import Identity, Scope, TokenService


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers may call. `alive` says whether the store can still write."""

    tokens: TokenService
    ingest: IngestService
    configs: ConfigService
    devices: DeviceService
    history: HistoryService
    hub: Hub
    alive: Callable[[], bool]


class Query(BaseModel):
    """Base of all query parameters: an unknown one is an error, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


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
    def author(self) -> str:
        return self.identity.name if self.identity else "anonymous"


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
