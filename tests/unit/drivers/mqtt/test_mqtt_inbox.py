"""What messages make of tags: retained, late, repeated, bad and oversized ones, and what shows life."""

import tracemalloc
from typing import Any

from edge_agent.contracts.driver import Reading
from edge_agent.drivers.mqtt.inbox import Inbox, Message
from edge_agent.drivers.mqtt.plan import plan
from edge_agent.drivers.mqtt.settings import MqttConnection
from edge_agent.wire.quality import Quality
from edge_agent.wire.values import read_value

PLAIN: dict[str, Any] = {"name": "t", "topic": "a/t"}
TIMED: dict[str, Any] = {"name": "t", "topic": "a/t", "pointer": "/v", "time": "/at", "type": "int32"}


class Group:
    """An inbox whose tags are looked at by name."""

    def __init__(self, *tags: dict[str, Any], max_payload: int = 1000, **group: Any) -> None:
        settings = MqttConnection.model_validate(
            {
                "name": "b", "driver": "mqtt", "transport": {"host": "h"},
                "groups": [{"name": "g", "interval": "1s", "tags": list(tags), **group}],
            }
        )  # fmt: skip
        self.plan = plan(settings, settings.groups[0])
        self.inbox = Inbox(self.plan, max_payload)
        self.now = 100.0
        self.reading = Reading(b"")
        self.inbox.subscribed(self.now)
        self.take()

    def put(self, topic: str, payload: bytes | str, *, retained: bool = False) -> bool:
        data = payload if isinstance(payload, bytes) else payload.encode()
        return self.inbox.put(Message(topic, data, retained), self.now)

    def lives(self) -> bool:
        """Whether the last reading was a sign of life."""
        return self.reading.alive

    def take(self) -> list[tuple[str, Any, str, int | None]]:
        """Each change: tag, value, quality, source time."""
        self.reading = self.inbox.take(self.now)
        found: list[tuple[str, Any, str, int | None]] = []
        schema = self.plan.schema
        for part in self.reading.news or ():
            marks = {run.first + n: run for run in part.quality for n in range(run.count)}
            times = {run.first + n: run.time_ms for run in part.source for n in range(run.count)}
            for index, tag in enumerate(schema.tags):
                if not part.tags[index]:
                    continue
                mark = marks.get(index)
                value: Any = None
                if mark is None or not mark.null:
                    value = (
                        (part.text or ())[index - schema.fixed_tags]
                        if index >= schema.fixed_tags
                        else read_value(tag, part.row[schema.edges[index] : schema.edges[index + 1]])
                    )
                quality = (Quality.GOOD if mark is None else mark.quality).label
                found.append((tag.name, value, quality, times.get(index)))
        return found


def test_every_change_between_two_looks_is_kept_in_order() -> None:
    group = Group(PLAIN)
    for n in range(5):
        group.put("a/t", str(n))
    assert [value for _, value, _, _ in group.take()] == [0, 1, 2, 3, 4]
    assert group.take() == []


def test_a_retained_message_is_uncertain_keeps_its_time_and_is_nothing_after_a_live_one() -> None:
    group = Group(TIMED)
    group.put("a/t", '{"v": 1, "at": 1000}', retained=True)
    assert group.take() == [("t", 1, "uncertain", 1000)]
    group.put("a/t", '{"v": 2, "at": 2000}')
    group.put("a/t", '{"v": 1, "at": 1000}', retained=True)
    assert group.take() == [("t", 2, "good", 2000)]


def test_a_retained_message_is_what_the_tag_says() -> None:
    group = Group({**PLAIN, "retained": "good"}, {**PLAIN, "name": "u", "retained": "ignore"})
    group.put("a/t", "5", retained=True)
    assert group.take() == [("t", 5, "good", None)]


def test_a_cleared_topic_has_no_value() -> None:
    group = Group(PLAIN, {"name": "s", "topic": "a/t", "type": "string"})
    group.put("a/t", "5")
    group.put("a/t", "")
    assert group.take()[2:] == [("t", None, "bad_value", None), ("s", None, "bad_value", None)]


def test_a_late_message_is_kept_and_the_present_value_stays_the_last() -> None:
    group = Group(TIMED)
    group.put("a/t", '{"v": 2, "at": 2000}')
    group.put("a/t", '{"v": 1, "at": 1000}')
    assert group.take() == [("t", 2, "good", 2000), ("t", 1, "good", 1000), ("t", 2, "good", 2000)]
    assert group.inbox.late == 1


def test_a_publisher_whose_clock_was_set_back_is_late_for_a_minute_and_then_new() -> None:
    """Else a device on local time would show one value for an hour each autumn."""
    group = Group(TIMED)
    group.put("a/t", '{"v": 1, "at": 3600000}')
    group.now += 30
    group.put("a/t", '{"v": 2, "at": 30000}')
    assert group.take()[-1] == ("t", 1, "good", 3600000)
    group.now += 30
    group.put("a/t", '{"v": 3, "at": 60000}')
    assert group.take() == [("t", 3, "good", 60000)]


