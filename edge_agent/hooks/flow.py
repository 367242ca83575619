"""Frames on their way through the hooks of one flush: what each point is given, and what comes of it.

Pure. A lane is a group; hooks change its frames in place, one after the
other. What hooks without frames compute is in lanes of connection `hooks`.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.hooks import Frames, Hooked, LinkChange, Records, Tick
from edge_agent.hooks.derive import Derived
from edge_agent.hooks.hook import Hook
from edge_agent.hooks.latest import Group, Values
from edge_agent.hooks.merge import Merged
from edge_agent.hooks.runner import Alert, Failure, Given
from edge_agent.hooks.worker.patterns import expand, is_glob, matcher
from edge_agent.model.failed import mark_failed
from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import Event
from edge_agent.wire.quality import Quality, whole
from edge_agent.wire.schema import Schema
from edge_agent.wire.scripts import HOOKS_CONNECTION

# Calls of one hook in a flush: an alarm shower beyond is not told.
MAX_CALLS: Final = 200


@dataclass(slots=True)
class Item:
    """A frame. raw: the schema that it was read with; schema: that of `frame` as it is now."""

    raw: Schema
    schema: Schema
    frame: Frame


Lanes = dict[Group, list[Item]]


@dataclass(slots=True)
class Sums:
    """Samples that hooks of a run have added to a connection's, and taken from them."""

    computed: int = 0
    dropped: int = 0


@dataclass(slots=True)
class Flow:
    """One flush. until: when its time is over, monotonic seconds. events: alerts of hooks, and what befell
    them. sums: by connection."""

    until: float
    lanes: Lanes = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))
    made_bytes: int = 0

    @classmethod
    def of(cls, frames: Frames, until: float) -> "Flow":
        flow = cls(until)
        for schema, own in frames.values():
            lane = flow.lanes.setdefault((schema.connection, schema.group), [])
            lane += [Item(schema, schema, frame) for frame in own]
        for lane in flow.lanes.values():
            if any(item.raw is not lane[0].raw for item in lane):
                lane.sort(key=lambda item: item.frame.n)
        return flow

    def take(self, hook: Hook, item: Item, schema: Schema, result: Merged | Failure) -> None:
        """What a hook has made of an item: a frame of `schema`, or nothing."""
        if isinstance(result, Failure):
            item.frame = mark_failed(item.frame, item.schema.tag_count, withhold=hook.withholds)
            hook.spoiled(item.frame.samples)
            return
        sums = self.sums[item.raw.connection]
        sums.computed += result.computed
        sums.dropped += result.dropped
        item.schema, item.frame = schema, result.frame
        self.made_bytes += _bytes_of(result.frame)

    def compute(self, schema: Schema, results: Iterable[Merged], source: Schema, first: int) -> int:
        """Frames of connection `hooks`, numbered from `first`. Returns the next number."""
        lane = self.lanes.setdefault((schema.connection, schema.group), [])
        for result in results:
            lane.append(Item(source, schema, replace(result.frame, n=first)))
            self.made_bytes += _bytes_of(result.frame)
            self.sums[schema.connection].computed += result.computed
            first += 1
        return first

    def raised(self, hook: Hook, alert: Alert, time_ms: int, connection: str | None) -> None:
        event = Event(
            time=max(0, time_ms),
            code=f"hook.{alert.code}",
            message=alert.message or alert.code,
            connection=connection,
            data={**alert.data, "hook": hook.name, "sha256": hook.sha256},
        )
        self.events.append(event.model_dump(mode="json"))

    def add_sums(self, sums: dict[str, Sums]) -> None:
        """Adds its sums to those of a run."""
        for connection, own in self.sums.items():
            known = sums.setdefault(connection, Sums())
            known.computed += own.computed
            known.dropped += own.dropped

    def hooked(self, frames: Frames, records: Records, states: Mapping[str, bytes]) -> Hooked:
        """What is committed. frames, records: that the flush took."""
        made: Frames = {}
        for lane in self.lanes.values():
            for item in lane:
                made.setdefault(item.schema.hash, (item.schema, []))[1].append(item.frame)
        told = dict(records)
        if self.events:
            told[Kind.EVENT] = [*records.get(Kind.EVENT, []), *self.events]
        schemas = [schema for name, (schema, _) in made.items() if name not in frames]
        return Hooked(made, told, schemas, dict(states))


def _bytes_of(frame: Frame) -> int:
    return len(frame.row) + (0 if frame.text is None else len(orjson.dumps(frame.text)))


def lacking(computed: Derived, clock: Clock) -> Merged:
    """A frame that says of all tags of a hook without frames that it has not computed them."""
    tags, texts = computed.schema.tag_count, len(computed.text_types)
    text = (None,) * texts if texts else None
    quality = whole(tags, Quality.BAD_HOOK)
    frame = Frame(0, clock.mono_ns(), clock.wall_ms(), b"", tags, text=text, quality=quality)
    return Merged(frame, tags, 0)


def given_up(frames: Frames, broken: Flow, hooks: Sequence[Hook]) -> Flow:
    """All frames as they came, marked where a hook had a say in them."""
    flow = Flow.of(frames, broken.until)
    failure = Failure("InvariantBroken", "hooks could not be run", blameless=True)
    for hook in hooks:
        if hook.script.hook_type.has_frames:
            for group in covered(hook, flow.lanes):
                for item in flow.lanes[group]:
                    flow.take(hook, item, item.schema, failure)
    flow.events = broken.events
    return flow


