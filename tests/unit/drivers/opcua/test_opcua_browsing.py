"""Walking a server's nodes: pages, types of vendors, other servers' nodes, and what must not be believed."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from asyncua import ua as library
from asyncua.ua.ua_binary import struct_to_binary

from edge_agent.contracts.driver import Browsed
from edge_agent.contracts.errors import ConfigError, NotConnected
from edge_agent.drivers.opcua.browsing import Browser
from edge_agent.drivers.opcua.errors import Fault, Unanswered

ua: Any = library
SPACES = ["http://opcfoundation.org/UA/", "urn:server", "urn:press;1"]
PROPERTY, ORGANIZES, SUBTYPE = 46, 35, 45
ATTRIBUTES = {5: "description", 14: "type", 15: "rank", 16: "dimensions", 18: "access", 13: "value"}


def node(name: Any, space: int = 2) -> Any:
    return ua.NodeId(name, space)


class Server:
    """Answers browse and read out of tables. page: references that one answer holds at most."""

    def __init__(self, page: int = 1_000) -> None:
        self.page = page
        self.below: dict[Any, list[tuple[int, Any, str, int]]] = {}
        self.above: dict[Any, Any] = {}
        self.attributes: dict[Any, Mapping[str, Any]] = {}
        self.asked: list[str] = []
        self.raises: Exception | None = None
        self.endless = False
        self._waiting: dict[bytes, list[Any]] = {}

    def put(
        self, parent: Any, child: Any, name: str, kind: int = 2, by: int = ORGANIZES, **more: Any
    ) -> None:
        self.below.setdefault(parent, []).append((by, child, name, kind))
        self.attributes.setdefault(child, {"type": node(11, 0), "rank": -1, "access": 1, **more})

    async def ask(self, request: Any) -> bytes:
        name = type(request).__name__
        self.asked.append(name)
        if self.raises is not None:
            raise self.raises
        answer = getattr(self, f"_{name}")(request.Parameters)
        return bytes(struct_to_binary(answer))

    def _BrowseRequest(self, parameters: Any) -> Any:  # noqa: N802 - the request's name
        response = ua.BrowseResponse()
        response.Results = [self._first(each) for each in parameters.NodesToBrowse]
        return response

    def _BrowseNextRequest(self, parameters: Any) -> Any:  # noqa: N802 - the request's name
        response = ua.BrowseNextResponse()
        response.Parameters.Results = [
            self._page(self._waiting[each]) for each in parameters.ContinuationPoints
        ]
        return response

    def _ReadRequest(self, parameters: Any) -> Any:  # noqa: N802 - the request's name
        response = ua.ReadResponse()
        response.Results = [self._value(each) for each in parameters.NodesToRead]
        return response

    def _first(self, description: Any) -> Any:
        wanted, by = description.NodeId, description.ReferenceTypeId.Identifier
        if by == SUBTYPE:
            found = [(SUBTYPE, self.above[wanted], "type", 64)] if wanted in self.above else []
        elif wanted not in self.below and wanted not in self.attributes and wanted != node(85, 0):
            return ua.BrowseResult(StatusCode=ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown))
        else:
            found = [each for each in self.below.get(wanted, []) if by != PROPERTY or each[0] == PROPERTY]
        return self._page([_reference(*each) for each in found])

    def _page(self, references: list[Any]) -> Any:
        result = ua.BrowseResult()
        result.References, rest = references[: self.page], references[self.page :]
        if rest or self.endless:
            result.ContinuationPoint = uuid.uuid4().bytes
            self._waiting[result.ContinuationPoint] = references if self.endless else rest
        return result

    def _value(self, wanted: Any) -> Any:
        value = self.attributes.get(wanted.NodeId, {}).get(ATTRIBUTES[wanted.AttributeId])
        if value is None:
            return ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadAttributeIdInvalid))
        return ua.DataValue(ua.Variant(value))


def _reference(by: int, child: Any, name: str, kind: int) -> Any:
    return ua.ReferenceDescription(
        ReferenceTypeId=node(by, 0), NodeId=child, BrowseName=ua.QualifiedName(name, 2),
        NodeClass=ua.NodeClass(kind),
    )  # fmt: skip


async def walk(server: Server, start: str = "", depth: int = 10, **limits: int) -> list[Browsed]:
    return [each async for each in Browser(server.ask, SPACES, **limits).walk(start, depth)]


OBJECTS = node(85, 0)


@pytest.mark.parametrize("page", [1, 3, 1_000])
async def test_all_pages_are_turned(page: int) -> None:
    server = Server(page)
    for number in range(7):
        server.put(OBJECTS, node(f"t{number}"), f"t{number}")
    assert [each.path for each in await walk(server)] == [(f"t{number}",) for number in range(7)]


async def test_many_nodes_are_asked_for_in_few_requests() -> None:
    server = Server()
    for number in range(250):
        server.put(OBJECTS, node(number), str(number))
    assert len(await walk(server)) == 250
    assert len(server.asked) < 30


async def test_types_of_the_vendor_are_followed_to_what_they_are() -> None:
    server = Server()
    server.above = {node("Bar"): node("Pressure"), node("Pressure"): node(10, 0), node("Mode"): node(29, 0)}
    server.above[node("Part")] = node(22, 0)
    for name, kind in (("p", "Bar"), ("m", "Mode"), ("s", "Part"), ("x", "Unknown")):
        server.put(OBJECTS, node(name), name, type=node(kind))
    server.put(OBJECTS, node("d"), "d", type=node(290, 0))  # Duration
    server.above[node(290, 0)] = node(11, 0)
    found = {each.path[0]: each.type for each in await walk(server)}
    assert found == {"p": "float32", "m": "int32", "s": "json", "x": "json", "d": "float64"}


async def test_types_in_a_circle_end() -> None:
    server = Server()
    server.above = {node("A"): node("B"), node("B"): node("A")}
    server.put(OBJECTS, node("t"), "t", type=node("A"))
    assert [each.type for each in await walk(server)] == ["json"]


@pytest.mark.parametrize(
    ("kind", "rank", "dimensions", "expected"),
    [
        (4, -1, None, ("int16", 1)), (4, 1, [16], ("int16", 16)), (4, 0, [16], ("int16", 16)),
        (4, 1, [0], ("json", 1)), (4, 1, None, ("json", 1)), (4, 2, [2, 3], ("json", 1)),
        (12, 1, [4], ("json", 1)), (1, 1, [8], ("bool", 8)), (4, -2, None, ("json", 1)),
        (4, 1, [1_000_000], ("json", 1)), (24, -1, None, ("json", 1)),
    ],
)  # fmt: skip
async def test_arrays_of_a_known_length_keep_their_type(
    kind: int, rank: int, dimensions: Sequence[int] | None, expected: tuple[str, int]
) -> None:
    server = Server()
    server.put(OBJECTS, node("t"), "t", type=node(kind, 0), rank=rank, dimensions=dimensions)
    (found,) = await walk(server)
    assert (found.type, found.count) == expected


async def test_what_stands_beside_a_value_is_told() -> None:
    server = Server()
    server.put(OBJECTS, node("Press"), "Press", 1)
    server.put(
        node("Press"), node("Oil"), "Oil", access=3, description=ua.LocalizedText("hot\noil\x1b[2J", "en")
    )
    unit = ua.EUInformation(DisplayName=ua.LocalizedText("°C", "en"))
    server.put(node("Oil"), node("unit"), "EngineeringUnits", by=PROPERTY, value=unit)
    server.put(node("Press"), node("Secret"), "Secret", access=2)
    folder, oil, secret = await walk(server)
    assert folder == Browsed(("Press",), "nsu=urn:press%3B1;s=Press", is_tag=False)
    assert oil == Browsed(
        ("Press", "Oil"), "nsu=urn:press%3B1;s=Oil", True, "float64", 1, True, "°C", "hotoil[2J"
    )
    assert not secret.is_tag, "what cannot be read is no tag"


async def test_addresses_are_those_of_tags_whatever_the_identifier() -> None:
    server = Server()
    guid = uuid.UUID(int=7)
    for number, identifier in enumerate(
        (node(7), node("a;b=c"), node(guid), node(b"\x01\x02"), node(2258, 0))
    ):
        server.put(OBJECTS, identifier, str(number))
    assert [each.address for each in await walk(server)] == [
        "nsu=urn:press%3B1;i=7", "nsu=urn:press%3B1;s=a;b=c", f"nsu=urn:press%3B1;g={guid}",
        "nsu=urn:press%3B1;b=AQI=", "i=2258",
    ]  # fmt: skip


async def test_the_servers_own_object_is_left_out_unless_it_is_asked_for() -> None:
    server = Server()
    server.put(OBJECTS, node(2253, 0), "Server", 1)
    server.put(node(2253, 0), node(2256, 0), "ServerStatus")
    assert await walk(server) == []
    assert [each.path for each in await walk(server, "i=2253")] == [("ServerStatus",)]


async def test_nodes_without_end_are_refused() -> None:
    server = Server()
    for number in range(9):
        server.put(OBJECTS, node(number), str(number))
    with pytest.raises(ConfigError, match=r"more than 5 nodes: browse a part \(START, --depth\)"):
        await walk(server, most_nodes=5)


@pytest.mark.parametrize("answer", [b"", b"\x01\x00", b"\xff" * 40, bytes(200)])
async def test_an_answer_that_cannot_be_read_ends_the_walk(answer: bytes) -> None:
    async def ask(_: Any) -> bytes:
        return answer

    with pytest.raises(NotConnected):
        assert [each async for each in Browser(ask, SPACES).walk("", 1)] == []


async def test_a_list_without_end_is_not_waited_for() -> None:
    server = Server()
    server.endless = True
    server.put(OBJECTS, node("t"), "t")
    with pytest.raises(NotConnected, match="does not end"):
        await walk(server, most_pages=20)


@pytest.mark.parametrize("error", [Unanswered("no answer within 2 s"), Fault(0x80340000)])
async def test_a_server_that_does_not_answer_is_told(error: Exception) -> None:
    server = Server()
    server.raises = error
    with pytest.raises(NotConnected, match="browsing was not answered: "):
        await walk(server)


@pytest.mark.parametrize("odd", [7, "Double", True])
async def test_a_data_type_that_is_no_node_makes_its_tag_json(odd: Any) -> None:
    server = Server()
    server.put(OBJECTS, node("a"), "A", type=odd)
    server.put(OBJECTS, node("b"), "B")
    assert [each.type for each in await walk(server)] == ["json", "float64"]
