"""What a server offers, as tags have it: walks hierarchical references level by level, each node once.

Types are those of the nodes' DataType attribute, followed up to a built-in type (OPC UA Part 6, 5.1.2) where
it is one of the vendor's own. Addresses name namespaces by their URIs: indexes may change with a restart.
"""

import base64
import struct
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from asyncua import ua as library
from asyncua.common.utils import Buffer, NotEnoughData
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaError

from edge_agent.contracts.driver import Browsed
from edge_agent.contracts.errors import ConfigError, NotConnected
from edge_agent.drivers.opcua.address import Address, IdType, parse
from edge_agent.drivers.opcua.errors import Fault, Unanswered, status_text
from edge_agent.drivers.opcua.nodes import node_id
from edge_agent.wire.schema import MAX_ELEMENTS

# The library types its constructors by OPC UA's own integers, which nothing here has.
ua: Any = library
MOST_NODES: Final = 200_000
_MOST_TOGETHER: Final = 100
_MOST_REFERENCES: Final = 1_000
MOST_PAGES: Final = 10_000
_DEEPEST_TYPE: Final = 30
_OBJECTS, _SERVER = "i=85", 2253
_HIERARCHICAL, _HAS_SUBTYPE, _HAS_PROPERTY = 33, 45, 46
_DESCRIPTION, _DATA_TYPE, _VALUE_RANK, _DIMENSIONS, _ACCESS, _VALUE = 5, 14, 15, 16, 18, 13
_READABLE, _WRITABLE = 1, 2
_ENUMERATION: Final = 29
_TYPES: Final = {
    1: "bool", 2: "int8", 3: "uint8", 4: "int16", 5: "uint16", 6: "int32", 7: "uint32", 8: "int64",
    9: "uint64", 10: "float32", 11: "float64", 12: "string", _ENUMERATION: "int32",
}  # fmt: skip
_NUMBERS: Final = frozenset(each for each in _TYPES.values() if each != "string")
_BUILT_IN_LAST: Final = 25
# What the library raises for bytes that are no such answer.
_GARBLED: Final = (
    UaError, NotEnoughData, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, struct.error,
)  # fmt: skip
_Item = TypeVar("_Item")
Ask = Callable[[Any], Awaitable[bytes]]


@dataclass(slots=True)
class _Node:
    """One that was found. kind: its class (1 object, 2 variable)."""

    id: Any
    kind: int
    path: tuple[str, ...]
    unit: str = ""
    children: list["_Node"] = field(default_factory=list)


