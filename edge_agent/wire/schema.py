"""How to read a group's values: the schema, and the row layout that follows from it.

A frame carries one **row**: the fixed-size values of all tags in schema order, each in the byte order
that its PLC uses. Registers that need no computation therefore go from the socket to the disk as they
came, and the schema says how to read them. Strings and structures are not in the row: they travel as
JSON beside it.

Invariants: a schema is immutable and named by the SHA-256 of its canonical JSON; tags of the same
element size stand together, fixed-size tags first, so that a row falls into few runs.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, NamedTuple, Self

import orjson

from edge_agent.wire.errors import WireError

MAX_SCHEMA_BYTES: Final = 1 << 20
MAX_TAGS: Final = 65_536
MAX_ELEMENTS: Final = 65_536


class ValueType(StrEnum):
    BOOL = "bool"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    JSON = "json"

    @property
    def size(self) -> int:
        """Bytes of one element in the row; 0 for what travels as JSON."""
        return _SIZES[self]

    @property
    def is_float(self) -> bool:
        return self in (ValueType.FLOAT32, ValueType.FLOAT64)

    @property
    def typecode(self) -> str:
        """The code of this type in `array` and `struct`; bool is read as an unsigned byte."""
        return _TYPECODES[self]


_SIZES: Final = {
    ValueType.BOOL: 1, ValueType.INT8: 1, ValueType.UINT8: 1, ValueType.INT16: 2, ValueType.UINT16: 2,
    ValueType.INT32: 4, ValueType.UINT32: 4, ValueType.INT64: 8, ValueType.UINT64: 8,
    ValueType.FLOAT32: 4, ValueType.FLOAT64: 8, ValueType.STRING: 0, ValueType.JSON: 0,
}  # fmt: skip
_TYPECODES: Final = {
    ValueType.BOOL: "B", ValueType.INT8: "b", ValueType.UINT8: "B", ValueType.INT16: "h",
    ValueType.UINT16: "H", ValueType.INT32: "i", ValueType.UINT32: "I", ValueType.INT64: "q",
    ValueType.UINT64: "Q", ValueType.FLOAT32: "f", ValueType.FLOAT64: "d",
}  # fmt: skip


class Order(StrEnum):
    """Where the bytes of a value stand, as engineers write it for four bytes A (highest) to D.

    Two-byte values know two orders only: `abcd` and `cdab` are big-endian, the others little-endian.
    """

    ABCD = "abcd"
    DCBA = "dcba"
    CDAB = "cdab"
    BADC = "badc"

    def planes(self, size: int) -> tuple[int, ...]:
        """For each byte of the little-endian value, lowest first, its place in the stored value."""
        if size == 1:
            return (0,)
        match self:
            case Order.DCBA:
                return tuple(range(size))
            case Order.ABCD:
                return tuple(range(size - 1, -1, -1))
            case Order.CDAB:
                return tuple(index ^ 1 for index in range(size))
            case Order.BADC:
                return tuple(size - 2 - (index & ~1) + (index & 1) for index in range(size))


@dataclass(frozen=True, slots=True)
class TagSchema:
    """One tag as the centre must know it to read its values.

    The engineering value is `raw * scale + offset`; `enum` names raw integers. `count` > 1 is an array.
    """

    name: str
    type: ValueType
    order: Order = Order.DCBA
    count: int = 1
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""
    enum: tuple[tuple[int, str], ...] = ()

    @property
    def row_bytes(self) -> int:
        return self.type.size * self.count

    def to_json(self) -> dict[str, Any]:
        """The fields that differ from their defaults: what the canonical bytes are made of."""
        result: dict[str, Any] = {"name": self.name, "type": str(self.type)}
        if self.type.size > 1 and self.order is not Order.DCBA:
            result["order"] = str(self.order)
        if self.count != 1:
            result["count"] = self.count
        if self.scale != 1.0:
            result["scale"] = self.scale
        if self.offset != 0.0:
            result["offset"] = self.offset
        if self.unit:
            result["unit"] = self.unit
        if self.enum:
            result["enum"] = [[number, name] for number, name in self.enum]
        return result

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(
            name=str(value["name"]),
            type=ValueType(value["type"]),
            order=Order(value.get("order", Order.DCBA)),
            count=_bounded(value.get("count", 1), 1, MAX_ELEMENTS),
            scale=float(value.get("scale", 1.0)),
            offset=float(value.get("offset", 0.0)),
            unit=str(value.get("unit", "")),
            enum=tuple((int(number), str(name)) for number, name in value.get("enum", ())),
        )


def _bounded(value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise WireError(f"{value!r} is not a whole number from {least} to {most}")
    return value


class Run(NamedTuple):
    """Neighbouring tags of the row whose elements have one size and whose arrays have one length."""

    first: int  # index of the first tag
    tags: int
    offset: int  # of the first byte in the row
    item_bytes: int  # of one tag's value: element size × array length
    element_bytes: int

    @property
    def nbytes(self) -> int:
        return self.tags * self.item_bytes


@dataclass(frozen=True)
class Schema:
    """One group's tags in row order. Build it with `Schema.of`, which puts them in that order."""

    connection: str
    group: str
    unit_id: int | None
    tags: tuple[TagSchema, ...]
    _index: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(
        cls, connection: str, group: str, unit_id: int | None, tags: Iterable[TagSchema]
    ) -> "Schema":
        """The schema of these tags; equal element sizes stand together, else the given order stays."""
        ordered = sorted(tags, key=lambda tag: (-tag.type.size, tag.count if tag.type.size else 0))
        return cls(connection, group, unit_id, tuple(ordered))

    @cached_property
    def canonical(self) -> bytes:
        """Canonical JSON: sorted keys, no blanks, UTF-8. These bytes are what travels and is hashed."""
        return orjson.dumps(
            {
                "connection": self.connection,
                "group": self.group,
                "unit_id": self.unit_id,
                "tags": [tag.to_json() for tag in self.tags],
            },
            option=orjson.OPT_SORT_KEYS,
        )

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical bytes, hexadecimal: the schema's name."""
        return hashlib.sha256(self.canonical).hexdigest()

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        result: list[Run] = []
        offset = 0
        for index, tag in enumerate(self.tags):
            if not tag.row_bytes:
                break
            last = result[-1] if result else None
            if last and (last.element_bytes, last.item_bytes) == (tag.type.size, tag.row_bytes):
                result[-1] = last._replace(tags=last.tags + 1)
            else:
                result.append(Run(index, 1, offset, tag.row_bytes, tag.type.size))
            offset += tag.row_bytes
        return tuple(result)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """For each fixed-size tag, the place of its first byte in the row."""
        result: list[int] = []
        offset = 0
        for tag in self.tags[: self.fixed_tags]:
            result.append(offset)
            offset += tag.row_bytes
        return tuple(result)

    @cached_property
    def row_bytes(self) -> int:
        return sum(tag.row_bytes for tag in self.tags)

    @cached_property
    def fixed_tags(self) -> int:
        """How many tags are in the row; the others, which stand behind them, travel as JSON."""
        return sum(1 for tag in self.tags if tag.row_bytes)

    def index(self, name: str) -> int | None:
        if not self._index:
            self._index.update({tag.name: index for index, tag in enumerate(self.tags)})
        return self._index.get(name)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Schema":
        """Reads canonical bytes from the wire. Raises WireError where they are not a valid schema.

        The row order is part of the meaning, so tags out of order are refused rather than sorted.
        """
        if len(data) > MAX_SCHEMA_BYTES:
            raise WireError(f"a schema holds at most {MAX_SCHEMA_BYTES} bytes")
        try:
            value = orjson.loads(data)
            tags = tuple(TagSchema.from_json(tag) for tag in value["tags"])
            unit_id = None if value["unit_id"] is None else int(value["unit_id"])
            schema = cls.of(str(value["connection"]), str(value["group"]), unit_id, tags)
        except (KeyError, TypeError, ValueError) as error:
            raise WireError(f"not a schema: {error}") from error
        if not tags or len(tags) > MAX_TAGS:
            raise WireError(f"a schema has 1 to {MAX_TAGS} tags")
        if schema.tags != tags:
            raise WireError("the schema's tags are not in row order")
        return schema
