"""What the driver learns when a PLC refuses a block: which of its tags are at fault. Pure.

A refused block is halved, at its widest gap or in the middle, until each refused part serves one item; that
item is bad, all others are read. So a module that takes shorter requests than others is read in shorter
ones. What was learnt stays, and later cycles pay for one request a part; bad items are asked again now and
then, and after connecting everything is tried whole again.
"""

from dataclasses import dataclass, field

from edge_agent.drivers.halving import RETRY_SECONDS, halves
from edge_agent.drivers.xgt.plan import Block, Item


@dataclass(eq=False, slots=True)
class Part:
    """One request for some items of a refused block. proven: the PLC has answered it."""

    block: Block
    proven: bool = False


@dataclass(frozen=True, slots=True)
class Bad:
    """Why the PLC refuses an item alone, and when to ask again."""

    text: str
    retry_at: float


@dataclass(slots=True)
class Trail:
    """What is known about one refused block of a plan."""

    root: Block
    parts: list[Part] = field(default_factory=list)
    bad: dict[Item, Bad] = field(default_factory=dict)
    _healed: bool = False

    @classmethod
    def of(cls, block: Block, text: str, now: float) -> "Trail":
        trail = cls(block)
        first = Part(block)
        trail.parts = [first]
        trail.refused(first, text, now)
        return trail

    @property
    def healed(self) -> bool:
        """What was bad is not: the whole block is worth a try."""
        return self._healed and not self.bad

    def due(self, now: float) -> list[Part]:
        """The bad items that are to be asked again, each as a part of its own."""
        return [
            Part(Block.of(self.root.kind, (item,))) for item, bad in self.bad.items() if bad.retry_at <= now
        ]

    def refused(self, part: Part, text: str, now: float) -> list[Part]:
        """Takes in a refusal. Returns the parts to ask instead; none where the part is one bad item."""
        items = part.block.items
        instead = [
            Part(Block.of(self.root.kind, half)) for half in halves(items, [item.area for item in items])
        ]
        if not instead:
            self.bad[items[0]] = Bad(text, now + RETRY_SECONDS)
        if part in self.parts:
            place = self.parts.index(part)
            self.parts[place : place + 1] = instead
        return instead

    def answered(self, part: Part) -> None:
        part.proven = True
        if part not in self.parts:
            del self.bad[part.block.items[0]]
            self.parts.append(part)
            self._healed = True
