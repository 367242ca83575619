"""A centre's document judged without its device, and a local file as such a document."""

from pathlib import Path
from typing import Any

import pytest

from edge_agent.config.foreign import Judged, judge_sections
from edge_agent.config.imported import import_sections
from tests.unit.config.sample_driver import lookup
from tests.unit.config.test_config_remote import connection


def judged(**sections: Any) -> Judged:
    return judge_sections(sections, lookup)


def paths(found: Judged) -> list[str]:
    return [problem.path for problem in found.problems]


def test_what_agents_take_has_no_problem() -> None:
    found = judged(connections=[connection()])
    assert (found.problems, found.warnings, len(found.connections)) == ([], [], 1)


def test_every_problem_is_told_with_its_path() -> None:
    bad = connection(groups=[{"name": "slow", "interval": "soon", "tags": []}], extra=1)
    found = judged(connections=[bad], conections=[])
    assert "conections" in paths(found)
    assert "connections[tank1].groups[slow].interval" in paths(found)
    assert "connections[tank1].extra" in paths(found)


def test_a_secret_is_taken_for_one_that_the_device_has_and_told() -> None:
    transport = {"type": "tcp", "host": {"secret": "plc"}}
    found = judged(connections=[connection(transport=transport)])
    assert found.problems == []
    (warning,) = found.warnings
    assert (warning.path, "needs 'plc'" in warning.message) == ("connections[tank1].transport.host", True)


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"secret": "x"}, "connections"),
        ([{"secret": "x"}], "connections[0]"),
        ([{**connection(), "transport": {"secret": "x"}}], "connections[tank1].transport"),
        ([{**connection(), "groups": [{"secret": "x"}]}], "connections[tank1].groups[0]"),
        ([{**connection(), "name": {"secret": "x"}}], "connections[0].name"),
    ],
)
def test_a_secret_is_no_whole_part_of_a_document_and_no_name(section: Any, path: str) -> None:
    assert path in paths(judged(connections=section))


def test_a_document_without_end_and_variables_are_refused() -> None:
    deep: Any = {}
    for _ in range(200):
        deep = {"a": deep}
    assert "nested deeper" in judged(connections=[connection(groups=deep)]).problems[0].message
    transport = {"type": "tcp", "host": "${HOST}"}
    assert paths(judged(connections=[connection(transport=transport)])) == [
        "connections[tank1].transport.host"
    ]


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"url": "https://c", "ca_file": "x"}, "central.ca_file"),
        ({"url": "https://c", "token": "x"}, "central.token"),
        ({"url": "https://c", "enrol_token": "x"}, "central.enrol_token"),
        ({"url": "ftp://c"}, "central.url"),
        ({}, "central.url"),
        ([], "central"),
    ],
)
def test_the_section_central_holds_no_file_and_no_token(section: Any, path: str) -> None:
    assert paths(judged(central=section)) == [path]


def test_the_section_central_may_name_a_secret() -> None:
    found = judged(central={"url": "https://c", "token": {"secret": "other"}})
    assert (found.problems, [each.path for each in found.warnings]) == ([], ["central.token"])


def test_a_local_file_keeps_its_secrets_and_brings_its_tag_lists(tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("name,address\na,holding:1\n")
    path = tmp_path / "edge-agent.yaml"
    path.write_text(
        "agent: {id: d}\nremote: {manage: [connections]}\n"
        "connections: [{name: p, driver: sample, transport: {host: !secret plc}, "
        "groups: [{name: g, interval: 1s, tags: [{include: tags.csv}]}]}]\n"
    )
    found = import_sections(path)
    assert found.problems == []
    (made,) = found.sections["connections"]
    assert made["transport"] == {"host": {"secret": "plc"}}
    assert made["groups"][0]["tags"] == [{"name": "a", "address": "holding:1"}]
    assert [each.path for each in found.warnings] == ["connections[p].transport.host"]


@pytest.mark.parametrize("text", ["", "agent: {id: d}\n", "- 1\n", "connections: [\n"])
def test_a_file_without_connections_gives_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "edge-agent.yaml"
    path.write_text(text)
    found = import_sections(path)
    assert (len(found.problems), found.sections) == (1, {})