def test_the_same_message_again_is_no_change_and_a_sign_of_life() -> None:
    group = Group(TIMED)
    group.put("a/t", '{"v": 1, "at": 1000}')
    group.take()
    group.put("a/t", '{"v": 1, "at": 1000}')
    assert group.take() == []
    assert group.lives()
    assert group.inbox.repeated == 1
    group.take()
    assert not group.lives()


def test_bad_json_and_a_bad_time_concern_their_tags_alone() -> None:
    group = Group(TIMED, {"name": "raw", "topic": "a/t", "type": "string"})
    group.put("a/t", "{")
    assert group.take() == [("t", None, "bad_value", None), ("raw", "{", "good", None)]
    assert "no JSON" in (group.reading.errors or {})["t"]
    group.put("a/t", '{"v": 3, "at": "soon"}')
    assert group.take()[0] == ("t", 3, "uncertain", None)
    assert (group.reading.errors or {})["t"].startswith("time:")
    group.put("a/t", '{"v": 3, "at": 5}')
    group.take()
    assert not group.reading.errors


def test_a_value_that_does_not_fit_is_bad() -> None:
    group = Group({**PLAIN, "type": "uint8"})
    for payload in ("256", "1.5", "-1", "7"):
        group.put("a/t", payload)
    assert [change[2] for change in group.take()] == ["bad_value", "bad_value", "bad_value", "good"]


def test_an_optional_value_that_is_missing_leaves_the_tag_as_it_is() -> None:
    group = Group({**TIMED, "optional": True}, {**TIMED, "name": "u"})
    group.put("a/t", '{"at": 5}')
    assert group.take() == [("u", None, "bad_value", 5)]


def test_an_oversized_payload_is_bad_and_told() -> None:
    group = Group(PLAIN, max_payload=10)
    group.put("a/t", "1" * 11)
    assert group.take() == [("t", None, "bad_value", None)]
    assert "11 bytes" in group.reading.lost[0]


def test_a_topic_that_no_tag_takes_is_told_once_and_counted() -> None:
    group = Group({"name": "{2}", "topic": "a/+", "levels": {2: ["x"]}})
    assert group.put("a/y", "1")
    assert group.put("a/y", "2")
    assert not group.put("b/y", "1")
    group.take()
    assert group.reading.lost == ("messages of the topic a/y: no tag takes it",)
    assert group.reading.errors == {"a/y": "2 messages that no tag takes"}
    group.put("a/y", "3")
    group.take()
    assert not group.reading.lost


def test_strangers_without_end_cost_no_memory_without_end() -> None:
    group = Group({"name": "{2}", "topic": "a/+", "levels": {2: ["x"]}})
    for n in range(10_000):
        group.put(f"a/{n}", "1")
    group.take()
    assert len(group.reading.errors or {}) == 100
    assert group.inbox.passed_over == 10_000


def test_topics_of_a_broker_are_not_taken_by_a_wildcard_at_the_front() -> None:
    group = Group({"name": "all", "topic": "#", "type": "json"})
    assert not group.put("$SYS/uptime", "1")
    assert group.put("any/where", "1")


def test_texts_are_bounded_and_what_goes_is_told() -> None:
    group = Group({"name": "s", "topic": "a/t", "type": "json"}, max_payload=1 << 20)
    payload = '"' + "x" * 60_000 + '"'
    for _ in range(300):
        group.put("a/t", payload)
    assert len(group.take()) == 279
    assert group.reading.lost == ("21 texts or structures: more came than could be kept",)


def test_a_link_that_ends_leaves_what_came_and_the_last_word_bad_comm() -> None:
    group = Group(PLAIN)
    group.put("a/t", "1")
    group.inbox.ended()
    assert group.take() == [("t", 1, "good", None), ("t", None, "bad_comm", None)]
    group.inbox.ended()
    assert group.take() == []


def test_a_refused_filter_is_bad_config_alone() -> None:
    group = Group(PLAIN, {"name": "u", "topic": "a/u"})
    group.inbox.subscribed(group.now, ["a/u"])
    assert group.take() == [("u", None, "bad_config", None)]
    assert "refuses" in (group.reading.errors or {})["a/u"]


def test_the_answer_to_a_subscription_is_life_until_the_group_has_been_silent_for_too_long() -> None:
    """A link that is built anew for a silent publisher must not keep it alive for ever."""
    group = Group({**PLAIN, "retained": "good"}, liveness="60s")
    group.put("a/t", "1")
    group.take()
    group.now += 50
    group.inbox.ended()
    group.inbox.subscribed(group.now)
    group.take()
    assert group.lives()
    group.now += 10
    group.inbox.ended()
    group.inbox.subscribed(group.now)
    group.put("a/t", "1", retained=True)
    assert group.take() == []
    assert not group.lives()
    group.put("a/t", "2")
    assert group.take() == [("t", 2, "good", None)]
    assert group.lives()


def test_what_cannot_be_a_number_is_not_kept_until_the_next_look() -> None:
    """A group that is looked at each hour kept 20,000 structures of 256 KiB each."""
    group = Group({"name": "t", "topic": "a/t", "pointer": "/v"}, max_payload=300_000)
    payload = '{"v": [' + "1," * 100_000 + "1]}"
    tracemalloc.start()
    for _ in range(20):
        group.put("a/t", payload)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000
    assert group.take() == [("t", None, "bad_value", None)] * 20
