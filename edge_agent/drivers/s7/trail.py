"""What the driver learns when a CPU refuses a block: which of its tags are at fault. Pure.

A refused block is halved until each refused part holds the tags of one range; those are bad, all others are
read. What was learnt stays, so that later reads pay for nothing but the parts; bad ranges are asked again
now and then, and once all of them are answered the whole blocks are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.drivers.halving import RETRY_SECONDS
from edge_agent.drivers.s7.address import Area
from edge_agent.drivers.s7.blocks import Block, Request, pack
from edge_agent.drivers.s7.plan import Layout

_Key = tuple[Area, int, int, int]


@dataclass(frozen=True, slots=True)
class Bad:
    """A range that the CPU refuses: with which return code, and when to ask again."""

    block: Block
    code: int
    retry_at: float


class Trail:
    """What is known about the blocks of one layout."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.bad: dict[_Key, Bad] = {}
        self._blocks = layout.blocks
        self._requests: Sequence[Request] | None = layout.requests

    @property
    def is_whole(self) -> bool:
        """Nothing was ever refused: the layout's own requests are asked."""
        return self._requests is self.layout.requests

    @property
    def requests(self) -> Sequence[Request]:
        """What is asked in each read."""
        if self._requests is None:
            self._requests = pack(self._blocks, self.layout.pdu)
        return self._requests

    def due(self, now: float) -> list[Request]:
        """Bad ranges that are to be asked again."""
        return pack((bad.block for bad in self.bad.values() if bad.retry_at <= now), self.layout.pdu)

    def refused(self, block: Block, code: int, now: float) -> tuple[Block, ...]:
        """Takes in a refusal. Returns the parts to ask instead; none where it is one range."""
        halves = block.halves()
        if not halves:
            self.bad[_key(block)] = Bad(block, code, now + RETRY_SECONDS)
        if block in self._blocks:  # else a bad range was asked again, and is bad still
            place = self._blocks.index(block)
            self._blocks[place : place + 1] = halves
            self._requests = None
        return halves

    def answered(self, block: Block) -> None:
        if self.bad.pop(_key(block), None) is None:
            return
        if self.bad:
            self._blocks.append(block)
            self._requests = None
        else:
            self._blocks, self._requests = self.layout.blocks, self.layout.requests


def _key(block: Block) -> _Key:
    return block.area, block.db, block.start, block.count
