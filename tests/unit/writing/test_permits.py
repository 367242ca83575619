"""What the local allow-list permits of a config, and that a centre cannot make anything else of it."""

from typing import Any

import pytest

from edge_agent.config.models import Document
from edge_agent.config.outline import Outline
from edge_agent.config.pins import pin_of, places
from edge_agent.drivers.registry import lookup
from edge_agent.writing.errors import NotAllowed
from edge_agent.writing.permit import Permit, Permits, permits_of


def connection(**changes: Any) -> dict[str, Any]:
    tag = {"name": "set", "address": "holding:100", "scale": 0.1, **changes.pop("tag", {})}
    group = {"name": "g", "interval": "1s", **changes.pop("group", {}), "tags": [tag]}
    transport = {"type": "tcp", "host": "192.0.2.1", "port": 502, **changes.pop("transport", {})}
    return {"name": "plc", "driver": "modbus", "transport": transport, "groups": [group], **changes}


def document(connections: list[dict[str, Any]], manage: list[str], **entry: Any) -> Document:
    model = lookup("modbus").settings
    made = Document.model_validate(
        {
            "agent": {"id": "a"},
            "remote": {"manage": manage},
            "writes": {"allow": [{"tag": "plc.set", "min": 0, "max": 5, **entry}]},
        }
    )
    return made.model_copy(update={"connections": [model.model_validate(each) for each in connections]})


def permits(made: Document) -> Permits:
    return permits_of(made, Outline.of(made).connections, {"modbus": lookup("modbus")})


def pin(**changes: Any) -> str:
    return pin_of(*places(document([connection(**changes)], []))["plc.set"])


def test_nothing_is_permitted_by_default() -> None:
    made = Document.model_validate({"agent": {"id": "a"}})
    assert permits(made) == {}


def test_a_tag_that_stands_in_the_list_is_permitted_for_these_settings_of_its_connection() -> None:
    made = document([connection()], [])
    permit = permits(made)["plc.set"]
    assert isinstance(permit, Permit)
    assert permit.revision == Outline.of(made).connections["plc"]
    assert (permit.unit_id, permit.tag.scale) == (1, 0.1)


def test_where_the_centre_manages_connections_a_pin_is_needed_and_said() -> None:
    why = permits(document([connection()], ["connections"]))["plc.set"]
    assert isinstance(why, str)
    assert pin() in why
    assert pin().startswith("modbus 192.0.2.1:502 unit 1 holding:100 uint16 x 0.1 + 0 #")
    assert isinstance(permits(document([connection()], ["connections"], pin=pin()))["plc.set"], Permit)


@pytest.mark.parametrize(
    "changes",
    [
        {"transport": {"host": "192.0.2.2"}},
        {"transport": {"port": 503}},
        {"transport": {"unit_id": 2}},
        {"transport": {"type": "udp"}},
        {"group": {"unit_id": 7}},
        {"tag": {"address": "holding:101"}},
        {"tag": {"address": "input:100"}},
        {"tag": {"type": "int16"}},
        {"tag": {"type": "uint32", "word_order": "little"}},
        {"tag": {"scale": 1.0}},
        {"tag": {"offset": 1.0}},
        {"tag": {"enum": {"1": "run"}}},
        {"tag": {"count": 2}},
        {"tag": {"byte_order": "little"}},
        {"byte_order": "little"},
        {"word_order": "little"},
        {"write_function": "multiple"},
    ],
    ids=str,
)
def test_a_name_that_was_re_pointed_is_not_writable_any_more(changes: dict[str, Any]) -> None:
    made = document([connection(**changes)], ["connections"], pin=pin())
    why = permits(made)["plc.set"]
    assert isinstance(why, str)
    assert "is not what it was pinned to" in why


@pytest.mark.parametrize(
    "changes",
    [
        {"transport": {"timeout": "5s"}},
        {"group": {"name": "other"}},
        {"group": {"interval": "5s"}},
        {"tag": {"deadband": {"on_change": True}}},
        {"tag": {"unit": "bar"}},
    ],
    ids=str,
)
def test_what_changes_nothing_of_a_write_leaves_it_permitted(changes: dict[str, Any]) -> None:
    made = document([connection(**changes)], ["connections"], pin=pin())
    assert isinstance(permits(made)["plc.set"], Permit)


def test_a_driver_that_does_not_write_and_a_tag_that_nobody_can_write_say_so() -> None:
    made = document([connection(tag={"address": "input:3"})], [])
    why = permits(made)["plc.set"]
    assert isinstance(why, str)
    assert "read only" in why
    assert permits(document([], []))["plc.set"] == "there is no tag plc.set"
    disabled = permits(document([connection(enabled=False)], []))["plc.set"]
    assert disabled == "the connection plc is not enabled"


@pytest.mark.parametrize(
    ("tag", "entry", "said"),
    [
        ({}, {"min": None, "max": None}, "needs its bounds"),
        ({"address": "coil:1"}, {}, "a bool has no min and max"),
        ({"type": "string", "length": 4, "scale": 1.0}, {}, "a string has no min and max"),
    ],
)
def test_bounds_must_fit_the_type(tag: dict[str, Any], entry: dict[str, Any], said: str) -> None:
    if "coil" in str(tag):
        tag["scale"] = 1.0
    why = permits(document([connection(tag=tag)], [], **entry))["plc.set"]
    assert isinstance(why, str)
    assert said in why


def test_bounds_are_said_with_all_their_digits() -> None:
    made = document([connection(tag={"type": "uint32", "scale": 1.0})], [], min=0, max=1234567)
    permit = permits(made)["plc.set"]
    assert isinstance(permit, Permit)
    with pytest.raises(NotAllowed, match=r"from 0 to 1234567$"):
        permit.judge("1234568")
