"""The simulated address space: makes nodes of signals, and OPC UA's values of Python's."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from asyncua import ua as library
from asyncua.common.node import Node
from asyncua.common.structures104 import new_struct, new_struct_field
from asyncua.server.server import Server
from asyncua.ua.uatypes import DataValue, NodeId, Variant

from edge_agent.drivers.opcua.simulator.signals import Pace, Signal, expected

# The library types its constructors by OPC UA's own integers, which nothing here has.
ua: Any = library
NAMESPACE: Final = "urn:holdfast:simulator"
STRUCTURE: Final = "HoldfastPump"
_CELSIUS: Final = 4_408_652
# UNECE's codes of the units that are used here (OPC UA Part 8, 5.6.3).
_UNITS: Final = {"°C": _CELSIUS}
_PLAIN: Final[dict[str, Callable[[Any], Any]]] = {
    "NodeId": ua.NodeId.from_string,
    "ExpandedNodeId": lambda text: ua.ExpandedNodeId(ua.NodeId.from_string(text).Identifier, 1),
    "StatusCode": ua.StatusCode,
    "QualifiedName": ua.QualifiedName.from_string,
    "LocalizedText": lambda text: ua.LocalizedText(text, "en"),
    "XmlElement": ua.XmlElement,
    "DateTime": lambda time: time,
}


class Nodes:
    """The variables of one server. `build` makes them, `values` gives what a tick brings."""

    def __init__(self, signals: Sequence[Signal], tick_ms: int, *, writable: bool) -> None:
        self._signals = signals
        self._tick_ms = tick_ms
        self._writable = writable
        self._structure: type | None = None
        self._changing: list[tuple[NodeId, Signal]] = []

    async def build(self, server: Server, k: int) -> None:
        index = await server.register_namespace(NAMESPACE)
        pump = await self._structure_type(server, index)
        folders: dict[str, Node] = {}
        root = await server.nodes.objects.add_folder(ua.NodeId("Simulator", index), f"{index}:Simulator")
        for signal in self._signals:
            *above, leaf = signal.name.split(".")
            name = ".".join([*above, leaf[:-2]]) if above == ["Items"] else above[0]
            if name not in folders:
                # The library looks through a folder's children for each new one.
                folders[name] = await root.add_folder(ua.NodeId(name, index), f"{index}:{name}")
            identifier = ua.NodeId(signal.name, index)
            kind = pump if signal.type == "Structure" else ua.NodeId(getattr(ua.ObjectIds, signal.type))
            node = await folders[name].add_variable(
                identifier, f"{index}:{leaf}", self._variant(signal, k, whole=True), datatype=kind
            )
            await _dress(node, signal, writable=self._writable and signal.writable)
            await server.write_attribute_value(identifier, self.value(signal, k, self._time(k)))
            if signal.pace is not Pace.STATIC:
                self._changing.append((identifier, signal))

    async def _structure_type(self, server: Server, index: int) -> NodeId:
        kind, _ = await new_struct(
            server, index, STRUCTURE,
            [
                new_struct_field("Running", ua.VariantType.Boolean),
                new_struct_field("Speed", ua.VariantType.Double),
                new_struct_field("Name", ua.VariantType.String),
                new_struct_field("Counts", ua.VariantType.Int32, array=True),
            ],
        )  # fmt: skip
        await server.load_data_type_definitions()
        self._structure = getattr(ua, STRUCTURE)  # the library knows types by process, not by server
        return kind.nodeid

    def values(self, before: int, k: int) -> list[tuple[NodeId, DataValue]]:
        """What changed since tick `before`."""
        time = self._time(k)
        return [
            (identifier, self.value(signal, k, time))
            for identifier, signal in self._changing
            if signal.pace is Pace.TICK or expected(signal, before) != expected(signal, k)
        ]

    def _time(self, k: int) -> datetime:
        return datetime.fromtimestamp(k * self._tick_ms / 1000, UTC)

    def value(self, signal: Signal, k: int, time: datetime) -> DataValue:
        value: DataValue = ua.DataValue(
            self._variant(signal, k), StatusCode=_status(signal.status), SourceTimestamp=time,
            ServerTimestamp=time,
        )  # fmt: skip
        return value

    def _variant(self, signal: Signal, k: int, *, whole: bool = False) -> Variant:
        """whole: also of a signal whose values are bad, for the node's type."""
        value = expected(Signal(signal.name, signal.type), k) if whole and signal.status != "Good" else None
        value = expected(signal, k) if value is None else value
        kind = "ExtensionObject" if signal.type == "Structure" else "Null" if value is None else signal.type
        made: Variant = ua.Variant(self._made(signal, value), ua.VariantType[kind])
        return made

    def _made(self, signal: Signal, value: Any) -> Any:
        if isinstance(value, list):
            return [self._made(signal, each) for each in value]
        if signal.type == "Structure":
            assert self._structure is not None, "the type is made before its values"
            return self._structure(**value)
        convert = _PLAIN.get(signal.type)
        return value if convert is None or value is None else convert(value)


@lru_cache
def _status(name: str) -> Any:
    return ua.StatusCode(getattr(ua.StatusCodes, name))


async def _dress(node: Node, signal: Signal, *, writable: bool) -> None:
    """What a browser shows beside the value."""
    if len(signal.shape) == 1:
        dimensions: Any = list(signal.shape)
        await node.write_value_rank(ua.ValueRank.OneDimension)
        await node.write_array_dimensions(dimensions)
    if writable:
        await node.set_writable()
    if signal.description:
        await node.write_attribute(
            ua.AttributeIds.Description, ua.DataValue(ua.Variant(ua.LocalizedText(signal.description, "en")))
        )
    if signal.unit:
        unit = ua.EUInformation(
            "http://www.opcfoundation.org/UA/units/un/cefact", _UNITS[signal.unit],
            ua.LocalizedText(signal.unit), ua.LocalizedText(signal.unit),
        )  # fmt: skip
        await node.add_property(0, "EngineeringUnits", ua.Variant(unit, ua.VariantType.ExtensionObject))
