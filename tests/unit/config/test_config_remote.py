"""The centre's sections over the local file."""

from typing import Any

import pytest
from pydantic import JsonValue

from edge_agent.config.errors import ConfigErrors
from edge_agent.config.load import Loaded
from edge_agent.config.remote import merge_remote
from edge_agent.wire.messages import ConfigEnvelope
from tests.unit.config.conftest import DOCUMENT, LoadText
from tests.unit.config.sample_driver import SampleConnection, lookup

MANAGED = (
    DOCUMENT + "remote: {manage: [connections, hooks]}\nsecrets: {plc: hunter22-from-local}\n"
    "central: {url: 'https://x', token: abcd}\n"
)


def connection(**changes: Any) -> dict[str, JsonValue]:
    tags: JsonValue = [{"name": "level", "address": "holding:7"}]
    plain: dict[str, JsonValue] = {
        "name": "tank1",
        "driver": "sample",
        "transport": {"type": "tcp", "host": "192.0.2.20"},
        "groups": [{"name": "slow", "interval": "10s", "tags": tags}],
    }
    return {**plain, **changes}


def envelope(**sections: JsonValue) -> ConfigEnvelope:
    return ConfigEnvelope(version=3, sections=sections)


def errors(loaded: Loaded, sent: ConfigEnvelope) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        merge_remote(loaded, sent, lookup)
    prefix = "centre config version 3: remote:"
    lines = str(caught.value).splitlines()
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


def test_a_managed_section_is_replaced_whole(load_text: LoadText) -> None:
    loaded = load_text(MANAGED)
    merged = merge_remote(loaded, envelope(connections=[connection()]), lookup)
    assert [type(each) for each in merged.connections] == [SampleConnection]
    assert [each.name for each in merged.connections] == ["tank1"]
    assert merged.model_copy(update={"connections": []}) == loaded.document.model_copy(
        update={"connections": []}
    )
    assert [each.name for each in loaded.document.connections] == ["press1"]


def test_the_same_connection_from_the_centre_equals_the_local_one(load_text: LoadText) -> None:
    loaded = load_text(MANAGED)
    same = connection(
        name="press1",
        transport={"type": "tcp", "host": "192.0.2.10"},
        groups=[
            {"name": "fast", "interval": "1000ms", "tags": [{"name": "oil_temp", "address": "holding:100"}]}
        ],
    )
    assert merge_remote(loaded, envelope(connections=[same]), lookup) == loaded.document


def test_an_absent_section_stays_the_local_one_and_an_empty_one_is_empty(load_text: LoadText) -> None:
    loaded = load_text(MANAGED)
    assert merge_remote(loaded, envelope(), lookup) == loaded.document
    assert merge_remote(loaded, envelope(connections=[]), lookup).connections == []


def test_ranges_expand(load_text: LoadText) -> None:
    tags: JsonValue = [{"name": "t[1..4]", "address": "holding:0..7"}]
    sent = connection(groups=[{"name": "g", "interval": "1s", "tags": tags}])
    merged = merge_remote(load_text(MANAGED), envelope(connections=[sent]), lookup)
    group = merged.connections[0].groups[0]  # type: ignore[attr-defined]
    assert [(tag.name, tag.step) for tag in group.tags] == [("t1", 2), ("t2", 2), ("t3", 2), ("t4", 2)]


def test_secrets_come_from_the_local_map(load_text: LoadText) -> None:
    sent = connection(transport={"type": "tcp", "host": "h", "password": {"secret": "plc"}})
    merged = merge_remote(load_text(MANAGED), envelope(connections=[sent]), lookup)
    assert merged.connections[0].transport.password == "hunter22-from-local"  # type: ignore[attr-defined]


def test_an_unknown_secret_is_one_error(load_text: LoadText) -> None:
    sent = connection(transport={"type": "tcp", "host": "h", "password": {"secret": "plcc"}})
    assert errors(load_text(MANAGED), envelope(connections=[sent])) == [
        "connections[tank1].transport.password: the local secrets: map has no 'plcc', did you mean 'plc'?"
    ]


