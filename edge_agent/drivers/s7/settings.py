"""The settings of an S7 connection, its groups and tags."""

import re
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from edge_agent.config.models import ConnectionSettings, GroupSettings, TagSettings, TransportSettings
from edge_agent.drivers.fields import CharacterSet, HostName, check_step, check_unscaled
from edge_agent.drivers.s7.address import MAX_BYTE, STATE, Address, parse
from edge_agent.drivers.s7.datatypes import BY_VALUE, TYPES, Form
from edge_agent.wire.schema import MAX_ELEMENTS, ValueType

LEAST_PDU: Final = 112
MOST_PDU: Final = 960
_TSAP: Final = re.compile(r"([0-9A-Fa-f]{2})\.?([0-9A-Fa-f]{2})")
# The low nibble of SZL 0x0424's operating mode («System and Standard Functions», SSL-ID W#16#xy24).
STATES: Final = {
    0: "unknown", 1: "stop", 2: "stop", 3: "stop", 4: "stop", 5: "startup", 6: "startup", 7: "startup",
    8: "run", 9: "run", 10: "hold", 13: "defect",
}  # fmt: skip


class ConnectionType(StrEnum):
    """Whose resources at the CPU the connection takes."""

    PG = "pg"
    OP = "op"
    BASIC = "basic"


_KINDS: Final = {ConnectionType.PG: 1, ConnectionType.OP: 2, ConnectionType.BASIC: 3}


def _tsap(value: object) -> object:
    """`02.00` and `0200` are hexadecimal, as STEP 7 shows them; YAML may have made a number of them."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError('put the TSAP in quotes, such as "02.00"')
    found = _TSAP.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f'{value!r} is no TSAP: two bytes in hexadecimal, such as "02.00"')
    return f"{found[1]}.{found[2]}".upper()


Tsap = Annotated[str, BeforeValidator(_tsap)]


class S7Transport(TransportSettings):
    """ISO on TCP (RFC 1006) to a CPU or communication processor."""

    type: Literal["tcp"] = Field("tcp", description="ISO on TCP; there is no other.")
    host: HostName = Field(min_length=1, description="Host name or IP address.", examples=["192.0.2.10"])
    port: int = Field(102, ge=1, le=65535, description="Port.")
    rack: int = Field(0, ge=0, le=7, description="Rack of the CPU.")
    slot: int = Field(
        1,
        ge=0,
        le=31,
        description="Slot of the CPU: 1 for S7-1200 and S7-1500, 2 for S7-300, 2 to 4 for S7-400.",
    )
    connection_type: ConnectionType = Field(
        ConnectionType.OP, description="Which kind of the CPU's connections is taken: pg, op or basic."
    )
    local_tsap: Tsap = Field("01.00", description="The agent's TSAP, hexadecimal.", examples=["02.00"])
    remote_tsap: Tsap | None = Field(
        None, description="The CPU's TSAP, hexadecimal; absent: of connection type, rack and slot. "
        "LOGO! and S7-200 need one.", examples=["02.00"],
    )  # fmt: skip

    @property
    def tsaps(self) -> tuple[bytes, bytes]:
        """Local and remote."""
        remote = self.remote_tsap
        if remote is None:
            far = bytes((_KINDS[self.connection_type], self.rack << 5 | self.slot))
        else:
            far = bytes.fromhex(remote.replace(".", ""))
        return bytes.fromhex(self.local_tsap.replace(".", "")), far


class S7Tag(TagSettings):
    """One named point of a CPU. The address tells the type; `type` may tell it instead."""

    address: str = Field(
        description="DB1.DBX0.3, DB1.DBW2, DB1.DBD4:REAL, DB1.DBB8:STRING[20], M10.0, MW20, I0.0, QB4, T5, "
        "C3, CPU:STATE; `DB1.DBW0..31:INT` with a name range.",
        examples=["DB1.DBD4:REAL"],
    )
    count: int = Field(
        1,
        ge=1,
        le=MAX_ELEMENTS,
        description="Number of values; more than one makes the tag an array (of CHAR a text).",
    )
    encoding: CharacterSet = Field(
        "latin-1", description="Character set of CHAR and STRING.", examples=["cp1252", "cp949"]
    )
    step: int | None = Field(
        None, ge=1, exclude=True, description="Set by the expansion of ranges: distance of two addresses."
    )

    @model_validator(mode="before")
    @classmethod
    def _type_of_the_address(cls, values: Any) -> Any:
        """What is wrong with the address is said by the field's own validator."""
        if not isinstance(values, dict) or not isinstance(values.get("address"), str):
            return values
        values = _with_the_program_s_type(values)
        try:
            default = BY_VALUE.get(ValueType(values["type"]), "") if "type" in values else ""
            place = parse(values["address"], default, carry=values.get("step") is not None)
        except ValueError:
            return values
        found = {"type": place.type.value, **values}
        if place.area.value == "CPU":
            found.setdefault("enum", STATES)
        return found

    @field_validator("address")
    @classmethod
    def _upper_case(cls, address: str) -> str:
        return address.strip().upper()

    @model_validator(mode="after")
    def _fits_together(self) -> "S7Tag":
        place = self.place
        if place.type.value is not self.type:
            raise ValueError(
                f"a {place.type.name} is a {place.type.value}, not a {self.type}: leave type out"
            )
        if place.type.form.is_text:
            if self.count != 1 and place.type.form not in (Form.CHAR, Form.WCHAR):
                raise ValueError(f"arrays of {place.type.name} are not supported: give each its own tag")
            check_unscaled(place.type.name, self)
        if place.area.value == "CPU" and self.count != 1:
            raise ValueError(f"{STATE} is one value")
        if self.span[1] > MAX_BYTE + 1:
            raise ValueError(f"{self.address}: the value ends behind the last byte, {MAX_BYTE}")
        check_step(self.step, self.width)
        return self

    @property
    def place(self) -> Address:
        default = BY_VALUE.get(self.type, "") if "type" in self.model_fields_set else ""
        return parse(self.address, default, carry=self.step is not None)

    @property
    def width(self) -> int:
        """How much of the address's last number the tag takes: bits, bytes, or timers and counters."""
        place = self.place
        if place.type.form is Form.BIT or not place.area.is_bytes:
            return self.count
        return place.nbytes * self.count

    @property
    def span(self) -> tuple[int, int]:
        """The first byte (timer, counter) that must be read, and the one behind the last."""
        place = self.place
        if place.type.form is Form.BIT:
            return place.number, place.number + (place.bit + self.count - 1) // 8 + 1
        return place.number, place.number + self.width