class Browser:
    """One walk. ask: sends a request and gives the answer's bytes. namespaces: the server's, by index."""

    def __init__(
        self,
        ask: Ask,
        namespaces: Sequence[str],
        most_nodes: int = MOST_NODES,
        most_pages: int = MOST_PAGES,
    ) -> None:
        self._ask = ask
        self._namespaces = namespaces
        self._most_nodes = most_nodes
        self._most_pages = most_pages
        self._seen: set[Any] = set()
        self._base: dict[Any, int] = {}

    async def walk(self, start: str, depth: int) -> AsyncIterator[Browsed]:
        """As `contracts.driver.Browsing.browse`."""
        root = self._start(start)
        if not start:
            self._seen.add(ua.NodeId(_SERVER))  # it tells of itself: hundreds of nodes that are no tags
        self._seen.add(root)
        level = [_Node(root, 1, ())]
        try:
            for number in range(depth):
                found: list[_Node] = []
                for some in _chunks(level, _MOST_TOGETHER):
                    await self._children(some, first=number == 0)
                    for node in some:
                        found += node.children
                for some in _chunks(found, _MOST_TOGETHER):
                    for browsed in await self._described(some):
                        yield browsed
                level = found
        except (Unanswered, Fault) as error:
            raise NotConnected(f"browsing was not answered: {error}") from error

    def _start(self, start: str) -> Any:
        try:
            address = parse(start or _OBJECTS)
        except ValueError as error:
            raise ConfigError(f"cannot browse from there: {error}") from error
        found = node_id(address, self._namespaces)
        if found is None:
            known = ", ".join(self._namespaces)
            raise ConfigError(f"the server has no namespace {address.uri}; it has: {known}")
        return found

    # --- references --------------------------------------------------------------------------------

    async def _children(self, nodes: Sequence[_Node], *, first: bool) -> None:
        """Fills in what stands below the nodes, and the units of those that are variables."""
        results = await self._browse([node.id for node in nodes], _HIERARCHICAL, forward=True)
        for node, (status, references) in zip(nodes, results, strict=True):
            if status and first:
                raise ConfigError(f"cannot browse from there: {status_text(status)}")
            for reference in references:
                if reference.ReferenceTypeId == ua.NodeId(_HAS_PROPERTY):
                    continue
                self._add(node, reference)
        await self._fill_units([child for node in nodes for child in node.children if child.kind == 2])

    def _add(self, node: _Node, reference: Any) -> None:
        identifier = _local(reference.NodeId)
        if identifier is None or identifier in self._seen:
            return
        if len(self._seen) >= self._most_nodes:
            raise ConfigError(f"there are more than {self._most_nodes} nodes: browse a part (START, --depth)")
        self._seen.add(identifier)
        name = _plain(reference.BrowseName.Name) or str(identifier.Identifier)
        node.children.append(_Node(identifier, int(reference.NodeClass), (*node.path, name)))

    async def _fill_units(self, variables: Sequence[_Node]) -> None:
        """Part 8, 5.3.2: the property EngineeringUnits."""
        units: list[tuple[_Node, Any]] = []
        for some in _chunks(variables, _MOST_TOGETHER):
            results = await self._browse([node.id for node in some], _HAS_PROPERTY, forward=True)
            for node, (_, references) in zip(some, results, strict=True):
                units += [
                    (node, _local(each.NodeId))
                    for each in references
                    if each.BrowseName.Name == "EngineeringUnits"
                ]
        for pairs in _chunks(units, _MOST_TOGETHER):
            values = await self._read([(identifier, _VALUE) for _, identifier in pairs])
            for (node, _), value in zip(pairs, values, strict=True):
                shown = getattr(getattr(value, "DisplayName", None), "Text", None)
                node.unit = _plain(shown)[:50]

    async def _browse(
        self, nodes: Sequence[Any], reference: int, *, forward: bool
    ) -> list[tuple[int, list[Any]]]:
        """Status and references of each node, all pages of them (Part 4, 5.9.2 and 5.9.3)."""
        direction = ua.BrowseDirection.Forward if forward else ua.BrowseDirection.Inverse
        request = ua.BrowseRequest()
        request.Parameters.RequestedMaxReferencesPerNode = _MOST_REFERENCES
        request.Parameters.NodesToBrowse = [
            ua.BrowseDescription(
                NodeId=node, BrowseDirection=direction, ReferenceTypeId=ua.NodeId(reference),
                IncludeSubtypes=True, NodeClassMask=0 if reference == _HAS_SUBTYPE else 3, ResultMask=63,
            )
            for node in nodes
        ]  # fmt: skip
        results = _parsed(ua.BrowseResponse, await self._ask(request)).Results
        if len(results) != len(nodes):
            raise NotConnected("the server answered for other nodes than those that were asked for")
        found = [(_status(result), list(result.References or ())) for result in results]
        waiting = [
            (place, result.ContinuationPoint)
            for place, result in enumerate(results)
            if result.ContinuationPoint
        ]
        await self._turn_pages(waiting, found)
        return found

    async def _turn_pages(self, waiting: list[tuple[int, bytes]], found: list[tuple[int, list[Any]]]) -> None:
        pages = 0
        while waiting:
            pages += 1
            if pages > self._most_pages:
                raise NotConnected("the server's list of references does not end")
            request = ua.BrowseNextRequest()
            request.Parameters.ReleaseContinuationPoints = False
            request.Parameters.ContinuationPoints = [point for _, point in waiting]
            results = _parsed(ua.BrowseNextResponse, await self._ask(request)).Parameters.Results
            if len(results) != len(waiting):
                raise NotConnected("the server answered for other nodes than those that were asked for")
            following = []
            for (place, _), result in zip(waiting, results, strict=True):
                found[place][1].extend(result.References or ())
                if result.ContinuationPoint and not _status(result):
                    following.append((place, result.ContinuationPoint))
            waiting = following

    # --- attributes --------------------------------------------------------------------------------

    async def _described(self, nodes: Sequence[_Node]) -> list[Browsed]:
        variables = [node for node in nodes if node.kind == 2]
        asked = (_DESCRIPTION, _DATA_TYPE, _VALUE_RANK, _DIMENSIONS, _ACCESS)
        values = await self._read([(node.id, each) for node in variables for each in asked])
        rows = dict(zip((node.id for node in variables), _chunks(values, len(asked)), strict=True))
        for node, row in rows.items():
            if not isinstance(row[1], ua.NodeId):  # a server may say anything there
                rows[node] = [row[0], None, *row[2:]]
        await self._learn_types([row[1] for row in rows.values()])
        return [self._browsed(node, rows.get(node.id)) for node in nodes]

    def _browsed(self, node: _Node, row: Sequence[Any] | None) -> Browsed:
        address = self._address(node.id)
        if row is None:
            return Browsed(node.path, address, is_tag=False)
        told, data_type, rank, dimensions, access = row
        description = _plain(getattr(told, "Text", None))
        access = access if isinstance(access, int) else 0
        kind, count = _shape(self._type(data_type), rank, dimensions)
        return Browsed(
            node.path, address, bool(access & _READABLE), kind, count, bool(access & _WRITABLE), node.unit,
            "" if description == node.path[-1] else description,
        )  # fmt: skip

    def _address(self, identifier: Any) -> str:
        index, value = identifier.NamespaceIndex, identifier.Identifier
        kind = IdType.TEXT
        if isinstance(value, bytes):
            kind, value = IdType.BYTES, base64.b64encode(value).decode()
        elif isinstance(value, uuid.UUID):
            kind, value = IdType.GUID, str(value)
        elif isinstance(value, int):
            kind, value = IdType.NUMBER, str(value)
        if index == 0 or index >= len(self._namespaces):
            return str(Address(kind, value, index))
        return str(Address(kind, value, None, self._namespaces[index]))

    async def _read(self, wanted: Sequence[tuple[Any, int]]) -> list[Any]:
        """None for what the server does not give."""
        found: list[Any] = []
        for some in _chunks(wanted, _MOST_TOGETHER):
            request = ua.ReadRequest()
            request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Neither
            request.Parameters.NodesToRead = [
                ua.ReadValueId(NodeId=node, AttributeId=attribute) for node, attribute in some
            ]
            results = _parsed(ua.ReadResponse, await self._ask(request)).Results
            if len(results) != len(some):
                raise NotConnected("the server answered for other nodes than those that were asked for")
            found += [None if result.Value is None else result.Value.Value for result in results]
        return found

    # --- types -------------------------------------------------------------------------------------

    async def _learn_types(self, types: Sequence[Any]) -> None:
        """Follows types of the vendor's own up to those that are known."""
        unknown = {each: each for each in types if each is not None and not self._is_known(each)}
        for _ in range(_DEEPEST_TYPE):
            if not unknown:
                return
            pairs = list(unknown.items())
            unknown = {}
            for some in _chunks(pairs, _MOST_TOGETHER):
                results = await self._browse([above for _, above in some], _HAS_SUBTYPE, forward=False)
                for (kind, _), (_, references) in zip(some, results, strict=True):
                    parent = _local(references[0].NodeId) if references else None
                    if parent is None:
                        self._base[kind] = 0
                    elif self._is_known(parent):
                        self._base[kind] = self._number(parent)
                    else:
                        unknown[kind] = parent
        self._base.update(dict.fromkeys(unknown, 0))

    def _is_known(self, kind: Any) -> bool:
        if kind in self._base:
            return True
        number = kind.Identifier
        in_standard = kind.NamespaceIndex == 0 and isinstance(number, int)
        return in_standard and (number <= _BUILT_IN_LAST or number == _ENUMERATION)

    def _number(self, kind: Any) -> int:
        return self._base.get(kind, kind.Identifier if kind.NamespaceIndex == 0 else 0)

    def _type(self, kind: Any) -> str:
        """What is no plain type of ours travels as JSON."""
        return "json" if kind is None else _TYPES.get(self._number(kind), "json")


