"""How to read a group's values: the schema, and the row layout that follows from it.

A frame carries one **row**: the fixed-size values of all tags in schema order, each in the byte order
that its PLC uses. Registers that need no computation therefore go from the socket to the disk as they
came, and the schema says how to read them. Strings and structures are not in the row: they travel as
JSON beside it.

Invariants: a schema is immutable and named by the SHA-256 of its canonical JSON; tags of the same
element size stand together, fixed-size tags first, so that a row falls into at most four bands.
"""

import hashlib
import math
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, Final, NamedTuple, Self

import orjson

from edge_agent.wire.errors import WireError

MAX_SCHEMA_BYTES: Final = 1 << 20
MAX_TAGS: Final = 65_536
MAX_ELEMENTS: Final = 65_536
MAX_ROW_BYTES: Final = 4 * 1024 * 1024
MAX_NAME_CHARACTERS: Final = 1_000
_BEFORE_TAGS: Final = b',"tags":'
_BEHIND_TAGS: Final = b',"unit_id":'


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
        """Raises WireError, KeyError or ValueError where a field is missing or not what it must be."""
        return cls(
            name=_text(value["name"], MAX_NAME_CHARACTERS),
            type=ValueType(value["type"]),
            order=Order(value.get("order", Order.DCBA)),
            count=_whole(value.get("count", 1), 1, MAX_ELEMENTS),
            scale=_finite(value.get("scale", 1.0)),
            offset=_finite(value.get("offset", 0.0)),
            unit=_text(value.get("unit", "")),
            enum=tuple(
                (_whole(number, _LEAST, _MOST), _text(name)) for number, name in value.get("enum", ())
            ),
        )


_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 64) - 1


