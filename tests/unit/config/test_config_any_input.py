"""Whatever the file holds: a document or ConfigErrors with places, and never anything else."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.config.errors import ConfigErrors
from edge_agent.config.load import load
from edge_agent.config.remote import merge_remote
from edge_agent.wire.messages import ConfigEnvelope
from tests.unit.config.conftest import DOCUMENT
from tests.unit.config.sample_driver import lookup

KEYS = [
    *("agent", "id", "labels", "central", "url", "token", "proxy", "buffer", "max_bytes", "path", "remote"),
    *("manage", "secrets", "connections", "name", "driver", "enabled", "transport", "type", "host", "port"),
    *("timeout", "groups", "interval", "unit_id", "tags", "address", "scale", "enum", "deadband", "absolute"),
    *("step", "include", "<<", "x"),
]
WORDS = [
    *("a", "press-1", "sample", "modbus", "tcp", "serial", "1s", "500ms", "2GiB", "9" * 400 + "s", "t[1..3]"),
    *("t[3..1]", "t[0..99999999999]", "holding:1..3", "holding:1", "holding:1..0", "1..3", "${A}", "${B}"),
    *("${A", "$${A}", "http://x", "http://[", "https://u:p@x", "string", "float32", "absent.yaml", "*.none"),
    *("\u0000", "한글", ""),
]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(WORDS), st.text(max_size=8)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=40,
)
TAGS = st.lists(st.dictionaries(st.sampled_from(KEYS), TREES, max_size=6), max_size=4)
ANY_TIME = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("config.yaml")


def load_any(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        load(path, lookup, {"A": "value"})
    except ConfigErrors as errors:
        problems = errors.problems
    else:
        return
    assert problems
    assert all(problem.message and problem.place.file for problem in problems)


@ANY_TIME
@given(data=st.binary(max_size=200))
def test_any_bytes(path: Path, data: bytes) -> None:
    load_any(path, data)


@ANY_TIME
@given(text=st.text(alphabet="{}[],:- \n\t&*!|>'\"#%@`<a0~?", max_size=80))
def test_any_text_of_the_characters_that_yaml_uses(path: Path, text: str) -> None:
    load_any(path, text.encode())


@ANY_TIME
@given(tree=TREES)
def test_any_document(path: Path, tree: Any) -> None:
    load_any(path, yaml.safe_dump(tree, allow_unicode=True).encode())


@ANY_TIME
@given(tags=TAGS, driver=st.sampled_from(["sample", "modbus"]))
def test_any_tags(path: Path, tags: Any, driver: str) -> None:
    group = {"name": "g", "interval": "1s", "tags": tags}
    transport = {"type": "tcp", "host": "h"}
    connection = {"name": "c", "driver": driver, "transport": transport, "groups": [group]}
    load_any(path, yaml.safe_dump({"agent": {"id": "a"}, "connections": [connection]}).encode())


@ANY_TIME
@given(at=st.integers(0, len(DOCUMENT)), junk=st.text(max_size=5), cut=st.integers(0, 20))
def test_any_damage_to_a_good_document(path: Path, at: int, junk: str, cut: int) -> None:
    load_any(path, (DOCUMENT[:at] + junk + DOCUMENT[at + cut :]).encode())


@ANY_TIME
@given(sections=st.dictionaries(st.sampled_from(["connections", "hooks", "agent"]), TREES, max_size=3))
def test_any_document_of_the_centre(path: Path, sections: dict[str, Any]) -> None:
    path.write_text(DOCUMENT + "remote: {manage: [connections, hooks]}\nsecrets: {a: b}\n")
    loaded = load(path, lookup, {})
    sent = ConfigEnvelope.model_construct(version=1, sections=sections)
    try:
        merge_remote(loaded, sent, lookup)
    except ConfigErrors as errors:
        problems = errors.problems
    else:
        return
    assert problems
    assert all(str(problem).startswith("centre config version 1: remote:") for problem in problems)
