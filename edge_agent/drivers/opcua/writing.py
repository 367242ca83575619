"""Writes one node, once, and reads it back. I/O.

Values go out as what the server says the node is: a number of the tag's type would be refused by a node of
another (Part 4, 5.11.4: BadTypeMismatch). So the node's own data type is read before the first write of it.
"""

import base64
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from asyncua import ua
from asyncua.ua.uaerrors import UaError

from edge_agent.contracts.errors import NotConnected, Unsupported, WriteRefused, WriteUnknown
from edge_agent.drivers.opcua import requests
from edge_agent.drivers.opcua.binary import Garbled, Reader
from edge_agent.drivers.opcua.errors import Fault, Unanswered, status_text
from edge_agent.drivers.opcua.learning import Learned
from edge_agent.drivers.opcua.link import Link
from edge_agent.drivers.opcua.messages import read_statuses, read_values
from edge_agent.drivers.opcua.nodes import node_id
from edge_agent.drivers.opcua.structures import plain
from edge_agent.drivers.opcua.target import Target
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.schema import ValueType

# The built-in type for a tag's own, where a node has no value that would tell its type (Part 6, 5.1.2).
_TYPES: Final = {
    ValueType.BOOL: 1, ValueType.INT8: 2, ValueType.UINT8: 3, ValueType.INT16: 4, ValueType.UINT16: 5,
    ValueType.INT32: 6, ValueType.UINT32: 7, ValueType.INT64: 8, ValueType.UINT64: 9, ValueType.FLOAT32: 10,
    ValueType.FLOAT64: 11, ValueType.STRING: 12,
}  # fmt: skip
# The server cannot tell either whether the value got there (Part 4, 7.39.2): BadUnexpectedError,
# BadInternalError, BadCommunicationError, BadTimeout, BadShutdown, BadRequestTimeout, BadDeviceFailure.
_PERHAPS_DONE: Final = (
    0x80010000, 0x80020000, 0x80050000, 0x800A0000, 0x800C0000, 0x80850000, 0x808B0000,
)  # fmt: skip
_BOOLEAN, _FLOATS = 1, (10, 11)
_INTEGERS: Final = range(2, 10)
_STRINGS: Final = (12, 16)


class Writer:
    """Over one session. namespaces: the server's."""

    def __init__(self, link: Link, namespaces: Sequence[str]) -> None:
        self._link = link
        self._namespaces = namespaces

    async def write(self, target: Target, value: JsonValue) -> None:
        """Raises NotConnected, WriteRefused, WriteUnknown."""
        node = self._node(target)
        try:
            type_ = await self._type(target, node)
            variant = variant_of(type_, value)
        except Unanswered as error:
            raise NotConnected(str(error)) from error
        except Fault as fault:
            raise WriteRefused(f"{target.item.address}: {fault}") from fault
        request = requests.write(target.item, node, variant)
        try:
            check(*read_statuses(await self._link.ask(request)))
        except Fault as fault:
            raise failure(fault.status)(f"{target.item.address}: {fault}") from fault
        except Garbled as error:
            self._link.drop(f"an answer cannot be read: {error}")
            raise WriteUnknown(f"{target.item.address}: the answer cannot be read: {error}") from error
        except (Unanswered, NotConnected) as error:
            raise WriteUnknown(f"{target.item.address}: {error}") from error

    async def read(self, target: Target, learned: Learned) -> JsonValue:
        """Raises NotConnected and Unsupported."""
        try:
            data = await self._read(target, self._node(target))
            status, found, opaque = read_values(data)
        except WriteRefused as error:
            raise Unsupported(str(error)) from error
        except Garbled as error:
            self._link.drop(f"an answer cannot be read: {error}")
            raise NotConnected(f"an answer cannot be read: {error}") from error
        status = status or (found[0].status if found else 0)
        if status >> 31 or not found:
            raise Unsupported(f"{target.item.address} cannot be read: {status_text(status)}")
        value = found[0].value
        if opaque:
            await learned.learn(self._link, value)
            value = plain(value, learned.definitions)
        held: JsonValue = value
        return held

    async def _read(self, target: Target, node: ua.NodeId) -> bytes:
        try:
            return await self._link.ask(requests.read([requests.to_read(target.item, node)]))
        except Unanswered as error:
            raise NotConnected(str(error)) from error
        except Fault as fault:
            raise Unsupported(f"{target.item.address} cannot be read: {fault}") from fault

    def _node(self, target: Target) -> ua.NodeId:
        if not self._link.is_open:
            raise NotConnected(self._link.why)
        node = node_id(target.item.address, self._namespaces)
        if node is None:
            raise WriteRefused(f"{target.item.address}: the server has no such namespace")
        return node

    async def _type(self, target: Target, node: ua.NodeId) -> int:
        """The built-in type of what the node holds now."""
        try:
            data = await self._read(target, node)
            held = held_type(data)
        except Unsupported:
            held = None  # nodes that can be written and not read
        except Garbled as error:
            self._link.drop(f"an answer cannot be read: {error}")
            raise NotConnected(f"an answer cannot be read: {error}") from error
        if held is None:
            held = _TYPES.get(target.type)
        if held is None:
            raise WriteRefused(f"{target.item.address}: the node has no value, so give the tag a type")
        return held


