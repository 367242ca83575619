"""The settings of an OPC UA connection, its groups and tags."""

from enum import StrEnum
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from edge_agent.config.models import ConnectionSettings, GroupSettings, TagSettings
from edge_agent.config.units import Duration, between
from edge_agent.drivers.opcua.address import Address, check_index_range, parse
from edge_agent.drivers.opcua.security_settings import SecuredTransport
from edge_agent.wire.schema import MAX_ELEMENTS, ValueType

DEFAULT_PORT: Final = 4840


class Mode(StrEnum):
    SUBSCRIBE = "subscribe"
    POLL = "poll"


class Attribute(StrEnum):
    """Attributes that a tag can have for its value; Part 6, A.1 numbers them."""

    VALUE = "value"
    NODE_CLASS = "node_class"
    BROWSE_NAME = "browse_name"
    DISPLAY_NAME = "display_name"
    DESCRIPTION = "description"
    DATA_TYPE = "data_type"
    ACCESS_LEVEL = "access_level"

    @property
    def number(self) -> int:
        return _NUMBERS[self]


_NUMBERS: Final = {
    Attribute.NODE_CLASS: 2, Attribute.BROWSE_NAME: 3, Attribute.DISPLAY_NAME: 4, Attribute.DESCRIPTION: 5,
    Attribute.VALUE: 13, Attribute.DATA_TYPE: 14, Attribute.ACCESS_LEVEL: 17,
}  # fmt: skip


class OpcUaTransport(SecuredTransport):
    """How to reach the server, and as whom."""

    type: Literal["tcp"] = Field("tcp", description="OPC UA over TCP; the only transport there is.")
    url: str = Field(
        description="Address of the server's endpoint.", examples=["opc.tcp://192.0.2.20:4840/press"]
    )

    @field_validator("url")
    @classmethod
    def _readable_url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            good = parts.scheme == "opc.tcp" and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is no number, a bracket that is not closed
            good = False
        if not good or any(map(str.isspace, url)):
            raise ValueError("needs an address such as opc.tcp://192.0.2.20:4840")
        if "@" in parts.netloc:
            raise ValueError("an address with a user name in it: security has user and password")
        return url

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or DEFAULT_PORT

    @property
    def full_url(self) -> str:
        """With the protocol's own port where the address names none."""
        parts = urlsplit(self.url)
        if parts.port is not None:
            return self.url
        return parts._replace(netloc=f"{parts.netloc.rstrip(':')}:{DEFAULT_PORT}").geturl()


class OpcUaTag(TagSettings):
    """One node's attribute. Without a `type` it travels as JSON, whatever the server's type is."""

    address: str = Field(
        description="The node: ns=2;s=Name, i=2258, g=GUID, b=BASE64, or with the namespace's URI, which "
        "stays the same when the server numbers its namespaces anew: nsu=http://vendor.example/press;s=Name.",
        examples=["ns=2;s=Press.OilTemperature"],
    )
    type: ValueType = Field(
        ValueType.JSON,
        description="Type of the value here. A value that is no such number is bad_value; json takes any.",
    )
    count: int = Field(
        1, ge=1, le=MAX_ELEMENTS, description="Number of values; more than one makes the tag an array."
    )
    attribute: Attribute = Field(Attribute.VALUE, description="Which attribute of the node is read.")
    index_range: str | None = Field(
        None, description="Part of an array: 5, 2:4, or 0:1,3:5 of a matrix.", examples=["0:9"]
    )

    @field_validator("address")
    @classmethod
    def _readable_address(cls, address: str) -> str:
        parse(address)
        return address

    @field_validator("index_range")
    @classmethod
    def _readable_range(cls, index_range: str | None) -> str | None:
        return None if index_range is None else check_index_range(index_range)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.type in (ValueType.STRING, ValueType.JSON):
            if self.count != 1:
                raise ValueError("count is for numbers and bool; arrays of others are tags of type json")
            if self.scale != 1.0 or self.offset != 0.0 or self.enum:
                raise ValueError(f"a {self.type} has no scale, offset or enum: give the tag a type")
        if self.attribute is not Attribute.VALUE and self.index_range is not None:
            raise ValueError("index_range is for the attribute value")
        return self

    @property
    def place(self) -> Address:
        return parse(self.address)


class OpcUaGroup(GroupSettings):
    """Nodes that are subscribed to, or read, together."""

    interval: Annotated[Duration, between("10ms", "1d")] = Field(
        description="Time between two polls; of a subscription, between two publications.", examples=["500ms"]
    )
    mode: Mode = Field(
        Mode.SUBSCRIBE, description="subscribe: the server sends what changes. poll: all is read each time."
    )
    sampling_interval: Annotated[Duration, between("0s", "1h")] | None = Field(
        None,
        description="How often the server looks at a value of a subscription; absent: at each interval. 0s: "
        "as often as it can.",
        examples=["50ms"],
    )
    queue_size: int = Field(
        10, ge=1, le=10_000,
        description="How many changes of a tag the server keeps between two publications; what it had to "
        "drop is told as lost.",
    )  # fmt: skip
    tags: list[OpcUaTag] = Field(min_length=1, description="What is read.")

    @model_validator(mode="after")
    def _no_unit(self) -> Self:
        if self.unit_id is not None:
            raise ValueError("an OPC UA server has no units: remove unit_id")
        return self


class OpcUaConnection(ConnectionSettings):
    """An OPC UA server."""

    driver: Literal["opcua"] = Field("opcua", description="Protocol driver.")
    transport: OpcUaTransport = Field(description="How to reach it.")
    max_nodes: int = Field(
        1_000, ge=1, le=10_000,
        description="Most nodes in one request, where the server's own limit is not lower.",
    )  # fmt: skip
    groups: list[OpcUaGroup] = Field(default_factory=list, description="What is read, and how often.")
