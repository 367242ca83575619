"""What is generated from the models: complete, loadable, and the same as the committed files."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from edge_agent.config.introspect import is_hidden, models_in
from edge_agent.config.models import ConnectionSettings, Document
from edge_agent.config.reference import PAGE_PATH, SAMPLE_PATH, SCHEMA_PATH, generate
from edge_agent.config.sample import flow
from edge_agent.config.scalars import word
from edge_agent.config.starter import starter
from edge_agent.drivers import registry
from tests.unit.config.conftest import LoadText
from tests.unit.config.sample_driver import SampleConnection, lookup

ROOT = Path(__file__).parents[3]


def registered(name: str) -> type[ConnectionSettings]:
    model = registry.lookup(name).settings
    assert issubclass(model, ConnectionSettings)
    return model


@pytest.mark.parametrize("path", [SAMPLE_PATH, PAGE_PATH, SCHEMA_PATH])
def test_the_committed_files_are_those_of_the_code(path: str) -> None:
    texts = generate(registered, sorted(registry.TABLE))
    assert (ROOT / path).read_text() == texts[path], "run `make docs`"


@pytest.mark.parametrize("drivers", [["modbus"], ["sample"], ["modbus", "sample"]])
def test_the_sample_loads(load_text: LoadText, drivers: list[str]) -> None:
    text = generate(lookup, drivers)[SAMPLE_PATH]
    for number, name in enumerate(drivers):  # one example of each, which would all be press1
        text = text.replace("- name: press1", f"- name: press-{number}-{name}", 1)
    loaded = load_text(text, files={"secrets/central-token": "abc"})
    assert [connection.driver for connection in loaded.document.connections] == drivers


def all_models() -> list[type[BaseModel]]:
    todo: list[type[BaseModel]] = [Document, *(registered(name) for name in registry.TABLE)]
    found: list[type[BaseModel]] = []
    while todo:
        model = todo.pop()
        if model not in found:
            found.append(model)
            todo += [inner for field in model.model_fields.values() for inner in models_in(field.annotation)]
    return found


@pytest.mark.parametrize("model", all_models(), ids=lambda model: model.__name__)
def test_every_setting_is_described(model: type[BaseModel]) -> None:
    assert model.__doc__
    for name, field in model.model_fields.items():
        section = model is Document and models_in(field.annotation)
        assert field.description or section, f"{model.__name__}.{name} has no description"


def test_every_setting_is_on_the_page_and_in_the_sample() -> None:
    texts = generate(registered, sorted(registry.TABLE))
    for model in all_models():
        for name, field in model.model_fields.items():
            if is_hidden(name, field):
                assert f"`{name}`" not in texts[PAGE_PATH]
                continue
            assert f"`{name}`" in texts[PAGE_PATH] or f"## {name}\n" in texts[PAGE_PATH]
            if model.__name__ != "Deadband":
                assert f"{name}:" in texts[SAMPLE_PATH]


def test_a_required_setting_without_an_example_is_noticed() -> None:
    class Incomplete(SampleConnection):
        rack: int = Field(description="Number of the rack.")

    with pytest.raises(ValueError, match="'rack' has neither a default nor an example"):
        generate(lambda name: Incomplete, ["sample"])


def schema() -> dict[str, Any]:
    result: dict[str, Any] = json.loads(generate(lookup, ["modbus", "sample"])[SCHEMA_PATH])
    return result


def test_the_schema_offers_each_driver() -> None:
    choices = schema()["properties"]["connections"]["else"]["else"]["items"]["else"]["allOf"]
    assert [(each["if"]["properties"]["driver"]["const"], each["then"]["$ref"]) for each in choices] == [
        ("modbus", "#/$defs/ModbusConnection"),
        ("sample", "#/$defs/SampleConnection"),
    ]
    connection = schema()["$defs"]["SampleConnection"]
    assert connection["anyOf"][0]["required"] == ["driver", "name", "transport"]
    assert connection["properties"]["driver"]["const"] == "sample"


def test_the_schema_takes_variables_and_includes() -> None:
    defs = schema()["$defs"]
    tcp = defs["SampleConnection"]["properties"]["transport"]["allOf"][-1]["then"]["$ref"]
    transport = defs[tcp.removeprefix("#/$defs/")]["properties"]
    assert {"type": "string", "pattern": r"\$\{"} in transport["port"]["anyOf"]
    assert transport["port"]["default"] == 502
    assert {"type": "string", "pattern": r"\$\{"} in defs["BufferSettings"]["properties"]["max_bytes"][
        "anyOf"
    ]
    assert "include" in defs["AgentSettings"]["properties"]
    assert "include" in schema()["properties"]


def test_the_schema_hides_what_the_agent_sets_itself() -> None:
    assert "step" not in schema()["$defs"]["SampleTag"]["properties"]
    assert "type" in schema()["$defs"]["SampleTag"]["properties"]


def test_defaults_have_their_units() -> None:
    fields = schema()["$defs"]["BufferSettings"]["properties"]
    assert fields["flush_interval"]["default"] == "1s"
    assert fields["max_bytes"]["default"] == "2GiB"
    assert fields["catch_up_rate"]["default"] == "2MiB/s"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("holding:100", "holding:100"),
        ("https://x.example.com:8443/a", "https://x.example.com:8443/a"),
        ("!secret a", "!secret a"),
        ("true", '"true"'),
        ("12", '"12"'),
        ("", '""'),
        ("a: b", '"a: b"'),
        ("a:", '"a:"'),
        ("- a", '"- a"'),
        ('say "\\"', '"say \\"\\\\\\""'),
        ("zone[1..2]", '"zone[1..2]"'),
        (None, "null"),
        (False, "false"),
        (1.0, "1"),
        (0.1, "0.1"),
        ({"a": [1, "x"]}, "{a: [1, x]}"),
    ],
)
def test_values_on_one_line(value: object, text: str) -> None:
    assert flow(value) == text


def test_what_is_plain_reads_back_as_text() -> None:
    assert all(isinstance(word(flow(text)), str) for text in ("a", "1a", "v1.2", "°C", "%MW0"))


@pytest.mark.parametrize("central", [None, "https://central.example.com:8443/base"])
def test_the_starter_loads(load_text: LoadText, central: str | None) -> None:
    text = starter(device="press-shop-01", host="192.0.2.10", port=1502, unit_id=7, central=central)
    document = load_text(text, files={"secrets/central-token": "abc"}).document
    transport = document.connections[0].transport  # type: ignore[attr-defined]
    assert document.agent.id == "press-shop-01"
    assert (transport.host, transport.port, transport.unit_id) == ("192.0.2.10", 1502, 7)
    assert (document.central and document.central.url) == central
    assert document.remote.manage == []


def test_the_starter_for_the_unit_keeps_its_data_where_the_unit_may_write(load_text: LoadText) -> None:
    text = starter(device="a", host="192.0.2.10", port=502, unit_id=1, service=True)
    assert load_text(text).document.buffer.path == "/var/lib/holdfast/buffer.db"


def test_the_starter_quotes_what_needs_it(load_text: LoadText) -> None:
    text = starter(device="123", host="fe80::1%eth0", port=502, unit_id=1, driver="modbus")
    document = load_text(text).document
    assert document.agent.id == "123"
    assert document.connections[0].transport.host == "fe80::1%eth0"  # type: ignore[attr-defined]
