"""`edge-agent hook test` as people call it: where its samples come from, with real scripts and workers."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent import app as real_app
from edge_agent.wire.dry_run import DryRunAnswer, DryValue
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from tests.unit.buffer.life import Life, schema
from tests.unit.cli.conftest import CommandLine

DOUBLE = 'OUTPUTS = {"double": "float64"}\ndef transform(frame):\n    frame["double"] = frame["t0"] * 2\n'
CONFIG = """
agent: {id: a}
buffer: {flush_interval: 200ms}
hooks:
  scripts:
    - {name: twice, point: transform, file: double.py, groups: ["press1.*"]}
    - name: inline
      point: on_schedule
      schedule: "0 6 * * *"
      source: |
        INPUTS = ["press1.*"]
        OUTPUTS = {"sum": "float64"}
        def on_schedule(tick):
            tick["sum"] = tick.columns("press1.t*").sum()
connections:
  - name: press1
    driver: modbus
    transport: {type: tcp, host: 192.0.2.10, unit_id: 1}
    groups:
      - {name: fast, interval: 1s, tags: [{name: t0, address: holding:0, type: int16, scale: 0.1}]}
      - {name: slow, interval: 1s, tags: [{name: t1, address: holding:1, type: int16}]}
"""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "double.py").write_text(DOUBLE)
    (tmp_path / "edge-agent.yaml").write_text(CONFIG)
    (tmp_path / "table.csv").write_text("time,t0\n1000,1.5\n2000,2.5\n3000,\n")
    return CommandLine(real_app)  # type: ignore[arg-type]  # the real one in place of the fake


def tried(cli: CommandLine, *argv: str) -> DryRunAnswer:
    """What a call that succeeds answers."""
    assert cli("hook", "test", *argv, "--json") == 0, cli.err
    return DryRunAnswer.model_validate_json(cli.out)


def doubles(answer: DryRunAnswer) -> list[Any]:
    return [each.after["double"].value if "double" in each.after else None for each in answer.outputs]


async def record(directory: Path, *schemas: Schema) -> None:
    life = Life(directory)
    agent = await life.start()
    for n in range(1, 8):
        for each in schemas:
            await agent.put(each, n)
        await agent.store.flush()
    await agent.stop()


def test_what_an_agent_recorded_is_run_as_it_was_read(cli: CommandLine, tmp_path: Path) -> None:
    asyncio.run(record(tmp_path, schema(), schema("press2")))
    found = tried(cli, "double.py", "--from-buffer", "buffer.db", "--group", "press1.fast", "--last", "3")
    assert [(each.connection, each.before["t0"].value) for each in found.outputs] == [
        ("press1", 5), ("press1", 6), ("press1", 7),
    ]  # fmt: skip
    assert doubles(found) == [10.0, 12.0, 14.0]
    assert len(tried(cli, "double.py", "--from-buffer", "buffer.db", "--last", "100").outputs) == 14
    assert cli("hook", "test", "double.py", "--from-buffer", "buffer.db", "--group", "press3.*") == 2
    assert cli.err == "edge-agent: buffer.db: holds no frame of press3.*\n"
    assert cli("hook", "test", "double.py", "--from-buffer", "none.db") == 3
    assert "there is no such file" in cli.err


def test_samples_that_were_through_hooks_are_those_from_before_with_a_warning(
    cli: CommandLine, tmp_path: Path
) -> None:
    tags = [TagSchema("t0", ValueType.UINT16), TagSchema("t0.raw", ValueType.UINT16)]
    asyncio.run(record(tmp_path, Schema.of("press1", "fast", 1, tags, ("other@1234",))))
    found = tried(cli, "double.py", "--from-buffer", "buffer.db", "--last", "1")
    # The fixture's frame 7 has 7 in its first tag and 8 in the one behind it.
    assert found.outputs[0].before == {"t0": DryValue(value=8)}
    assert doubles(found) == [16.0]
    assert cli.err == (
        "edge-agent: press1.fast: recorded behind hooks: "
        "originals are taken where they were kept (keep_raw); -c CONFIG leaves out what else hooks made\n"
    )


def test_a_table_is_of_the_group_that_is_named_and_of_the_configs_types(cli: CommandLine) -> None:
    plain = tried(cli, "double.py", "--frames", "table.csv", "--group", "press1.fast")
    assert doubles(plain) == [3.0, 5.0, None]
    assert {tag["type"] for tag in plain.schemas[0]["tags"]} == {"float64"}
    typed = tried(
        cli, "double.py", "--frames", "table.csv", "--group", "press1.fast", "-c", "edge-agent.yaml"
    )
    assert doubles(typed) == [3.0, 5.0, None]
    assert {"name": "t0", "type": "int16", "order": "abcd", "scale": 0.1} in typed.schemas[0]["tags"]
    # The settings of this file in the config are those that it is run with.
    assert (plain.script.partition("@")[0], typed.script.partition("@")[0]) == ("double", "twice")
    assert len(tried(cli, "double.py", "--frames", "table.csv", "--group", "a.b", "--last", "1").outputs) == 1


def test_a_value_that_does_not_fit_the_configs_tag_is_named(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("time,t0\n1000,99999\n")
    assert cli("hook", "test", "--hook", "twice", "-c", "edge-agent.yaml", "--frames", "table.csv",
               "--group", "press1.fast") == 2  # fmt: skip
    assert cli.err == "edge-agent: frames[0].values.t0: 99999 does not fit int16\n"


def test_without_samples_they_are_made_up_for_the_groups_that_the_script_is_for(cli: CommandLine) -> None:
    assert cli("hook", "test", "double.py", "-c", "edge-agent.yaml", "--json", "--last", "4") == 1
    found = DryRunAnswer.model_validate_json(cli.out)
    assert [each.group for each in found.outputs] == ["fast", "slow"] * 2
    assert found.error is not None
    assert "t0" in found.error.message  # the other group has no such tag
    assert (
        doubles(tried(cli, "double.py", "-c", "edge-agent.yaml", "--group", "*.fast", "--last", "2"))[0]
        == 10.0
    )
    assert cli("hook", "test", "double.py", "-c", "edge-agent.yaml", "--group", "nothing.*") == 2
    assert cli.err == "edge-agent: no group of the config is meant by nothing.*\n"


def test_a_script_in_the_yaml_is_tried_by_its_name(cli: CommandLine) -> None:
    found = tried(cli, "--hook", "inline", "-c", "edge-agent.yaml", "--last", "2")
    call = found.outputs[-1]
    assert (call.connection, call.group, call.made) == ("hooks", "inline", ["sum"])
    assert call.after["sum"].value == 5.0 + 50


def test_state_and_calls_are_those_of_the_files(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "alarm.py").write_text(
        "def on_alert(alert, state):\n    print(alert.code, state['n'])\n    state['n'] = state['n'] + 1\n"
    )
    (tmp_path / "calls.json").write_text('[{"code": "a"}, {"code": "b"}]')
    (tmp_path / "state.json").write_text('{"n": 5}')
    found = tried(cli, "alarm.py", "--calls", "calls.json", "--state", "state.json")
    assert (found.prints, found.state) == ("a 5\nb 6\n", {"n": 7})
    for name, text, why in (
        ("state", "[]", "is no object"), ("state", "{", "is not JSON"),
        ("calls", "{}", "is no list of objects"),
    ):  # fmt: skip
        (tmp_path / "wrong.json").write_text(text)
        assert cli("hook", "test", "alarm.py", f"--{name}", "wrong.json") == 2
        assert f"wrong.json: {why}" in cli.err
    assert cli("hook", "test", "double.py", "--calls", "calls.json") == 2
    assert cli.err == "edge-agent: transform is run on frames: leave --calls out\n"


@pytest.mark.parametrize(
    ("flag", "text", "why"),
    [
        ("--state", f'{{"a": {10**30}}}', "state: a whole number has more than 64 bits"),
        ("--state", '{"a": "\\ud800"}', "state: a text has characters that UTF-8 cannot hold"),
        ("--state", f'{{"a": {"[" * 100_000}}}', "is not JSON"),
        ("--state", f'{{"a": {"[" * 200}{"]" * 200}}}', "state: a value is nested more than"),
        ("--state", f'{{"a": "{"x" * 17_000}"}}', "16384 are the most"),
        ("--calls", f'[{{}}, {{"time": {10**30}}}]', "calls[1]: a whole number has more than 64 bits"),
        ("--calls", '[{"connection": "\\ud800"}]', "calls[0]: a text has characters"),
    ],
)
def test_what_no_agent_could_give_a_script_is_wrong_use(
    cli: CommandLine, tmp_path: Path, flag: str, text: str, why: str
) -> None:
    (tmp_path / "given.json").write_text(text)
    assert cli("hook", "test", "--hook", "inline", "-c", "edge-agent.yaml", flag, "given.json", "--json") == 2
    assert cli.out == ""
    assert why in cli.err


def test_a_schedule_needs_not_be_known_for_a_trial(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "tick.py").write_text("def on_schedule(tick):\n    print(tick.scheduled == tick.time > 0)\n")
    assert tried(cli, "tick.py").prints == "True\n"


def test_a_signed_document_is_tried_as_it_is(cli: CommandLine, tmp_path: Path) -> None:
    assert cli("hook", "keygen", "k.pem") == 0
    assert cli("hook", "sign", "double.py", "--key", "k.pem", "--as", "k", "--out", "double.json") == 0
    found = tried(cli, "double.json", "--frames", "table.csv", "--group", "press1.fast")
    assert doubles(found) == [3.0, 5.0, None]
    assert json.loads((tmp_path / "double.json").read_text())["name"] == "double"


def test_a_call_has_the_time_that_the_configs_flush_interval_leaves(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "double.py").write_text("def transform(frame):\n    while True:\n        pass\n")
    assert cli("hook", "test", "double.py", "-c", "edge-agent.yaml", "--json") == 1
    found = DryRunAnswer.model_validate_json(cli.out)
    assert found.error is not None
    assert found.error.message == "it took longer than 50 ms"
