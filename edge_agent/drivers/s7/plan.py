"""From a group's settings to the requests that serve its tags. Pure: no I/O, no clock.

A plan is laid out for the PDU of the settings, and laid out anew (`layout`) where a CPU grants another. Tags
are joined across unused bytes up to `max_gap`. A value is never cut; an array that is longer than a
message is cut between its elements. Only a text longer than a message is read in two, and is uncertain.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from edge_agent.contracts.driver import RequestSummary
from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.s7.address import AREAS, Area
from edge_agent.drivers.s7.blocks import (
    ENVELOPE_BYTES,
    Block,
    Item,
    Items,
    Request,
    area_index,
    merge,
    most_data,
    pack,
)
from edge_agent.drivers.s7.datatypes import Form
from edge_agent.drivers.s7.decode import Place, RowProgram
from edge_agent.drivers.s7.settings import S7Connection, S7Group, S7Tag
from edge_agent.wire.schema import Order, Schema, TagSchema

_FORMS: Final = tuple(Form)
# What asking for the CPU's state and its answer take (SZL 0x0424), as in `szl`.
_STATE_BYTES: Final = (26, 54)


class Field(NamedTuple):
    """What is known of one tag's place. area, form: their index. values: how many; element: bytes of one."""

    area: int
    db: int
    start: int
    end: int
    form: int
    bit: int
    values: int
    element: int


class Fields(Sequence[Field]):
    """The fields of all tags in schema order, 32 bytes each."""

    __slots__ = ("_numbers",)

    def __init__(self, fields: Iterable[Field]) -> None:
        self._numbers = array("I", [number for each in fields for number in each])

    def __len__(self) -> int:
        return len(self._numbers) // len(Field._fields)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(len(self))))
        size = len(Field._fields)
        first = size * range(len(self))[index]
        return Field(*self._numbers[first : first + size])


@dataclass(frozen=True, eq=False)
class Layout:
    """The requests for one PDU, and what becomes of the data that they bring, in their order.

    torn: tags whose one value comes in several replies, which may be of two moments.
    """

    pdu: int
    requests: tuple[Request, ...]
    program: RowProgram
    torn: tuple[int, ...] = ()

    @property
    def blocks(self) -> list[Block]:
        return [block for request in self.requests for block in request.blocks]


@dataclass(frozen=True, eq=False)
class S7Plan:
    """How one group is read. Compared by identity: the driver learns about each plan.

    encodings: of the tags that travel as JSON. notes: what people should know about the addresses; a pickled
    copy has none, as nobody would read them.
    """

    schema: Schema
    fields: Fields
    encodings: tuple[str, ...]
    max_gap: int
    planned: Layout
    notes: tuple[str, ...] = field(default=())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "notes": ()}

    @property
    def requests(self) -> tuple[RequestSummary, ...]:
        return tuple(map(_summary, self.planned.requests))

    def layout(self, pdu: int) -> Layout:
        """The requests for a CPU that granted this PDU."""
        if pdu == self.planned.pdu:
            return self.planned
        return lay_out(self.fields, self.encodings, self.max_gap, pdu)


def plan(connection: S7Connection, group: S7Group) -> S7Plan:
    """The plan of one group. Raises ConfigError for two tags of one name."""
    settings = sorted(group.tags, key=_by_address)
    by_name = {tag.name: tag for tag in settings}
    if len(by_name) != len(settings):
        raise ConfigError(f"group {group.name} of {connection.name} has two tags of the same name")
    schema = Schema.of(connection.name, group.name, None, [_tag_schema(tag) for tag in settings])
    ordered = [by_name[tag.name] for tag in schema.tags]
    fields = Fields(map(_field, ordered))
    encodings = tuple(tag.encoding for tag in ordered[schema.fixed_tags :])
    planned = lay_out(fields, encodings, connection.max_gap, connection.pdu)
    return S7Plan(schema, fields, encodings, connection.max_gap, planned, _notes(connection, settings))


def lay_out(fields: Fields, encodings: Sequence[str], max_gap: int, pdu: int) -> Layout:
    """The requests for these fields within a PDU, and the row that their replies make."""
    blocks = _blocks(fields, max_gap, most_data(pdu))
    requests: list[Request] = []
    base = 0
    for request in pack(blocks, pdu):
        based = []
        for block in request.blocks:
            based.append(Block(block.area, block.db, block.start, block.count, block.items, base))
            base += block.nbytes
        requests.append(Request(based, request.sent_bytes, request.received_bytes))
    placed = [block for request in requests for block in request.blocks]
    places = _places(fields, encodings, placed)
    torn = tuple(tag for tag, place in enumerate(places) if place.form.is_text and len(place.spans) > 1)
    return Layout(pdu, tuple(requests), RowProgram.of(places, base), torn)


