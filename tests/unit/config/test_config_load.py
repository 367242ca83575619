"""Loading a document: what is valid, what is refused, in which words and where."""

import pickle
from pathlib import Path

import pytest

from edge_agent.config.errors import ConfigErrors, Place, Problem
from edge_agent.config.expand import Expander
from tests.unit.config.conftest import CONNECTION, DOCUMENT, ErrorsOf, LoadText
from tests.unit.config.sample_driver import SampleConnection, SampleTag


def tags_of(connection: object) -> list[SampleTag]:
    assert isinstance(connection, SampleConnection)
    return [tag for group in connection.groups for tag in group.tags]


def with_tags(*lines: str) -> str:
    head = DOCUMENT[: DOCUMENT.index("        tags:")]
    return head + "        tags:\n" + "".join(f"          - {line}\n" for line in lines)


def test_connections_are_their_drivers_models(load_text: LoadText) -> None:
    loaded = load_text(DOCUMENT)
    assert isinstance(loaded.document.connections[0], SampleConnection)
    assert tags_of(loaded.document.connections[0])[0].address == "holding:100"
    assert loaded.files == (Path("config.yaml"),)
    assert loaded.directory == Path()
    assert loaded.warnings == ()


def test_what_is_loaded_survives_pickling(load_text: LoadText) -> None:
    loaded = load_text(DOCUMENT)
    copy = pickle.loads(pickle.dumps(loaded))
    assert copy == loaded
    assert type(copy.document.connections[0]) is SampleConnection


def test_errors_survive_pickling() -> None:
    errors = ConfigErrors([Problem(Place("f", 1, 2), "a.b", "is wrong")])
    copy = pickle.loads(pickle.dumps(errors))
    assert isinstance(copy, ConfigErrors)
    assert (str(copy), copy.problems) == ("f:1:2: a.b: is wrong", errors.problems)


def test_empty_sections_take_their_defaults(load_text: LoadText) -> None:
    loaded = load_text(DOCUMENT + "buffer:\nremote:\ncentral:\nsecrets:\n")
    assert loaded.document == load_text(DOCUMENT).document


def test_an_agent_without_connections_runs_and_is_told(load_text: LoadText) -> None:
    loaded = load_text("agent: {id: a}\nconnections:\n")
    assert [str(each) for each in loaded.warnings] == [
        "config.yaml:2:13: connections: nothing is polled: there is no connection"
    ]


def test_yes_and_on_are_texts_and_truth_values_both(load_text: LoadText) -> None:
    text = DOCUMENT.replace("id: press-shop-01", "id: press-shop-01, labels: {state: on, ok: no}")
    loaded = load_text(text.replace("driver: sample", "driver: sample\n    enabled: off"))
    assert loaded.document.agent.labels == {"state": "on", "ok": "no"}
    assert loaded.document.connections[0].enabled is False


# --- digests ----------------------------------------------------------------------------------------


def test_the_digest_is_of_the_meaning(load_text: LoadText) -> None:
    one = load_text(DOCUMENT)
    same = load_text(DOCUMENT.replace("interval: 1s", "interval: 1000ms  # the same") + "buffer: {}\n")
    other = load_text(DOCUMENT.replace("interval: 1s", "interval: 1001ms"))
    assert one.outline.digest == same.outline.digest
    assert len({one.outline.digest, other.outline.digest}) == 2
    assert len(one.outline.digest) == 64


def test_the_digest_covers_drivers_fields_and_secrets(load_text: LoadText) -> None:
    texts = [
        DOCUMENT,
        DOCUMENT.replace("holding:100", "holding:101"),
        DOCUMENT + "secrets: {a: one-secret}\n",
        DOCUMENT + "secrets: {a: two-secret}\n",
    ]
    assert len({load_text(text).outline.digest for text in texts}) == len(texts)


# --- ranges -----------------------------------------------------------------------------------------


def test_a_range_stands_for_many_tags(load_text: LoadText) -> None:
    loaded = load_text(with_tags('{name: "zone[01..16]", address: "holding:200..215", unit: bar}'))
    tags = tags_of(loaded.document.connections[0])
    assert [tag.name for tag in tags] == [f"zone{number:02}" for number in range(1, 17)]
    assert [tag.address for tag in tags] == [f"holding:{200 + number}" for number in range(16)]
    assert {tag.step for tag in tags} == {1}
    assert {tag.unit for tag in tags} == {"bar"}


