"""From a group's settings to the fewest requests that serve its tags. Pure: no I/O, no clock.

Requests join tags across unused addresses up to the connection's `max_gap` and never exceed its limits.
A value of several registers is always read by one request, so that it is never put together from two
moments. Tags may overlap. Tags are ordered by address before the schema sorts them by size, so that a
row takes few, long slices out of the replies.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from edge_agent.contracts.driver import RequestSummary
from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.modbus.address import REGISTER_BITS, Area
from edge_agent.drivers.modbus.decode import Place, RowProgram
from edge_agent.drivers.modbus.settings import (
    Endian,
    ModbusConnection,
    ModbusGroup,
    ModbusTag,
)
from edge_agent.drivers.modbus.timing import bus_seconds, overhead_bytes
from edge_agent.drivers.modbus.transports import SerialTransport
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType

_ORDERS = {
    (Endian.BIG, Endian.BIG): Order.ABCD,
    (Endian.BIG, Endian.LITTLE): Order.CDAB,
    (Endian.LITTLE, Endian.BIG): Order.BADC,
    (Endian.LITTLE, Endian.LITTLE): Order.DCBA,
}


@dataclass(frozen=True, slots=True)
class Item:
    """What one tag needs read: addresses `start` to `end - 1` of an area, for tag `tag` of the schema."""

    start: int
    end: int
    tag: int


class Items(Sequence[Item]):
    """Items that are looked at when a request fails, and until then take a tenth of the memory."""

    __slots__ = ("_numbers",)

    def __init__(self, items: Iterable[Item]) -> None:
        self._numbers = array("I", [number for each in items for number in (each.start, each.end, each.tag)])

    def __len__(self) -> int:
        return len(self._numbers) // 3

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(len(self))))
        first = 3 * range(len(self))[index]
        return Item(*self._numbers[first : first + 3])


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One request: `count` addresses of an area from `start`, which serve `items` (sorted by start)."""

    area: Area
    start: int
    count: int
    items: Sequence[Item]

    @property
    def pdu(self) -> bytes:
        return self.area.function.to_bytes(1) + self.start.to_bytes(2) + self.count.to_bytes(2)

    @property
    def data_bytes(self) -> int:
        """Bytes of data in the reply."""
        return (self.count + 7) // 8 if self.area.is_bits else 2 * self.count

    def __str__(self) -> str:
        return span_text(self.area, self.start, self.start + self.count)


@dataclass(frozen=True, eq=False)
class ModbusPlan:
    """The requests that serve one group. Compared by identity: the driver learns about each plan.

    notes: what people should know about the addresses as they were written. A pickled copy has none: it
    goes to the agent that runs, where nobody would read them.
    """

    schema: Schema
    unit_id: int
    blocks: tuple[Block, ...]
    program: RowProgram
    requests: tuple[RequestSummary, ...]
    notes: tuple[str, ...] = field(default=())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "notes": ()}


def span_text(area: Area, start: int, end: int) -> str:
    return f"{area} {start}" if end - start == 1 else f"{area} {start}..{end - 1}"


def plan(connection: ModbusConnection, group: ModbusGroup) -> ModbusPlan:
    """The plan of one group. Raises ConfigError for a value that no single request may hold."""
    settings = sorted(group.tags, key=_by_address)
    tags = [_tag_schema(connection, tag) for tag in settings]
    unit_id = connection.unit_of(group)
    schema = Schema.of(connection.name, group.name, unit_id, tags)
    by_name = {tag.name: tag for tag in settings}
    if len(by_name) != len(settings):
        raise ConfigError(f"group {group.name} of {connection.name} has two tags of the same name")
    ordered = [by_name[tag.name] for tag in schema.tags]

    blocks = _blocks(connection, ordered)
    requests = _summaries(connection, unit_id, blocks)
    _check_the_line(connection, group, requests)
    program = RowProgram.of(_places(connection, blocks, ordered), [block.data_bytes for block in blocks])
    return ModbusPlan(schema, unit_id, tuple(blocks), program, requests, _notes(settings))


def _blocks(connection: ModbusConnection, tags: Sequence[ModbusTag]) -> list[Block]:
    blocks: list[Block] = []
    for area in Area:
        items = [Item(*tag.span, index) for index, tag in enumerate(tags) if tag.place.area is area]
        blocks += merge(area, _checked(connection, area, items, tags), *_limits(connection, area))
    return blocks


def merge(area: Area, items: Iterable[Item], max_gap: int, limit: int) -> list[Block]:
    """The fewest blocks of at most `limit` addresses, joined over at most `max_gap` unused ones.

    Taking from the left whatever still fits is optimal for intervals that may not be cut.
    """
    blocks: list[Block] = []
    run: list[Item] = []
    end = 0
    for item in sorted(items, key=lambda item: (item.start, item.end)):
        if run and (item.start - end > max_gap or max(end, item.end) - run[0].start > limit):
            blocks.append(Block(area, run[0].start, end - run[0].start, Items(run)))
            run = []
        end = max(end, item.end) if run else item.end
        run.append(item)
    if run:
        blocks.append(Block(area, run[0].start, end - run[0].start, Items(run)))
    return blocks


def _by_address(tag: ModbusTag) -> tuple[Area, int, int]:
    place = tag.place
    return place.area, place.number, place.bit or 0


