"""From a group's settings to the fewest requests that serve its tags. Pure: no I/O, no clock.

Values of one area are joined over at most `max_gap` unused words into continuous reads. What then stays alone
in a few words is read by name instead, up to 16 words of any areas in one request, wherever that saves
requests. Contacts of timers and counters have only names. A value is never read by two requests, so that it
is never put together from two moments. Tags may overlap. Everything begins and ends at words.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, NamedTuple, overload

from edge_agent.contracts.driver import RequestSummary
from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.cutting import RowCut, Span
from edge_agent.drivers.xgt import frames, status
from edge_agent.drivers.xgt.settings import XgtConnection, XgtGroup, XgtTag
from edge_agent.wire.schema import Schema, TagSchema, ValueType

_WORD: Final = 2
_MOST_TOLD: Final = 4


class Kind(IntEnum):
    """How a block is asked for."""

    CONTINUOUS = 0
    WORDS = 1
    CONTACTS = 2
    STATUS = 3


class Item(NamedTuple):
    """What one tag needs read: bytes `start` to `end - 1` of an area, for tag `tag` of the schema.

    area: its letter's code. start: of a contact the number of its timer; of a status a byte of the record.
    """

    area: int
    start: int
    end: int
    tag: int


class Items(Sequence[Item]):
    """Items that are looked at when a request fails, and until then take a tenth of the memory."""

    __slots__ = ("_numbers",)

    def __init__(self, items: Iterable[Item]) -> None:
        self._numbers = array("I", [number for item in items for number in item])

    def __len__(self) -> int:
        return len(self._numbers) // 4

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(len(self))))
        first = 4 * range(len(self))[index]
        return Item(*self._numbers[first : first + 4])


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One request. starts: area and first byte of what it reads, `count` bytes each (of a contact: its
    number, and one byte). items: what it serves."""

    kind: Kind
    starts: tuple[tuple[int, int], ...]
    count: int
    items: Sequence[Item]

    @classmethod
    def of(cls, kind: Kind, items: Sequence[Item]) -> "Block":
        """The block that serves just these. items: sorted; of one area where the block is continuous."""
        if kind is Kind.STATUS:
            return cls(kind, ((0, 0),), status.RECORD_BYTES, items)
        if kind is Kind.CONTACTS:
            return cls(kind, tuple(dict.fromkeys((item.area, item.start) for item in items)), 1, items)
        if kind is Kind.WORDS:
            words = ((item.area, word) for item in items for word in _words(item))
            return cls(kind, tuple(dict.fromkeys(sorted(words))), _WORD, items)
        start = min(item.start for item in items) & ~1
        end = max(item.end for item in items) + 1 & ~1
        return cls(kind, ((items[0].area, start),), end - start, items)

    @property
    def data_bytes(self) -> int:
        """Bytes of values in the reply."""
        return len(self.starts) * self.count

    @property
    def names(self) -> tuple[str, ...]:
        letter = {Kind.CONTINUOUS: "B", Kind.WORDS: "W", Kind.CONTACTS: "X"}.get(self.kind, "")
        unit = _WORD if self.kind is Kind.WORDS else 1
        return tuple(f"%{area:c}{letter}{start // unit}" for area, start in self.starts) if letter else ()

    @property
    def body(self) -> bytes:
        if self.kind is Kind.STATUS:
            return frames.read_status()
        if self.kind is Kind.CONTINUOUS:
            return frames.read_bytes(self.names[0], self.count)
        return frames.read_names(frames.BIT if self.kind is Kind.CONTACTS else frames.WORD, self.names)

    @property
    def reply_bytes(self) -> int:
        """Of the whole reply, its header included."""
        if self.kind is Kind.STATUS:
            return frames.HEADER_BYTES + 12 + status.STATUS_BYTES
        return frames.HEADER_BYTES + 10 + self.data_bytes + 2 * len(self.starts)

    def offsets(self) -> dict[tuple[int, int], int]:
        """Where each start stands in the data."""
        return {start: index * self.count for index, start in enumerate(self.starts)}

    def cut(self, data: bytes) -> list[tuple[Item, bytes]]:
        """Each item's bytes out of the data of this block."""
        places = self.offsets()
        return [
            (item, data[at : at + item.end - item.start])
            for item in self.items
            for at in (self.place(item, places),)
        ]

    def place(self, item: Item, offsets: dict[tuple[int, int], int]) -> int:
        """Where an item's first byte stands in the data."""
        if self.kind is Kind.WORDS:
            return offsets[item.area, item.start & ~1] + item.start % _WORD
        if self.kind is Kind.CONTACTS:
            return offsets[item.area, item.start]
        return item.start - self.starts[0][1]

    def __str__(self) -> str:
        if self.kind is Kind.STATUS:
            return "PLC status"
        names = self.names
        if self.kind is Kind.CONTINUOUS:
            return f"{names[0]}, {self.count} bytes"
        more = f" and {len(names) - _MOST_TOLD} more" if len(names) > _MOST_TOLD else ""
        return ", ".join(names[:_MOST_TOLD]) + more