def test_names_have_the_width_of_the_first_number(load_text: LoadText) -> None:
    loaded = load_text(with_tags('{name: "t[0..999]", address: "holding:0..999"}'))
    names = [tag.name for tag in tags_of(loaded.document.connections[0])]
    assert (names[0], names[10], names[999], len(names)) == ("t0", "t10", "t999", 1000)


def test_each_tag_gets_an_equal_share_of_the_addresses(load_text: LoadText) -> None:
    loaded = load_text(with_tags('{name: "t[1..4]-x", address: "holding:10..17"}'))
    tags = tags_of(loaded.document.connections[0])
    assert [(tag.name, tag.address, tag.step) for tag in tags] == [
        ("t1-x", "holding:10", 2),
        ("t2-x", "holding:12", 2),
        ("t3-x", "holding:14", 2),
        ("t4-x", "holding:16", 2),
    ]


def test_brackets_without_a_range_belong_to_the_name(load_text: LoadText) -> None:
    loaded = load_text(
        with_tags('{name: "a[1]", address: "holding:1"}', '{name: "b..c", address: "holding:2"}')
    )
    assert [tag.name for tag in tags_of(loaded.document.connections[0])] == ["a[1]", "b..c"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            '{name: "t[1..4]", address: "holding:1"}',
            "10:40: {path}.address: 4 tags need a range of addresses that holds them all, such "
            "as 'holding:1..4'",
        ),
        (
            '{name: "t[1..4]", address: 7}',
            "10:40: {path}.address: 4 tags need a range of addresses that holds them all, such as '7..10'",
        ),
        (
            '{name: "t[1..4]", address: "holding:0..6"}',
            "10:40: {path}.address: 0..6 holds 7 addresses, which 4 tags cannot share evenly",
        ),
        (
            '{name: "t[1..4]", address: "holding:0..2"}',
            "10:40: {path}.address: 0..2 holds 3 addresses, which 4 tags cannot share evenly",
        ),
        (
            '{name: "t[1..4]", address: "holding:9..2"}',
            "10:40: {path}.address: the range 9..2 runs backwards",
        ),
        ('{name: "t[4..1]", address: "holding:0..3"}', "10:20: {path}.name: the range [4..1] runs backwards"),
        (
            '{name: "t[a..b]", address: "holding:0..3"}',
            "10:20: {path}.name: 't[a..b]' is not a range: write name[1..16] or name[01..16]",
        ),
        (
            '{name: "t[1..2][1..2]", address: "holding:0..3"}',
            "10:20: {path}.name: a name has one range at most",
        ),
        (
            '{name: "t[0..65536]", address: "holding:0..65536"}',
            "10:20: {path}.name: the range stands for 65537 tags; the most is 65536",
        ),
        (
            '{name: plain, address: "holding:0..3"}',
            "10:36: {path}.address: a range of addresses needs a range of names: name[1..16]",
        ),
        (
            '{name: plain, address: "holding:0", step: 2}',
            "10:49: {path}.step: unknown key 'step': it follows from the range of addresses",
        ),
    ],
)
def test_ranges_that_make_no_sense(errors_of: ErrorsOf, line: str, error: str) -> None:
    name = line.split("name: ")[1].partition(",")[0].strip('"')
    path = f"connections[press1].groups[fast].tags[{name}]"
    assert errors_of(with_tags(line)) == [error.replace("{path}", path)]


def test_an_error_in_many_tags_of_one_line_is_said_once(errors_of: ErrorsOf) -> None:
    lines = errors_of(with_tags('{name: "t[1..500]", address: "holding:0..499", type: int17}'))
    assert len(lines) == 1
    assert lines[0].startswith(
        "10:66: connections[press1].groups[fast].tags[t1].type: needs one of bool, int8"
    )


def test_all_ranges_together_are_bounded() -> None:
    tags = [{"name": f"{letter}[1..65536]"} for letter in "abcdefgh"]
    expander = Expander(Place("f"))
    expander.connection({"groups": [{"name": "g", "tags": tags}]}, "connections[a]", has_step=True)
    assert [str(problem) for problem in expander.take_problems()] == [
        "f: connections[a].groups[g].tags[h[1..65536]].name: the ranges of this document "
        "make more than 500000 tags"
    ]


