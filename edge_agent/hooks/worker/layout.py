"""Where the values of a schema's row stand, prepared once so that a frame costs only what is read of it."""

import struct
import sys
from array import array
from bisect import bisect
from collections.abc import Callable, Sequence
from copy import copy
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType
from edge_agent.wire.values import engineering, read_value, reorder

Row: TypeAlias = bytes | memoryview
Reader: TypeAlias = Callable[[Row], Any]

# Whole numbers up to four bytes have at most ten digits, so that a power of ten divides them exactly as
# rounding the product to fifteen digits would.
_EXACT_POWERS: Final = {10.0**-power: 10.0**power for power in range(1, 13)}
_BIG_ENDIAN: Final = sys.byteorder == "big"
_EXACT_TYPES: Final = frozenset({"b", "B", "h", "H", "i", "I"})


class Run(NamedTuple):
    """Neighbouring single values of one type, order and scaling: read together."""

    first: int
    end: int
    start_byte: int
    tag: TagSchema

    def values(self, row: Row, first: int, end: int) -> list[Any]:
        """Engineering values of tags `first` to `end`, which are of this run."""
        tag, size = self.tag, self.tag.type.size
        at = self.start_byte + (first - self.first) * size
        data = row[at : at + (end - first) * size]
        if tag.type is ValueType.BOOL:
            return [byte != 0 for byte in data]
        numbers = array(tag.type.typecode)
        is_big = tag.order is Order.ABCD
        numbers.frombytes(data if is_big else reorder(bytes(data), size, tag.order))
        if is_big != _BIG_ENDIAN:
            numbers.byteswap()
        return scaled(tag, numbers)


def scaled(tag: TagSchema, numbers: "array[Any]") -> list[Any]:
    """What `wire.values.engineering` makes of each, for many at once."""
    values: list[Any] = numbers.tolist()
    if tag.scale == 1.0 and tag.offset == 0.0:
        if not tag.type.is_float:
            return values
        # A finite sum has finite parts only; another sum says nothing.
        total = sum(values)
        return values if total - total == 0.0 else [engineering(tag, value) for value in values]
    power = _EXACT_POWERS.get(tag.scale)
    if power and tag.offset == 0.0 and numbers.typecode in _EXACT_TYPES:
        return [value / power for value in values]
    return [engineering(tag, value) for value in values]


class Selection(NamedTuple):
    """What a pattern stands for, in order. run: where they are neighbours in one run of the row."""

    indices: Sequence[int]
    names: tuple[str, ...]
    run: Run | None


class Of(NamedTuple):
    """What a schema is of."""

    connection: str
    group: str
    unit_id: int | None


class Layout:
    """One schema, ready to be read from. Keeps a name and a number of each tag and no object: workers may
    have a hundred thousand tags, and little memory."""

    def __init__(self, schema: Schema) -> None:
        tags, edges = schema.tags, schema.edges
        self.schema = Of(schema.connection, schema.group, schema.unit_id)
        self.count = len(tags)
        # The same texts as other schemas and outputs have.
        self.names = tuple(sys.intern(tag.name) for tag in tags)
        self.index = {name: index for index, name in enumerate(self.names)}
        self.fixed = schema.fixed_tags
        self.runs = _runs(tags[: self.fixed], edges)
        self._firsts = [run.first for run in self.runs]
        self._arrays = {index: (tag, edges[index]) for index, tag in enumerate(tags) if tag.count != 1}
        self._readers: dict[int, Reader] = {}

    def of(self, connection: str, group: str, unit_id: int | None) -> "Layout":
        """Of another group with the same tags; what is kept of those is shared."""
        other = copy(self)
        other.schema = Of(connection, group, unit_id)
        return other

    def read(self, index: int, row: Row) -> Any:
        """The engineering value of a tag of the row."""
        reader = self._readers.get(index)
        if reader is None:
            run = self.run_of(index)
            if run is None:
                tag, start = self._arrays[index]
            else:
                tag, start = run.tag, run.start_byte + (index - run.first) * run.tag.type.size
            reader = self._readers[index] = _reader(tag, start)
        return reader(row)

    def run_of(self, index: int) -> Run | None:
        place = bisect(self._firsts, index) - 1
        return self.runs[place] if place >= 0 and index < self.runs[place].end else None

    def selection(self, indices: Sequence[int]) -> Selection:
        if isinstance(indices, range):
            names = self.names[indices.start : indices.stop]
        else:
            names = tuple(self.names[index] for index in indices)
        run = self.run_of(indices[0]) if indices else None
        if run is not None:
            first = indices[0]
            together = isinstance(indices, range) or list(indices) == list(range(first, first + len(indices)))
            run = run if together and indices[-1] < run.end else None
        return Selection(indices, names, run)


def _runs(tags: Sequence[TagSchema], edges: Sequence[int]) -> list[Run]:
    """Of tags that hold one value each."""
    result: list[Run] = []
    first, first_tag = 0, None
    for index, tag in enumerate(tags):
        if first_tag is not None and tag.count == 1 and _alike(first_tag, tag):
            continue
        if first_tag is not None:
            result.append(Run(first, index, edges[first], first_tag))
        first, first_tag = index, tag if tag.count == 1 else None
    if first_tag is not None:
        result.append(Run(first, len(tags), edges[first], first_tag))
    return result


def _alike(one: TagSchema, other: TagSchema) -> bool:
    return (one.type, one.order, one.scale, one.offset) == (
        other.type,
        other.order,
        other.scale,
        other.offset,
    )


def _reader(tag: TagSchema, start: int) -> Reader:
    plain = tag.scale == 1.0 and tag.offset == 0.0
    end = start + tag.row_bytes
    if tag.count != 1 or (tag.type.size > 1 and tag.order not in (Order.ABCD, Order.DCBA)):
        return lambda row: read_value(tag, bytes(row[start:end]))
    if tag.type is ValueType.BOOL:
        return lambda row: row[start] != 0
    unpack = _struct(tag).unpack_from
    if plain and not tag.type.is_float:
        return lambda row: unpack(row, start)[0]
    power = _EXACT_POWERS.get(tag.scale) if tag.offset == 0.0 else None
    if power and tag.type.typecode in _EXACT_TYPES:
        return lambda row: unpack(row, start)[0] / power
    return lambda row: engineering(tag, unpack(row, start)[0])


@lru_cache(maxsize=64)
def _struct_of(order: str, typecode: str) -> struct.Struct:
    return struct.Struct(order + typecode)


def _struct(tag: TagSchema) -> struct.Struct:
    return _struct_of(">" if tag.order is Order.ABCD else "<", tag.type.typecode)
