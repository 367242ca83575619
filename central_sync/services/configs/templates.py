"""Tag templates: groups of tags with parameters, for every machine of a kind; and their use on connections.

A template is judged where it is used: what its tags need depends on the connection's driver.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol
from uuid import uuid4

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from central_sync.services.access.roles import Identity
from central_sync.services.access.targets import MAX_TARGETS, Targets, TargetService
from central_sync.services.access.tokens import check_device_id
from central_sync.services.clock import Clock
from central_sync.services.configs.jobs import ApplyRequest, ConfigJob, ConfigJobService
from central_sync.services.configs.service import MAX_NOTE, Author, ConfigService, Precondition, canonical
from central_sync.services.configs.template_text import Parameter, check_parameters
from central_sync.services.configs.views import ConfigWritten
from central_sync.services.configs.work import Parameters, Template, Work, edited
from central_sync.services.database import Once
from central_sync.services.errors import Invalid, NotFound, PreconditionFailed
from central_sync.services.pages import decode_cursor, encode_cursor
from central_sync.services.views import View

MAX_TEMPLATES: Final = 10_000
Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
Label = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
_EXAMPLE: Final[dict[str, Any]] = {
    "name": "Press, oil", "company": "acme", "equipment_type": "press", "protocol": "modbus",
    "parameters": {"n": {"type": "integer"}, "base": {"type": "integer", "default": 0}},
    "groups": [{"name": "oil", "interval": "1s", "tags": [
        {"name": "press{n}_oil_temp", "address": "holding:{base+10}", "type": "float32", "unit": "°C"},
    ]}],
}  # fmt: skip


class TemplateBody(BaseModel):
    """Groups as a connection has them; `{n}` and `{base+10}` in any text stand for parameters."""

    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="forbid", json_schema_extra={"example": _EXAMPLE}
    )

    name: Name
    description: str = Field("", max_length=2_000)
    company: Label = ""
    equipment_type: Label = ""
    protocol: Label = Field("", description="Driver of the connections that it is for; empty: any.")
    parameters: dict[
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")], Parameter
    ] = Field(default={}, max_length=100)
    groups: list[dict[str, JsonValue]] = Field(default=[], max_length=200)
    tags: list[dict[str, JsonValue]] = Field(
        default=[], max_length=20_000,
        description="Instead of groups: the tags of one group `main`, which is polled each `interval`.",
    )  # fmt: skip
    interval: str = Field("1s", max_length=20)

    @model_validator(mode="after")
    def _one_kind(self) -> "TemplateBody":
        if bool(self.groups) == bool(self.tags):
            raise ValueError("give groups or tags")
        return self

    @property
    def all_groups(self) -> list[dict[str, JsonValue]]:
        if self.groups:
            return self.groups
        return [{"name": "main", "interval": self.interval, "tags": list(self.tags)}]


class TemplateView(View):
    id: str
    version: int
    author: str
    created: int
    updated: int
    etag: str
    name: str
    description: str = ""
    company: str = ""
    equipment_type: str = ""
    protocol: str = ""
    parameters: dict[str, Parameter] = Field(default={})
    groups: list[dict[str, JsonValue]]


class TemplatePage(View):
    items: list[TemplateView]
    next: str | None = None


class TemplateUse(BaseModel):
    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="forbid", json_schema_extra={"example": {"parameters": {"n": 3}}}
    )

    parameters: dict[str, JsonValue] = Field(default={}, max_length=100)
    replace: bool = Field(False, description="The connection keeps none of its other groups.")
    note: str = Field("", max_length=MAX_NOTE)


class ConnectionUse(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    connection: str = Field(max_length=103, examples=["press-shop-01:press1"])
    parameters: dict[str, JsonValue] = Field(default={}, max_length=100)


class BulkUse(BaseModel):
    """Named connections with values of their own (`each`, or `csv`), or a pattern over chosen devices."""

    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="forbid",
        json_schema_extra={"example": {
            "parameters": {"base": 0}, "each": [{"connection": "press-1:plc", "parameters": {"n": 1}}],
        }},
    )  # fmt: skip

    each: list[ConnectionUse] = Field(default=[], max_length=MAX_TARGETS)
    csv: str | None = Field(
        None, max_length=2 << 20, examples=["connection,n\npress-shop-01:press1,1\n"],
        description="A table: the column `connection`, and one for each parameter.",
    )  # fmt: skip
    targets: Targets | None = None
    connections: str = Field("*", min_length=1, max_length=200, description="With targets: name or pattern.")
    parameters: dict[str, JsonValue] = Field(default={}, max_length=100, description="For all of them.")
    replace: bool = False
    note: str = Field("", max_length=MAX_NOTE)
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class TemplateFilter:
    company: str | None
    equipment_type: str | None
    protocol: str | None
    after: str
    limit: int


class TemplateStore(Protocol):
    async def create(self, view: TemplateView, author: Author, once: Once | None) -> TemplateView:
        """Raises Conflict where the name is taken or there are too many."""
        ...

    async def get(self, template: str) -> TemplateView | None: ...

    async def page(self, wanted: TemplateFilter) -> list[TemplateView]: ...

    async def replace(self, view: TemplateView, old_etag: str, author: Author) -> None:
        """Raises Conflict, NotFound, PreconditionFailed."""
        ...

    async def delete(self, template: str, author: Author, now: int) -> None:
        """Raises NotFound."""
        ...


class TemplateService:
    def __init__(
        self,
        store: TemplateStore,
        configs: ConfigService,
        jobs: ConfigJobService,
        targets: TargetService,
        clock: Clock,
    ) -> None:
        self._store = store
        self._configs = configs
        self._jobs = jobs
        self._targets = targets
        self._clock = clock

    async def create(self, body: TemplateBody, author: Author, once: Once | None) -> TemplateView:
        now = self._clock.wall_ms()
        view = _view(f"tt-{uuid4().hex[:16]}", 1, body, author, (now, now))
        return await self._store.create(view, author, once)

    async def get(self, template: str) -> TemplateView:
        found = await self._store.get(template)
        if found is None:
            raise NotFound("unknown_template", f"there is no template {template[:64]}")
        return found

    async def page(
        self,
        company: str | None,
        equipment_type: str | None,
        protocol: str | None,
        cursor: str | None,
        limit: int,
    ) -> TemplatePage:
        key = decode_cursor(cursor, str)
        wanted = TemplateFilter(company, equipment_type, protocol, str(key[0]) if key else "", limit + 1)
        found = await self._store.page(wanted)
        more = encode_cursor([found[limit - 1].id]) if len(found) > limit else None
        return TemplatePage(items=found[:limit], next=more)

    async def replace(
        self, template: str, body: TemplateBody, condition: Precondition, author: Author
    ) -> TemplateView:
        old = await self.get(template)
        if not condition.holds(old.etag):
            raise PreconditionFailed("stale", "the template was changed since it was read", etag=old.etag)
        times = old.created, self._clock.wall_ms()
        view = _view(template, old.version + 1, body, author, times)
        await self._store.replace(view, old.etag, author)
        return view

    async def delete(self, template: str, author: Author) -> None:
        await self._store.delete(template, author, self._clock.wall_ms())

    # --- use ----------------------------------------------------------------------------------------

    async def apply(
        self,
        template: str,
        where: str,
        use: TemplateUse,
        identity: Identity,
        author: Author,
        once: Once | None,
    ) -> ConfigWritten:
        """where: `device:connection`. Raises Invalid, NotFound, PreconditionFailed, Busy."""
        device, connection = split_connection(where)
        await self._targets.resolve(Targets(devices=[device]), identity)
        found = await self.get(template)
        edit = _edit(found, use.parameters, use.replace)
        current = await self._configs.get(device)
        work = Work(connections={connection: {}})
        sections = canonical(edited(edit, work, current.sections))
        condition = Precondition((current.etag,))
        note = use.note or f"template {found.name}"
        return await self._configs.put(device, sections, condition, author, note, "template", once)

    async def apply_job(
        self, request: ApplyRequest, identity: Identity, author: Author, once: Once | None
    ) -> ConfigJob:
        """A job of any kind. Raises Invalid, NotFound, Conflict, Busy."""
        return await self._jobs.apply(request, await self._edit_of(request), identity, author, once)

    async def _edit_of(self, request: ApplyRequest) -> Template | None:
        if request.template is None:
            return None
        found = await self.get(request.template.template)
        edit = _edit(found, request.template.parameters, request.template.replace)
        return edit.model_copy(update={"connections": request.template.connections})

    async def apply_to_many(
        self, template: str, use: BulkUse, identity: Identity, author: Author, once: Once | None
    ) -> ConfigJob:
        """Raises Invalid, NotFound."""
        found = await self.get(template)
        edit = _edit(found, use.parameters, use.replace)
        named = [*use.each, *(() if use.csv is None else read_table(use.csv))]
        if bool(named) == (use.targets is not None):
            raise Invalid("bad_body", "name connections (each, csv), or choose devices (targets)")
        note = use.note or f"template {found.name}"
        if use.targets is not None:
            devices = await self._targets.resolve(use.targets, identity)
            edit = edit.model_copy(update={"connections": use.connections})
            return await self._jobs.start(edit, dict.fromkeys(devices), author, note, use.dry_run, once)
        work = _by_device(named)
        await self._targets.resolve(Targets(devices=list(work)), identity)
        return await self._jobs.start(edit, work, author, note, use.dry_run, once)


def split_connection(text: str) -> tuple[str, str]:
    """`device:connection`. Raises Invalid."""
    device, sign, connection = text.partition(":")
    if not sign or not connection:
        raise Invalid(
            "bad_connection", f"needs device:connection, such as press-shop-01:press1 (got {text[:110]!r})"
        )
    return check_device_id(device), connection


def read_table(text: str) -> list[ConnectionUse]:
    """Raises Invalid (`bad_csv`) with the line."""
    first = text.lstrip("\ufeff").split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=delimiter, strict=True)
    found: list[ConnectionUse] = []
    try:
        for row in reader:
            connection = row.pop("connection", None)
            if connection is None or None in row or len(found) >= MAX_TARGETS:
                text = f"needs the column connection, a heading over every cell, at most {MAX_TARGETS} rows"
                raise Invalid("bad_csv", f"line {reader.line_num}: {text}")
            given: Parameters = {key.strip(): value.strip() for key, value in row.items() if value}
            found.append(ConnectionUse(connection=connection.strip()[:103], parameters=given))
    except csv.Error as error:
        raise Invalid("bad_csv", f"line {reader.line_num}: {error}") from error
    if not found:
        raise Invalid("bad_csv", "there is no row under the headings")
    return found


def _by_device(named: list[ConnectionUse]) -> Mapping[str, Work]:
    work: dict[str, dict[str, Parameters]] = {}
    for use in named:
        device, connection = split_connection(use.connection)
        if connection in work.setdefault(device, {}):
            raise Invalid("bad_body", f"{use.connection} is named twice")
        work[device][connection] = dict(use.parameters)
    return {device: Work(connections=connections) for device, connections in work.items()}


def _edit(found: TemplateView, given: Parameters, replace: bool) -> Template:
    return Template(
        template=found.id, version=found.version, driver=found.protocol, groups=list(found.groups),
        parameters=found.parameters, given=given, replace=replace,
    )  # fmt: skip


def _view(
    template: str, version: int, body: TemplateBody, author: Author, times: tuple[int, int]
) -> TemplateView:
    """Raises Invalid (`bad_template`)."""
    check_parameters(body.all_groups, body.parameters)
    unnamed = [group for group in body.all_groups if not isinstance(group.get("name"), str)]
    if unnamed:
        raise Invalid("bad_template", "each group needs a name")
    said = body.model_dump(exclude={"groups", "tags", "interval"})
    groups = orjson.loads(orjson.dumps(body.all_groups))
    return TemplateView(
        id=template, version=version, author=author.name, created=times[0], updated=times[1],
        etag=f"{template}.{version}", **{**said, "groups": groups, "parameters": body.parameters},
    )  # fmt: skip