def befell(hook: Hook, code: str, message: str, now_ms: int) -> dict[str, Any]:
    """The record of a hook that is off, or on again."""
    event = Event(
        time=max(0, now_ms),
        code=code,
        message=message[:1_000],
        data={"hook": hook.name, "sha256": hook.sha256, "error": hook.error},
    )
    return event.model_dump(mode="json")


def dependencies(hooks: Sequence[Hook], lanes: Sequence[set[Group]]) -> list[list[int]]:
    """For each hook the earlier ones that share a group with it: it comes after those."""
    return [
        [earlier for earlier in range(index) if lanes[earlier] & lanes[index]] for index in range(len(hooks))
    ]


def covered(hook: Hook, groups: Iterable[Group]) -> set[Group]:
    return {group for group in groups if hook.covers(group)}


def concerned(hooks: Sequence[Hook], groups: Iterable[Group]) -> set[Group]:
    """The groups whose frames hooks make or change."""
    made = set(groups)
    names = {(HOOKS_CONNECTION, hook.name) for hook in hooks}
    found = made & names
    for hook in hooks:
        if hook.script.hook_type.has_frames:
            found |= covered(hook, made)
    return found


def is_there(group: Group, polled: Container[Group]) -> bool:
    """Whether it is polled, or computed."""
    return group in polled or group[0] == HOOKS_CONNECTION


class Wanted:
    """Which tags INPUTS name, remembered by schema."""

    def __init__(self, inputs: Sequence[str]) -> None:
        self._names = frozenset(name for each in inputs if not is_glob(each) for name in expand(each))
        self._matchers = [matcher(each) for each in inputs if is_glob(each)]
        self._known: dict[str, list[int]] = {}

    def indices(self, schema: Schema) -> list[int]:
        if schema.hash not in self._known:
            self.learn([schema])
        return self._known[schema.hash]

    def unknown(self, schemas: Iterable[Schema]) -> list[Schema]:
        """Those that were not looked through."""
        return [schema for schema in schemas if schema.hash not in self._known]

    def learn(self, schemas: Iterable[Schema]) -> None:
        """Of many patterns and tags it takes seconds: not in the loop."""
        names: dict[str, list[str]] = {}
        for schema in schemas:
            if schema.tags_hash not in names:
                names[schema.tags_hash] = [tag.name for tag in schema.tags]
            before = schema.connection + "."
            self._known[schema.hash] = [
                index
                for index, tag in enumerate(names[schema.tags_hash])
                if (name := before + tag) in self._names or any(matches(name) for matches in self._matchers)
            ]

    def values(self, values: Values) -> dict[str, list[Any]]:
        """As a call is given them: value, quality, time, by CONNECTION.TAG."""
        found: dict[str, list[Any]] = {}
        for (connection, _), group in values.groups.items():
            indices = self.indices(group.schema)
            if not indices:
                continue
            tags = group.schema.tags
            for index, newest in group.all(indices).items():
                name = f"{connection}.{tags[index].name}"
                found[name] = [newest.value, int(newest.quality), newest.time]
        return found


# --- what points without frames are called with ------------------------------------------------------------


def link_calls(links: Sequence[LinkChange]) -> list[dict[str, Any]]:
    """Of on_connect: links that have come up or gone down."""
    return [
        {
            "t": link.time, "connection": link.connection, "driver": link.driver, "address": link.address,
            "state": link.state,
        }
        for link in links
    ]  # fmt: skip


def alert_calls(
    records: Records, raised: Sequence[Mapping[str, Any]], links: Sequence[LinkChange]
) -> list[dict[str, Any]]:
    """Of on_alert: events of this flush, those of hooks before it, and links that have come and gone."""
    events = [*records.get(Kind.EVENT, []), *raised]
    calls = [
        {
            "t": event.get("time", 0), "code": event.get("code", ""), "message": event.get("message", ""),
            "connection": event.get("connection"), "data": event.get("data") or {},
        }
        for event in events
    ]  # fmt: skip
    calls += [
        {
            "t": link.time, "code": f"connection_{link.state}", "message": link.error,
            "connection": link.connection, "data": {"driver": link.driver, "address": link.address},
        }
        for link in links
    ]  # fmt: skip
    return sorted(calls, key=lambda call: call["t"])


def tick_calls(hook: Hook, ticks: Sequence[Tick], now_ms: int) -> list[dict[str, Any]]:
    return [{"t": now_ms, "scheduled": tick.scheduled} for tick in ticks if tick.hook == hook.name]


def cycle(hook: Hook, lanes: Lanes, wanted: Wanted, before: Sequence[tuple[Schema, Frame]]) -> list[Given]:
    """Of on_cycle: frames of its groups in the order in which they were read, and those of other groups
    whose values its INPUTS name. before: what a new worker is to know first."""
    assert hook.outputs is not None, "not loaded"
    own = covered(hook, (group for group, lane in lanes.items() if lane and lane[0].raw.tag_count))
    computed = hook.outputs.computed
    given = [
        (item.frame.mono_ns, Given(item.schema, item.frame, computed if group in own else None))
        for group, lane in lanes.items()
        for item in lane
        if group in own or wanted.indices(item.schema)
    ]
    given.sort(key=lambda each: each[0])
    primed = [Given(schema, frame, None) for schema, frame in before]
    return [*primed, *(each for _, each in given)]
