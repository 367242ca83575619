"""From a group's settings to the sources that serve its tags. Pure."""

from dataclasses import dataclass

from edge_agent.contracts.driver import RequestSummary
from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.host.settings import HostConnection, HostGroup, HostTag
from edge_agent.drivers.host.sources import Source, distinct, source_of
from edge_agent.wire.schema import Schema, TagSchema


@dataclass(frozen=True, eq=False)
class HostPlan:
    """addresses, of_tags: one for each tag of the schema."""

    schema: Schema
    addresses: tuple[str, ...]
    of_tags: tuple[Source, ...]
    sources: tuple[Source, ...]
    requests: tuple[RequestSummary, ...]
    notes: tuple[str, ...] = ()


def plan(connection: HostConnection, group: HostGroup) -> HostPlan:
    """Raises ConfigError where two tags have one name."""
    by_name = {tag.name: tag for tag in group.tags}
    if len(by_name) != len(group.tags):
        raise ConfigError(f"group {group.name} of {connection.name} has two tags of the same name")
    schema = Schema.of(connection.name, group.name, None, [_schema(tag) for tag in group.tags])
    addresses = tuple(by_name[tag.name].address for tag in schema.tags)
    of_tags = tuple(source_of(address) for address in addresses)
    sources = distinct(of_tags)
    requests = tuple(
        RequestSummary(f"read {source.name}", of_tags.count(source), 0, 0, 0.0) for source in sources
    )
    return HostPlan(schema, addresses, of_tags, sources, requests)


def _schema(tag: HostTag) -> TagSchema:
    return TagSchema(
        tag.name, tag.type, scale=tag.scale, offset=tag.offset, unit=tag.unit,
        enum=tuple(sorted(tag.enum.items())),
    )  # fmt: skip
