"""What is asked of a buffer's file beside the agent, and what the answers are made of. Pure.

The buffer's room answers, the command line asks and prints.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

# (batches done, batches in all)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SampleQuery:
    """Which samples: agent time in UTC milliseconds, from `start` up to and without `end`; None: all.

    tags: names or, with `*` and `?`, patterns of them.
    """

    start: int | None = None
    end: int | None = None
    connection: str | None = None
    tags: tuple[str, ...] = ()


class StoredSample(NamedTuple):
    """One sample as a person reads it. time_ms: the agent's; source_ms: the protocol's own, if it has one.

    value: in engineering units; null where the sample has none.
    """

    time_ms: int
    source_ms: int | None
    connection: str
    group: str
    unit_id: int | None
    tag: str
    value: Any
    unit: str
    quality: str
    run: str
    n: int


class Fault(NamedTuple):
    """Something that is wrong with a buffer's file: what, where, and what to do."""

    what: str
    where: str
    remedy: str
