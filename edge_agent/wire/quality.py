"""The quality of a sample.

A bad value is null. Null is a bit of its own beside the quality, because a good OPC UA value may be
null too, and a sample that a hook failed on keeps its raw value.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple


class Quality(IntEnum):
    """Names are those of the API (`Quality.BAD_COMM.label == "bad_comm"`); numbers those of the wire."""

    GOOD = 0
    UNCERTAIN = 1
    STALE = 2
    BAD_CONFIG = 3
    BAD_DEVICE = 4
    BAD_COMM = 5
    BAD_VALUE = 6
    BAD_HOOK = 7

    @property
    def label(self) -> str:
        return self.name.lower()


class QualityRun(NamedTuple):
    """Neighbouring tags of one frame that share a quality other than plain good.

    `first` and `count` index the schema's tags. `status` is the OPC UA status code, 0 where there is
    none. `null` says that these tags carry no value.
    """

    first: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    quality: Quality
    null: bool = True
    status: int = 0


class SourceRun(NamedTuple):
    """Neighbouring tags of one frame that share the protocol's own time stamp (UTC, milliseconds)."""

    first: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    time_ms: int


def whole(tags: int, quality: Quality, status: int = 0) -> tuple[QualityRun, ...]:
    """Every tag of a frame without a value, for one reason."""
    return (QualityRun(0, tags, quality, True, status),) if tags else ()


def join_runs(marks: Iterable[QualityRun]) -> tuple[QualityRun, ...]:
    """Runs that do not overlap, in order, joined where neighbours say the same."""
    joined: list[QualityRun] = []
    for mark in sorted(marks):
        last = joined[-1] if joined else None
        if last is not None and last.first + last.count == mark.first and last[2:] == mark[2:]:
            joined[-1] = last._replace(count=last.count + mark.count)
        else:
            joined.append(mark)
    return tuple(joined)
