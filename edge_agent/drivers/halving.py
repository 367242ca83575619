"""Where a refused request is cut in two to find out which of its items are at fault. Pure."""

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

# When a bad item is asked again.
RETRY_SECONDS: Final = 60.0
# Requests that one read may spend on finding out what a device refuses; the rest waits for the next.
PROBES_PER_READ: Final = 32


class Range(Protocol):
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


Item = TypeVar("Item", bound=Range)


def halves(items: Sequence[Item], areas: Sequence[int] | None = None) -> tuple[Sequence[Item], ...]:
    """Cut at the widest gap, else in the middle; nothing of a single item.

    items: sorted. areas: of each, where they may differ; there is no gap between two areas.
    """
    if len(items) == 1:
        return ()
    ends: list[int] = []
    for at, item in enumerate(items):
        same = at and (areas is None or areas[at] == areas[at - 1])
        ends.append(max(item.end, ends[-1]) if same else item.end)

    def worth(cut: int) -> tuple[int, int]:
        apart = areas is not None and areas[cut] != areas[cut - 1]
        gap = 0 if apart else items[cut].start - ends[cut - 1]
        return max(0, gap), -abs(2 * cut - len(items))

    cut = max(range(1, len(items)), key=worth)
    return items[:cut], items[cut:]
