"""What the driver learns when a station refuses a block: which of its tags are at fault. Pure.

A refused block is halved until each refused part holds one item; that item is bad, all others are read.
Then parts between which nothing was at fault are tried as one again. Where a cut has no bad item behind
it (a hole in unused addresses, or a station that takes short requests only) it stays. What was learnt
stays too, so that later cycles pay for one request a part; bad items are asked again now and then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edge_agent.drivers.halving import RETRY_SECONDS, halves
from edge_agent.drivers.modbus.plan import Block, Item


@dataclass(eq=False, slots=True)
class Part:
    """One request for neighbouring items of a refused block.

    parent: the refused part that it was cut from. fallback: the parts that are known to work, where this
    one joins them on trial. proven: the station has answered it. explained: something inside it was
    refused by itself, so the cut through it was not what helped.
    """

    block: Block
    parent: "Part | None" = None
    fallback: tuple["Part", ...] = ()
    proven: bool = False
    explained: bool = False


@dataclass(frozen=True, slots=True)
class Bad:
    """An item that the station refuses alone: with which exception code, and when to ask again."""

    item: Item
    code: int
    retry_at: float


@dataclass(slots=True)
class Trail:
    """What is known about one refused block of a plan."""

    root: Block
    parts: list[Part] = field(default_factory=list)
    bad: dict[Item, Bad] = field(default_factory=dict)
    _unsettled: bool = True

    @classmethod
    def of(cls, block: Block, code: int, now: float) -> "Trail":
        trail = cls(block)
        first = Part(block)
        trail.parts = [first]
        trail.refused(first, code, now)
        return trail

    @property
    def healed(self) -> bool:
        """The whole block was answered again: nothing of this needs to be remembered."""
        return not self.bad and len(self.parts) == 1 and self.parts[0].proven

    def due(self, now: float) -> list[Part]:
        """The bad items that are to be asked again, each as a part of its own."""
        return [Part(_block(self.root, (bad.item,))) for bad in self.bad.values() if bad.retry_at <= now]

    def retry_at_once(self) -> None:
        self.bad = {item: Bad(item, bad.code, 0.0) for item, bad in self.bad.items()}

    def refused(self, part: Part, code: int, now: float) -> list[Part]:
        """Takes in a refusal. Returns the parts to ask instead; none where the part is one bad item."""
        items = part.block.items
        if len(items) == 1:
            self.bad[items[0]] = Bad(items[0], code, now + RETRY_SECONDS)
        if part not in self.parts:  # a bad item was asked again, and is bad still
            return []
        if part.parent is not None:
            part.parent.explained = True
        if part.fallback:
            instead = list(part.fallback)
        else:
            instead = [Part(_block(self.root, half), part) for half in halves(items)]
            self._unsettled = True
        place = self.parts.index(part)
        self.parts[place : place + 1] = instead
        return instead

    def answered(self, part: Part) -> None:
        part.proven = True
        if part in self.parts:
            return
        item = part.block.items[0]
        del self.bad[item]
        later = (i for i, other in enumerate(self.parts) if _key(other.block.items[0]) > _key(item))
        self.parts.insert(next(later, len(self.parts)), part)
        self._unsettled = True

    def settle(self) -> None:
        """At the end of a cycle: joins what may be joined, once everything was asked."""
        if not self._unsettled or not all(part.proven for part in self.parts):
            return
        self._unsettled = False
        runs: list[list[Part]] = []
        for part in self.parts:
            if runs and self._may_join(runs[-1][-1], part):
                runs[-1].append(part)
            else:
                runs.append([part])
        self.parts = [run[0] if len(run) == 1 else self._trial(run) for run in runs]

    def _trial(self, run: list[Part]) -> Part:
        items = tuple(item for part in run for item in part.block.items)
        return Part(_block(self.root, items), fallback=tuple(run))

    def _may_join(self, left: Part, right: Part) -> bool:
        items = self.root.items
        if items.index(right.block.items[0]) - items.index(left.block.items[-1]) != 1:
            return False  # a bad item stands there
        while left.fallback:
            left = left.fallback[-1]
        while right.fallback:
            right = right.fallback[0]
        ancestors = set(_ancestors(left))
        common = next((part for part in _ancestors(right) if part in ancestors), None)
        return common is None or common.explained


def _ancestors(part: Part) -> Iterable[Part]:
    node = part.parent
    while node is not None:
        yield node
        node = node.parent


def _key(item: Item) -> tuple[int, int]:
    return item.start, item.end


def _block(root: Block, items: Sequence[Item]) -> Block:
    start = items[0].start
    return Block(root.area, start, max(item.end for item in items) - start, items)
