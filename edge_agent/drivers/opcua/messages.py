"""Responses with values in them, read from their bytes. Pure. Part 4, 5.11.2 (Read) and 5.14.5 (Publish).

Most of what a subscription brings are single numbers, with a status code or without and a time stamp or
without: `Numbers` reads each such notification with one call. Everything else goes through `Reader`.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from edge_agent.drivers.opcua.binary import NUMBERS, DataValue, Garbled, Reader

_LONGEST_SECONDS: Final = 7 * 86_400.0
DATA_CHANGE: Final = "i=811"
STATUS_CHANGE: Final = "i=820"
_EPOCH_MS: Final = 11_644_473_600_000
_VALUE, _STATUS, _SOURCE, _SERVER = 1, 2, 4, 8


class Change(NamedTuple):
    """One value of a monitored item. handle: what the client named the item when it made it.

    opaque: there is a structure in the value.
    """

    handle: int
    value: Any
    status: int
    source_ms: int | None
    opaque: bool = False


@dataclass(slots=True)
class Notification:
    """What one answer to a Publish request tells of one subscription.

    sequence: of this message; of a keepalive, that of the next. ended: the subscription is over, and why.
    """

    subscription: int
    sequence: int
    size_bytes: int = 0
    keepalive: bool = True
    more: bool = False
    changes: list[Change] = field(default_factory=list)
    ended: int | None = None


class _Shape(NamedTuple):
    unpack: Any
    size: int
    status: int  # where it stands among what is unpacked; 0: nowhere
    source: int


def _shapes() -> dict[bytes, _Shape]:
    """By the mask of a DataValue and the encoding byte of its Variant."""
    made: dict[bytes, _Shape] = {}
    for mask in (_VALUE | more for more in range(0, 16, 2)):
        for type_, code in NUMBERS.items():
            rest = "".join(letter for bit, letter in ((_STATUS, "I"), (_SOURCE, "q")) if mask & bit)
            kind = struct.Struct(f"<IH{code}{rest}{'8x' if mask & _SERVER else ''}")
            status = 3 if mask & _STATUS else 0
            source = (3 + bool(status)) if mask & _SOURCE else 0
            made[bytes((mask, type_))] = _Shape(kind.unpack_from, kind.size, status, source)
    return made


_SHAPES: Final = _shapes()


def read_values(data: bytes) -> tuple[int, list[DataValue], bool]:
    """Of a ReadResponse: the service's status, the values, and whether there are structures in them."""
    reader = Reader(data)
    if status := reader.response():
        return status, [], False
    count = reader.length()
    reader.reckon(count)
    return 0, [reader.data_value() for _ in range(count)], reader.opaque


def read_publish(data: bytes) -> tuple[int, Notification | None]:
    """Of a PublishResponse: the service's status, and what it brings."""
    reader = Reader(data)
    if status := reader.response():
        return status, None
    subscription = reader.u32()
    for _ in range(reader.length(4)):
        reader.u32()
    more = bool(reader.u8())
    found = _message(reader, subscription)
    found.more = more
    return 0, found


def read_republish(data: bytes, subscription: int) -> tuple[int, Notification | None]:
    """Of a RepublishResponse, which holds a message without its frame."""
    reader = Reader(data)
    if status := reader.response():
        return status, None
    return 0, _message(reader, subscription)


def _message(reader: Reader, subscription: int) -> Notification:
    found = Notification(subscription, reader.u32(), reader.end - reader.at)
    reader.i64()
    for _ in range(reader.length()):
        found.keepalive = False
        type_id = reader.node_id()
        if reader.u8() != 1:
            raise Garbled("a notification without a body")
        end = reader.i32()
        inner = Reader(reader.data, reader.at, reader.at + end)
        reader.take(end)
        if type_id == DATA_CHANGE:
            found.changes += _changes(inner)
        elif type_id == STATUS_CHANGE:
            found.ended = inner.u32()
    return found


def _changes(reader: Reader) -> Iterator[Change]:
    data, shapes = reader.data, _SHAPES
    count = reader.length(5)
    reader.reckon(count)
    for _ in range(count):
        at = reader.at
        shape = shapes.get(data[at + 4 : at + 6])
        if shape is not None and at + shape.size <= reader.end:
            reader.at = at + shape.size
            parts = shape.unpack(data, at)
            ticks = parts[shape.source] if shape.source else 0
            yield Change(
                parts[0], parts[2], parts[shape.status] if shape.status else 0,
                ticks // 10_000 - _EPOCH_MS if ticks > 0 else None,
            )  # fmt: skip
            continue
        handle = reader.u32()
        reader.opaque = False
        value = reader.data_value()
        yield Change(handle, value.value, value.status, value.source_ms, reader.opaque)


class Created(NamedTuple):
    """What a server made of the wish for a subscription. Seconds."""

    subscription: int
    publishing: float
    keepalive: float


def read_created(data: bytes) -> tuple[int, Created | None]:
    """Of a CreateSubscriptionResponse (5.14.2)."""
    reader = Reader(data)
    if status := reader.response():
        return status, None
    subscription = reader.u32()
    publishing = max(reader.builtin(11), 1.0) / 1000
    reader.u32()
    if not publishing <= _LONGEST_SECONDS:
        raise Garbled(f"a subscription that publishes each {publishing:g} s")
    return 0, Created(subscription, publishing, publishing * reader.u32())


def read_items(data: bytes) -> tuple[int, list[int]]:
    """Of a CreateMonitoredItemsResponse (5.13.2): the status of each item."""
    reader = Reader(data)
    if status := reader.response():
        return status, []
    found = []
    for _ in range(reader.length(4)):
        found.append(reader.u32())
        reader.take(16)  # its id, and what became of interval and queue
        reader.extension_object()
    return 0, found


def read_statuses(data: bytes) -> tuple[int, list[int]]:
    """Of a WriteResponse (5.11.4)."""
    reader = Reader(data)
    if status := reader.response():
        return status, []
    return 0, [reader.u32() for _ in range(reader.length(4))]


def read_transfers(data: bytes) -> tuple[int, list[int]]:
    """Of a TransferSubscriptionsResponse (5.14.7): the status of each subscription."""
    reader = Reader(data)
    if status := reader.response():
        return status, []
    found = []
    for _ in range(reader.length(8)):
        found.append(reader.u32())
        for _ in range(reader.length(4)):
            reader.u32()
    return 0, found
