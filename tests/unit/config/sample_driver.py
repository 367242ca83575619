"""A driver's settings as this room sees them: every shape that a real driver may use."""

import difflib
from typing import Annotated, Literal

from pydantic import Field, field_validator

from edge_agent.config.models import ConnectionSettings, GroupSettings, TagSettings, TransportSettings
from edge_agent.contracts.errors import ConfigError


class SampleTag(TagSettings):
    address: int | str = Field(description="Where it is.", examples=["holding:100"])
    step: int | None = Field(None, exclude=True, description="Set by the expansion of ranges.")

    @field_validator("address")
    @classmethod
    def _known_table(cls, address: int | str) -> int | str:
        if isinstance(address, str) and not address.startswith("holding:"):
            raise ValueError(f"unknown table in '{address}'")
        return address


class SampleGroup(GroupSettings):
    tags: list[SampleTag] = Field(min_length=1, description="What is read.")


class TcpTransport(TransportSettings):
    """Over the network."""

    type: Literal["tcp"] = Field(description="Kind of link.")
    host: str = Field(description="Host name.", examples=["192.0.2.10"])
    port: int = Field(502, ge=1, le=65535, description="Port.")
    password: str | None = Field(None, min_length=8, description="Password.")


class SerialTransport(TransportSettings):
    """Over a serial line."""

    type: Literal["serial"] = Field(description="Kind of link.")
    device: str = Field(description="Serial port.", examples=["/dev/ttyUSB0"])
    baud: int = Field(9600, description="Bits a second.")


class SampleConnection(ConnectionSettings):
    """A connection of the tests."""

    driver: Literal["sample"] = Field("sample", description="Protocol driver.")
    transport: Annotated[TcpTransport | SerialTransport, Field(discriminator="type")] = Field(
        description="How to reach it."
    )
    groups: list[SampleGroup] = Field(default_factory=list, description="What is polled.")


def lookup(name: str) -> type[ConnectionSettings]:
    """The sample driver, and the real one that exists for certain."""
    from edge_agent.drivers.modbus.settings import ModbusConnection

    drivers: dict[str, type[ConnectionSettings]] = {"sample": SampleConnection, "modbus": ModbusConnection}
    if name in drivers:
        return drivers[name]
    near = difflib.get_close_matches(name, drivers, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known drivers: {', '.join(drivers)}"
    raise ConfigError(f"unknown driver '{name}'; {hint}")
