"""What an epoch owes, as pure arithmetic on ranges (docs/specs/batch-v1.md, «What the centre keeps»).

The agent's promise: every seq below `floor` was acknowledged, or lies in a loss that was acknowledged.
missing = [1, next−1] − received − lost. What is missing below the floor of an open epoch is a gap that
the agent is asked for again; in a closed epoch everything missing is a gap, from the floor on named
`tail`. A loss of what was received is void.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from edge_agent.wire import ranges
from edge_agent.wire.messages import Head
from edge_agent.wire.ranges import Ranges

# Ranges named in one answer; what is left out is named by a later one.
MAX_NAMED: Final = 1_000


@dataclass(frozen=True, slots=True)
class HeadState:
    """What the centre has been told about an epoch. `next` is never below what was received + 1."""

    floor: int = 1
    next: int = 1
    closed: bool = False
    run: str = ""


def merge_head(known: HeadState, head: Head) -> HeadState:
    """Heads are monotone within an epoch: one with a smaller `next` is older and says nothing."""
    if head.next < known.next:
        return known
    floor = max(known.floor, min(head.floor, head.next))
    return HeadState(floor, head.next, False, head.run)


def head_problem(head: Head) -> str | None:
    """What contradicts itself: below the floor all is settled, from `next` on nothing exists."""
    if head.floor > head.next:
        return f"the floor {head.floor} of epoch {head.epoch} is above its next {head.next}"
    return None


def through(known: HeadState, seq: int) -> HeadState:
    """A batch in hand proves that it was numbered, whatever the heads say."""
    return HeadState(known.floor, max(known.next, seq + 1), known.closed, known.run)


@dataclass(frozen=True, slots=True)
class Account:
    """pending, gaps, tail and lost are disjoint, and with what was received they fill [1, next−1]."""

    pending: Ranges
    gaps: Ranges
    tail: Ranges
    lost: Ranges
    complete_through: int


def account(head: HeadState, received: Ranges, lost: Ranges) -> Account:
    whole = [(1, head.next - 1)]
    settled = ranges.union(received, lost)
    missing = ranges.subtract(whole, settled)
    below = ranges.intersect(missing, [(1, head.floor - 1)])
    above = ranges.subtract(missing, below)
    complete = missing[0][0] - 1 if missing else head.next - 1
    return Account(
        pending=[] if head.closed else above,
        gaps=below,
        tail=above if head.closed else [],
        lost=ranges.intersect(ranges.subtract(lost, received), whole),
        complete_through=complete,
    )


def to_resend(floor: int, received: Ranges, lost: Ranges, horizon: int | None) -> Ranges:
    """The first missing ranges below the floor; `horizon`: up to where `received` and `lost` are whole."""
    end = floor - 1 if horizon is None else min(floor - 1, horizon)
    missing = ranges.subtract([(1, end)], ranges.union(received, lost))
    return list(islice(missing, MAX_NAMED))


def named(pairs: Iterable[tuple[int, int]], epoch: str, name: str) -> list[dict[str, object]]:
    """Ranges as the API names them: `{epoch, from, to, name}`."""
    return [{"epoch": epoch, "from": lo, "to": hi, "name": name} for lo, hi in pairs]
