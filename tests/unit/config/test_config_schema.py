"""The JSON Schema for editors, judged by a validator that others wrote: what loads is valid."""

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edge_agent.config.reader import parse
from edge_agent.config.reference import SAMPLE_PATH, editor_schema_of, generate
from edge_agent.config.starter import starter
from edge_agent.config.tree import SecretName
from tests.unit.config.conftest import DOCUMENT
from tests.unit.config.sample_driver import lookup

CASES = Path(__file__).parents[2] / "golden" / "config"
# Their texts stand for documents only once the environment has completed them.
COMPLETED = {"environment"}
LOADING = sorted(path.parent for path in CASES.glob("*/expected.json") if path.parent.name not in COMPLETED)
SCHEMA = editor_schema_of(lookup, ["modbus", "sample"])
VALIDATOR = Draft202012Validator(SCHEMA)


def plain(tree: Any) -> Any:
    """The tree as an editor sees it: `!secret NAME` is a text to it."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, SecretName):
        return tree.name
    return [plain(value) for value in tree] if isinstance(tree, list) else tree


def complaints(text: str) -> list[str]:
    """The paths at which the schema refuses a text."""
    parsed = parse(text.encode(), "config.yaml")
    assert not parsed.problems
    return [error.json_path for error in VALIDATOR.iter_errors(plain(parsed.tree))]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_sample_is_valid() -> None:
    assert complaints(generate(lookup, ["modbus"])[SAMPLE_PATH]) == []


def test_the_starter_is_valid() -> None:
    text = starter(device="a", host="192.0.2.10", port=502, unit_id=1, central="https://central.example.com")
    assert complaints(text) == []


@pytest.mark.parametrize("case", LOADING, ids=lambda case: case.name)
def test_what_loads_is_valid(case: Path) -> None:
    assert complaints((case / "config.yaml").read_text()) == []


@pytest.mark.parametrize(
    "tags",
    [
        "[{include: tags.csv}]",
        "{include: tags.csv}",
        "{include: [a.csv, b.csv], encoding: cp949}",
        '[{include: tags.csv, encoding: cp949}, {name: a, address: "holding:1"}]',
        "[{name: a, include: rest.yaml}]",
        '[{name: a, address: "holding:1", type: "${TYPE}"}]',
    ],
)
def test_tags_may_be_included(tags: str) -> None:
    assert complaints(DOCUMENT.replace('[{name: oil_temp, address: "holding:100"}]', tags)) == []


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("{id: press-shop-01}", "{id: press-shop-01, lables: {}}", "$.agent"),
        ("driver: sample", "driver: smaple", "$.connections[0].driver"),
        ("    driver: sample\n", "", "$.connections[0]"),
        ("host: 192.0.2.10", "hots: x", "$.connections[0].transport"),
        ("interval: 1s", "interval: 5", "$.connections[0].groups[0].interval"),
        ("name: oil_temp, ", "", "$.connections[0].groups[0].tags[0]"),
        (
            '{name: oil_temp, address: "holding:100"}',
            "{include: tags.csv, type: int16}",
            "$.connections[0].groups[0].tags[0]",
        ),
        ("- name: press1", "- press1", "$"),
    ],
)
def test_what_does_not_load_is_not_valid(old: str, new: str, path: str) -> None:
    text = DOCUMENT.replace(old, new)
    assert text != DOCUMENT
    if path == "$":
        text = DOCUMENT[: DOCUMENT.index("  - name")] + "  - press1\n"
        path = "$.connections[0]"
    assert path in complaints(text)


def test_a_driver_is_judged_by_its_own_model() -> None:
    modbus = DOCUMENT.replace("driver: sample", "driver: modbus\n    max_gap: 3")
    assert complaints(modbus) == []
    assert complaints(modbus.replace("driver: modbus", "driver: sample")) == ["$.connections[0]"]