def _with_the_program_s_type(values: dict[str, Any]) -> dict[str, Any]:
    """`type: REAL` is the address's suffix, written elsewhere."""
    kind = values.get("type")
    if not isinstance(kind, str) or kind in list(ValueType):
        return values
    name = kind.strip().upper()
    address = values["address"]
    if name.partition("[")[0] not in TYPES or ":" in address:
        return values
    rest = {key: value for key, value in values.items() if key != "type"}
    return {**rest, "address": f"{address}:{name}"}


class S7Group(GroupSettings):
    """Tags of a CPU that are polled together."""

    tags: list[S7Tag] = Field(min_length=1, description="What is read.")

    @field_validator("unit_id")
    @classmethod
    def _no_units(cls, unit_id: int | None) -> int | None:
        if unit_id is not None:
            raise ValueError("S7 has no units: each CPU is a connection of its own")
        return unit_id


class S7Connection(ConnectionSettings):
    """A Siemens CPU: S7-300, 400, 1200, 1500, and what speaks like one."""

    driver: Literal["s7"] = Field("s7", description="Protocol driver.")
    transport: S7Transport = Field(description="How to reach it.")
    pdu: int = Field(
        480, ge=LEAST_PDU, le=MOST_PDU,
        description="Bytes of a message that are asked for and planned with; a CPU that grants fewer gets "
        "more requests. S7-300 and 1200 grant 240, S7-400 480, S7-1500 960.",
    )  # fmt: skip
    max_gap: int = Field(
        32, ge=0, le=MOST_PDU, description="Unused bytes that a request may read to join two tags."
    )
    identify: bool = Field(
        True, description="Whether the CPU is asked for order number, name and version after connecting."
    )
    groups: list[S7Group] = Field(default_factory=list, description="What is polled, and how often.")
