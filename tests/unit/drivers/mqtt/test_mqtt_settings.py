"""What a config may say of MQTT, and what the plan makes of it."""

import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.mqtt.metric import Edge
from edge_agent.drivers.mqtt.plan import FILTERS_PER_REQUEST, MqttPlan, plan
from edge_agent.drivers.mqtt.settings import MqttConnection


def connection(*tags: dict[str, Any], **more: Any) -> MqttConnection:
    group = {"name": "g", "interval": "1s", "tags": list(tags), **more.pop("group", {})}
    transport = {"host": "broker", **more.pop("transport", {})}
    return MqttConnection.model_validate(
        {"name": "b", "driver": "mqtt", "transport": transport, "groups": [group], **more}
    )


def planned(*tags: dict[str, Any], **more: Any) -> MqttPlan:
    made = connection(*tags, **more)
    return plan(made, made.groups[0])


def test_levels_become_a_tag_for_each_name_and_the_broker_is_asked_for_the_filter() -> None:
    made = planned(
        {"name": "{1}.{3}", "topic": "+/line/+/v", "levels": {1: ["a", "b"], 3: ["x", "y"]}},
    )
    assert [tag.name for tag in made.schema.tags] == ["a.x", "a.y", "b.x", "b.y"]
    assert list(made.filters) == ["+/line/+/v"]
    assert set(made.topics) == {"a/line/x/v", "a/line/y/v", "b/line/x/v", "b/line/y/v"}
    assert made.requests[0].tags == 4


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        ({"name": "t", "topic": "a/+/b"}, "list them in levels"),
        ({"name": "t", "topic": "a/#"}, "list them in levels"),
        ({"name": "{2}", "topic": "a/#", "type": "json", "levels": {2: ["x"]}}, "# stands for any number"),
        ({"name": "{1}", "topic": "a/+", "levels": {1: ["x"]}}, "levels names each level that is a +"),
        ({"name": "t", "topic": "a/+", "levels": {2: ["x"]}}, "the name has a {n}"),
        ({"name": "{2}", "topic": "a/+", "levels": {2: ["x", "x"]}}, "each once"),
        ({"name": "{2}", "topic": "a/+", "levels": {2: ["x/y"]}}, "no single level"),
        ({"name": "{2}", "topic": "a/+", "levels": {2: [str(n) for n in range(10_001)]}}, "more than 10000"),
        ({"name": "t", "topic": "a/b#"}, "# stands alone"),
        ({"name": "t", "topic": "a/#/b"}, "# stands alone"),
        ({"name": "t", "topic": "a+/b"}, "+ stands alone"),
        ({"name": "t", "topic": "$share/g/a"}, "shared subscription"),
        ({"name": "t", "topic": ""}, "at least one character"),
        ({"name": "t", "topic": "a", "pointer": "v"}, "begins with a slash"),
        ({"name": "t", "topic": "a", "pointer": "/~2"}, "~0"),
        ({"name": "t"}, "either a topic or a metric"),
        ({"name": "t", "topic": "a", "metric": "g/e:m"}, "either a topic or a metric"),
        ({"name": "t", "metric": "g/e"}, "no metric"),
        ({"name": "t", "metric": "g/+/d:m"}, "neither + nor #"),
        ({"name": "t", "metric": "g/e:m", "pointer": "/v"}, "goes with a topic"),
        ({"name": "t", "topic": "a", "type": "string", "count": 2}, "no count"),
        ({"name": "t", "topic": "a", "type": "json", "scale": 2.0}, "no scale"),
    ],
)
def test_what_can_never_work_is_refused_with_a_reason(tag: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError) as found:
        connection(tag)
    assert why in str(found.value)


@pytest.mark.parametrize(
    ("transport", "why"),
    [
        ({"session": "persistent"}, "needs a client_id"),
        ({"password": "x"}, "password needs username"),
        ({"version": "3.1"}, "3.1.1"),
        ({"tls": {"key_file": "k"}}, "key_file needs cert_file"),
    ],
)
def test_a_transport_that_cannot_work_is_refused(transport: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        connection({"name": "t", "topic": "a"}, transport=transport)


def test_the_port_follows_tls_and_the_version_may_be_a_number() -> None:
    plain = connection({"name": "t", "topic": "a"}, transport={"version": 5}).transport
    assert (plain.used_port, plain.version) == (1883, "5")
    assert connection({"name": "t", "topic": "a"}, transport={"tls": {}}).transport.used_port == 8883


def test_a_password_that_travels_in_the_clear_is_doubted() -> None:
    who = {"username": "u", "password": "p"}
    ((path, why),) = connection({"name": "t", "topic": "a"}, transport=who).transport.doubts()
    assert (path, "give tls" in why) == (("password",), True)
    assert not list(connection({"name": "t", "topic": "a"}, transport={**who, "tls": {}}).transport.doubts())


def test_a_value_is_present_for_as_long_as_its_group_may_be_quiet() -> None:
    assert planned({"name": "t", "topic": "a"}).quiet_seconds == 900
    assert planned({"name": "t", "topic": "a"}, group={"liveness": "2h"}).quiet_seconds == 7200
    assert (
        planned({"name": "t", "topic": "a"}, group={"liveness": None, "interval": "10m"}).quiet_seconds
        == 3000
    )


def test_two_tags_of_one_name_are_refused_also_where_levels_made_one() -> None:
    with pytest.raises(ConfigError, match="two tags of the same name"):
        planned({"name": "x_t", "topic": "a"}, {"name": "{1}_t", "topic": "+/b", "levels": {1: ["x"]}})


def test_units_do_not_exist() -> None:
    with pytest.raises(ValidationError, match="no units"):
        connection({"name": "t", "topic": "a"}, group={"unit_id": 1})


def test_metrics_of_one_edge_node_cost_one_subscription() -> None:
    made = planned(
        {"name": "a", "metric": "g/e/d:Motor/rpm"}, {"name": "b", "metric": "g/e:load:1"},
        {"name": "c", "metric": "g/f:load"},
    )  # fmt: skip
    assert list(made.filters) == ["spBv1.0/g/+/e/#", "spBv1.0/g/+/f/#"]
    assert set(made.metrics[Edge("g", "e")]) == {("d", "Motor/rpm"), ("", "load:1")}
    assert any("rebirth is false" in note for note in made.notes)


def test_many_filters_go_into_several_requests() -> None:
    count = FILTERS_PER_REQUEST + 1
    made = planned(*({"name": f"t{n}", "topic": f"a/{n}"} for n in range(count)))
    assert [request.tags for request in made.requests] == [FILTERS_PER_REQUEST, 1]


def test_a_plan_and_settings_without_groups_still_know_what_the_driver_needs() -> None:
    made = connection({"name": "t", "topic": "a"})
    bare = pickle.loads(pickle.dumps(made.model_copy(update={"groups": []})))
    assert (bare.groups, bare.group_count) == ([], 1)
    copy = pickle.loads(pickle.dumps(planned({"name": "t", "topic": "a"}, rebirth=True)))
    assert set(copy.topics) == {"a"}
