"""Which values are new enough to be kept: absolute, percent, on change, minimum and maximum interval.

A change is measured against the last kept value, not the last read one, so that a slow drift is kept. A
change of quality is always kept. Tags without a rule are always kept. The only state is what was kept
last; it belongs to one group in one run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_agent.config.models import Deadband
from edge_agent.wire import values
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.quality import Quality, QualityRun
from edge_agent.wire.schema import Schema, TagSchema

_GOOD = (Quality.GOOD, False, 0)
_Mark = tuple[Quality, bool, int]


@dataclass(slots=True)
class _Kept:
    """The last kept value of one tag, as bytes of the row or as its JSON value."""

    raw: object
    numbers: Sequence[float]
    mark: _Mark
    at: float


@dataclass(frozen=True, slots=True)
class _Rule:
    index: int
    tag: TagSchema
    deadband: Deadband
    start: int  # bytes of the row; both 0 for what travels as JSON
    end: int

    def far_enough(self, numbers: Sequence[float], kept: Sequence[float]) -> bool:
        """Whether any element moved by the deadband. Texts and other kinds have no distance: any change."""
        deadband = self.deadband
        if len(numbers) != len(kept) or not numbers:
            return True
        if deadband.absolute is not None:
            least = deadband.absolute / abs(self.tag.scale)
            return any(abs(new - old) >= least for new, old in zip(numbers, kept, strict=True))
        if deadband.percent is not None:
            share = deadband.percent / 100
            return any(
                abs((new - old) * self.tag.scale) >= share * abs(old * self.tag.scale + self.tag.offset)
                for new, old in zip(numbers, kept, strict=True)
            )
        return True


class DeadbandFilter:
    """Belongs to one group; `select` is called once a cycle, in order of time."""

    def __init__(self, schema: Schema, deadbands: Mapping[str, Deadband]) -> None:
        self._tags = len(schema.tags)
        self._fixed = schema.fixed_tags
        self._rules = [
            _Rule(
                index, tag, deadbands[tag.name],
                schema.offsets[index] if index < self._fixed else 0,
                schema.offsets[index] + tag.row_bytes if index < self._fixed else 0,
            )
            for index, tag in enumerate(schema.tags)
            if tag.name in deadbands
        ]  # fmt: skip
        self._kept: dict[int, _Kept] = {}

    def select(
        self,
        row: bytes,
        text: tuple[JsonValue, ...] | None,
        quality: Sequence[QualityRun],
        now: float,
    ) -> list[int]:
        """1 for each tag to keep, 0 for each to suppress, in schema order. `now`: monotonic seconds."""
        chosen = [1] * self._tags
        marks = _marks(quality)
        for rule in self._rules:
            mark = marks.get(rule.index, _GOOD)
            raw: object = None
            if not mark[1]:
                at = rule.index - self._fixed
                raw = row[rule.start : rule.end] if rule.end else (text or ())[at]
            if not self._keep(rule, raw, mark, now):
                chosen[rule.index] = 0
        return chosen

    def _keep(self, rule: _Rule, raw: object, mark: _Mark, now: float) -> bool:
        kept = self._kept.get(rule.index)
        deadband = rule.deadband
        numbers: Sequence[float] = ()
        if kept is not None and kept.mark == mark:
            age = now - kept.at
            if age < deadband.min_interval:
                return False
            due = deadband.max_interval is not None and age >= deadband.max_interval
            if not due and kept.raw == raw and not _keeps_all(deadband):
                return False
            numbers = _numbers(rule, raw)
            if not due and not rule.far_enough(numbers, kept.numbers):
                return False
        else:
            numbers = _numbers(rule, raw)
        self._kept[rule.index] = _Kept(raw, numbers, mark, now)
        return True


def _keeps_all(deadband: Deadband) -> bool:
    """A rule that only limits how often: then an unchanged value is as good as a changed one."""
    no_measure = deadband.absolute is None and deadband.percent is None and not deadband.on_change
    return no_measure and deadband.max_interval is None


def _numbers(rule: _Rule, raw: object) -> Sequence[float]:
    if isinstance(raw, bytes) and rule.end:
        return values.elements(rule.tag.type, rule.tag.order, raw)
    return ()


def _marks(quality: Sequence[QualityRun]) -> dict[int, _Mark]:
    return {
        tag: (run.quality, run.null, run.status)
        for run in quality
        for tag in range(run.first, run.first + run[1])
    }
