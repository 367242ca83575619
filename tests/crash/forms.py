"""The short form of these suites, for CI, and the long one: `make crash` sets HOLDFAST_LONG."""

import os
from collections.abc import Sequence
from random import Random
from typing import Final, TypeVar

T = TypeVar("T")
LONG: Final = bool(os.environ.get("HOLDFAST_LONG"))


def some(of: Sequence[T], short: int, random: Random) -> list[T]:
    """All of them in the long form; in the short one so many of them, in their order, by the seed."""
    if LONG:
        return list(of)
    chosen = set(random.sample(range(len(of)), min(short, len(of))))
    return [each for place, each in enumerate(of) if place in chosen]


def size(long: int, short: int) -> int:
    return long if LONG else short
