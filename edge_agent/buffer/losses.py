"""Loss records: what will never arrive, counted as exactly as it can be. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from edge_agent.wire import ranges
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import Loss, LossConnection, LossReason
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.schema import Schema
from edge_agent.wire.sides import MAX_WALL_MS


@dataclass(slots=True)
class _Group:
    numbers: Ranges = field(default_factory=list)
    samples: int = 0


@dataclass(slots=True)
class Dropped:
    """Frames and records that memory could not hold, summed up so that a long outage takes no more room.

    All frames are of one run; the record of one commit names them all.
    """

    groups: dict[tuple[str, str], _Group] = field(default_factory=dict)
    records: int = 0
    t0: int | None = None
    t1: int = 0

    @property
    def empty(self) -> bool:
        return self.t0 is None

    def add_frame(self, schema: Schema, frame: Frame) -> None:
        group = self.groups.setdefault((schema.connection, schema.group), _Group())
        last = group.numbers[-1][1] if group.numbers else 0
        if group.numbers and last == frame.n - 1:
            group.numbers[-1] = (group.numbers[-1][0], frame.n)
        elif frame.n > last:
            group.numbers.append((frame.n, frame.n))
        else:
            # Of a group with two schemas at once.
            group.numbers = ranges.union(group.numbers, [(frame.n, frame.n)])
        group.samples += frame.samples
        self._note(frame.wall_ms, frame.wall_ms)

    def add_record(self, wall_ms: int) -> None:
        self.records += 1
        self._note(wall_ms, wall_ms)

    def add(self, other: "Dropped") -> None:
        if other.t0 is None:
            return
        for name, theirs in other.groups.items():
            group = self.groups.setdefault(name, _Group())
            group.numbers = ranges.union(group.numbers, theirs.numbers)
            group.samples += theirs.samples
        self.records += other.records
        self._note(other.t0, other.t1)

    def _note(self, t0: int, t1: int) -> None:
        """The times of what no batch can hold may be such as no record can hold either."""
        t0, t1 = min(max(t0, 0), MAX_WALL_MS), min(max(t1, 0), MAX_WALL_MS)
        self.t1 = t1 if self.t0 is None else max(self.t1, t1)
        self.t0 = t0 if self.t0 is None else min(self.t0, t0)

    def loss(self, reason: LossReason, run: str, detail: str) -> Loss:
        """The record of all of it. Call it only where there is something."""
        assert self.t0 is not None, "nothing was dropped"
        beside = f"; {self.records} events or clock readings too" if self.records else ""
        return Loss(
            reason=reason,
            connections=[
                LossConnection(name=name, group=group, run=run, n=lost.numbers, samples=lost.samples)
                for (name, group), lost in self.groups.items()
            ],
            t0=self.t0,
            t1=self.t1,
            detail=f"{detail}{beside}",
        )


def of_batches(
    reason: LossReason,
    epoch: str,
    seqs: Ranges,
    now_ms: int,
    detail: str,
    *,
    connections: Iterable[LossConnection] | None = None,
    most: int | None = None,
) -> Loss:
    """The record of batches that will not come under their names.

    connections: what they held, where that could be counted; `most` bounds it where it could not.
    """
    return Loss(
        reason=reason,
        epoch=epoch,
        seqs=seqs,
        connections=list(connections or ()),
        t0=now_ms,
        t1=now_ms,
        exact=connections is not None,
        max=most,
        detail=detail[:500],
    )


def contents(
    found: Mapping[str, tuple[Ranges, int]], group_of: Callable[[str], tuple[str, str] | None], run: str
) -> list[LossConnection] | None:
    """What a batch holds, by group; None where a schema that it needs is not known."""
    result: list[LossConnection] = []
    for schema, (numbers, samples) in found.items():
        group = group_of(schema)
        if group is None:
            return None
        result.append(LossConnection(name=group[0], group=group[1], run=run, n=numbers, samples=samples))
    return result


def merge(records: Iterable[Loss | Mapping[str, Any]]) -> list[Loss | Mapping[str, Any]]:
    """The same account in fewer records: one for each reason, epoch and exactness.

    Records with fields that this version does not know stay as they are.
    """
    merged: dict[tuple[str, str, str, bool], Loss] = {}
    strange: list[Loss | Mapping[str, Any]] = []
    for record in records:
        loss = record if isinstance(record, Loss) else _understood(record)
        if loss is None:
            strange.append(record)
            continue
        key = loss.reason, loss.sink, loss.epoch, loss.exact
        merged[key] = loss if key not in merged else _joined(merged[key], loss)
    return [*merged.values(), *strange]


def _understood(record: Mapping[str, Any]) -> Loss | None:
    if not record.keys() <= Loss.model_fields.keys():
        return None
    try:
        return Loss.model_validate(record)
    except ValidationError:
        return None


def _joined(one: Loss, other: Loss) -> Loss:
    groups: dict[tuple[str, str, str], LossConnection] = {}
    for each in (*one.connections, *other.connections):
        key = each.name, each.group, each.run
        before = groups.get(key)
        numbers = _union(before.n, each.n) if before is not None else each.n
        samples = each.samples + (before.samples if before is not None else 0)
        groups[key] = each.model_copy(update={"n": numbers, "samples": samples})
    known = [most for most in (one.max, other.max) if most is not None]
    return one.model_copy(
        update={
            "seqs": _union(one.seqs, other.seqs),
            "connections": list(groups.values()),
            "t0": min(one.t0, other.t0),
            "t1": max(one.t1, other.t1),
            "max": sum(known) if known else None,
        }
    )


def _union(one: Sequence[tuple[int, int]], other: Sequence[tuple[int, int]]) -> Ranges:
    return ranges.union(ranges.coalesce(one), ranges.coalesce(other))
