"""Settings of OPC UA, and the plans that are made of them."""

import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.opcua.plan import OpcUaPlan, plan
from edge_agent.drivers.opcua.settings import Mode, OpcUaConnection
from edge_agent.drivers.opcua.target import target
from edge_agent.wire.schema import ValueType


def connection(tags: list[dict[str, Any]], url: str = "opc.tcp://127.0.0.1", **rest: Any) -> OpcUaConnection:
    group = {"name": "g", "interval": "500ms", "tags": tags, **rest.pop("group", {})}
    values = {"name": "c", "transport": {"url": url}, "groups": [group], **rest}
    return OpcUaConnection.model_validate(values)


def planned(made: OpcUaConnection) -> OpcUaPlan:
    return plan(made, made.groups[0])


def tag(address: str = "ns=2;i=1", **rest: Any) -> dict[str, Any]:
    return {"name": "t", "address": address, **rest}


def test_a_tag_without_a_type_travels_as_json_and_a_group_is_subscribed_to() -> None:
    made = planned(connection([tag()]))
    assert made.schema.tags[0].type is ValueType.JSON
    assert (made.mode, made.publishing, made.sampling, made.queue_size) == (Mode.SUBSCRIBE, 0.5, 0.5, 10)


def test_large_groups_are_cut_where_a_request_is_full() -> None:
    tags = [{"name": f"t{i}", "address": f"i={i}", "type": "float32"} for i in range(25)]
    made = planned(connection(tags, max_nodes=10, group={"mode": "poll"}))
    assert [request.text for request in made.requests] == ["read 10 nodes", "read 10 nodes", "read 5 nodes"]
    assert [request.tags for request in made.requests] == [10, 10, 5]


def test_items_stand_in_the_order_of_the_schema() -> None:
    tags = [
        {"name": "text", "address": "s=a", "type": "string"},
        {"name": "small", "address": "i=1", "type": "int16"},
        {"name": "large", "address": "i=2", "type": "float64"},
    ]
    made = planned(connection(tags))
    assert [each.name for each in made.schema.tags] == ["large", "small", "text"]
    assert [item.address.identifier for item in made.items] == ["2", "1", "a"]


def test_an_index_of_a_namespace_is_remarked_on_and_a_uri_is_not() -> None:
    assert "may change" in planned(connection([tag("ns=2;i=1")])).notes[0]
    assert planned(connection([tag("nsu=urn:a;i=1")])).notes == ()
    assert planned(connection([tag("i=2258")])).notes == ()


def test_a_pickled_plan_is_the_same_without_its_notes() -> None:
    made = planned(connection([tag(type="int16", deadband={"absolute": 2})]))
    copy = pickle.loads(pickle.dumps(made))
    assert (copy.schema, copy.items, copy.requests, copy.notes) == (
        made.schema,
        made.items,
        made.requests,
        (),
    )


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({"deadband": {"absolute": 2}}, True),
        ({"deadband": {"absolute": 2, "max_interval": "60s"}}, True),
        ({"deadband": {"absolute": 2, "min_interval": "1s"}}, False),
        ({"deadband": {"percent": 2}}, False),
        ({"deadband": {"on_change": True}}, False),
        ({"deadband": {"absolute": 2}, "count": 3}, False),
        ({}, False),
    ],
)
def test_only_a_deadband_that_loses_nothing_is_asked_of_the_server(
    settings: dict[str, Any], asked: bool
) -> None:
    made = planned(connection([tag(type="float64", **settings)]))
    assert (made.items[0].band is not None) == asked


@pytest.mark.parametrize(
    ("url", "full", "host", "port"),
    [
        ("opc.tcp://plc.example", "opc.tcp://plc.example:4840", "plc.example", 4840),
        ("opc.tcp://plc.example:4841/a/b", "opc.tcp://plc.example:4841/a/b", "plc.example", 4841),
        ("opc.tcp://[2001:db8::1]/a", "opc.tcp://[2001:db8::1]:4840/a", "2001:db8::1", 4840),
    ],
)
def test_the_port_is_the_protocols_where_none_is_given(url: str, full: str, host: str, port: int) -> None:
    transport = connection([tag()], url).transport
    assert (transport.full_url, transport.host, transport.port) == (full, host, port)


@pytest.mark.parametrize(
    "url", ["http://plc.example", "opc.tcp://", "opc.tcp://a:99999", "opc.tcp://u:p@a", "a b"]
)
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match=r"an address"):
        connection([tag()], url)


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "json", "count": 2},
        {"type": "string", "scale": 2},
        {"enum": {"0": "off"}},
        {"attribute": "display_name", "index_range": "0"},
        {"index_range": "3:1"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        connection([tag(**settings)])


def test_a_group_has_no_unit() -> None:
    with pytest.raises(ValidationError, match="no units"):
        connection([tag()], group={"unit_id": 1})


def test_two_tags_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two tags of the same name"):
        planned(connection([tag(), tag("i=2")]))


def test_only_values_can_be_written() -> None:
    made = connection([tag(attribute="description"), {"name": "v", "address": "i=1", "type": "int32"}])
    with pytest.raises(ConfigError, match="only the attribute value"):
        target(made, made.groups[0], made.groups[0].tags[0])
    assert target(made, made.groups[0], made.groups[0].tags[1]).type is ValueType.INT32
