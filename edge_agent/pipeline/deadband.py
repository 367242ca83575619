"""Which values are new enough to be kept: absolute, percent, on change, minimum and maximum interval.

A change is measured against the last kept value, not the last read one, so that a slow drift is kept. The
first value and a change of quality are always kept, whatever the intervals say; so is the first value
after a bad one. Tags without a rule are always kept. The only state is what was kept last; it belongs to
one group in one run. Times are monotonic nanoseconds.

Neighbouring numbers under one rule are a `_Span` and are compared together; arrays, texts and structures
are a `_Single` each.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from edge_agent.config.models import Deadband
from edge_agent.wire import values
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.quality import Quality, QualityRun
from edge_agent.wire.schema import Schema, TagSchema

_Mark = tuple[Quality, bool, int]
_GOOD: _Mark = (Quality.GOOD, False, 0)


@dataclass(frozen=True, slots=True)
class _Rule:
    """One deadband in raw numbers of a tag with this scaling."""

    least: float | None  # absolute
    share: float | None  # percent / 100
    every: bool  # no measure at all: unchanged values are as good as changed ones
    min_ns: float
    max_ns: float
    scale: float
    offset: float

    @classmethod
    def of(cls, band: Deadband, tag: TagSchema) -> "_Rule":
        unmeasured = band.absolute is None and band.percent is None and not band.on_change
        return cls(
            None if band.absolute is None else band.absolute / abs(tag.scale),
            None if band.percent is None else band.percent / 100,
            unmeasured and band.max_interval is None,
            band.min_interval * 1e9,
            inf if band.max_interval is None else band.max_interval * 1e9,
            tag.scale,
            tag.offset,
        )

    @property
    def is_void(self) -> bool:
        return self.every and not self.min_ns

    def moved(self, new: Sequence[float], kept: Sequence[float]) -> list[bool]:
        """For each number, whether it is far enough from the kept one."""
        if self.every:
            return [True] * len(new)
        pairs = zip(new, kept, strict=True)
        if self.least is not None:
            least = self.least
            return [abs(number - old) >= least for number, old in pairs]
        if self.share is not None:
            scale, offset, share = self.scale, self.offset, self.share
            return [
                number != old and abs((number - old) * scale) >= share * abs(old * scale + offset)
                for number, old in pairs
            ]
        return [number != old for number, old in pairs]


@dataclass(slots=True)
class _Stretch:
    """Where the tags of a span stand."""

    rule: _Rule
    tag: TagSchema  # the first; the others differ from it in name
    first: int
    tags: int
    start: int  # of the first byte in the row

    def takes(self, index: int, rule: _Rule, tag: TagSchema) -> bool:
        """Whether the tag with this index goes on with what is here."""
        return (self.first + self.tags, self.rule, self.tag.type, self.tag.order) == (
            index, rule, tag.type, tag.order,
        )  # fmt: skip


class _Span:
    """Neighbouring tags of the row, one number each, under one rule."""

    def __init__(self, stretch: _Stretch) -> None:
        self.first = stretch.first
        self.tags = stretch.tags
        self._rule = stretch.rule
        self._tag = stretch.tag
        self._start = stretch.start
        self._end = stretch.start + stretch.tags * stretch.tag.row_bytes
        self._zeros = bytes(self._end - self._start)
        self._kept = self._numbers(self._zeros)
        self._at = [0] * self.tags
        self._marks: list[_Mark | None] = [None] * self.tags
        self._plain = False  # all marks are good
        self._still = b""  # plainly good values none of which moved
        self._due: float = inf  # when the first of them is to be kept though it has not moved

    def _numbers(self, raw: bytes) -> "array[Any]":
        return values.elements(self._tag.type, self._tag.order, raw)

    def choose(self, row: bytes, quality: Sequence[QualityRun], now: int) -> Sequence[bool] | None:
        """Which tags to keep; None: not one."""
        marks = _marks(quality, self.first, self.tags)
        raw = row[self._start : self._end] or self._zeros
        plain = marks is None and self._plain
        if plain and raw == self._still and now < self._due:
            return None
        new = self._numbers(raw)
        moved = self._rule.moved(new, self._kept)
        chosen = self._timed(moved, now)
        if not plain:
            wanted = marks or [_GOOD] * self.tags
            changed = [mark != old for mark, old in zip(wanted, self._marks, strict=True)]
            chosen = [a or b for a, b in zip(chosen, changed, strict=True)]
            self._marks[:] = wanted
            self._plain = marks is None
        self._keep(chosen, new, now)
        if self._plain and True not in moved:
            self._still, self._due = raw, min(self._at) + self._rule.max_ns
        else:
            self._still = b""
        return chosen

    def _timed(self, moved: list[bool], now: int) -> list[bool]:
        least, most = self._rule.min_ns, self._rule.max_ns
        if not least and most == inf:
            return moved
        return [
            now - at >= least and (far or now - at >= most) for far, at in zip(moved, self._at, strict=True)
        ]

    def _keep(self, chosen: Sequence[bool], new: "array[Any]", now: int) -> None:
        if False not in chosen:
            self._kept, self._at = new, [now] * self.tags
            return
        for index, keep in enumerate(chosen):
            if keep:
                self._kept[index] = new[index]
                self._at[index] = now


class _Single:
    """An array, a text or a structure."""

    def __init__(self, rule: _Rule, index: int, tag: TagSchema, start: int, text: int | None) -> None:
        self.first = index
        self._rule = rule
        self._tag = tag
        self._start = start
        self._text = text  # place among the texts; None: it is in the row
        self._raw: object = None
        self._mark: _Mark | None = None
        self._at = 0

    def choose(self, row: bytes, text: Sequence[JsonValue], quality: Sequence[QualityRun], now: int) -> bool:
        marks = _marks(quality, self.first, 1)
        mark = _GOOD if marks is None else marks[0]
        raw: object = None
        if not mark[1]:
            raw = (
                row[self._start : self._start + self._tag.row_bytes]
                if self._text is None
                else text[self._text]
            )
        if mark == self._mark and not self._is_new(raw, now - self._at):
            return False
        self._raw, self._mark, self._at = raw, mark, now
        return True

    def _is_new(self, raw: object, age: int) -> bool:
        if age < self._rule.min_ns:
            return False
        if age >= self._rule.max_ns or self._rule.every:
            return True
        if raw == self._raw:
            return False
        if isinstance(raw, bytes) and isinstance(self._raw, bytes):
            return any(self._rule.moved(self._numbers(raw), self._numbers(self._raw)))
        return True  # texts and structures have no distance: any change

    def _numbers(self, raw: bytes) -> "array[Any]":
        return values.elements(self._tag.type, self._tag.order, raw)


class DeadbandFilter:
    """Belongs to one group; `select` is called once a cycle, in order of time."""

    def __init__(self, schema: Schema, deadbands: Mapping[str, Deadband]) -> None:
        self._tags = schema.tag_count
        self._singles: list[_Single] = []
        stretches: list[_Stretch] = []
        for index, tag in enumerate(schema.tags):
            band = deadbands.get(tag.name)
            if band is None or (rule := _Rule.of(band, tag)).is_void:
                continue
            if index >= schema.fixed_tags:
                self._singles.append(_Single(rule, index, tag, 0, index - schema.fixed_tags))
            elif tag.count > 1:
                self._singles.append(_Single(rule, index, tag, schema.edges[index], None))
            elif stretches and stretches[-1].takes(index, rule, tag):
                stretches[-1].tags += 1
            else:
                stretches.append(_Stretch(rule, tag, index, 1, schema.edges[index]))
        self._spans = [_Span(stretch) for stretch in stretches]
        ruled = bytearray(self._tags)
        for span in self._spans:
            ruled[span.first : span.first + span.tags] = b"\x01" * span.tags
        for single in self._singles:
            ruled[single.first] = 1
        self.ruled = bytes(ruled)  # 1 for each tag that has a rule

    def select(
        self, row: bytes, text: Sequence[JsonValue] | None, quality: Sequence[QualityRun], now: int
    ) -> bytearray:
        """1 for each tag to keep, 0 for each to suppress, in schema order. `now`: monotonic nanoseconds.

        row: as in a Reading; empty where no tag of the row has a value.
        """
        chosen = bytearray(b"\x01") * self._tags
        for span in self._spans:
            keep = span.choose(row, quality, now)
            chosen[span.first : span.first + span.tags] = bytes(span.tags) if keep is None else bytes(keep)
        for single in self._singles:
            chosen[single.first] = single.choose(row, text or (), quality, now)
        return chosen


def _marks(quality: Sequence[QualityRun], first: int, tags: int) -> list[_Mark] | None:
    """The marks of these tags; None where all of them are plainly good."""
    found: list[_Mark] | None = None
    for run in quality:
        start, end = max(first, run.first), min(first + tags, run.first + run.count)
        if start < end:
            if found is None:
                found = [_GOOD] * tags
            found[start - first : end - first] = [(run.quality, run.null, run.status)] * (end - start)
    return found
