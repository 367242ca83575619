"""The centre's table of command types against the wire's, and what it checks."""

import pytest

from central_sync.services.access.roles import Role
from central_sync.services.commands import types as command_types
from central_sync.services.errors import Invalid
from edge_agent.wire import command_types as wire
from edge_agent.wire.command_types import MAX_TIMEOUT_SECONDS, TYPES, CommandType, NoParams, PingResult


def test_both_sides_know_the_same_types() -> None:
    assert list(command_types.REGISTRY) == list(TYPES)


def test_what_writes_to_a_plant_needs_an_engineer_and_runs_once() -> None:
    write = command_types.find("write_tag")
    assert (write.role, write.dangerous, write.wire.idempotent) == (Role.ENGINEER, True, False)


@pytest.mark.parametrize("name", TYPES)
def test_a_types_example_is_valid_and_its_times_are_bounded(name: str) -> None:
    kind = command_types.find(name)
    command_types.check_params(kind, wire.example(kind.wire))
    assert 0 < kind.wire.timeout_seconds <= kind.wire.max_timeout_seconds <= MAX_TIMEOUT_SECONDS


@pytest.mark.parametrize(
    ("name", "params", "place"),
    [
        ("ping", {"loud": True}, "params.loud"),
        ("read_tags", {"tags": []}, "params.tags"),
        ("read_tags", {"tags": ["no_dot"]}, "params.tags.0"),
        ("read_tags", {"tags": ["press1.a\x00b"]}, "params.tags.0"),
        ("write_tag", {"tag": "press1.speed"}, "params.value"),
        ("write_tag", {"tag": "press1.speed", "value": 1 << 63}, "params.value"),
        ("restart_connection", {"connection": "Press 1"}, "params.connection"),
        ("set_log_level", {"level": "loud"}, "params.level"),
        ("collect_logs", {"lines": 0}, "params.lines"),
    ],
)
def test_bad_parameters_are_refused_with_their_place(
    name: str, params: dict[str, object], place: str
) -> None:
    with pytest.raises(Invalid) as refused:
        command_types.check_params(command_types.find(name), params)
    assert refused.value.code == "bad_params"
    assert str(refused.value.extra["place"]).startswith(place)


@pytest.mark.parametrize("value", [True, 1, 1.5, "open", -(1 << 63)])
def test_a_value_to_write_keeps_its_type(value: object) -> None:
    kind = command_types.find("write_tag")
    params = command_types.check_params(kind, {"tag": "press1.speed", "value": value})
    assert (params["value"], type(params["value"])) == (value, type(value))


def test_two_types_of_one_name_are_refused() -> None:
    one = CommandType("ping", NoParams, PingResult, 1.0)
    with pytest.raises(ValueError, match="two types are called ping"):
        wire.table((one, one))
