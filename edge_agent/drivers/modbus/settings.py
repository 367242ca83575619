"""The settings of a Modbus connection, its groups and tags."""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from edge_agent.config.models import ConnectionSettings, GroupSettings, TagSettings
from edge_agent.config.units import Duration, Seconds
from edge_agent.drivers.fields import CharacterSet, check_step, check_string
from edge_agent.drivers.modbus.address import ADDRESS_SPACE, REGISTER_BITS, Address, parse
from edge_agent.drivers.modbus.transports import Transport, is_serial_line, with_type
from edge_agent.wire.schema import ValueType

# Modbus Application Protocol V1.1b3, 6.1 and 6.3.
MAX_REGISTERS: Final = 125
MAX_BITS: Final = 2000
_UNSUPPORTED: Final = {
    ValueType.INT8: "int16", ValueType.UINT8: "uint16", ValueType.JSON: "string",
}  # fmt: skip


class Endian(StrEnum):
    BIG = "big"
    LITTLE = "little"


def _address_text(value: object) -> object:
    """YAML reads an unquoted 40001 as a number, and 00001 as one without its zeros."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 10_000:
            raise ValueError(f"put the address in quotes, such as '{value:05d}'")
        return str(value)
    return value


class ModbusTag(TagSettings):
    """One named point of a station. Without a `type`, a bit is a bool and a register a uint16."""

    address: Annotated[str, BeforeValidator(_address_text, json_schema_input_type=int | str)] = Field(
        description="Zero-based: holding:100, input:5, coil:0, discrete:3, holding:100.3 (a bit). "
        "Reference numbers count from one: 40001 is holding:0. `holding:200..215` with a name range.",
        examples=["holding:100"],
    )
    count: int = Field(
        1, ge=1, le=MAX_BITS, description="Number of values; more than one makes the tag an array."
    )
    length: int | None = Field(
        None, ge=1, le=2 * MAX_REGISTERS, description="Size of a string in bytes, two in each register.",
        examples=[20],
    )  # fmt: skip
    encoding: CharacterSet = Field(
        "utf-8", description="Character set of a string.", examples=["ascii", "cp949", "utf-16-be"]
    )
    byte_order: Endian | None = Field(
        None, description="Order of the two bytes in a register; absent: the connection's."
    )
    word_order: Endian | None = Field(
        None, description="Order of the registers of a value; absent: the connection's."
    )
    step: int | None = Field(
        None, ge=1, exclude=True, description="Set by the expansion of ranges: distance of two addresses."
    )

    @model_validator(mode="before")
    @classmethod
    def _type_of_a_bit(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "type" in values:
            return values
        try:
            is_bit = parse(str(values.get("address"))).is_bit
        except ValueError:
            return values  # the field's own validator says what is wrong, and where
        return {**values, "type": ValueType.BOOL} if is_bit else values

    @field_validator("address")
    @classmethod
    def _readable_address(cls, address: str) -> str:
        parse(address)
        return address

    @model_validator(mode="after")
    def _fits_together(self) -> "ModbusTag":
        if other := _UNSUPPORTED.get(self.type):
            raise ValueError(f"Modbus has no {self.type}; use {other}")
        if self.place.is_bit != (self.type is ValueType.BOOL):
            raise ValueError(
                f"{self.address} is a bit: its type is bool" if self.place.is_bit
                else f"a bool in a register needs its bit, such as {self.place}.0"
            )  # fmt: skip
        check_string(self, self.count, self.length)
        first, end = self.span
        if end > ADDRESS_SPACE:
            raise ValueError(f"{self.address}: the value ends behind the last address")
        most = MAX_BITS if self.place.area.is_bits else MAX_REGISTERS
        if end - first > most:
            raise ValueError(f"a value takes at most {most} addresses, this one {end - first}")
        check_step(self.step, self.width)
        return self

    @property
    def place(self) -> Address:
        return parse(self.address)

    @property
    def width(self) -> int:
        """How much of the address's last number the tag takes: registers, or bits where that counts bits."""
        if self.type is ValueType.BOOL:
            return self.count
        if self.length is not None:
            return (self.length + 1) // 2
        return self.count * self.type.size // 2

    @property
    def span(self) -> tuple[int, int]:
        """First address that must be read, and the one behind the last."""
        place = self.place
        if place.bit is None:
            return place.number, place.number + self.width
        return place.number, place.number + (place.bit + self.count - 1) // REGISTER_BITS + 1


class ModbusGroup(GroupSettings):
    """Tags of one station that are polled together."""

    tags: list[ModbusTag] = Field(min_length=1, description="What is read.")


class ModbusConnection(ConnectionSettings):
    """A Modbus station, or a gateway with several."""

    driver: Literal["modbus"] = Field("modbus", description="Protocol driver.")
    transport: Annotated[Transport, BeforeValidator(with_type)] = Field(description="How to reach it.")
    byte_order: Endian = Field(Endian.BIG, description="Order of the two bytes in a register.")
    word_order: Endian = Field(
        Endian.BIG, description="Order of the registers of a value: big has the highest first."
    )
    max_gap: int = Field(
        16, ge=0, le=MAX_REGISTERS,
        description="Unused registers that a request may read to join two tags (for bits 16 times as many).",
    )  # fmt: skip
    max_registers: int = Field(
        MAX_REGISTERS, ge=1, le=MAX_REGISTERS, description="Most registers in one request."
    )
    max_bits: int = Field(MAX_BITS, ge=1, le=MAX_BITS, description="Most coils or inputs in one request.")
    inter_request_delay: Duration = Field(
        Seconds(0), description="Pause before each request, for slow stations.", examples=["20ms"]
    )
    write_function: Literal["single", "multiple"] = Field(
        "single",
        description="How one value is written: by functions 5 and 6, or by 15 and 16 as several are. "
        "multiple: for stations that know only these. On a serial line it is always multiple.",
    )
    identify: bool = Field(
        True,
        description="Whether stations are asked for vendor, product and revision (function 43/14) in a pause "
        "after connecting. false: for stations that choke on it.",
    )
    groups: list[ModbusGroup] = Field(default_factory=list, description="What is polled, and how often.")

    @model_validator(mode="after")
    def _no_broadcast(self) -> "ModbusConnection":
        units = {self.unit_of(group) for group in self.groups}
        if is_serial_line(self.transport) and 0 in units:
            raise ValueError("on a serial line unit 0 is everyone, and nobody answers: give a unit_id")
        return self

    def unit_of(self, group: GroupSettings) -> int:
        return self.transport.unit_id if group.unit_id is None else group.unit_id