@dataclass(frozen=True, slots=True)
class Text:
    """A string tag: where its bytes stand in the payload."""

    start: int
    end: int
    encoding: str
    name: str


@dataclass(frozen=True, eq=False)
class XgtPlan:
    """The requests that serve one group. Compared by identity: the driver learns about each plan.

    bases: where each block's data begins in the payload, which is all of it. notes: a pickled copy has none.
    """

    schema: Schema
    blocks: tuple[Block, ...]
    bases: tuple[int, ...]
    cut: RowCut
    texts: tuple[Text, ...]
    requests: tuple[RequestSummary, ...]
    notes: tuple[str, ...] = field(default=())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "notes": ()}


def _words(item: Item) -> range:
    return range(item.start & ~1, item.end, _WORD)


def plan(connection: XgtConnection, group: XgtGroup) -> XgtPlan:
    """The plan of one group. Raises ConfigError for a value that no single request may hold."""
    settings = sorted(group.tags, key=lambda tag: _place_key(connection, tag))
    by_name = {tag.name: tag for tag in settings}
    if len(by_name) != len(settings):
        raise ConfigError(f"group {group.name} of {connection.name} has two tags of the same name")
    schema = Schema.of(connection.name, group.name, None, [_tag_schema(tag) for tag in settings])
    ordered = [by_name[tag.name] for tag in schema.tags]
    blocks = _blocks(connection, [(_item(connection, tag, at), tag) for at, tag in enumerate(ordered)])
    bases, payload_bytes = _bases(blocks)
    spans, bits, texts = _places(connection, blocks, bases, ordered)
    return XgtPlan(
        schema, tuple(blocks), bases, RowCut.of(spans, bits, payload_bytes), texts,
        tuple(_summary(block) for block in blocks), _notes(connection, settings),
    )  # fmt: skip


def _place_key(connection: XgtConnection, tag: XgtTag) -> tuple[bool, str, int, int]:
    """By address; bits behind all bytes, as `RowCut` puts them: both take one byte of the row."""
    is_bit = tag.type is ValueType.BOOL
    if tag.is_status:
        return is_bit, "", status.field(tag.address).start, 0
    place = connection.place(tag)
    return is_bit, place.area, place.byte, place.bit or 0


def _tag_schema(tag: XgtTag) -> TagSchema:
    """Values are little-endian on the wire, which is the schema's own order."""
    return TagSchema(
        tag.name, tag.type, count=tag.count, scale=tag.scale, offset=tag.offset, unit=tag.unit,
        enum=tuple(sorted(tag.enum.items())),
    )  # fmt: skip


