"""The settings of an XGT connection, its groups and tags."""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from edge_agent.config.models import ConnectionSettings, GroupSettings, TagSettings, TransportSettings
from edge_agent.drivers.fields import CharacterSet, HostName, check_step, check_string
from edge_agent.drivers.xgt import status
from edge_agent.drivers.xgt.address import IEC_AREAS, MASTER_K_AREAS, Address, Written, locate, parse
from edge_agent.drivers.xgt.frames import MOST_BYTES, MOST_NAMES
from edge_agent.wire.schema import ValueType

TCP_PORT: Final = 2004
UDP_PORT: Final = 2005
_WORD_BYTES: Final = 2
_TYPES: Final = {1: ValueType.UINT8, 2: ValueType.UINT16, 4: ValueType.UINT32, 8: ValueType.UINT64}


class Series(StrEnum):
    XGK = "xgk"
    XGI = "xgi"
    XGR = "xgr"
    XGB_MK = "xgb-mk"
    XGB_IEC = "xgb-iec"

    @property
    def cpu(self) -> int:
        """The CPU byte of the header."""
        return _CPUS[self]

    @property
    def areas(self) -> str:
        return MASTER_K_AREAS if self in (Series.XGK, Series.XGB_MK) else IEC_AREAS


_CPUS: Final = {
    Series.XGK: 0xA0, Series.XGI: 0xA4, Series.XGR: 0xA8, Series.XGB_MK: 0xB0, Series.XGB_IEC: 0xB4,
}  # fmt: skip


class _XgtTransport(TransportSettings):
    host: HostName = Field(min_length=1, description="Host name or IP address.", examples=["192.0.2.10"])
    company_id: Literal["LSIS-XGT", "LGIS-GLOFA"] = Field(
        "LSIS-XGT", description="What begins every frame; LGIS-GLOFA for old modules."
    )
    base: int = Field(0, ge=0, le=15, description="Base that the Ethernet module is in.")
    slot: int = Field(0, ge=0, le=15, description="Slot that the Ethernet module is in.")
    header_checksum: Literal["checked", "ignored"] = Field(
        "checked", description="ignored: for modules whose replies carry a wrong one; 0 is always taken."
    )


class TcpTransport(_XgtTransport):
    """FEnet over TCP."""

    type: Literal["tcp"] = Field("tcp", description="FEnet over TCP; the type where none is given.")
    port: int = Field(TCP_PORT, ge=1, le=65535, description="Port.")


class UdpTransport(_XgtTransport):
    """FEnet over UDP: each datagram is one frame."""

    type: Literal["udp"] = Field("udp", description="FEnet frames in datagrams.")
    port: int = Field(UDP_PORT, ge=1, le=65535, description="Port.")


def _with_type(value: Any) -> Any:
    return {**value, "type": "tcp"} if isinstance(value, dict) and "type" not in value else value


