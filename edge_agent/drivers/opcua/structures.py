"""Structures as a server defines them, read into objects of their fields (Part 3, 8.48; Part 6, 5.2.6). Pure.

A structure whose definition is not known stays what it is: `{type_id, body}`, the body in base64.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from edge_agent.drivers.opcua.binary import MAX_DEPTH, Garbled, Opaque, Reader, reshaped

ENUMERATION: Final = 6  # its values travel as Int32


class Kind(IntEnum):
    """StructureType; those above 2 allow subtypes, which then travel as whole structures."""

    PLAIN = 0
    OPTIONAL = 1
    UNION = 2
    PLAIN_SUBTYPED = 3
    UNION_SUBTYPED = 4


@dataclass(frozen=True, slots=True)
class Field:
    """type: of the built-in types, or the node of a data type whose structure stands here without a frame.

    dimensions: 0 for a single value, 1 for an array, else of a matrix.
    """

    name: str
    type: int | str
    dimensions: int = 0
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    kind: Kind
    fields: tuple[Field, ...]


# By the node of the encoding, as it stands before a body, and by that of the data type, as fields name it.
Definitions = Mapping[str, Definition | None]


def plain(value: Any, definitions: Definitions, depth: int = 0) -> Any:
    """The value with every structure read that can be."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, Opaque):
        return _opened(value, definitions, depth)
    if isinstance(value, list):
        return [plain(each, definitions, depth + 1) for each in value]
    if isinstance(value, dict):
        return {name: plain(each, definitions, depth + 1) for name, each in value.items()}
    return value


def _opened(structure: Opaque, definitions: Definitions, depth: int) -> Any:
    definition = definitions.get(structure.type_id)
    if definition is None:
        return structure.plain()
    reader = Reader(structure.body)
    try:
        found = _structure(reader, definition, definitions, depth)
    except Garbled:
        return structure.plain()
    return plain(found, definitions, depth + 1) if reader.opaque else found


def _structure(
    reader: Reader, definition: Definition, definitions: Definitions, depth: int
) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise Garbled(f"structures are nested more than {MAX_DEPTH} deep")
    if definition.kind in (Kind.UNION, Kind.UNION_SUBTYPED):
        chosen = reader.u32()
        if chosen > len(definition.fields):
            raise Garbled(f"a union has no field {chosen}")
        some = definition.fields[chosen - 1 : chosen] if chosen else ()
        return {field.name: _field(reader, field, definitions, depth) for field in some}
    mask = reader.u32() if definition.kind is Kind.OPTIONAL else 0
    found: dict[str, Any] = {}
    bit = 1
    for field in definition.fields:
        if field.optional and definition.kind is Kind.OPTIONAL:
            there = mask & bit
            bit <<= 1
            if not there:
                continue
        found[field.name] = _field(reader, field, definitions, depth)
    return found


def _field(reader: Reader, field: Field, definitions: Definitions, depth: int) -> Any:
    if field.dimensions == 0:
        return _value(reader, field.type, definitions, depth)
    if field.dimensions == 1:
        return _values(reader, field.type, reader.length(), definitions, depth)
    sizes = reader.array(6) or []
    count = 1
    for size in sizes:
        count *= max(size, 0)
    if count > reader.end - reader.at:
        raise Garbled("a matrix is announced, and the structure ends before")
    values = _values(reader, field.type, count, definitions, depth)
    return reshaped(values or [], sizes)


def _values(
    reader: Reader, type_: int | str, count: int, definitions: Definitions, depth: int
) -> list[Any] | None:
    if count < 0:
        return None
    reader.reckon(count)
    return [_value(reader, type_, definitions, depth) for _ in range(count)]


def _value(reader: Reader, type_: int | str, definitions: Definitions, depth: int) -> Any:
    if isinstance(type_, int):
        return reader.builtin(type_)
    definition = definitions.get(type_)
    if definition is None:
        raise Garbled(f"nobody knows the structure {type_}")
    before = reader.at
    found = _structure(reader, definition, definitions, depth + 1)
    if reader.at == before:
        raise Garbled("a structure within another takes no bytes")  # and any number of them fits into few
    return found
