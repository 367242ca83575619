"""Ranges of memory and the requests that read them: what must fit into a message (PDU). Pure.

A request reads up to 20 ranges («read multiple variables»). Its own bytes and those of its reply are within
the PDU that both sides agreed on; those of TPKT and COTP do not count. Layout of the messages: the S7
dissector of Wireshark, and libnodave.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, overload

from edge_agent.drivers.s7.address import AREAS, Area, span_text

MAX_RANGES: Final = 20
ENVELOPE_BYTES: Final = 7  # TPKT and COTP round each message
REQUEST_HEAD: Final = 12  # header and parameter head
RANGE_BYTES: Final = 12
REPLY_HEAD: Final = 14
ITEM_HEAD: Final = 4
# How far back a range may join a request that has room: bounded, so that planning is linear.
_OPEN_REQUESTS: Final = 8


def most_data(pdu: int) -> int:
    """Bytes that one range may bring."""
    return pdu - REPLY_HEAD - ITEM_HEAD


class Item(NamedTuple):
    """What one tag needs read: `start` to `end - 1` of an area, for tag `tag` of the schema."""

    start: int
    end: int
    tag: int


class Items(Sequence[Item]):
    """Items of one area in ascending order; slices share the numbers, which take 12 bytes an item."""

    __slots__ = ("_first", "_last", "_numbers")

    def __init__(self, numbers: "array[int]", first: int, last: int) -> None:
        self._numbers, self._first, self._last = numbers, first, last

    @classmethod
    def of(cls, items: Iterable[Item]) -> "Items":
        numbers = array("I", [number for item in items for number in item])
        return cls(numbers, 0, len(numbers) // 3)

    def __len__(self) -> int:
        return self._last - self._first

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> "Items": ...
    def __getitem__(self, index: int | slice) -> "Item | Items":
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self))
            return Items(self._numbers, self._first + start, self._first + max(start, stop))
        at = 3 * (self._first + range(len(self))[index])
        return Item(*self._numbers[at : at + 3])

    def __iter__(self) -> Iterator[Item]:
        cut = self._numbers[3 * self._first : 3 * self._last]
        return map(Item, cut[::3], cut[1::3], cut[2::3])


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A range that one request reads as a whole: `count` bytes, timers or counters from `start`.

    base: where its data stand in the payload, which is the data of all blocks of a plan.
    """

    area: Area
    db: int
    start: int
    count: int
    items: Items
    base: int = 0

    @property
    def unit(self) -> int:
        """Bytes of one address."""
        return 1 if self.area.is_bytes or self.area is Area.CPU else 2

    @property
    def nbytes(self) -> int:
        return self.count * self.unit

    def at(self, start: int) -> int:
        """Where the byte, timer or counter `start` stands in the payload."""
        return self.base + (start - self.start) * self.unit

    def part(self, items: Items) -> "Block":
        """The part of this block that serves these items."""
        start, end = items[0].start, max(item.end for item in items)
        return Block(self.area, self.db, start, end - start, items, self.at(start))

    def halves(self) -> tuple["Block", ...]:
        """Cut in the middle, and never between tags of the very same range; none where there is but one."""
        cuts = [at for at in range(1, len(self.items)) if self.items[at][:2] != self.items[at - 1][:2]]
        if not cuts:
            return ()
        cut = min(cuts, key=lambda at: abs(2 * at - len(self.items)))
        return self.part(self.items[:cut]), self.part(self.items[cut:])

    def __str__(self) -> str:
        return span_text(self.area, self.db, self.start, self.start + self.count)


@dataclass(slots=True)
class Request:
    """Blocks that are read together, and how many bytes that takes on the wire without the envelopes."""

    blocks: list[Block] = field(default_factory=list)
    sent_bytes: int = REQUEST_HEAD
    received_bytes: int = REPLY_HEAD

    def takes(self, block: Block, pdu: int) -> bool:
        """Adds the block if it fits."""
        # Data of an odd length are followed by a fill byte, if another item follows.
        received = self.received_bytes + self.received_bytes % 2 + ITEM_HEAD + block.nbytes
        sent = self.sent_bytes + RANGE_BYTES
        if self.blocks and (
            max(sent, received) > pdu
            or len(self.blocks) == MAX_RANGES
            or Area.CPU in (block.area, self.blocks[0].area)
        ):
            return False
        self.blocks.append(block)
        self.sent_bytes, self.received_bytes = sent, received
        return True


def pack(blocks: Iterable[Block], pdu: int) -> list[Request]:
    """Few requests that read these blocks, each of which fits by itself."""
    requests: list[Request] = []
    for block in blocks:
        if not any(request.takes(block, pdu) for request in requests[-_OPEN_REQUESTS:]):
            fresh = Request()
            fresh.takes(block, pdu)
            requests.append(fresh)
    return requests


def merge(area: Area, db: int, items: Items, max_gap: int, most: int) -> list[Block]:
    """The fewest blocks of at most `most` bytes, joined over at most `max_gap` unused ones.

    Taking from the left whatever still fits is optimal for intervals that may not be cut. items: sorted.
    """
    unit = Block(area, db, 0, 0, items).unit
    blocks: list[Block] = []
    first = begin = end = 0
    for index, item in enumerate(items):
        wide = (max(end, item.end) - begin) * unit > most
        if index > first and ((item.start - end) * unit > max_gap or wide):
            blocks.append(Block(area, db, begin, end - begin, items[first:index]))
            first = index
        if index == first:
            begin, end = item.start, item.end
        end = max(end, item.end)
    if len(items):
        blocks.append(Block(area, db, begin, end - begin, items[first:]))
    return blocks


def area_index(area: Area) -> int:
    return AREAS.index(area)
