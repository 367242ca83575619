"""Sets of whole numbers as sorted, disjoint, inclusive ranges: `[(1, 4), (9, 9)]`.

Batches, frames and losses are counted with these on both sides, so that a million consecutive
numbers cost one pair.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

Range: TypeAlias = tuple[int, int]
Ranges: TypeAlias = list[Range]


def coalesce(pairs: Iterable[Sequence[int]]) -> Ranges:
    """The same numbers, sorted, with touching and overlapping ranges joined. Empty ranges vanish."""
    result: Ranges = []
    for lo, hi in sorted((pair[0], pair[1]) for pair in pairs):
        if hi < lo:
            continue
        if result and lo <= result[-1][1] + 1:
            if hi > result[-1][1]:
                result[-1] = (result[-1][0], hi)
        else:
            result.append((lo, hi))
    return result


def of_numbers(numbers: Iterable[int]) -> Ranges:
    """The ranges that hold exactly these numbers."""
    return coalesce((number, number) for number in numbers)


def union(left: Iterable[Sequence[int]], right: Iterable[Sequence[int]]) -> Ranges:
    return coalesce([*left, *right])


def subtract(left: Iterable[Sequence[int]], right: Iterable[Sequence[int]]) -> Ranges:
    """The numbers of `left` that are not in `right`."""
    result: Ranges = []
    holes = coalesce(right)
    at = 0
    for lo, hi in coalesce(left):
        while at < len(holes) and holes[at][1] < lo:
            at += 1
        index, start = at, lo
        while index < len(holes) and holes[index][0] <= hi:
            hole_lo, hole_hi = holes[index]
            if hole_lo > start:
                result.append((start, hole_lo - 1))
            start = max(start, hole_hi + 1)
            index += 1
        if start <= hi:
            result.append((start, hi))
    return result


def intersect(left: Iterable[Sequence[int]], right: Iterable[Sequence[int]]) -> Ranges:
    left = coalesce(left)
    return subtract(left, subtract(left, right))


def size(ranges: Iterable[Sequence[int]]) -> int:
    """How many numbers the ranges hold (each range counted by itself)."""
    return sum(pair[1] - pair[0] + 1 for pair in ranges)


def contains(ranges: Iterable[Sequence[int]], number: int) -> bool:
    return any(pair[0] <= number <= pair[1] for pair in ranges)
