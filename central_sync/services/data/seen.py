"""Which frames are stored: the audit that finds what is stored twice.

Frame numbers count a group's frames in a run of the agent without holes, so that (run, connection,
group, n) names a frame whatever batch brought it. An overlap is a duplicate and must not happen.
"""

from bisect import bisect_left

# Inclusive pairs [lo, hi], ascending, disjoint and not touching.
Pairs = list[list[int]]


def add(pairs: Pairs, lo: int, hi: int) -> int:
    """Adds lo..hi in place and returns how many of these numbers were there already."""
    if not pairs or lo > pairs[-1][1] + 1:
        pairs.append([lo, hi])
        return 0
    if lo == pairs[-1][1] + 1:
        pairs[-1][1] = hi
        return 0
    first = bisect_left(pairs, lo, key=lambda pair: pair[1] + 1)
    last, overlap = first, 0
    new_lo, new_hi = lo, hi
    while last < len(pairs) and pairs[last][0] <= hi + 1:
        old_lo, old_hi = pairs[last]
        overlap += max(0, min(hi, old_hi) - max(lo, old_lo) + 1)
        new_lo, new_hi = min(new_lo, old_lo), max(new_hi, old_hi)
        last += 1
    pairs[first:last] = [[new_lo, new_hi]]
    return overlap
