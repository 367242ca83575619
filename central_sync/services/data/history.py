"""History behind one protocol: which samples one tag had, from the batches that hold them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from central_sync.services.errors import Busy, Invalid, NotFound
from edge_agent.wire.frame import JsonValue

DEFAULT_SPAN_MS: Final = 3_600_000
# Series that are read at once, and those that wait for their turn.
MAX_AT_ONCE: Final = 2
MAX_WAITING: Final = 16
Point = tuple[int, JsonValue, str]


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """start, end: UTC milliseconds, inclusive. The newest `limit` points of the span are wanted."""

    device: str
    connection: str
    tag: str
    start: int
    end: int
    limit: int


@dataclass(frozen=True, slots=True)
class Series:
    """Points ascending by time; equal times in the order of (epoch, seq, frame).

    `truncated` says that the span holds more: points beyond the limit, or batches that were not read
    because they were too many or the time was up. `corrected` has, for each point, the time by the clock
    records of its boot where that is another one, else None; empty where no point has one.
    """

    points: list[Point]
    truncated: bool
    unit: str
    corrected: Sequence[int | None] = ()


class HistoryStore(Protocol):
    async def tag_connections(self, device: str, tag: str) -> list[str] | None:
        """The connections of a device that have (had) this tag, sorted; None: no such device."""
        ...

    async def series(self, query: SeriesQuery) -> Series: ...


class HistoryService:
    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self._turn = asyncio.Semaphore(MAX_AT_ONCE)
        self._asking = 0

    async def series(
        self, device: str, tag: str, connection: str | None, span: tuple[int, int], limit: int
    ) -> tuple[str, Series]:
        """The connection that was meant, and its points.

        Raises NotFound for an unknown device or tag, Invalid with `candidates` where several
        connections have the tag and none was named, Busy where too many wait already.
        """
        if span[0] > span[1]:
            raise Invalid("bad_span", "`from` is later than `to`")
        if self._asking >= MAX_AT_ONCE + MAX_WAITING:
            raise Busy("busy", "too many series are being read", 2.0)
        self._asking += 1
        try:
            async with self._turn:
                return await self._series(device, tag, connection, span, limit)
        finally:
            self._asking -= 1

    async def _series(
        self, device: str, tag: str, connection: str | None, span: tuple[int, int], limit: int
    ) -> tuple[str, Series]:
        found = await self._store.tag_connections(device, tag)
        if found is None:
            raise NotFound("unknown_device", f"there is no device {device}")
        chosen = [name for name in found if connection in (None, name)]
        if not chosen:
            raise NotFound("unknown_tag", f"{device} has sent no tag {tag!r}", candidates=found)
        if len(chosen) > 1:
            raise Invalid(
                "ambiguous_tag",
                f"several connections have a tag {tag!r}: add ?connection=",
                candidates=chosen,
            )
        query = SeriesQuery(device, chosen[0], tag, span[0], span[1], limit)
        return chosen[0], await self._store.series(query)
