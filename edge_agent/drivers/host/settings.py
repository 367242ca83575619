"""The settings of the connection to the box itself, its groups and tags."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from edge_agent.config.models import ConnectionSettings, GroupSettings, TagSettings, TransportSettings
from edge_agent.config.units import Duration, Seconds, between
from edge_agent.drivers.host.sources import source_of
from edge_agent.wire.schema import ValueType


class HostTransport(TransportSettings):
    """Where the box tells of itself; nothing needs to be set."""

    root: str = Field(
        "/", pattern="^/", max_length=1000,
        description="Directory below which /proc and /sys are: a container sees those of its host elsewhere.",
        examples=["/host"],
    )  # fmt: skip
    tegrastats_interval: Annotated[Duration, between("100ms", "1m")] = Field(
        Seconds(1), description="How often NVIDIA's tegrastats tells, on Jetson boards."
    )


class HostTag(TagSettings):
    """One figure of the box."""

    address: str = Field(
        max_length=1000,
        description="cpu:usage, memory:used, disk:/:free, temp:coretemp/Package id 0, net:eth0:rx_bytes, "
        "power:package-0, jetson:gpu_usage_percent; `edge-agent browse` lists what the box offers.",
        examples=["cpu:usage"],
    )
    type: ValueType = Field(ValueType.FLOAT64, description="Type of the value.")

    @field_validator("address")
    @classmethod
    def _readable_address(cls, address: str) -> str:
        source_of(address)
        return address

    @field_validator("type")
    @classmethod
    def _a_number(cls, type_: ValueType) -> ValueType:
        if type_ in (ValueType.STRING, ValueType.JSON):
            raise ValueError("all figures of the box are numbers; take float64")
        return type_


class HostGroup(GroupSettings):
    """Figures that are read together."""

    tags: list[HostTag] = Field(min_length=1, description="What is read.")


class HostConnection(ConnectionSettings):
    """The box that the agent runs on."""

    driver: Literal["host"] = Field("host", description="Protocol driver.")
    transport: HostTransport = Field(
        default_factory=HostTransport, description="Where it tells of itself; absent: all defaults."
    )
    groups: list[HostGroup] = Field(default_factory=list, description="What is read, and how often.")

    @model_validator(mode="after")
    def _one_station(self) -> Self:
        for group in self.groups:
            if group.unit_id is not None:
                raise ValueError(f"group {group.name}: the box has no units; remove unit_id")
        return self
