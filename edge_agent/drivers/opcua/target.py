"""What writing a tag needs to know of it. Pure."""

from dataclasses import dataclass

from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.opcua.plan import Item, item_of
from edge_agent.drivers.opcua.settings import Attribute, OpcUaConnection, OpcUaGroup, OpcUaTag
from edge_agent.wire.schema import ValueType


@dataclass(frozen=True, slots=True)
class Target:
    item: Item
    type: ValueType
    count: int


def target(connection: OpcUaConnection, _: OpcUaGroup, tag: OpcUaTag) -> Target:
    """Raises ConfigError for a tag that can never be written."""
    if tag.attribute is not Attribute.VALUE:
        raise ConfigError(
            f"{connection.name}.{tag.name}: only the attribute value can be written, not {tag.attribute}"
        )
    return Target(item_of(tag), tag.type, tag.count)
