"""From a group's settings to what the broker is asked for, and which message feeds which tag. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edge_agent.contracts.driver import RequestSummary
from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.mqtt.metric import Edge
from edge_agent.drivers.mqtt.payload import TimeFormat
from edge_agent.drivers.mqtt.pointer import parse_pointer
from edge_agent.drivers.mqtt.settings import MqttConnection, MqttGroup, MqttTag, Retained
from edge_agent.drivers.mqtt.topics import has_wildcard
from edge_agent.wire.schema import Schema, TagSchema, ValueType

# Filters in one SUBSCRIBE: brokers bound a packet's size.
FILTERS_PER_REQUEST: Final = 200
_MISSED_INTERVALS: Final = 5
_LEAST_LIVENESS_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Feed:
    """How one tag takes its value out of a message.

    steps: None for a plain payload. time: None where the payload has none. keyed: the value is an object
    of topic and value, since messages of many topics feed the tag.
    """

    tag: int
    type: ValueType
    count: int
    steps: tuple[str, ...] | None
    time: tuple[str, ...] | None
    time_format: TimeFormat
    is_optional: bool
    retained: Retained
    keyed: bool


@dataclass(frozen=True, eq=False)
class MqttPlan:
    """What serves one group. Compared by identity: the driver keeps what came for each plan.

    filters: what the broker is asked for, and which tags live by it. topics, patterns: which tags a message
    feeds, by its topic and by filters. metrics: tags by edge node, device and metric.
    """

    schema: Schema
    filters: Mapping[str, tuple[int, ...]]
    qos: int
    queue: int
    liveness_seconds: float
    topics: Mapping[str, tuple[Feed, ...]]
    patterns: tuple[tuple[str, Feed], ...]
    metrics: Mapping[Edge, Mapping[tuple[str, str], tuple[int, ...]]]
    requests: tuple[RequestSummary, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def quiet_seconds(self) -> float:
        """A value holds until the next message, and at most as long as the group may be silent."""
        return self.liveness_seconds

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "notes": ()}


def plan(connection: MqttConnection, group: MqttGroup) -> MqttPlan:
    """The plan of one group. Raises ConfigError for two tags of one name."""
    by_name = {tag.name: tag for tag in group.tags}
    if len(by_name) != len(group.tags):
        raise ConfigError(f"group {group.name} of {connection.name} has two tags of the same name")
    schema = Schema.of(connection.name, group.name, None, [_tag_schema(tag) for tag in group.tags])
    ordered = [by_name[tag.name] for tag in schema.tags]
    filters: dict[str, list[int]] = {}
    topics: dict[str, list[Feed]] = {}
    patterns: list[tuple[str, Feed]] = []
    metrics: dict[Edge, dict[tuple[str, str], list[int]]] = {}
    for index, tag in enumerate(ordered):
        filters.setdefault(tag.subscription, []).append(index)
        if tag.topic is None:
            edge, device, metric = tag.address
            metrics.setdefault(edge, {}).setdefault((device, metric), []).append(index)
        elif has_wildcard(tag.topic):
            patterns.append((tag.topic, _feed(index, tag)))
        else:
            topics.setdefault(tag.topic, []).append(_feed(index, tag))
    return MqttPlan(
        schema,
        {text: tuple(tags) for text, tags in filters.items()},
        group.qos,
        group.queue,
        group.liveness or max(_LEAST_LIVENESS_SECONDS, _MISSED_INTERVALS * group.interval),
        {topic: tuple(feeds) for topic, feeds in topics.items()},
        tuple(patterns),
        {edge: {name: tuple(tags) for name, tags in of.items()} for edge, of in metrics.items()},
        _requests({text: len(tags) for text, tags in filters.items()}, group.qos),
        _notes(connection, group, ordered),
    )


def batches(filters: Iterable[str]) -> list[list[str]]:
    """The filters of each SUBSCRIBE."""
    every = list(filters)
    return [every[n : n + FILTERS_PER_REQUEST] for n in range(0, len(every), FILTERS_PER_REQUEST)]


def _requests(tags: Mapping[str, int], qos: int) -> tuple[RequestSummary, ...]:
    return tuple(
        RequestSummary(
            text=f"subscribe {', '.join(batch[:3])}{', …' if len(batch) > 3 else ''}, qos {qos}",
            tags=sum(tags[text] for text in batch),
            sent_bytes=7 + sum(len(text.encode()) + 3 for text in batch),
            received_bytes=5 + len(batch),
            bus_seconds=0.0,
        )
        for batch in batches(tags)
    )


def _tag_schema(tag: MqttTag) -> TagSchema:
    return TagSchema(
        tag.name, tag.type, count=tag.count, scale=tag.scale, offset=tag.offset, unit=tag.unit,
        enum=tuple(sorted(tag.enum.items())),
    )  # fmt: skip


def _feed(index: int, tag: MqttTag) -> Feed:
    return Feed(
        index,
        tag.type,
        tag.count,
        None if tag.pointer is None else parse_pointer(tag.pointer),
        None if tag.time is None else parse_pointer(tag.time),
        tag.time_format,
        tag.optional,
        tag.retained,
        has_wildcard(tag.topic or ""),
    )


def _notes(connection: MqttConnection, group: MqttGroup, tags: Sequence[MqttTag]) -> tuple[str, ...]:
    notes = [
        f"{tag.name}: {tag.topic}, one of {tag.subscription}"
        for tag in tags
        if tag.topic != tag.subscription and tag.topic
    ]
    if not connection.rebirth and any(tag.metric is not None for tag in group.tags):
        notes.append(
            "rebirth is false: metrics of Sparkplug B have values from the next birth of their edge node on"
        )
    return tuple(notes)
