"""The settings of an MQTT connection, its groups and tags."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import product
from math import prod
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, PrivateAttr, field_validator, model_validator

from edge_agent.config.models import ConnectionSettings, GroupSettings, TagSettings
from edge_agent.config.units import Bytes, Duration, Seconds, Size, at_least, between
from edge_agent.drivers.mqtt.metric import Address, parse_address
from edge_agent.drivers.mqtt.payload import TimeFormat
from edge_agent.drivers.mqtt.pointer import parse_pointer
from edge_agent.drivers.mqtt.topics import check_filter, has_wildcard
from edge_agent.drivers.mqtt.transport import MqttTransport
from edge_agent.wire.schema import ValueType

MAX_LEVEL_NAMES: Final = 10_000
_PLACE: Final = re.compile(r"\{([0-9]{1,3})\}")
_TEXTS: Final = (ValueType.STRING, ValueType.JSON)


class Retained(StrEnum):
    """What a message is that was published before the agent subscribed."""

    UNCERTAIN = "uncertain"
    GOOD = "good"
    IGNORE = "ignore"


def _checked_pointer(text: str) -> str:
    parse_pointer(text)
    return text


Pointer = Annotated[str, AfterValidator(_checked_pointer)]


class MqttTag(TagSettings):
    """One named point: of a topic, or a metric of Sparkplug B."""

    type: ValueType = Field(ValueType.FLOAT64, description="Type of the value.")
    count: int = Field(1, ge=1, le=10_000, description="Number of values; more than one: a JSON array.")
    topic: Annotated[str, AfterValidator(check_filter)] | None = Field(
        None, description="Topic, or a filter with + and #: one tag for each of `levels`, or a tag of type "
        "json whose value says the topic.", examples=["press/1/oil_temp", "plant/+/temp"],
    )  # fmt: skip
    levels: dict[int, list[str]] | None = Field(
        None, description="What stands for each + of the topic, by the level's number counted from 1. The "
        "name takes it as {2}.", examples=[{2: ["north", "south"]}],
    )  # fmt: skip
    pointer: Pointer | None = Field(
        None, description="Where in a JSON payload the value stands (RFC 6901). Absent: the payload is it.",
        examples=["/values/0/temp"],
    )  # fmt: skip
    time: Pointer | None = Field(
        None, description="Where in a JSON payload the time of the value stands (RFC 6901).", examples=["/ts"]
    )
    time_format: TimeFormat = Field(
        TimeFormat.MS, description="s, ms, us, ns since 1970, or iso; without an offset that is UTC."
    )
    optional: bool = Field(
        False, description="Whether a payload without the value is passed over instead of being bad_value."
    )
    retained: Retained = Field(
        Retained.UNCERTAIN, description="What a retained message is: uncertain, since nobody says how old it "
        "is; good, for what is set once and holds; or nothing (ignore).",
    )  # fmt: skip
    metric: str | None = Field(
        None, description="Metric of Sparkplug B instead of a topic: group/node/device:metric.",
        examples=["plant/edge1/press1:Oil/Temperature"],
    )  # fmt: skip
    # The filter that this tag was made from, where `levels` made it: it is what the broker is asked for.
    _filter: str | None = PrivateAttr(None)

    @field_validator("metric")
    @classmethod
    def _readable_metric(cls, metric: str | None) -> str | None:
        if metric is not None:
            parse_address(metric)
        return metric

    @model_validator(mode="after")
    def _fits_together(self) -> "MqttTag":
        if (self.topic is None) == (self.metric is None):
            raise ValueError("a tag has either a topic or a metric")
        if self.type in _TEXTS:
            if self.count != 1:
                raise ValueError(f"a {self.type} has no count: an array of texts is a tag of type json")
            if self.scale != 1.0 or self.offset != 0.0 or self.enum:
                raise ValueError(f"a {self.type} has no scale, offset or enum")
        if self.topic is None:
            given = [name for name in ("levels", "pointer", "time") if getattr(self, name) is not None]
            if given:
                raise ValueError(f"{given[0]} goes with a topic: a metric has its value and time itself")
        else:
            self._check_levels(self.topic.split("/"))
        return self

    def _check_levels(self, parts: Sequence[str]) -> None:
        if self.levels is None:
            if has_wildcard("/".join(parts)) and self.type is not ValueType.JSON:
                raise ValueError(
                    "one tag cannot hold the values of many topics: list them in levels, or take type json"
                )
            return
        wild = {number for number, part in enumerate(parts, 1) if part == "+"}
        if "#" in parts:
            raise ValueError("# stands for any number of levels: levels need a + for each")
        if set(self.levels) != wild or not wild:
            places = ", ".join(map(str, sorted(wild))) or "none"
            raise ValueError(f"levels names each level that is a + in the topic: {places}")
        named = {int(number) for number in _PLACE.findall(self.name)}
        if named != wild:
            place = min(wild ^ named)
            raise ValueError(f"the name has a {{n}} for each + of the topic, and no other: see {{{place}}}")
        if prod(_level_size(number, names) for number, names in self.levels.items()) > MAX_LEVEL_NAMES:
            raise ValueError(f"levels stand for more than {MAX_LEVEL_NAMES} tags")

    @property
    def subscription(self) -> str:
        """The filter that the broker is asked for."""
        if self.metric is not None:
            return self.address.edge.filter
        return self._filter or self.topic or ""

    @property
    def address(self) -> Address:
        """Of a metric."""
        return parse_address(self.metric or "")

    def expanded(self) -> "list[MqttTag]":
        """A tag for each of `levels`; itself where it has none."""
        if self.levels is None or self.topic is None:
            return [self]
        numbers = sorted(self.levels)
        made: list[MqttTag] = []
        for names in product(*(self.levels[number] for number in numbers)):
            by_level = dict(zip(numbers, names, strict=True))
            parts = [by_level.get(number, part) for number, part in enumerate(self.topic.split("/"), 1)]
            update = {"name": _named(self.name, by_level), "topic": "/".join(parts), "levels": None}
            tag = self.model_copy(update=update)
            tag._filter = self.topic
            made.append(tag)
        return made


def _level_size(number: int, names: Sequence[str]) -> int:
    """How many names a level has. Raises ValueError."""
    if not names or len(set(names)) != len(names):
        raise ValueError(f"level {number} needs names, each once")
    for name in names:
        if not name or any(character in name for character in "+#/\0"):
            raise ValueError(f"level {number}: {name!r} is no single level of a topic")
    return len(names)


def _named(name: str, by_level: Mapping[int, str]) -> str:
    return _PLACE.sub(lambda match: by_level[int(match[1])], name)


class MqttGroup(GroupSettings):
    """What is subscribed to, and how often what came is taken."""

    interval: Annotated[Duration, between("10ms", "1d")] = Field(
        description="Time between two looks at what has come; changes in between are all kept.",
        examples=["1s"],
    )
    liveness: Annotated[Duration, between("100ms", "30d")] | None = Field(
        Seconds(900),
        description="How long no message may come for any tag of the group; then the link is built anew, "
        "after twice as long the values are stale, after three times an event is recorded. An MQTT broker "
        "does not say whether a publisher lives.",
        examples=["2h"],
    )
    qos: Literal[0, 1, 2] = Field(1, description="Quality of service that the broker is asked for.")
    queue: int = Field(
        20_000, ge=10, le=1_000_000, description="Most changes kept between two looks; what has to go for "
        "want of room is told as lost.",
    )  # fmt: skip
    tags: list[MqttTag] = Field(min_length=1, description="What is taken from the messages.")

    @field_validator("tags")
    @classmethod
    def _levels_become_tags(cls, tags: list[MqttTag]) -> list[MqttTag]:
        return [made for tag in tags for made in tag.expanded()]

    @model_validator(mode="after")
    def _no_unit(self) -> "MqttGroup":
        if self.unit_id is not None:
            raise ValueError("there are no units behind a broker: leave unit_id out")
        return self


class MqttConnection(ConnectionSettings):
    """An MQTT broker, whose messages are taken as values."""

    driver: Literal["mqtt"] = Field("mqtt", description="Protocol driver.")
    transport: MqttTransport = Field(description="How to reach the broker.")
    max_payload: Annotated[Size, at_least("1KiB")] = Field(
        Bytes(256 << 10),
        description="Largest payload that is taken; a larger one is counted and told. At most 16MiB.",
    )
    rebirth: bool = Field(
        False,
        description="Whether edge nodes of Sparkplug B may be asked for their births (NCMD Node "
        "Control/Rebirth) where one is missing. It is a command: without it the agent publishes nothing.",
    )
    groups: list[MqttGroup] = Field(default_factory=list, description="What is subscribed to.")
    _groups: int = PrivateAttr(0)

    @field_validator("max_payload")
    @classmethod
    def _bounded(cls, size: int) -> int:
        if size > 16 << 20:
            raise ValueError("the most is 16MiB")
        return size

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._groups = len(self.groups)

    @property
    def group_count(self) -> int:
        """How many groups there are, also where the copy at hand is without them."""
        return self._groups