class XgtTag(TagSettings):
    """One named point. Without a `type`, a bit is a bool, a byte uint8, a word uint16, and so on."""

    address: str = Field(
        description="%DW100, %MX2764, %DB200, %DD50, D100, M172.C (a bit of a word), %IX0.1.2, or "
        "status:state and its like. `%DW100..115` with a name range.",
        examples=["%DW100"],
    )
    count: int = Field(
        1, ge=1, le=8 * MOST_BYTES, description="Number of values; more than one makes the tag an array."
    )
    length: int | None = Field(
        None, ge=1, le=MOST_BYTES, description="Size of a string in bytes.", examples=[20]
    )
    encoding: CharacterSet = Field(
        "utf-8", description="Character set of a string.", examples=["ascii", "cp949"]
    )
    step: int | None = Field(
        None, ge=1, exclude=True, description="Set by the expansion of ranges: distance of two addresses."
    )

    @model_validator(mode="before")
    @classmethod
    def _type_of_the_address(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "type" in values or "length" in values:
            return values
        address = str(values.get("address"))
        try:
            if status.is_status(address):
                field = status.field(address)
                return {"enum": dict(field.enum), **values, "type": field.type}
            written = parse(address)
        except ValueError:
            return values  # the field's own validator says what is wrong, and where
        return {**values, "type": ValueType.BOOL if written.is_bit else _TYPES[written.size]}

    @field_validator("address")
    @classmethod
    def _readable_address(cls, address: str) -> str:
        _ = status.field(address) if status.is_status(address) else parse(address)
        return address

    @model_validator(mode="after")
    def _fits_together(self) -> "XgtTag":
        if self.type is ValueType.JSON:
            raise ValueError("an XGT PLC holds no JSON; use string")
        if self.is_status:
            field = status.field(self.address)
            if self.type is not field.type or self.count != 1:
                raise ValueError(f"{self.address} is one {field.type}")
            return self
        self._check_type()
        check_string(self, self.count, self.length)
        check_step(self.step, self.width)
        return self

    def _check_type(self) -> None:
        written = self.written
        if written.is_bit != (self.type is ValueType.BOOL):
            raise ValueError(
                f"{self.address} is a bit: its type is bool" if written.is_bit
                else f"a bool needs its bit, such as %{written.area}W10.3 or %{written.area}X163"
            )  # fmt: skip
        in_units = self.type in (ValueType.STRING, ValueType.BOOL)
        if not in_units and self.type.size % written.size:
            raise ValueError(f"{self.address} has {written.size} bytes, and {self.type} {self.type.size}")
        if written.is_contact and self.count != 1:
            raise ValueError("contacts are read by their names: give each its own tag")
        if self.nbytes > MOST_BYTES:
            raise ValueError(f"a value takes at most {MOST_BYTES} bytes, this one {self.nbytes}")

    @property
    def is_status(self) -> bool:
        return status.is_status(self.address)

    @property
    def written(self) -> Written:
        return parse(self.address)

    @property
    def nbytes(self) -> int:
        """Bytes of the value; of bits at most, wherever they begin."""
        if self.type is ValueType.BOOL:
            return self.count // 8 + 1
        return self.length or self.type.size * self.count

    @property
    def width(self) -> int:
        """How much of the address's last number the tag takes."""
        if self.type is ValueType.BOOL:
            return self.count
        return -(-self.nbytes // self.written.size)


class XgtGroup(GroupSettings):
    """Tags that are polled together."""

    tags: list[XgtTag] = Field(min_length=1, description="What is read.")

    @field_validator("unit_id")
    @classmethod
    def _no_units(cls, unit_id: int | None) -> int | None:
        if unit_id is not None:
            raise ValueError("FEnet knows no units: the module's place is the transport's base and slot")
        return unit_id


class XgtConnection(ConnectionSettings):
    """A PLC of LS Electric's XGT series, through its Ethernet port or module (FEnet)."""

    driver: Literal["xgt"] = Field("xgt", description="Protocol driver.")
    transport: Annotated[
        Annotated[TcpTransport | UdpTransport, Field(discriminator="type")], BeforeValidator(_with_type)
    ] = Field(description="How to reach it.")
    series: Series = Field(Series.XGK, description="Which areas there are, and how bits are named.")
    bit_index: Literal["decimal", "hex"] | None = Field(
        None,
        description="What stands behind X: the number of the bit (%MX2764), or the word and a hexadecimal "
        "digit (%MX172C). Absent: hex for xgb-mk, decimal for all others.",
        examples=["hex"],
    )
    max_gap: int = Field(
        32, ge=0, le=MOST_BYTES // 2,
        description="Unused words that a request may read to join two tags.",
    )  # fmt: skip
    max_bytes: int = Field(
        MOST_BYTES, ge=8, le=MOST_BYTES, multiple_of=2, description="Most bytes in one continuous request."
    )
    max_names: int = Field(
        MOST_NAMES, ge=1, le=MOST_NAMES,
        description="Most variables in one individual request; 1: only contacts are read by name.",
    )  # fmt: skip
    identify: bool = Field(True, description="Whether the PLC is asked for its type and version in a pause.")
    groups: list[XgtGroup] = Field(default_factory=list, description="What is polled, and how often.")

    @property
    def hex_bits(self) -> bool:
        return self.series is Series.XGB_MK if self.bit_index is None else self.bit_index == "hex"

    def place(self, tag: XgtTag) -> Address:
        """Where a tag that is no status stands. Raises ValueError for what is no address of this series."""
        area = tag.written.area
        if area not in self.series.areas:
            known = ", ".join(self.series.areas)
            raise ValueError(f"{tag.address!r}: {self.series} has no area {area}; it has {known}")
        return locate(tag.address, hex_bits=self.hex_bits)

    @model_validator(mode="after")
    def _addresses_of_the_series(self) -> "XgtConnection":
        """Only here the series is known; what is wrong is told at its tag."""
        wrong = [
            InitErrorDetails(
                type=PydanticCustomError("value_error", "{reason}", {"reason": reason}),
                loc=("groups", at, "tags", index, "address"),
                input=tag.address,
            )
            for at, group in enumerate(self.groups)
            for index, tag in enumerate(group.tags)
            if (reason := self._complaint(tag))
        ]
        if wrong:
            raise ValidationError.from_exception_data(type(self).__name__, wrong)
        return self

    def _complaint(self, tag: XgtTag) -> str:
        """Why the tag's address cannot be one of this series; empty where it can."""
        if tag.is_status:
            return ""
        try:
            self.place(tag)
        except ValueError as error:
            return str(error)
        if self.hex_bits and tag.step is not None and tag.written.size == 0:
            return (
                "a range counts decimally, and bit_index is hex: write the bits of a word, such as "
                f"{tag.written.area}172.0..15"
            )
        return ""
