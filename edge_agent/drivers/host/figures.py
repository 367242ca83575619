"""What a source of figures is made of: what was read, when, and what that says. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from edge_agent.wire.quality import Quality


@dataclass(frozen=True, slots=True)
class Glance:
    """What stood in the files of a source at one moment.

    at: monotonic seconds. texts: by path below the root. refused: why a file could not be read.
    """

    at: float
    texts: Mapping[str, str]
    refused: Mapping[str, "Bad"] = field(default_factory=dict)


class Bad(NamedTuple):
    """Why there is no figure."""

    quality: Quality
    text: str


Figures = dict[str, "int | float | Bad"]
Judge = Callable[[Glance, "Glance | None"], Figures]

NOT_YET: Final = Bad(Quality.UNCERTAIN, "a rate needs two readings")
_RESTARTED: Final = Bad(Quality.UNCERTAIN, "the counter began anew")


def rate(now: float, before: float | None, seconds: float, wrap: float = 0.0) -> float | Bad:
    """The rise of a counter a second. wrap: where it begins at 0 again; 0: it never does but at a reset.

    A counter that fell by itself was reset: what it rose by since nobody knows.
    """
    if before is None or seconds <= 0:
        return NOT_YET
    if now >= before:
        return (now - before) / seconds
    # Halfway round at most: a meter that was reset near its end looks much the same.
    if wrap and before <= wrap and now - before + wrap < wrap / 2:
        return (now - before + wrap) / seconds
    return _RESTARTED


def percent(part: float, whole: float) -> float | Bad:
    if whole <= 0:
        return Bad(Quality.BAD_DEVICE, "there is none")
    return round(100 * min(1.0, max(0.0, part / whole)), 3)


def numbers(words: list[str]) -> list[int] | None:
    """The words as whole numbers, if they are nothing else."""
    return [int(word) for word in words] if all(map(_is_number, words)) else None


def _is_number(word: str) -> bool:
    return len(word) <= 20 and word.isascii() and word.isdigit()
