"""What a group's tags have now, and which news is new. Pure.

Changes go to the log in the order in which they came. What is older than what a tag has already (by the
payload's own time) is kept as it is, with its time, and the tag's present value follows once more: so the
past is complete, and the last thing said of a tag is what it has.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from edge_agent.contracts.driver import Reading
from edge_agent.drivers.packing import ChangeLog, Mark
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import Schema
from edge_agent.wire.sides import MAX_WALL_MS, MIN_SOURCE_MS

# After so long without anything newer, what is older counts as new: the publisher's clock was set back.
LATE_SECONDS: Final = 60.0
# Texts and structures that may wait to be taken.
MAX_WAITING_BYTES: Final = 16 << 20
_SCALARS: Final = (bool, int, float)
_UNKNOWN: Final = Mark(Quality.STALE)


class Sample(NamedTuple):
    """size: about so many bytes are kept of it. is_historical: it is no news of what there is now."""

    value: Any
    source_ms: int | None = None
    mark: Mark | None = None
    size: int = 0
    is_historical: bool = False


class _Known(NamedTuple):
    sample: Sample
    came_at: float


class Values:
    """late, repeated: how many samples were so."""

    def __init__(self, schema: Schema, most: int) -> None:
        self._log = ChangeLog(schema, most)
        self._schema = schema
        self._fixed = schema.fixed_tags
        self._known: dict[int, _Known] = {}
        self._waiting_bytes = 0
        self._dropped = 0
        self.late = self.repeated = 0

    def __len__(self) -> int:
        return len(self._log)

    @property
    def known(self) -> int:
        """How many tags have a value that came over this link."""
        return len(self._known)

    def is_known(self, tag: int) -> bool:
        """Whether it has a value that came over this link."""
        return tag in self._known

    def put(self, tag: int, sample: Sample, now: float) -> None:
        """now: monotonic seconds."""
        sample = self._kept(tag, _in_range(sample))
        known = self._known.get(tag)
        if known is not None and sample.source_ms is not None:
            if sample[:3] == known.sample[:3]:
                self.repeated += 1
                self._log.keepalive()  # nothing new, and yet the publisher lives
                return
            if _is_older(sample, known, now) and not sample.is_historical:
                sample = sample._replace(is_historical=True)
                self.late += 1
        self._log_one(tag, sample)
        if not sample.is_historical:
            self._known[tag] = _Known(sample, now)
        elif known is not None:
            self._log_one(tag, known.sample)
        else:
            self._log_one(tag, Sample(None, mark=_UNKNOWN))

    def fall(self, tags: Mapping[int, Mark]) -> None:
        """What these tags had counts no more."""
        for tag, mark in tags.items():
            self._known.pop(tag, None)
            self._log.put(tag, None, None, mark)

    def end(self, mark: Mark) -> None:
        """The link is gone. What waits to be taken is the past by then, and the last word on it is `mark`."""
        if len(self._log):
            self.fall(dict.fromkeys(self._known, mark))
        self._known.clear()

    def keepalive(self) -> None:
        self._log.keepalive()

    def lose(self, text: str) -> None:
        self._log.lose(text)

    def take(self, errors: Mapping[str, str]) -> Reading:
        if self._dropped:
            self._log.lose(f"{self._dropped} texts or structures: more came than could be kept")
        self._dropped = self._waiting_bytes = 0
        return self._log.take(errors)

    def _kept(self, tag: int, sample: Sample) -> Sample:
        """Without a value that cannot be one of the tag's, which may be of any size."""
        if tag >= self._fixed or isinstance(sample.value, _SCALARS):
            return sample
        elements = sample.value
        fits = isinstance(elements, list | tuple) and len(elements) == self._schema.tags[tag].count
        if fits and all(isinstance(each, _SCALARS) for each in elements):
            return sample
        return sample._replace(value=None, mark=sample.mark or Mark(Quality.BAD_VALUE))

    def _log_one(self, tag: int, sample: Sample) -> None:
        if tag >= self._fixed:
            if self._waiting_bytes + sample.size > MAX_WAITING_BYTES:
                self._dropped += 1
                return
            self._waiting_bytes += sample.size
        self._log.put(tag, sample.value, sample.source_ms, sample.mark)


def _is_older(sample: Sample, known: _Known, now: float) -> bool:
    at = known.sample.source_ms
    return (
        at is not None and sample.source_ms is not None and sample.source_ms < at
        and now - known.came_at < LATE_SECONDS
    )  # fmt: skip


def _in_range(sample: Sample) -> Sample:
    """Without a source time that no frame could carry."""
    at = sample.source_ms
    if at is None or MIN_SOURCE_MS <= at <= MAX_WALL_MS:
        return sample
    return sample._replace(source_ms=None, mark=sample.mark or Mark(Quality.UNCERTAIN, null=False))
