"""The config in force as text: it reads back the same, and says where a secret is masked."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.app.config_text import pieces
from edge_agent.app.settings import load_config
from edge_agent.config.models import Document
from edge_agent.config.outline import Outline

BASE = """
agent: {id: press-shop-01, labels: {site: north}}
connections:
  - name: press1
    driver: modbus
    transport: {host: 127.0.0.1, port: 1}
    groups: [{name: fast, interval: 1s, tags: [{name: t1, address: "holding:0", type: int16}]}]
"""
# Without -0.0: it equals a default of zero, which is left out.
FLOATS = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
TRAPS = [
    "!secret name",
    "${HOME}",
    "$${HOME}",
    "$$${",
    "a\nb",
    "a\r\n",
    "\x85\u2028\ufeff\x00",
    "12",
    "a: b",
    "'",
]


def loaded(text: str) -> Document:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "edge-agent.yaml"
        path.write_bytes(text.encode())
        return load_config(path).document


@pytest.fixture(scope="module")
def base() -> Document:
    return loaded(BASE)


def changed(document: Document, tag: dict[str, Any], label: str) -> Document:
    """A document with other settings of its one tag, and another label."""
    connection: Any = document.connections[0]
    group = connection.groups[0]
    group = group.model_copy(update={"tags": [group.tags[0].model_copy(update=tag)]})
    agent = document.agent.model_copy(update={"labels": {"site": label}})
    connections = [connection.model_copy(update={"groups": [group]})]
    return document.model_copy(update={"agent": agent, "connections": connections})


@settings(deadline=None, max_examples=60)
@given(scale=FLOATS.filter(bool), offset=FLOATS, unit=TEXTS, label=TEXTS | st.sampled_from(TRAPS))
def test_what_is_written_loads_to_an_equal_document(
    base: Document, scale: float, offset: float, unit: str, label: str
) -> None:
    document = changed(base, {"scale": scale, "offset": offset, "unit": unit}, label)
    again = loaded("".join(pieces(document)))
    assert Outline.of(again).digest == Outline.of(document).digest


@pytest.mark.parametrize("text", TRAPS)
def test_what_looks_like_something_else_loads_as_the_text_it_is(base: Document, text: str) -> None:
    document = changed(base, {"scale": 0.001220703125, "unit": text, "enum": {1: text}}, text)
    written = "".join(pieces(document))
    assert Outline.of(loaded(written)).digest == Outline.of(document).digest
    assert "scale: 0.001220703125" in written


def test_a_name_that_has_a_secret_in_it_stays(base: Document) -> None:
    document = changed(base, {"name": "t1234", "unit": "1234"}, "opc.tcp://me:p@ss@host/a")
    document = document.model_copy(update={"secrets": {"plc": "1234"}})
    lines = "".join(pieces(document)).splitlines()
    assert lines[0] == "# Secrets are masked (***): this text cannot be loaded as it is."
    assert any("name: t1234," in line and 'unit: "***"' in line for line in lines)
    assert any('site: "opc.tcp://***@host/a"' in line for line in lines)
    assert '  plc: "***"' in lines


def test_without_a_secret_nothing_is_said_of_masks(base: Document) -> None:
    assert not "".join(pieces(base)).startswith("#")