def _item(connection: XgtConnection, tag: XgtTag, index: int) -> Item:
    if tag.is_status:
        found = status.field(tag.address)
        return Item(0, found.start, found.start + max(1, found.type.size), index)
    place = connection.place(tag)
    if place.bit is not None:
        return Item(ord(place.area), place.byte, place.byte + (place.bit + tag.count + 7) // 8, index)
    nbytes = 1 if place.contact else tag.nbytes
    return Item(ord(place.area), place.byte, place.byte + nbytes, index)


def _blocks(connection: XgtConnection, items: Sequence[tuple[Item, XgtTag]]) -> list[Block]:
    states = [item for item, tag in items if tag.is_status]
    contacts = [item for item, tag in items if not tag.is_status and tag.written.is_contact]
    values = [item for item, tag in items if not tag.is_status and not tag.written.is_contact]
    for item, tag in items:
        if (item.end + 1 & ~1) - (item.start & ~1) > connection.max_bytes:
            raise ConfigError(
                f"tag {tag.name} of {connection.name} takes {item.end - item.start} bytes, and max_bytes is "
                f"{connection.max_bytes}: a value is never read in two requests"
            )
    runs = merge(values, _WORD * connection.max_gap, connection.max_bytes)
    blocks = pack(runs, connection.max_names)
    blocks += _contact_blocks(contacts, connection.max_names)
    if states:
        blocks.append(Block.of(Kind.STATUS, Items(states)))
    return blocks


def merge(items: Iterable[Item], max_gap_bytes: int, most_bytes: int) -> list[list[Item]]:
    """The fewest runs of at most `most_bytes` whole words, joined over at most `max_gap_bytes` unused ones.

    Taking from the left whatever still fits is optimal for intervals that may not be cut.
    """
    runs: list[list[Item]] = []
    begin = end = area = 0
    for item in sorted(items):
        first, last = item.start & ~1, item.end + 1 & ~1
        fits = runs and item.area == area and first - end <= max_gap_bytes
        if fits and max(end, last) - begin <= most_bytes:
            runs[-1].append(item)
            end = max(end, last)
        else:
            runs.append([item])
            area, begin, end = item.area, first, last
    return runs


def pack(runs: Sequence[list[Item]], most_names: int) -> list[Block]:
    """Runs as blocks: short ones share requests by name where that saves some; others are continuous."""
    sizes = [len({word for item in run for word in _words(item)}) for run in runs]
    order = sorted(range(len(runs)), key=lambda index: sizes[index])  # stable: then by area and address
    shared: list[list[int]] = []
    room = 0
    for index in order:
        if sizes[index] > most_names:
            break
        if sizes[index] > room:
            shared.append([])
            room = most_names
        shared[-1].append(index)
        room -= sizes[index]
    shared = [indexes for indexes in shared if len(indexes) > 1]
    gone = {index for indexes in shared for index in indexes}
    blocks = [Block.of(Kind.CONTINUOUS, Items(run)) for at, run in enumerate(runs) if at not in gone]
    for indexes in shared:
        items = sorted(item for index in indexes for item in runs[index])
        blocks.append(Block.of(Kind.WORDS, Items(items)))
    return blocks


def _contact_blocks(items: Iterable[Item], most_names: int) -> list[Block]:
    blocks: list[Block] = []
    chunk: list[Item] = []
    names: set[tuple[int, int]] = set()
    for item in sorted(items):
        if len(names | {(item.area, item.start)}) > most_names:
            blocks.append(Block.of(Kind.CONTACTS, Items(chunk)))
            chunk, names = [], set()
        chunk.append(item)
        names.add((item.area, item.start))
    if chunk:
        blocks.append(Block.of(Kind.CONTACTS, Items(chunk)))
    return blocks


def _bases(blocks: Sequence[Block]) -> tuple[tuple[int, ...], int]:
    """Where each block's data begins, and where the last one's ends."""
    bases: list[int] = []
    end = 0
    for block in blocks:
        bases.append(end)
        end += block.data_bytes
    return tuple(bases), end


def _places(
    connection: XgtConnection, blocks: Sequence[Block], bases: Sequence[int], tags: Sequence[XgtTag]
) -> tuple[list[Span], list[int], tuple[Text, ...]]:
    """In the order of the schema: spans of values, bits, and texts."""
    spans: dict[int, Span] = {}
    for block, base in zip(blocks, bases, strict=True):
        offsets = block.offsets()
        for item in block.items:
            start = base + block.place(item, offsets)
            spans[item.tag] = start, start + item.end - item.start
    values: list[Span] = []
    bits: list[int] = []
    texts: list[Text] = []
    for index, tag in enumerate(tags):
        start, end = spans[index]
        if tag.type is ValueType.STRING:
            texts.append(Text(start, end, tag.encoding, tag.name))
        elif tag.type is ValueType.BOOL:
            first = 8 * start + _first_bit(connection, tag)
            bits += range(first, first + tag.count)
        else:
            values.append((start, end))
    return values, bits, tuple(texts)


def _first_bit(connection: XgtConnection, tag: XgtTag) -> int:
    if tag.is_status:
        return status.field(tag.address).bit or 0
    return connection.place(tag).bit or 0


def _summary(block: Block) -> RequestSummary:
    sent = frames.HEADER_BYTES + len(block.body)
    return RequestSummary(str(block), len(block.items), sent, block.reply_bytes, 0.0)


def _notes(connection: XgtConnection, tags: Sequence[XgtTag]) -> tuple[str, ...]:
    """Where numbers count something else than words, people should see what they mean."""
    notes = []
    for tag in tags:
        if tag.is_status or tag.written.is_contact:
            continue
        written = tag.written
        if written.size in (0, 4, 8) or written.slotted is not None:
            notes.append(f"{tag.name}: {tag.address} means {connection.place(tag)}")
    return tuple(notes)