def test_a_secret_that_is_put_somewhere_else_is_not_told(load_text: LoadText) -> None:
    lines = errors(load_text(MANAGED), envelope(connections=[connection(enabled={"secret": "plc"})]))
    assert lines == ["connections[tank1].enabled: needs true or false (got '***')"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": {"secret": "plc"}}, "connections[0].name"),
        ({"groups": [{"name": {"secret": "plc"}, "interval": "1s", "tags": []}]}, "groups[0].name"),
        ({"groups": [{"name": "g", "tags": [{"name": {"secret": "plc"}}]}]}, "tags[0].name"),
        ({"groups": [{"name": "g", "tags": [{"name": "t", "unit": {"secret": "plc"}}]}]}, "tags[t].unit"),
        ({"name": "x].transport[", "groups": [{"name": "g", "x": {"y": {"secret": "plc"}}}]}, "x.y"),
    ],
)  # fmt: skip
def test_what_the_centre_is_told_holds_no_secret(
    load_text: LoadText, changes: dict[str, Any], path: str
) -> None:
    lines = errors(load_text(MANAGED), envelope(connections=[connection(**changes)]))
    assert [line for line in lines if f"{path}: no secret may stand here" in line]
    assert "hunter22" not in "".join(lines)


def test_a_centre_cannot_take_tls_back(load_text: LoadText) -> None:
    loaded = load_text(MANAGED.replace("hooks", "central"))
    assert errors(loaded, envelope(central={"url": "http://evil.example"})) == [
        "central.url: the device's own file has https://, and a centre's document cannot take that back"
    ]
    merged = merge_remote(loaded, envelope(central={"url": "https://other.example"}), lookup)
    assert merged.central is not None
    assert (merged.central.url, merged.central.token) == ("https://other.example", "abcd")


def test_who_a_device_is_at_a_broker_its_own_file_says(load_text: LoadText) -> None:
    text = MANAGED.replace("hooks", "central").replace("https://x'", "mqtts://x', mqtt: {password: own}")
    loaded = load_text(text)
    assert errors(loaded, envelope(central={"url": "mqtt://x"})) == [
        "central.url: the device's own file has mqtts://, and a centre's document cannot take that back"
    ]
    assert errors(loaded, envelope(central={"url": "mqtts://y", "mqtt": {"user": "other"}})) == [
        "central.mqtt: says who the device is at a broker: the local file alone does"
    ]
    merged = merge_remote(loaded, envelope(central={"url": "mqtts://y"}), lookup)
    assert merged.central is not None
    assert merged.central.mqtt is not None
    assert (merged.central.url, merged.central.mqtt.password) == ("mqtts://y", "own")


@pytest.mark.parametrize("text", ["${HOME}", "a${X:-y}b", "$${X}"])
def test_variables_are_refused(load_text: LoadText, text: str) -> None:
    sent = connection(transport={"type": "tcp", "host": text})
    assert errors(load_text(MANAGED), envelope(connections=[sent])) == [
        "connections[tank1].transport.host: a config from the centre knows no ${…}: give the "
        "value, or {secret: NAME}"
    ]


def test_includes_and_yaml_secrets_are_nothing_here(load_text: LoadText) -> None:
    sent = connection(include="/etc/passwd", enabled="!secret plc")
    lines = errors(load_text(MANAGED), envelope(connections=[sent]))
    assert lines[0] == "connections[tank1].enabled: needs true or false (got '!secret plc')"
    assert lines[1].startswith("connections[tank1].include: unknown key 'include'")


def test_a_section_that_is_not_handed_over_is_refused(load_text: LoadText) -> None:
    sent = envelope(connections=[connection()], agent={"id": "other"}, conections=[])
    assert errors(load_text(MANAGED), sent) == [
        "agent: the centre may not manage 'agent' here: remote.manage has connections, hooks",
        "conections: the centre may not manage 'conections' here: remote.manage has "
        "connections, hooks, "
        "did you mean 'connections'?",
    ]
    assert errors(load_text(DOCUMENT), envelope(connections=[])) == [
        "connections: the centre may not manage 'connections' here: remote.manage has nothing"
    ]