def _by_address(tag: S7Tag) -> tuple[int, int, int, int]:
    place = tag.place
    return area_index(place.area), place.db, place.number, place.bit


def _is_text_of_characters(tag: S7Tag) -> bool:
    return tag.place.type.form in (Form.CHAR, Form.WCHAR)


def _tag_schema(tag: S7Tag) -> TagSchema:
    kind = tag.place.type
    count = 1 if _is_text_of_characters(tag) else tag.count
    # Computed numbers are written as the CPU would: big-endian like all others.
    order = Order.ABCD if tag.type.size > 1 else Order.DCBA
    unit = tag.unit or (kind.unit if tag.scale == 1.0 else "")
    return TagSchema(
        tag.name, tag.type, order, count, tag.scale, tag.offset, unit, tuple(sorted(tag.enum.items()))
    )


def _field(tag: S7Tag) -> Field:
    place = tag.place
    start, end = tag.span
    element = place.nbytes * (tag.count if _is_text_of_characters(tag) else 1)
    form = _FORMS.index(place.type.form)
    return Field(area_index(place.area), place.db, start, end, form, place.bit, tag.count, element)


def _blocks(fields: Fields, max_gap: int, most: int) -> list[Block]:
    found: dict[tuple[int, int], list[Item]] = {}
    for tag, each in enumerate(fields):
        found.setdefault((each.area, each.db), []).extend(_pieces(each, tag, most))
    blocks: list[Block] = []
    for (area, db), items in sorted(found.items(), key=lambda entry: entry[0]):
        blocks += merge(AREAS[area], db, Items.of(sorted(items)), max_gap, most)
    return blocks


def _pieces(each: Field, tag: int, most: int) -> list[Item]:
    """The field, cut between its elements where it is longer than a message."""
    unit = 1 if AREAS[each.area].is_bytes else 2
    if (each.end - each.start) * unit <= most:
        return [Item(each.start, each.end, tag)]
    is_bits = _FORMS[each.form] is Form.BIT
    element = 1 if is_bits or each.element > most else each.element // unit
    step = most // unit // element * element
    return [Item(at, min(at + step, each.end), tag) for at in range(each.start, each.end, step)]


def _places(fields: Fields, encodings: Sequence[str], blocks: Sequence[Block]) -> list[Place]:
    """Where each tag's value stands in the payload, in the order of the schema."""
    spans: list[list[tuple[int, int]]] = [[] for _ in range(len(fields))]
    for block in blocks:
        for item in block.items:
            spans[item.tag].append((item.start, block.at(item.start)))
    fixed = len(fields) - len(encodings)
    return [
        _place(each, sorted(spans[tag]), "" if tag < fixed else encodings[tag - fixed])
        for tag, each in enumerate(fields)
    ]


def _place(each: Field, found: Sequence[tuple[int, int]], encoding: str) -> Place:
    """found: where the pieces begin, in the PLC and in the payload, ascending."""
    unit = 2 if AREAS[each.area] in (Area.TIMER, Area.COUNTER) else 1
    ends = [start for start, _ in found[1:]] + [each.end]
    spans = [(at, at + (end - start) * unit) for (start, at), end in zip(found, ends, strict=True)]
    form = _FORMS[each.form]
    if form is not Form.BIT:
        return Place(form, tuple(spans), each.element, (), encoding)
    places = [byte for start, end in spans for byte in range(start, end)]
    bits = tuple(8 * places[bit // 8] + bit % 8 for bit in range(each.bit, each.bit + each.values))
    return Place(form, (), 1, bits, encoding)


def _summary(request: Request) -> RequestSummary:
    tags = {item.tag for block in request.blocks for item in block.items}
    sent, received = request.sent_bytes, request.received_bytes
    if request.blocks[0].area is Area.CPU:
        sent, received = _STATE_BYTES
    text = ", ".join(map(str, request.blocks))
    return RequestSummary(text, len(tags), sent + ENVELOPE_BYTES, received + ENVELOPE_BYTES, 0.0)


def _notes(connection: S7Connection, tags: Sequence[S7Tag]) -> tuple[str, ...]:
    notes: list[str] = []
    most = most_data(connection.pdu)
    for tag in tags:
        place = tag.place
        if place.written:
            notes.append(f"{tag.name}: {tag.address} means {place} (German mnemonics)")
        nbytes = place.nbytes * tag.count
        if nbytes > most and place.type.form is not Form.BIT:
            notes.append(
                f"{tag.name}: its {nbytes} bytes do not fit into one message of {connection.pdu}; they are "
                "read in several, and may be of two moments"
                + (": such a text is uncertain" if place.type.form.is_text else "")
            )
    return tuple(notes)