def order_of(connection: ModbusConnection, tag: ModbusTag) -> Order:
    """Where the bytes of its values stand."""
    return _ORDERS[tag.byte_order or connection.byte_order, tag.word_order or connection.word_order]


def _tag_schema(connection: ModbusConnection, tag: ModbusTag) -> TagSchema:
    order = order_of(connection, tag)
    if tag.type.size < 2:
        order = Order.DCBA
    elif tag.type.size == 2:  # one register has no word order: equal meanings get equal schemas
        order = Order.ABCD if order in (Order.ABCD, Order.CDAB) else Order.DCBA
    return TagSchema(
        tag.name, tag.type, order, tag.count, tag.scale, tag.offset, tag.unit, tuple(sorted(tag.enum.items()))
    )


def _limits(connection: ModbusConnection, area: Area) -> tuple[int, int]:
    if area.is_bits:
        return connection.max_gap * REGISTER_BITS, connection.max_bits
    return connection.max_gap, connection.max_registers


def _checked(
    connection: ModbusConnection, area: Area, items: list[Item], tags: Sequence[ModbusTag]
) -> list[Item]:
    limit = _limits(connection, area)[1]
    for item in items:
        if item.end - item.start > limit:
            key = "max_bits" if area.is_bits else "max_registers"
            raise ConfigError(
                f"tag {tags[item.tag].name} of {connection.name} takes {item.end - item.start} addresses, "
                f"and {key} is {limit}: a value is never read in two requests"
            )
    return items


def _places(connection: ModbusConnection, blocks: Sequence[Block], tags: Sequence[ModbusTag]) -> list[Place]:
    """Where each tag's value begins in the data of all replies, in the order of the schema."""
    places: dict[int, Place] = {}
    base = 0
    for block in blocks:
        for item in block.items:
            tag = tags[item.tag]
            swapped = (tag.byte_order or connection.byte_order) is Endian.LITTLE
            if block.area.is_bits:
                bits = _coil_bits(8 * base + item.start - block.start, tag.count)
                places[item.tag] = Place(bits=bits)
            elif tag.type is ValueType.BOOL:
                first = 8 * (base + 2 * (item.start - block.start))
                places[item.tag] = Place(bits=_register_bits(first, tag.place.bit or 0, tag.count, swapped))
            else:
                start = base + 2 * (item.start - block.start)
                nbytes = tag.length or tag.type.size * tag.count
                if tag.type is ValueType.STRING:
                    text = Place(start, nbytes, encoding=tag.encoding, swapped=swapped, name=tag.name)
                    places[item.tag] = text
                else:
                    places[item.tag] = Place(start, nbytes)
        base += block.data_bytes
    return [places[index] for index in range(len(tags))]


def _coil_bits(first: int, count: int) -> tuple[int, ...]:
    """Coils stand lowest bit first (6.1), which is how bits of the replies are counted here."""
    return tuple(range(first, first + count))


def _register_bits(first: int, bit: int, count: int, swapped: bool) -> tuple[int, ...]:
    """A register's low byte is its second one, or its first where the station swaps them."""
    flip = 0 if swapped else 8
    return tuple(
        first + REGISTER_BITS * (index // REGISTER_BITS) + (index % REGISTER_BITS ^ flip)
        for index in range(bit, bit + count)
    )


def _summaries(
    connection: ModbusConnection, unit_id: int, blocks: Sequence[Block]
) -> tuple[RequestSummary, ...]:
    sent, received = overhead_bytes(connection.transport)
    return tuple(
        RequestSummary(
            f"{block}, unit {unit_id}",
            len(block.items),
            sent,
            received + block.data_bytes,
            float(connection.inter_request_delay)
            + bus_seconds(connection.transport, sent, received + block.data_bytes),
        )
        for block in blocks
    )


def _check_the_line(
    connection: ModbusConnection, group: ModbusGroup, requests: Sequence[RequestSummary]
) -> None:
    """Refuses intervals that no station could keep, because the characters do not fit on the wire.

    The last group of a connection is checked together with all others, as they share the line.
    """
    transport = connection.transport
    if not isinstance(transport, SerialTransport):
        return
    need = sum(request.bus_seconds for request in requests)
    where = f"group {group.name} of {connection.name}"
    if need > group.interval:
        raise ConfigError(
            f"{where}: its requests take {need * 1000:.0f} ms on a line of {transport.baud} baud, and its "
            f"interval is {group.interval * 1000:.0f} ms: poll less often, read less, or raise the baud rate"
        )
    if group is not connection.groups[-1]:
        return
    load = need / group.interval + sum(_line_share(connection, each) for each in connection.groups[:-1])
    if load > 1:
        raise ConfigError(
            f"the groups of {connection.name} together need {100 * load:.0f} % of a line of "
            f"{transport.baud} baud: poll less often, read less, or raise the baud rate"
        )


def _line_share(connection: ModbusConnection, group: ModbusGroup) -> float:
    requests = _summaries(connection, connection.unit_of(group), _blocks(connection, group.tags))
    return sum(request.bus_seconds for request in requests) / group.interval


def _notes(tags: Sequence[ModbusTag]) -> tuple[str, ...]:
    return tuple(f"{tag.name}: {tag.address} means {tag.place}" for tag in tags if tag.place.reference)
