"""From a group's settings to the fewest requests: one for each path. Pure: no I/O, no clock."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from edge_agent.contracts.driver import RequestSummary
from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.http.address import Format
from edge_agent.drivers.http.settings import HttpConnection, HttpGroup, HttpTag
from edge_agent.wire.schema import Schema, TagSchema, ValueType

# Request line, headers, and those of a usual answer. A document's length is not known beforehand.
_HEAD_BYTES = 160


@dataclass(frozen=True, slots=True)
class Want:
    """A value to take out of a document: for tag `tag` of the schema. time: a pointer, of JSON alone."""

    tag: int
    address: str
    type: ValueType
    time: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """One request. target: what the request line asks for, the url's own path included."""

    target: str
    wants: tuple[Want, ...]


@dataclass(frozen=True, eq=False)
class HttpPlan:
    schema: Schema
    format: Format
    documents: tuple[Document, ...]
    requests: tuple[RequestSummary, ...]
    notes: tuple[str, ...] = ()


def plan(connection: HttpConnection, group: HttpGroup) -> HttpPlan:
    """Raises ConfigError where two tags have one name."""
    by_name = {tag.name: tag for tag in group.tags}
    if len(by_name) != len(group.tags):
        raise ConfigError(f"group {group.name} of {connection.name} has two tags of the same name")
    schema = Schema.of(connection.name, group.name, None, [_schema(tag) for tag in group.tags])
    base = urlsplit(connection.transport.url).path
    wants: dict[str, list[Want]] = {}
    for index, entry in enumerate(schema.tags):
        tag = by_name[entry.name]
        time = group.time if tag.time is None else tag.time
        target = base + (group.path_of(tag) or "/")
        wants.setdefault(target, []).append(Want(index, tag.address, tag.type, time))
    documents = tuple(Document(target, tuple(found)) for target, found in wants.items())
    requests = tuple(
        RequestSummary(
            f"GET {each.target}", len(each.wants), _HEAD_BYTES + len(each.target), _HEAD_BYTES, 0.0
        )
        for each in documents
    )
    return HttpPlan(schema, group.format, documents, requests)


def _schema(tag: HttpTag) -> TagSchema:
    enum = tuple(sorted(tag.enum.items()))
    return TagSchema(
        tag.name, tag.type, count=tag.count, scale=tag.scale, offset=tag.offset, unit=tag.unit, enum=enum
    )