# --- names that collide, and empty lists -------------------------------------------------------------


def test_names_are_unique(errors_of: ErrorsOf) -> None:
    group = """\
      - name: fast
        interval: 1s
        tags: [{name: pressure, address: "holding:1"}, {name: oil_temp, address: "holding:2"}]
"""
    assert errors_of(DOCUMENT + group + CONNECTION.removeprefix("connections:\n")) == [
        "10:15: connections[press1].groups[fast].name: there is another group named 'fast': "
        "in config.yaml:7:9",
        "12:63: connections[press1].groups[fast].tags[oil_temp].name: there is another tag "
        "named 'oil_temp': "
        "in config.yaml:9:16",
        "13:11: connections[press1].name: there is another connection named 'press1': in config.yaml:3:5",
    ]


def test_ranges_take_part_in_the_comparison_of_names(errors_of: ErrorsOf) -> None:
    found = errors_of(with_tags('{name: "t[1..4]", address: "holding:0..3"}', "{name: t3, address: 9}"))
    assert found == [
        "11:20: connections[press1].groups[fast].tags[t3].name: there is another tag named "
        "'t3': in config.yaml:10:13"
    ]


def test_groups_and_tags_are_there(errors_of: ErrorsOf) -> None:
    connections = """\
connections:
  - {name: a, driver: sample, transport: {type: tcp, host: h}}
  - {name: b, driver: sample, transport: {type: tcp, host: h}, groups: []}
  - name: c
    driver: sample
    transport: {type: tcp, host: h}
    groups: [{name: g, interval: 1s, tags: []}, {name: h, interval: 1s}]
"""
    assert errors_of("agent: {id: a}\n" + connections) == [
        "3:5: connections[a].groups: is empty: at least 1 is needed",
        "4:72: connections[b].groups: is empty: at least 1 is needed",
        "8:44: connections[c].groups[g].tags: is empty: at least 1 is needed",
        "8:49: connections[c].groups[h].tags: is missing",
    ]


# --- warnings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:80", "centre.localhost"])
def test_plain_http_on_this_machine_is_no_matter(load_text: LoadText, host: str) -> None:
    assert load_text(DOCUMENT + f"central: {{url: 'http://{host}', token: abc}}\n").warnings == ()


def test_a_token_over_plain_http_is_a_warning(load_text: LoadText) -> None:
    loaded = load_text(DOCUMENT + "central: {url: 'http://192.0.2.1', token: abc}\n")
    assert [str(each) for each in loaded.warnings] == [
        "config.yaml:10:16: central.url: http:// shows the token and all data to everybody "
        "on the way: "
        "use https://"
    ]


def test_two_connections_to_one_far_end_are_a_warning(load_text: LoadText) -> None:
    second = CONNECTION.removeprefix("connections:\n").replace("press1", "press2")
    found = [str(each) for each in load_text(DOCUMENT + second).warnings]
    assert len(found) == 1
    assert found[0].startswith(
        "config.yaml:12:16: connections[press2].transport: 'press1' has the same far end"
    )
    third = second.replace("driver: sample", "driver: sample\n    enabled: false")
    assert load_text(DOCUMENT + third).warnings == ()


def test_managing_without_a_centre_is_a_warning(load_text: LoadText) -> None:
    found = load_text(DOCUMENT + "remote: {manage: [connections]}\n").warnings
    assert [str(each) for each in found] == [
        "config.yaml:10:18: remote.manage: has no effect: there is no centre (central:)"
    ]


def test_thousands_of_problems_end_in_a_count(errors_of: ErrorsOf) -> None:
    lines = [f"{{name: t{number}, address: 'coil:{number}'}}" for number in range(1500)]
    found = errors_of(with_tags(*lines))
    assert len(found) == 1001
    assert found[-1] == "1010:36: and 500 more problems from here on"


@pytest.mark.parametrize(
    ("written", "meant"), [("float", "float32"), ("REAL", "float32"), ("word", "uint16"), ("boolean", "bool")]
)
def test_a_type_of_another_system_is_understood_as_what_it_is_there(
    errors_of: ErrorsOf, written: str, meant: str
) -> None:
    (problem,) = errors_of(DOCUMENT.replace("address: ", f"type: {written}, address: ", 1))
    assert problem.endswith(f"did you mean '{meant}'?")