def test_what_is_asked_of_scripts_is_never_the_centres_to_say(load_text: LoadText) -> None:
    (problem,) = errors(load_text(MANAGED), envelope(hooks={"require_signature": {}}))
    assert problem.startswith("hooks: is the local file's: a centre sends scripts")


def test_where_a_centre_may_send_scripts_none_of_its_connections_has_their_name(load_text: LoadText) -> None:
    named = envelope(connections=[connection(name="hooks")])
    (problem,) = errors(load_text(MANAGED), named)
    assert problem.startswith("connections[hooks].name: the connection 'hooks' is that of computed tags")
    merge_remote(load_text(MANAGED.replace("connections, hooks", "connections")), named, lookup)


def test_all_problems_at_once_each_with_its_path(load_text: LoadText) -> None:
    tags: JsonValue = [
        {"name": "t[1..3]", "address": "holding:0..1"},
        {"name": "a", "type": "x", "address": 1},
    ]
    first = connection(groups=[{"name": "g", "interval": 5, "tags": tags}])
    sent = envelope(connections=[first, connection(driver="sampel"), 5])
    assert errors(load_text(MANAGED), sent) == [
        "connections[tank1].groups[g].tags[t[1..3]].address: 0..1 holds 2 addresses, which 3 "
        "tags cannot share evenly",
        "connections[tank1].groups[g].interval: needs a duration with a unit such as 500ms, "
        "2s, 1m, 24h (got 5)",
        "connections[tank1].groups[g].tags[a].type: needs one of bool, int8, uint8, int16, "
        "uint16, int32, uint32, "
        "int64, uint64, float32, float64, string, json (got 'x')",
        "connections[tank1].driver: unknown driver 'sampel'; did you mean 'sample'?",
        "connections[2]: needs a mapping (key: value)",
        "connections[tank1].name: there is another connection named 'tank1': connections[tank1]",
    ]


def test_a_section_of_the_wrong_kind(load_text: LoadText) -> None:
    loaded = load_text(MANAGED)
    assert errors(loaded, envelope(connections={"a": 1}))[0].startswith("connections: needs a list")
    assert errors(loaded, envelope(connections=None))[0].startswith("connections: needs a list")


def test_endless_nesting_is_refused(load_text: LoadText) -> None:
    deep: JsonValue = []
    for _ in range(150):
        deep = [deep]
    assert errors(load_text(MANAGED), envelope(connections=deep))[0].endswith("nested deeper than 100")


WRITES: dict[str, JsonValue] = {"allow": [{"tag": "tank1.level", "min": 0, "max": 9}]}


@pytest.mark.parametrize("name", ["writes", "write_limits"])
def test_what_may_be_written_is_never_the_centres_to_say(load_text: LoadText, name: str) -> None:
    """DESIGN §3, 9: not even where the local file hands over all that it can."""
    loaded = load_text(MANAGED.replace("[connections, hooks]", "[connections, hooks, central]"))
    assert any("may not manage" in line for line in errors(loaded, envelope(**{name: WRITES})))
    with pytest.raises(ConfigErrors):
        load_text(DOCUMENT + f"remote: {{manage: [{name}]}}\n")


def test_a_merge_leaves_the_local_allow_list_as_it_is(load_text: LoadText) -> None:
    pinned = "writes: {allow: [{tag: tank1.level, min: 0, max: 9, pin: whatever it is}]}\n"
    loaded = load_text(MANAGED + pinned)
    merged = merge_remote(loaded, envelope(connections=[connection()]), lookup)
    assert merged.writes == loaded.document.writes
    assert [each.tag for each in merged.writes.allow] == ["tank1.level"]
