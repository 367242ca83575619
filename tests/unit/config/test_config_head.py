"""The section `agent` alone: what `load` finds, without the rest of the document."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.config.errors import ConfigErrors
from edge_agent.config.load import load_head
from edge_agent.config.models import AgentSettings
from edge_agent.config.sections import chosen
from tests.unit.config.conftest import CONNECTION, DOCUMENT, LoadText

AGENT = "agent: {id: press-shop-01, runtime_dir: /run/실행}\n"
FLOW_CONNECTION = (
    "[{name: press1, driver: sample, transport: {type: tcp, host: 192.0.2.10},"
    " groups: [{name: fast, interval: 1s, tags: [{name: t, address: 'holding:1'}]}]}]"
)
ANCHORED = CONNECTION.replace("name: press1", "name: &first press1")

DOCUMENTS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "first": (AGENT + CONNECTION, {}),
    "last": (CONNECTION + AGENT, {}),
    "a list at the left": (AGENT + CONNECTION.replace("\n  ", "\n"), {}),
    "between": ("buffer: {path: a.db}\n" + AGENT + "central:\n" + CONNECTION, {}),
    "a flow": ("{connections: " + FLOW_CONNECTION + ", agent: {id: a, labels: {site: 북}}}", {}),
    "a flow over lines": ('{\n"connections": ' + FLOW_CONNECTION + ',\n"agent":\n{"id": "a"}\n}', {}),
    "indented": ("  agent:\n    id: a\n  connections: " + FLOW_CONNECTION + "\n", {}),
    "carriage returns": ((AGENT + CONNECTION).replace("\n", "\r\n"), {}),
    "old line breaks": (("# 한\nagent: {id: a}\n" + CONNECTION).replace("\n", "\r"), {}),
    "a document mark": ("---\n" + AGENT + CONNECTION + "...\n", {}),
    "an include behind": (AGENT + CONNECTION + "include: a.yaml\n", {"a.yaml": "agent: {log_level: debug}"}),
    "an include of all": (CONNECTION + "include: '*.inc'\n", {"a.inc": AGENT, "b.inc": "buffer: {}"}),
    "an include within": (
        "agent: {include: a.yaml, id: a}\n",
        {"a.yaml": "labels: {site: a}\nlog_level: error"},
    ),
    "includes in turn": ("include: a.yaml", {"a.yaml": "include: b.yaml", "b.yaml": AGENT + CONNECTION}),
    "an escaped include": (AGENT + '"incl\\u0075de": a.yaml\n', {"a.yaml": "agent: {log_level: debug}"}),
    "an include of a tag list": (
        AGENT + CONNECTION.replace("[{name: oil_temp", "[{include: t.csv}, {name: oil_temp"),
        {"t.csv": "name,address,type\na,holding:1,uint16\n"},
    ),
    "a merge": ("buffer: &b {path: a.db}\nagent:\n  <<: {id: a, log_level: debug}\n  id: b\n", {}),
    "a merge of all": ("<<: {agent: {id: a}, connections: " + FLOW_CONNECTION + "}\n", {}),
    "an anchor in the rest": (ANCHORED + "agent: {id: *first}\n", {}),
    "a variable": ("agent: {id: '${NAME}'}\n" + CONNECTION, {}),
    "empty": ("", {}),
    "empty section": ("agent:\n" + CONNECTION, {}),
}
ENVIRON = {"NAME": "box-9", "DEVICE_ID": "box-7", "COMPANY_CODE": "acme"}


def head(environ: Mapping[str, str] | None = None) -> AgentSettings:
    return load_head(Path("config.yaml"), environ or {}).agent


@pytest.mark.parametrize("name", DOCUMENTS)
def test_it_is_what_the_whole_document_says(load_text: LoadText, name: str) -> None:
    text, files = DOCUMENTS[name]
    assert load_text(text, ENVIRON, files).document.agent == head(ENVIRON)


@pytest.mark.parametrize(
    "rest",
    [
        "connections: [{name: press1, driver: nothing}]\n",
        "connections: [{name: press1, transport: !secret nowhere, host: '${NOTHING}'}]\n",
        "central: {url: 'https://c', token: !secret nowhere}\n",
        "connections: [\n",
        "surprise: 1\n",
    ],
)
def test_what_is_wrong_elsewhere_keeps_nobody_from_asking(load_text: LoadText, rest: str) -> None:
    with pytest.raises(ConfigErrors):
        load_text(AGENT + rest)
    assert head({"FLEET_API_URL": "https://fleet.example.com"}).id == "press-shop-01"


@pytest.mark.parametrize(
    "text",
    [
        "agent: {id: A B}\n",
        "agent: {}\n",
        "agent: [\n",
        "[1]\n",
        "agent: {id: *nothing}\n",
        "a: {b\n",
        "\t",
        "agent: 7\n",
    ],
)
def test_what_is_wrong_in_it_is_told_with_its_place(
    load_text: LoadText, errors_of: Callable[..., list[str]], text: str
) -> None:
    told = errors_of(text)
    with pytest.raises(ConfigErrors) as caught:
        head()
    assert set(str(caught.value).replace("config.yaml:", "").splitlines()) <= set(told)


def test_a_config_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="cannot be read"):
        load_head(tmp_path / "nothing.yaml", {})


def _counted(text: str) -> tuple[int, list[Any]]:
    """How many events were asked of the parser, and the scalars that came through."""
    asked = 0

    def events() -> Iterator[yaml.Event]:
        nonlocal asked
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            asked += 1
            yield event

    found = [
        event.value for event in chosen(events(), text, ("agent",)) if isinstance(event, yaml.ScalarEvent)
    ]
    return asked, found


@pytest.mark.parametrize("line", ["- {include: tags.csv}", "# include", "  include: a", "- '<<'"])
def test_parsing_ends_where_nothing_can_follow(line: str) -> None:
    few = _counted(DOCUMENT + f"x:\n{line}\n")
    many = _counted(DOCUMENT + f"x:\n{line}\n" * 500)
    assert few == many
    assert few[1] == ["agent", "id", "press-shop-01"]


def test_parsing_goes_on_for_what_may_follow_and_ends_behind_it() -> None:
    text = DOCUMENT + "include: a.yaml\nx:\n"
    few, many = _counted(text + "- 1\n"), _counted(text + "- 1\n" * 500)
    assert few == many
    assert few[1] == ["agent", "id", "press-shop-01", "include", "a.yaml"]
