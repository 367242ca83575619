"""Medians, percentiles and lines through points. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean


@dataclass(frozen=True, slots=True)
class Line:
    """y = slope · x + intercept; r2: the share of y's variance that it explains, 1 for a perfect one."""

    slope: float
    intercept: float
    r2: float


def least_squares(points: Sequence[tuple[float, float]]) -> Line:
    """Raises ValueError for fewer than two different x."""
    mean_x, mean_y = fmean(x for x, _ in points), fmean(y for _, y in points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        raise ValueError("a line needs two different x")
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    intercept = mean_y - slope * mean_x
    whole = sum((y - mean_y) ** 2 for _, y in points)
    rest = sum((y - slope * x - intercept) ** 2 for x, y in points)
    return Line(slope, intercept, 1 - rest / whole if whole else 1.0)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0…1) of them do not exceed. Raises ValueError for none."""
    if not values:
        raise ValueError("no values, no percentile")
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def lateness_ms(completions_ns: Sequence[int], interval_ns: int) -> list[float]:
    """How late the cycles of one group ended, against the earliest of them on the group's own grid.

    Only the grid's interval is known from outside, so its phase is taken from the cycles themselves: the
    earliest counts as punctual. The others' delays contain how much longer than it they read.
    """
    if not completions_ns:
        return []
    # The phase of the middle one serves as the cut, far from which no punctual cycle lies.
    anchor = sorted(completions_ns)[len(completions_ns) // 2]
    half = interval_ns // 2
    offsets = [(at - anchor + half) % interval_ns - half for at in completions_ns]
    earliest = min(offsets)
    return [(offset - earliest) / 1e6 for offset in offsets]