def _shape(kind: str, rank: Any, dimensions: Any) -> tuple[str, int]:
    """An array of a known length keeps its type, any other travels as JSON (Part 3, 5.6.2)."""
    if rank == -1 or rank is None:
        return kind, 1
    # Some servers say 0, one or more dimensions, of what they then give the length of.
    if rank in (0, 1) and kind in _NUMBERS and isinstance(dimensions, list) and len(dimensions) == 1:
        count = dimensions[0]
        if isinstance(count, int) and 1 < count <= MAX_ELEMENTS:
            return kind, count
    return "json", 1


def _local(identifier: Any) -> Any:
    """As a plain node id; None for one of another server."""
    if getattr(identifier, "ServerIndex", 0):
        return None
    return ua.NodeId(identifier.Identifier, identifier.NamespaceIndex)


def _parsed(kind: Any, data: bytes) -> Any:
    try:
        return struct_from_binary(kind, Buffer(data))
    except _GARBLED as error:
        raise NotConnected(f"the server's answer cannot be read: {error}") from error


def _status(result: Any) -> int:
    """0 where it is not bad."""
    value = int(result.StatusCode.value)
    return value if value & 0x80000000 else 0


def _plain(text: Any) -> str:
    return "".join(char for char in text if char.isprintable()).strip() if isinstance(text, str) else ""


def _chunks(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
