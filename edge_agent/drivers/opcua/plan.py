"""From a group's settings to what is asked of the server. Pure: no I/O, and without the protocol's library.

Tags keep their order but for the schema's, which puts sizes together; a node may be in several tags. How
many nodes one request may have the server says (Part 5, 6.3.11); the plan reckons with the connection's own
limit, as it knows no server.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from edge_agent.config.models import Deadband
from edge_agent.contracts.driver import RequestSummary
from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.opcua.address import Address, IdType
from edge_agent.drivers.opcua.settings import Attribute, Mode, OpcUaConnection, OpcUaGroup, OpcUaTag
from edge_agent.wire.schema import Schema, TagSchema, ValueType

# Message and security headers, the request's own header and parameters (Part 6, 6.7; Part 4, 7.32).
_REQUEST_BYTES: Final = 85
_REPLY_BYTES: Final = 60
# Around a value: its place in the list, its encoding mask, type, status and both times.
_VALUE_BYTES: Final = 20
_TEXT_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Item:
    """One attribute of one node, for the tag of the same place in the schema.

    band: what of the tag's deadband the server may be asked to do; None: nothing.
    """

    address: Address
    attribute: int = Attribute.VALUE.number
    index_range: str | None = None
    band: Deadband | None = None
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class OpcUaPlan:
    """What serves one group. Compared by identity: the driver learns about each plan.

    chunk: most nodes in one request. publishing, sampling: seconds.
    """

    schema: Schema
    items: tuple[Item, ...]
    mode: Mode
    publishing: float
    sampling: float
    queue_size: int
    chunk: int
    requests: tuple[RequestSummary, ...]
    notes: tuple[str, ...] = field(default=())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "notes": ()}


def plan(connection: OpcUaConnection, group: OpcUaGroup) -> OpcUaPlan:
    """The plan of one group. Raises ConfigError for two tags of one name."""
    by_name = {tag.name: tag for tag in group.tags}
    if len(by_name) != len(group.tags):
        raise ConfigError(f"group {group.name} of {connection.name} has two tags of the same name")
    schema = Schema.of(connection.name, group.name, None, [_tag_schema(tag) for tag in group.tags])
    tags = [by_name[tag.name] for tag in schema.tags]
    items = tuple(item_of(tag) for tag in tags)
    sampling = group.interval if group.sampling_interval is None else group.sampling_interval
    return OpcUaPlan(
        schema, items, group.mode, group.interval, sampling, group.queue_size, connection.max_nodes,
        _summaries(connection, group, tags, items), _notes(group),
    )  # fmt: skip


def _tag_schema(tag: OpcUaTag) -> TagSchema:
    return TagSchema(
        tag.name, tag.type, count=tag.count, scale=tag.scale, offset=tag.offset, unit=tag.unit,
        enum=tuple(sorted(tag.enum.items())),
    )  # fmt: skip


def item_of(tag: OpcUaTag) -> Item:
    return Item(tag.place, tag.attribute.number, tag.index_range, _band(tag), tag.scale)


def _band(tag: OpcUaTag) -> Deadband | None:
    """Only what loses nothing that the pipeline's own filter would keep.

    A value that moved and was held back for its `min_interval` has to come again to be kept, which the server
    would see no reason for; and a percentage is of the last value here, and of a range there.
    """
    band = tag.deadband
    if band is None or band.absolute is None or band.min_interval:
        return None
    if tag.count != 1 or tag.attribute is not Attribute.VALUE:
        return None
    return band


def _summaries(
    connection: OpcUaConnection, group: OpcUaGroup, tags: list[OpcUaTag], items: tuple[Item, ...]
) -> tuple[RequestSummary, ...]:
    made: list[RequestSummary] = []
    step = connection.max_nodes
    verb = "read" if group.mode is Mode.POLL else "monitor"
    for start in range(0, len(items), step):
        some = range(start, min(start + step, len(items)))
        made.append(
            RequestSummary(
                f"{verb} {len(some)} node{'s' if len(some) > 1 else ''}",
                len(some),
                _REQUEST_BYTES + sum(_node_bytes(items[place].address) for place in some),
                _REPLY_BYTES + sum(_value_bytes(tags[place]) for place in some),
                0.0,
            )
        )
    return tuple(made)


def _node_bytes(address: Address) -> int:
    """A ReadValueId: the node (Part 6, 5.2.2.9), the attribute, no range, no encoding."""
    sizes = {IdType.NUMBER: 4, IdType.GUID: 19, IdType.TEXT: 7 + len(address.identifier.encode())}
    return 14 + sizes.get(address.type, 7 + 3 * len(address.identifier) // 4)


def _value_bytes(tag: OpcUaTag) -> int:
    is_text = tag.type in (ValueType.STRING, ValueType.JSON)
    return _VALUE_BYTES + (_TEXT_BYTES if is_text else tag.type.size * tag.count)


def _notes(group: OpcUaGroup) -> tuple[str, ...]:
    if not any(tag.place.namespace for tag in group.tags):
        return ()
    return (
        "ns=NUMBER is the server's own numbering, which may change with its next start: "
        "nsu=URI stays the same",
    )
