"""One group's messages on their way to changes of its tags. Pure: callers say what time it is.

A message that makes no sense is bad for the tags that it feeds and for nothing else.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from edge_agent.contracts.driver import Reading
from edge_agent.drivers.mqtt.errors import Absent, BadPayload
from edge_agent.drivers.mqtt.metric import KINDS, Edge, SparkplugTopic, parse_topic
from edge_agent.drivers.mqtt.node import Node, Outcome, Update
from edge_agent.drivers.mqtt.payload import Payload, time_of, value_of
from edge_agent.drivers.mqtt.plan import Feed, MqttPlan
from edge_agent.drivers.mqtt.settings import Retained
from edge_agent.drivers.mqtt.sparkplug import decode
from edge_agent.drivers.mqtt.topics import Filters
from edge_agent.drivers.mqtt.values import Sample, Values
from edge_agent.drivers.packing import Mark
from edge_agent.wire.quality import Quality

# OPC UA Part 4, 7.39.2: UncertainLastUsableValue and BadNoData.
_LAST_USABLE: Final = Mark(Quality.UNCERTAIN, 0x40900000, null=False)
_NO_DATA: Final = Mark(Quality.BAD_VALUE, 0x809B0000)
_NO_TIME: Final = Mark(Quality.UNCERTAIN, null=False)
_BAD: Final = Mark(Quality.BAD_VALUE)
_DEAD: Final = Mark(Quality.BAD_COMM)
_DOUBT: Final = Mark(Quality.STALE)
_NOT_BORN: Final = Mark(Quality.BAD_CONFIG)
_GONE: Final = Mark(Quality.BAD_COMM)
_REFUSED: Final = Mark(Quality.BAD_CONFIG)
_MOST_TOLD: Final = 100


class Message(NamedTuple):
    topic: str
    payload: bytes
    retained: bool = False


class Inbox:
    """What came for one plan, from the making of its subscription to the next `take`."""

    def __init__(self, plan: MqttPlan, most_bytes: int) -> None:
        self.plan = plan
        self._most_bytes = most_bytes
        self._values = Values(plan.schema, plan.queue)
        self._filters: Filters[None] = Filters((text, None) for text in plan.filters)
        self._patterns: Filters[Feed] = Filters(plan.patterns)
        self._nodes = {edge: Node(device for device, _ in tags) for edge, tags in plan.metrics.items()}
        self._errors: dict[str, str] = {}
        self._strangers: dict[str, int] = {}
        self._alive_at: float | None = None
        self._silent = False
        self.unborn: set[Edge] = set()
        self.messages = self.passed_over = 0

    def __len__(self) -> int:
        return len(self._values)

    @property
    def is_complete(self) -> bool:
        """Whether every tag has a value."""
        return self._values.known == self.plan.schema.tag_count

    @property
    def late(self) -> int:
        return self._values.late

    @property
    def repeated(self) -> int:
        return self._values.repeated

    def subscribed(self, now: float, refused: Iterable[str] = ()) -> None:
        """The broker has answered for this subscription. refused: filters that it will not serve.

        The answer is a sign of life, unless no message has come for so long that the link was built anew
        for it: then only a message is.
        """
        if self._alive_at is None:
            self._alive_at = now
        self._silent = now - self._alive_at >= self.plan.liveness_seconds
        if not self._silent:
            self._values.keepalive()
        for text in refused:
            self._values.fall(dict.fromkeys(self.plan.filters[text], _REFUSED))
            self._tell(text, "the broker refuses the subscription")
        self.unborn.update(self._nodes)

    def ended(self) -> None:
        """The link is gone."""
        self._values.end(_GONE)
        self._errors.clear()
        for node in self._nodes.values():
            node.forget()

    def take(self, now: float) -> Reading:
        """What came since the last call."""
        if len(self._values) and not self._silent:
            self._alive_at = now
        strangers = {topic: f"{n} messages that no tag takes" for topic, n in self._strangers.items()}
        return self._values.take({**strangers, **self._errors})

    def lose(self, text: str) -> None:
        self._values.lose(text)

    def put(self, message: Message, now: float) -> bool:
        """Whether the message is of this group's subscription."""
        topic = message.topic
        feeds = [*self.plan.topics.get(topic, ()), *self._patterns.of(topic)]
        if not feeds and not any(True for _ in self._filters.of(topic)):
            return False
        self.messages += 1
        sparkplug = parse_topic(topic) if self._nodes else None
        node = None if sparkplug is None else self._nodes.get(sparkplug.edge)
        if not feeds and node is None:
            self.stranger(topic)
        elif len(message.payload) > self._most_bytes:
            self._oversized(message, feeds, sparkplug, now)
        else:
            self._feed(message, feeds, now)
            if node is not None and sparkplug is not None and not message.retained:
                self._sparkplug(node, sparkplug, message.payload, now)
        return True

    def stranger(self, topic: str) -> None:
        """A message that was asked for, and that no tag takes: counted, and told once for each topic."""
        self.passed_over += 1
        if topic in self._strangers:
            self._strangers[topic] += 1
        elif len(self._strangers) < _MOST_TOLD:
            self._strangers[topic] = 1
            self._values.lose(f"messages of the topic {topic[:200]}: no tag takes it")

    def _tell(self, concerned: str, text: str) -> None:
        if len(self._errors) < _MOST_TOLD or concerned in self._errors:
            self._errors[concerned] = text

    def _oversized(
        self, message: Message, feeds: Iterable[Feed], sparkplug: SparkplugTopic | None, now: float
    ) -> None:
        text = f"a payload of {len(message.payload)} bytes, more than max_payload"
        self._tell(message.topic, text)
        self._values.lose(f"topic {message.topic[:200]}: {text}")
        for feed in feeds:
            self._put(feed.tag, Sample(None, mark=_BAD), now)
        if sparkplug is not None:
            self._doubt(sparkplug.edge, text)

    # --- plain and JSON payloads -----------------------------------------------------------------

    def _feed(self, message: Message, feeds: Iterable[Feed], now: float) -> None:
        payload = Payload(message.payload)
        for feed in feeds:
            if message.retained and not self._takes_retained(feed):
                continue
            try:
                sample = _sample(message, payload, feed)
            except Absent as error:
                if feed.is_optional:
                    continue
                sample = self._bad(feed.tag, str(error))
            except BadPayload as error:
                sample = self._bad(feed.tag, str(error))
            else:
                self._errors.pop(self.plan.schema.tags[feed.tag].name, None)
            if feed.time is not None and message.payload:
                sample = self._timed(sample, payload, feed)
            self._put(feed.tag, sample, now)

    def _takes_retained(self, feed: Feed) -> bool:
        """A retained message is old news where a live one has come, and no sign of a publisher's life."""
        if feed.retained is Retained.IGNORE or self._silent:
            return False
        return feed.keyed or not self._values.is_known(feed.tag)

    def _bad(self, tag: int, text: str) -> Sample:
        self._tell(self.plan.schema.tags[tag].name, text)
        return Sample(None, mark=_BAD)

    def _timed(self, sample: Sample, payload: Payload, feed: Feed) -> Sample:
        try:
            return sample._replace(source_ms=time_of(payload.at(feed.time or ()), feed.time_format))
        except BadPayload as error:
            self._tell(self.plan.schema.tags[feed.tag].name, f"time: {error}")
            return sample._replace(mark=sample.mark or _NO_TIME)

    def _put(self, tag: int, sample: Sample, now: float) -> None:
        self._silent = False
        self._values.put(tag, sample, now)

    # --- Sparkplug B -----------------------------------------------------------------------------

    def _sparkplug(self, node: Node, topic: SparkplugTopic, data: bytes, now: float) -> None:
        if topic.kind not in KINDS:
            return
        try:
            payload = decode(data)
            outcome = node.take(topic, payload, data)
        except BadPayload as error:
            node.forget()
            self._doubt(topic.edge, f"{topic.kind}: {error}")
            return
        tags = self.plan.metrics[topic.edge]
        self._fall(topic, outcome)
        for update in outcome.updates:
            for tag in tags.get((update.device, update.metric), ()):
                self._put(tag, self._sample(tag, update, payload.size), now)
        if outcome.doubt:
            self._tell(str(topic.edge), outcome.doubt)
            self.unborn.add(topic.edge)
        elif node.is_born:
            self.unborn.discard(topic.edge)
            if topic.kind == "NBIRTH":
                self._errors.pop(str(topic.edge), None)

    def _fall(self, topic: SparkplugTopic, outcome: Outcome) -> None:
        """What tags lose by a death, a hole in the sequence, or a birth that does not name them."""
        tags = self.plan.metrics[topic.edge]
        mark = _DOUBT if outcome.doubt else _DEAD
        named = {update.metric for update in outcome.updates}
        fallen: dict[int, Mark] = {}
        for (device, metric), indexes in tags.items():
            if outcome.born == device:
                if metric not in named:
                    fallen |= dict.fromkeys(indexes, _NOT_BORN)
                    name = self.plan.schema.tags[indexes[0]].name
                    self._tell(name, f"the birth of {topic.edge} {device} names no metric {metric!r}")
            elif None in outcome.dead or device in outcome.dead:
                fallen |= dict.fromkeys(indexes, mark)
        if fallen:
            self._values.fall(fallen)
        if outcome.dead and not outcome.doubt and topic.kind.endswith("DEATH"):
            self._tell(str(topic.edge), f"{topic.kind} {topic.device}".strip())

    def _doubt(self, edge: Edge, text: str) -> None:
        """A message of the node could not be read: as if it were missing."""
        if edge not in self._nodes:
            return
        self._nodes[edge].forget()
        self.unborn.add(edge)
        self._tell(str(edge), text)
        every = [tag for tags in self.plan.metrics[edge].values() for tag in tags]
        self._values.fall(dict.fromkeys(every, _DOUBT))

    def _sample(self, tag: int, update: Update, size: int) -> Sample:
        name = self.plan.schema.tags[tag].name
        if update.error:
            self._tell(name, update.error)
            return Sample(None, update.source_ms, _BAD, 0, update.is_historical)
        self._errors.pop(name, None)
        return Sample(update.value, update.source_ms, _mark(update.quality), size, update.is_historical)


def _sample(message: Message, payload: Payload, feed: Feed) -> Sample:
    """Raises BadPayload."""
    size = len(message.payload)
    if not message.payload:
        return Sample(None, mark=_NO_DATA)  # the topic was cleared
    value = value_of(payload, feed.steps, feed.type, feed.count)
    if feed.keyed:
        value = {"topic": message.topic, "value": value}
    uncertain = message.retained and feed.retained is Retained.UNCERTAIN
    return Sample(value, None, _LAST_USABLE if uncertain else None, size)


def _mark(quality: int | None) -> Mark | None:
    """From the property `Quality` of a metric: 192 good, 64 uncertain, 0 bad, 500 stale."""
    if quality is None or quality == 500:
        return None if quality is None else Mark(Quality.STALE, null=False)
    if quality >> 6 & 3 == 3:
        return None
    return Mark(Quality.UNCERTAIN, null=False) if quality >> 6 & 3 == 1 else Mark(Quality.BAD_DEVICE)
