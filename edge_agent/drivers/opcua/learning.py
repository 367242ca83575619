"""Asks a server for the definitions of its structures (Part 3, 8.48). I/O; what it learns belongs to a link.

Nothing that a server sends becomes code or a class: a definition is a list of fields.
"""

import struct
from typing import Any, Final

from asyncua import ua
from asyncua.ua.uaerrors import UaError

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.opcua.binary import EXTENSION_OBJECT, MAX_DEPTH, VARIANT, Opaque
from edge_agent.drivers.opcua.link import Link
from edge_agent.drivers.opcua.structures import ENUMERATION, Definition, Field, Kind

_DATA_TYPE_DEFINITION: Final = 23
_HAS_ENCODING: Final = 38
_HAS_SUBTYPE: Final = 45
_STRUCTURE: Final = 22
_LAST_BUILTIN: Final = 25
_ENUMERATION_TYPE: Final = 29
_NUMBER_TYPES: Final = (24, 26, 27, 28)  # abstract: they travel as Variants
_MOST_TYPES: Final = 1_000
# What the library raises where an answer is not what it should be.
_ODD: Final = (UaError, ValueError, TypeError, AttributeError, LookupError, RecursionError, struct.error)


class Learned:
    """definitions: by encoding and by data type; None where the server tells nothing of it."""

    def __init__(self) -> None:
        self.definitions: dict[str, Definition | None] = {}
        self._types: dict[str, int | str] = {}

    async def learn(self, link: Link, values: Any) -> None:
        """Of all structures in `values`, as far as the server defines them. Raises NotConnected."""
        waiting = [values]
        while waiting:
            value = waiting.pop()
            if isinstance(value, Opaque):
                if value.type_id not in self.definitions and len(self.definitions) < _MOST_TYPES:
                    await self._learn_encoding(link, value.type_id)
            elif isinstance(value, list | tuple):
                waiting += value
            elif isinstance(value, dict):
                waiting += value.values()

    async def _learn_encoding(self, link: Link, type_id: str) -> None:
        self.definitions[type_id] = None
        try:
            node = ua.NodeId.from_string(type_id)
            data_type = await _up(link, node, _HAS_ENCODING)
            if data_type is not None:
                await self._type_of(link, data_type, 0)
                self.definitions[type_id] = self.definitions.get(data_type.to_string())
        except _ODD:
            return  # the body is shown as it is
        except (OSError, TimeoutError) as error:
            link.drop("the server did not tell its types")
            raise NotConnected(f"the server did not tell its types: {error}") from error

    async def _type_of(self, link: Link, node: ua.NodeId, depth: int) -> int | str:
        """How a field of this data type is encoded."""
        if depth > MAX_DEPTH or len(self._types) > _MOST_TYPES:
            raise ValueError("too many types, or too deep")
        name = node.to_string()
        if name in self._types:
            return self._types[name]
        if (plain := _standard(node)) is not None:
            return plain
        self._types[name] = VARIANT  # where a type contains itself
        definition = await _definition(link, node)
        if isinstance(definition, ua.StructureDefinition):
            self._types[name] = name
            await self._structure(link, name, definition, depth)
        elif isinstance(definition, ua.EnumDefinition) and not await self._is_option_set(link, node, depth):
            self._types[name] = ENUMERATION
        else:
            parent = await _up(link, node, _HAS_SUBTYPE)
            self._types[name] = (
                EXTENSION_OBJECT if parent is None else await self._type_of(link, parent, depth + 1)
            )
        return self._types[name]

    async def _is_option_set(self, link: Link, node: ua.NodeId, depth: int) -> bool:
        """Sets of bits have an EnumDefinition, too, and travel as the integer that they derive from."""
        parent = await _up(link, node, _HAS_SUBTYPE)
        return parent is not None and await self._type_of(link, parent, depth + 1) != ENUMERATION

    async def _structure(self, link: Link, name: str, definition: ua.StructureDefinition, depth: int) -> None:
        kind = Kind(int(definition.StructureType))
        fields: list[Field] = []
        for field in definition.Fields or []:
            type_ = await self._type_of(link, field.DataType, depth + 1)
            if kind in (Kind.PLAIN_SUBTYPED, Kind.UNION_SUBTYPED) and field.IsOptional:
                type_ = EXTENSION_OBJECT  # IsOptional says here that subtypes are allowed
            dimensions = max(0, int(field.ValueRank))
            fields.append(Field(str(field.Name), type_, dimensions, bool(field.IsOptional)))
        self.definitions[name] = Definition(kind, tuple(fields))


def _standard(node: ua.NodeId) -> int | None:
    """The types that need no definition (Part 6, 5.1.2)."""
    number = node.Identifier
    if node.NamespaceIndex or not isinstance(number, int):
        return None
    if number == _STRUCTURE:
        return EXTENSION_OBJECT
    if number == _ENUMERATION_TYPE:
        return ENUMERATION
    if number in _NUMBER_TYPES:
        return VARIANT
    return number if 0 < number <= _LAST_BUILTIN else None


async def _definition(link: Link, node: ua.NodeId) -> Any:
    request = ua.ReadParameters(NodesToRead=[ua.ReadValueId(NodeId=node, AttributeId=_DATA_TYPE_DEFINITION)])
    found = await link.client.uaclient.read(request)
    value = found[0].Value
    return None if value is None else value.Value


async def _up(link: Link, node: ua.NodeId, reference: int) -> ua.NodeId | None:
    """The first node that refers to this one in this way."""
    wish = ua.BrowseDescription(
        NodeId=node,
        BrowseDirection=ua.BrowseDirection.Inverse,
        ReferenceTypeId=ua.NodeId(ua.Int32(reference)),
        IncludeSubtypes=True,
        NodeClassMask=0,
        ResultMask=0,
    )
    results = await link.client.uaclient.browse(
        ua.BrowseParameters(View=ua.ViewDescription(), RequestedMaxReferencesPerNode=1, NodesToBrowse=[wish])
    )
    found = results[0].References if results else None
    return found[0].NodeId if found else None