def failure(status: int) -> type[WriteRefused | WriteUnknown]:
    """What a bad status says of a write."""
    return WriteUnknown if status & 0xFFFF0000 in _PERHAPS_DONE else WriteRefused


def check(status: int, results: Sequence[int]) -> None:
    """Of an answer to a write of one node. Raises Fault for a status that is bad, WriteUnknown for what says
    neither yes nor no."""
    if status >> 31 or (results and results[0] >> 31):
        raise Fault(status if status >> 31 else results[0])
    if len(results) != 1:
        raise WriteUnknown(f"the answer tells of {len(results)} nodes instead of one")
    if results[0] >> 30:
        raise WriteUnknown(status_text(results[0]))


def held_type(data: bytes) -> int | None:
    """Of a ReadResponse with one value: its built-in type; None where there is none. Raises Garbled."""
    reader = Reader(data)
    if reader.response() or reader.length() != 1 or not reader.u8() & 1:
        return None
    return reader.u8() & 0x3F or None


def variant_of(type_: int, value: JsonValue) -> ua.Variant:
    """Raises WriteRefused where the value is none of this type: nothing has been sent."""
    try:
        made: Any = [_one(type_, each) for each in value] if isinstance(value, list) else _one(type_, value)
        variant = ua.Variant(made, ua.VariantType(type_), is_array=isinstance(value, list))
        ua.ua_binary.variant_to_binary(variant)
    except (UaError, ValueError, TypeError, OverflowError, KeyError) as error:
        name = ua.VariantType(type_).name
        raise WriteRefused(f"{value!r:.100} cannot be written to a node of type {name}") from error
    return variant


def _one(type_: int, value: Any) -> Any:
    if type_ == _BOOLEAN:
        return _exactly(value, bool)
    if type_ in _INTEGERS:
        if isinstance(value, bool) or value != int(value):
            raise ValueError("no whole number")
        return int(value)
    if type_ in _FLOATS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("no number")
        return float(value)
    if type_ in _STRINGS:
        return _exactly(value, str)
    return _MAKERS[type_](value)


def _exactly(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"not a {kind.__name__}")
    return value


def _time(value: Any) -> datetime:
    moment = datetime.fromisoformat(_exactly(value, str))
    if moment.tzinfo is None:
        raise ValueError("a time needs its zone, such as Z")
    return moment.astimezone(UTC)


def _localized(value: Any) -> ua.LocalizedText:
    if isinstance(value, str):
        return ua.LocalizedText(value)
    return ua.LocalizedText(_exactly(value["text"], str), value.get("locale") or None)


_MAKERS: Final = {
    13: _time,
    14: lambda value: uuid.UUID(_exactly(value, str)),
    15: lambda value: base64.b64decode(_exactly(value, str), validate=True),
    17: lambda value: ua.NodeId.from_string(_exactly(value, str)),
    19: lambda value: ua.StatusCode(_exactly(value, int)),
    20: lambda value: ua.QualifiedName.from_string(_exactly(value, str)),
    21: _localized,
}