def _whole(value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise WireError(f"{value!r} is not a whole number from {least} to {most}")
    return value


def _finite(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise WireError(f"{value!r} is not a finite number")
    return float(value)


def _text(value: object, characters: int | None = None) -> str:
    """`characters`: the text must have one to so many."""
    if not isinstance(value, str) or (characters is not None and not 0 < len(value) <= characters):
        raise WireError(f"{value!r:.100} is not a text of the right length")
    return value


class Band(NamedTuple):
    """The neighbouring tags of the row whose elements have one size. A row has at most four bands."""

    start: int  # first byte in the row
    end: int  # behind the last byte
    element_bytes: int


class Schema:
    """One group's tags in row order. Immutable; equal where the canonical bytes are.

    Build it with `Schema.of`, which puts the tags in that order. A copy that was unpickled holds no tags
    but what encoding needs to know of them; `tags` are then read from the canonical bytes when somebody
    asks. So an agent of 100,000 tags keeps a few bytes of each.
    """

    def __init__(
        self,
        connection: str,
        group: str,
        unit_id: int | None,
        tags: tuple[TagSchema, ...],
        hooks: tuple[str, ...] = (),
    ) -> None:
        """hooks: the scripts that made these values, in the order in which they ran: `NAME@DIGEST`."""
        self.connection = connection
        self.group = group
        self.unit_id = unit_id
        self.hooks = hooks
        self._tags: tuple[TagSchema, ...] | None = tags

    @classmethod
    def of(
        cls,
        connection: str,
        group: str,
        unit_id: int | None,
        tags: Iterable[TagSchema],
        hooks: tuple[str, ...] = (),
    ) -> "Schema":
        """The schema of these tags; equal element sizes stand together, else the given order stays."""
        ordered = sorted(tags, key=lambda tag: (-tag.type.size, tag.count if tag.type.size else 0))
        return cls(connection, group, unit_id, tuple(ordered), hooks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self.canonical == other.canonical

    def __hash__(self) -> int:
        return hash(self.canonical)

    def __repr__(self) -> str:
        return f"Schema({self.connection}.{self.group}, unit {self.unit_id}, {self.tag_count} tags)"

    def __getstate__(self) -> dict[str, Any]:
        facts = {name: getattr(self, name) for name in _FACTS}
        return {**facts, "_tags": None}

    @property
    def tags(self) -> tuple[TagSchema, ...]:
        return _tags_of(self.canonical) if self._tags is None else self._tags

    @cached_property
    def canonical(self) -> bytes:
        """Canonical JSON: sorted keys, no blanks, UTF-8. These bytes are what travels and is hashed."""
        fields: dict[str, Any] = {
            "connection": self.connection,
            "group": self.group,
            "unit_id": self.unit_id,
            "tags": [tag.to_json() for tag in self.tags],
        }
        if self.hooks:
            fields["hooks"] = list(self.hooks)
        return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical bytes, hexadecimal: the schema's name."""
        return hashlib.sha256(self.canonical).hexdigest()

    @cached_property
    def _tags_json(self) -> tuple[int, int]:
        """Where in the canonical bytes the tags stand. Within a text there is no quote without a stroke."""
        return self.canonical.index(_BEFORE_TAGS) + 1, self.canonical.rindex(_BEHIND_TAGS)

    @cached_property
    def tags_hash(self) -> str:
        """Names what rows hold, whosever they are: equal where two groups have the same tags."""
        start, end = self._tags_json
        return hashlib.sha256(memoryview(self.canonical)[start:end]).hexdigest()

    def of_group(
        self, connection: str, group: str, unit_id: int | None, hooks: tuple[str, ...] = ()
    ) -> "Schema":
        """One of the same tags, without a look at each of them. Raises WireError where it is too large."""
        start, end = self._tags_json
        names: dict[str, Any] = {"connection": connection, "group": group}
        if hooks:
            names["hooks"] = list(hooks)
        made = Schema(connection, group, unit_id, (), hooks)
        head, unit = orjson.dumps(names, option=orjson.OPT_SORT_KEYS), orjson.dumps(unit_id)
        canonical = b"".join([head[:-1], b",", self.canonical[start:end], _BEHIND_TAGS, unit, b"}"])
        if len(canonical) > MAX_SCHEMA_BYTES:
            raise WireError(f"a schema holds at most {MAX_SCHEMA_BYTES} bytes")
        made._tags = None
        made.__dict__.update(
            canonical=canonical, bands=self.bands, edges=self.edges, tag_count=self.tag_count
        )
        return made

    @cached_property
    def bands(self) -> tuple[Band, ...]:
        """The row by element size, largest first."""
        sizes: dict[int, int] = {}
        for tag in self.tags:
            size = _SIZES[tag.type]
            if size:
                sizes[size] = sizes.get(size, 0) + size * tag.count
        result: list[Band] = []
        for element_bytes, nbytes in sizes.items():
            start = result[-1].end if result else 0
            result.append(Band(start, start + nbytes, element_bytes))
        return tuple(result)

    @cached_property
    def edges(self) -> "array[int]":
        """Where the row's values begin, and behind them its end: tag i is `row[edges[i]:edges[i + 1]]`."""
        sizes = (_SIZES[tag.type] * tag.count for tag in self.tags if _SIZES[tag.type])
        return array("Q", accumulate(sizes, initial=0))

    @property
    def row_bytes(self) -> int:
        return self.edges[-1]

    @property
    def fixed_tags(self) -> int:
        """How many tags are in the row; the others, which stand behind them, travel as JSON."""
        return len(self.edges) - 1

    @cached_property
    def tag_count(self) -> int:
        return len(self.tags)

    def index(self, name: str) -> int | None:
        return self._index.get(name)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {tag.name: index for index, tag in enumerate(self.tags)}

    @classmethod
    def restored(cls, canonical: bytes) -> "Schema":
        """The schema of these bytes, which `canonical` of one gave: nothing is checked."""
        value = orjson.loads(canonical)
        tags = tuple(_known_tag(tag) for tag in value["tags"])
        schema = cls(
            value["connection"], value["group"], value["unit_id"], tags, tuple(value.get("hooks", ()))
        )
        schema.__dict__["canonical"] = canonical
        return schema

    @classmethod
    def from_bytes(cls, data: bytes) -> "Schema":
        """Reads canonical bytes from the wire. Raises WireError where they are not a valid schema.

        The row order is part of the meaning, so tags out of order are refused rather than sorted. Fields
        that this build does not know are not read, but `canonical` and `hash` stay those of `data`.
        """
        if len(data) > MAX_SCHEMA_BYTES:
            raise WireError(f"a schema holds at most {MAX_SCHEMA_BYTES} bytes")
        try:
            value = orjson.loads(data)
            tags = tuple(TagSchema.from_json(tag) for tag in value["tags"])
            unit_id = None if value["unit_id"] is None else _whole(value["unit_id"], 0, _MOST)
            hooks = tuple(_text(hook, MAX_NAME_CHARACTERS) for hook in value.get("hooks", ()))
            schema = cls.of(_text(value["connection"]), _text(value["group"]), unit_id, tags, hooks)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise WireError(f"not a schema: {error}") from error
        if schema.tags != tags:
            raise WireError("the schema's tags are not in row order")
        # Filled beforehand, a cached property is not computed.
        schema.__dict__["canonical"] = bytes(data)
        schema.check()
        return schema

    def check(self) -> None:
        """Raises WireError where the centre would refuse this schema: its bounds, its tags' names."""
        if not 0 < self.tag_count <= MAX_TAGS:
            raise WireError(f"a schema has 1 to {MAX_TAGS} tags")
        if self.row_bytes > MAX_ROW_BYTES:
            raise WireError(f"a row of {self.row_bytes} bytes is over {MAX_ROW_BYTES}")
        if len({tag.name for tag in self.tags}) != self.tag_count:
            raise WireError("two tags of the schema have one name")
        if len(self.canonical) > MAX_SCHEMA_BYTES:
            raise WireError(f"a schema holds at most {MAX_SCHEMA_BYTES} bytes")


# What a schema without its tags must know beforehand.
_FACTS: Final = (
    "connection", "group", "unit_id", "hooks", "canonical", "hash", "bands", "edges", "tag_count",
)  # fmt: skip


# Bounded: whoever looks at values looks at a few groups again and again.
@lru_cache(maxsize=16)
def _tags_of(canonical: bytes) -> tuple[TagSchema, ...]:
    """Not checked again: these bytes were made from a schema."""
    return tuple(_known_tag(tag) for tag in orjson.loads(canonical)["tags"])


_TYPES: Final = {str(each): each for each in ValueType}
_ORDERS: Final = {str(each): each for each in Order}


def _known_tag(value: Mapping[str, Any]) -> TagSchema:
    """What `TagSchema.to_json` gave, at a fraction of the cost of looking at what anybody sent."""
    get = value.get
    return TagSchema(
        value["name"], _TYPES[value["type"]], _ORDERS[get("order", "dcba")], get("count", 1),
        get("scale", 1.0), get("offset", 0.0), get("unit", ""),
        tuple((number, name) for number, name in get("enum", ())),
    )  # fmt: skip
