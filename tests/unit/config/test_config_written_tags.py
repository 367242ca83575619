"""What a server told becomes a tag list that the config reads as the same tags."""

from pathlib import Path

import pytest

from edge_agent.app.settings import load_config
from edge_agent.config.written_tags import as_csv, as_yaml, named
from edge_agent.contracts.driver import Browsed

CONFIG = """
agent: {{id: gate-1}}
connections:
  - name: press1
    driver: opcua
    transport: {{url: "opc.tcp://192.0.2.1"}}
    groups:
      - name: a
        interval: 1s
        tags: [{{include: {file}}}]
"""
FOUND = [
    Browsed(("Press",), "ns=2;s=Press", is_tag=False),
    Browsed(("Press", "Oil"), "ns=2;s=Oil", True, "float32", 1, True, "°C", 'Oil temperature: "hot" # 1'),
    Browsed(("Press", "Zones"), "ns=2;i=7", True, "int16", 16),
    Browsed(("#1 펌프", "${HOME}"), "nsu=http://vendor.example/a,b;s=x\"y'${Z}", True, "bool"),
    Browsed(("Row[1..3]",), "ns=2;s=Row[1]", True, "json"),
    Browsed(("Row(1..3)",), "ns=2;s=Row[2]", True, "string"),
    Browsed(("- {a: b}",), "ns=2;s=: x", True, "uint64", unit="m³/h"),
    Browsed(("null",), "i=2258", True, "json"),
    Browsed(("x" * 190, "y" * 190), "i=1", True, "json"),
    Browsed(("z" * 190, "y" * 199), "i=2", True, "json"),
    Browsed(("y" * 190, "y" * 199), "i=3", True, "json"),
]
NAMES = [
    "Press.Oil", "Press.Zones", "#1 펌프.${HOME}", "Row(1..3)", "Row(1..3)~2", "- {a: b}", "null",
    "x" * 9 + "." + "y" * 190, "." + "y" * 199, "y" * 198 + "~2",
]  # fmt: skip


@pytest.mark.parametrize("form", ["yaml", "csv"])
def test_the_list_is_read_as_the_tags_that_were_found(tmp_path: Path, form: str) -> None:
    tags, left_out = named(FOUND)
    assert left_out == []
    assert [tag.name for tag in tags][:7] == NAMES[:7]
    (tmp_path / "edge-agent.yaml").write_text(CONFIG.format(file=f"tags.{form}"), encoding="utf-8")
    text = as_csv(tags) if form == "csv" else "\n".join(as_yaml(tags)) + "\n"
    (tmp_path / f"tags.{form}").write_text(text, encoding="utf-8")
    loaded = load_config(tmp_path / "edge-agent.yaml")
    assert loaded.warnings == ()
    read = loaded.document.connections[0].groups[0].tags  # type: ignore[attr-defined]
    expected = [each for each in FOUND if each.is_tag]
    assert [(tag.address, str(tag.type), tag.count, tag.unit) for tag in read] == [
        (each.address, each.type, each.count, each.unit) for each in expected
    ]
    assert [tag.name for tag in read] == [tag.name for tag in tags]
    assert all(1 <= len(tag.name) <= 200 for tag in read)
    assert len({tag.name for tag in read}) == len(expected)


def test_an_address_that_a_config_would_read_otherwise_is_left_out_and_told() -> None:
    addresses = ["ns=2;s=x1..5", "ns=2;s=x..y", "ns=2;s=x "]
    tags, left_out = named([Browsed((address,), address, True) for address in addresses])
    assert [tag.found.address for tag in tags] == ["ns=2;s=x..y"]
    assert left_out == ["ns=2;s=x1..5", "ns=2;s=x "]


def test_a_line_says_what_the_server_says_of_a_tag() -> None:
    tags, _ = named(FOUND[1:2])
    assert list(as_yaml(tags)) == [
        '- {name: "Press.Oil", address: "ns=2;s=Oil", type: float32, unit: "°C"}  '
        '# Oil temperature: "hot" # 1, writable'
    ]
    assert as_csv(tags).splitlines() == [
        '"name","address","type","count","unit","description","note"',
        '"Press.Oil","ns=2;s=Oil","float32","","°C","Oil temperature: ""hot"" # 1","writable"',
    ]
