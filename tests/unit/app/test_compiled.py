"""What a running agent holds of a config, and what it takes."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.app.compiled import Compiled, compile_file, compile_sent, unpacked, write_out
from edge_agent.config.last_good import envelope_hash
from edge_agent.contracts.errors import ConfigError
from edge_agent.wire.messages import ConfigEnvelope

TOKEN = "tok-0123456789"


def connection(name: str, tags: int = 1, **more: Any) -> dict[str, Any]:
    listed = [{"name": f"tag_{index}", "address": f"holding:{index}"} for index in range(tags)]
    return {
        "name": name,
        "driver": "modbus",
        "transport": {"type": "tcp", "host": "127.0.0.1"},
        "groups": [{"name": "fast", "interval": "1s", "tags": listed}],
        **more,
    }


def compiled(directory: Path, *connections: dict[str, Any], **sections: Any) -> Compiled:
    document = {"agent": {"id": "d"}, "remote": {"manage": ["connections"]}, **sections}
    path = directory / "edge-agent.yaml"
    path.write_text(yaml.safe_dump({**document, "connections": list(connections)}))
    return compile_file(path)


def sent(*connections: dict[str, Any], version: int = 1) -> ConfigEnvelope:
    return ConfigEnvelope(version=version, sections={"connections": list(connections)})


def test_a_blueprint_is_fresh_each_time_and_carries_the_plan(tmp_path: Path) -> None:
    config = compiled(tmp_path, connection("a", tags=300), connection("off", enabled=False))
    assert config.names == ["a", "off"]
    assert config.blueprint("off") is None
    one, other = config.blueprint("a"), config.blueprint("a")
    assert one is not None
    assert other is not None
    assert one.groups[0][1].plan is not other.groups[0][1].plan
    schema = one.groups[0][1].plan.schema
    assert (schema.tag_count, schema.tags[0].name) == (300, "tag_0")


def test_a_large_config_takes_a_few_bytes_for_each_tag(tmp_path: Path) -> None:
    config = compiled(tmp_path, *(connection(f"c{index}", tags=1_000) for index in range(3)))
    assert len(pickle.dumps(config)) < 3_000 * 40


def test_people_are_shown_what_was_written_without_secrets(tmp_path: Path) -> None:
    central = {"url": "https://c", "token": TOKEN, "proxy": f"http://user:{TOKEN}@p:1"}
    config = compiled(
        tmp_path, connection("a", tags=30), central=central, secrets={"plc": "geheim", "pin": TOKEN}
    )
    whole, short = ("".join(unpacked(text)) for text in (write_out(config.running), config.text))
    shown = yaml.safe_load(whole)
    assert shown["connections"][0]["groups"][0]["tags"][29]["name"] == "tag_29"
    assert shown["central"]["url"] == "https://c"
    assert "tag_29" not in short
    for text in (whole, short):
        assert TOKEN not in text
        assert "geheim" not in text
    assert config.secrets >= {TOKEN, "geheim"}


def test_the_centres_connections_replace_the_local_ones(tmp_path: Path) -> None:
    local = compiled(tmp_path, connection("a"))
    envelope = sent(connection("b"), connection("c"), version=7)
    found = compile_sent(local.local, envelope.model_dump_json().encode(), frozenset())
    assert (found.version, found.content, found.problem) == (7, envelope_hash(envelope), "")
    assert found.compiled is not None
    assert found.compiled.names == ["b", "c"]
    assert found.compiled.local == local.local
    assert found.compiled.outline.digest != local.outline.digest


def test_a_config_in_quarantine_is_not_compiled_again(tmp_path: Path) -> None:
    local = compiled(tmp_path, connection("a"))
    envelope = sent({"name": "nonsense"})
    body = envelope.model_dump_json().encode()
    assert "driver" in compile_sent(local.local, body, frozenset()).problem
    known = compile_sent(local.local, body, frozenset([envelope_hash(envelope)]))
    assert (known.compiled, known.problem) == (None, "")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"sections": {}}', b'{"version": -1, "sections": {}}'])
def test_what_is_no_envelope_is_an_error(tmp_path: Path, body: bytes) -> None:
    local = compiled(tmp_path, connection("a"))
    with pytest.raises(ConfigError, match="what the centre sent is not a config"):
        compile_sent(local.local, body, frozenset())


def test_a_plan_that_cannot_work_is_a_problem_before_anything_runs(tmp_path: Path) -> None:
    bad = connection("a")
    bad["groups"][0]["tags"] = [{"name": "t", "address": "holding:65535", "type": "float64"}]
    with pytest.raises(ConfigError):
        compiled(tmp_path, bad)
    local = compiled(tmp_path, connection("a"))
    found = compile_sent(local.local, sent(bad).model_dump_json().encode(), frozenset())
    assert found.compiled is None
    assert found.problem
