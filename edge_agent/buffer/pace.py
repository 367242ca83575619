"""How much an interrupted run can have collected since its last commit. Pure.

Nobody counted it, so the bound is what its fastest second would have brought until now: a mean over the
last batches would take times into account in which no agent ran.
"""

from collections.abc import Sequence
from math import ceil
from typing import Final, NamedTuple

_WINDOW_MS: Final = 1000
# Two commits are at least this far apart: the least that `buffer.flush_interval` may be.
_LEAST_MS: Final = 50


class Stored(NamedTuple):
    """A batch: its samples, and the times of its first and last frame."""

    samples: int
    t0: int
    t1: int


def most_since(batches: Sequence[Stored], now_ms: int) -> int | None:
    """The most samples that came after the last of `batches`. None: there is nothing to tell it from.

    batches: the newest ones, oldest first. A clock that is behind the last of them says nothing either.
    """
    filled = [batch for batch in batches if batch.samples]
    if not filled or now_ms < filled[-1].t1:
        return None
    elapsed = now_ms - filled[-1].t1
    return ceil(_fastest(filled) * elapsed) + max(batch.samples for batch in filled)


def _fastest(batches: Sequence[Stored]) -> float:
    """Samples a millisecond: of the shortest stretches of a second or more, the fullest."""
    rates: list[float] = []
    for start, first in enumerate(batches):
        samples = 0
        for batch in batches[start + 1 :]:
            samples += batch.samples
            if batch.t1 - first.t1 >= _WINDOW_MS:
                rates.append(samples / (batch.t1 - first.t1))
                break
    if rates:
        return max(rates)
    span = batches[-1].t1 - batches[0].t0
    return sum(batch.samples for batch in batches) / max(span, _LEAST_MS)
