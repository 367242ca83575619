"""What the local page may see of the agent. Reading only: nothing here changes anything.

Answers are bounded by what is asked for, so that a page over 100,000 tags costs what it shows.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from edge_agent.contracts.status import AgentStatus, LatestValue, Report


@dataclass(frozen=True, slots=True)
class ValueQuery:
    """Which of the newest values are wanted: `limit` of them, after the first `offset` that match.

    connection: of this one alone. text: a part of the tag's, the group's or the connection's name, or of
    `CONNECTION.TAG`, in any case; empty: all.
    """

    connection: str | None = None
    text: str = ""
    offset: int = 0
    limit: int = 100


class ValuePage(Report):
    """total: how many tags match. A tag that was never read has no value, and `time` 0."""

    total: int
    items: list[LatestValue]


@dataclass(frozen=True, slots=True)
class TrendQuery:
    """One tag's stored samples with start ≤ time < end (UTC milliseconds), in buckets of `bucket_ms`.

    before: `next` of an earlier answer, to go on where that one ended.
    """

    connection: str
    group: str
    tag: str
    start: int
    end: int
    bucket_ms: int
    before: int | None = None


# bucket (its start is `start + bucket × bucket_ms`), first, low, high and last value (null where no sample
# of the bucket is usable), usable samples, bad samples, whether the line goes on from the sample before.
TrendPoint = tuple[int, float | None, float | None, float | None, float | None, int, int, bool]


class TrendPiece(Report):
    """A part of a trend, the newest first; `next` is None once all is read.

    A sample that the deadband held back is no gap: the line goes on. A gap is a bad sample, a missing
    frame, or a restart of the agent. To join an older piece with this one: head and tail are the oldest
    and newest frame (`run`, number) of the piece, `begins` and `ends` say whether its first and last
    sample are usable (null: it has none).
    """

    start: int
    bucket_ms: int
    unit: str
    points: list[TrendPoint]
    head: tuple[str, int] | None
    tail: tuple[str, int] | None
    begins: bool | None
    ends: bool | None
    batches: int
    next: int | None


class NoTrend(Exception):
    """The tag has none: it is unknown, or no number. The message is for people."""


class RetryLater(Exception):
    """Too much is asked for at once: the same question in a second may be answered."""


class LogPage(Report):
    """lines: ascending, each with its `id`. next: ask for what comes after it."""

    lines: list[dict[str, Any]]
    next: int


class Inspection(Protocol):
    """What the page's server asks. `app` implements it."""

    def status(self) -> AgentStatus: ...

    async def values(self, query: ValueQuery) -> ValuePage: ...

    async def trend(self, query: TrendQuery) -> TrendPiece:
        """Raises NoTrend, and RetryLater where too many ask at once."""
        ...

    def config_text(self, *, whole: bool = False) -> AsyncIterator[str]:
        """The config in force as YAML in small pieces, every secret masked; not `whole`: the first tags of
        each group. With the first piece: raises RetryLater where too many ask for the whole at once."""
        ...

    def log(self, after: int, level: str, limit: int) -> LogPage:
        """The newest `limit` lines of at least `level` whose id is above `after`."""
        ...
