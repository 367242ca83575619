"""Samples that a script is tried on: files that people have at hand, and those that are made up."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.app import hook_samples
from edge_agent.app.settings import load_config
from edge_agent.contracts.errors import ConfigError
from edge_agent.hooks import samples
from edge_agent.wire.dry_run import DryFrame

AT = 1_767_225_600_000
CONFIG = """
agent: {id: a}
connections:
  - name: press1
    driver: modbus
    transport: {type: tcp, host: 192.0.2.10, unit_id: 1}
    groups:
      - name: fast
        interval: 1s
        tags:
          - {name: oil, address: holding:0, type: int16, scale: 0.1, unit: °C}
          - {name: running, address: coil:0, type: bool}
          - {name: lot, address: holding:10, type: string, length: 8}
          - {name: "zone[1..3]", address: "holding:20..22", type: uint16}
      - name: slow
        interval: 1s
        tags: [{name: kwh, address: holding:100, type: float32}]
"""
EXPORTED: list[dict[str, Any]] = [
    {"time": "2026-01-01T00:00:00.000Z", "source_time": None, "connection": "p", "group": "g", "unit_id": 1,
     "tag": "a", "value": 1.5, "unit": "", "quality": "good", "run": "r1", "n": 7},
    {"time": "2026-01-01T00:00:00.000Z", "source_time": None, "connection": "p", "group": "g", "unit_id": 1,
     "tag": "b", "value": None, "unit": "", "quality": "bad_comm", "run": "r1", "n": 7},
    {"time": "2026-01-01T00:00:01.000Z", "source_time": None, "connection": "p", "group": "g", "unit_id": 1,
     "tag": "a", "value": 2, "unit": "", "quality": "good", "run": "r1", "n": 8},
]  # fmt: skip
FRAMES = [
    DryFrame(connection="p", group="g", time=AT, values={"a": 1.5, "b": None}, quality={"b": "bad_comm"}),
    DryFrame(connection="p", group="g", time=AT + 1_000, values={"a": 2}),
]


def read(tmp_path: Path, text: str, group: str | None = None) -> list[DryFrame]:
    (tmp_path / "samples").write_text(text)
    return hook_samples.from_file(tmp_path / "samples", group)


def test_what_buffer_export_writes_is_read_as_frames(tmp_path: Path) -> None:
    assert read(tmp_path, "".join(json.dumps(each) + "\n" for each in EXPORTED)) == FRAMES
    head = ",".join(EXPORTED[0])
    rows = [
        "2026-01-01 00:00:00.000,,p,g,1,a,1.5,,good,r1,7", "2026-01-01 00:00:00.000,,p,g,1,b,,,bad_comm,r1,7",
        "2026-01-01 00:00:01.000,,p,g,1,a,2,,good,r1,8",
    ]  # fmt: skip
    assert read(tmp_path, "\ufeff" + "\r\n".join([head, *rows, ""])) == FRAMES


def test_frames_are_read_as_a_list_in_an_object_or_one_a_line(tmp_path: Path) -> None:
    items = [each.model_dump() for each in FRAMES]
    for text in (json.dumps(items), json.dumps({"frames": items}), "\n".join(map(json.dumps, items))):
        assert read(tmp_path, text) == FRAMES
    assert read(tmp_path, json.dumps(items[0])) == FRAMES[:1]


def test_a_table_has_a_column_for_each_tag(tmp_path: Path) -> None:
    rows = [
        "time;온도;lot;running;zones", '2026-01-01T09:00:00+09:00;21.5;"LOT;1";true;[1, 2]',
        "1767225601000;;7a;false;",
    ]  # fmt: skip
    found = read(tmp_path, "\n".join(rows), "press1.fast")
    assert [(each.connection, each.group, each.time) for each in found] == [
        ("press1", "fast", AT), ("press1", "fast", AT + 1_000),
    ]  # fmt: skip
    assert found[0].values == {"온도": 21.5, "lot": "LOT;1", "running": True, "zones": [1, 2]}
    assert found[1].values == {"온도": None, "lot": "7a", "running": False, "zones": None}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (" \n", r"samples: is empty"),
        ("a,b\n1,2\n", r"samples:1: has neither the columns of .* nor a column time"),
        ("time,a\n1,2\n", r"samples: name the group of this table: --group CONNECTION.GROUP"),
        ('{"connection": 1}\nx', r"samples:2: is not JSON"),
        ('{"frames": 3}', r"samples: is no list of frames"),
        ("[3]", r"samples: frame 1: is no object"),
        ('[{"connection": "a", "group": "b", "time": "noon"}]', r"frame 1: time: 'noon' is neither"),
        ('[{"connection": "a", "time": 5, "values": {}}]', r"frame 1: group: Field required"),
        ('[{"tag": "a", "value": 1}]', r"sample 1: has not all of connection, group"),
        (f"[{json.dumps({**EXPORTED[0], 'tag': ['a']})}]", r"sample 1: tag is a list or an object"),
        (f"[{json.dumps({**EXPORTED[0], 'n': {}})}]", r"sample 1: n is a list or an object"),
        ("[" * 100_000, r"samples:1: is not JSON"),
        ('[{"connection": "a", "group": "b", "time": 1e999, "values": {}}]', r"frame 1: cannot convert"),
        ('time,a\n1,"2\n', r"samples:2:1: a quoted cell"),
        ("time,a\n1," + "x" * 200_000, r"samples:2:1: "),
        ("[{\"connection\": \"a\", \"group\": \"b\", \"time\": 1, \"values\": {\"x\": NaN}}]", r"frame 1: "),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_samples_is_refused_with_its_place(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "data",
    [
        '\ufefftime,온도,메모\n5,41,"가\n나"\n'.encode(),
        'time,온도,메모\n5,41,"가\n나"\n'.encode("cp949"),
        'time\t온도\t메모\n5\t41\t"가\n나"\n'.encode("utf-16"),
    ],
    ids=["CSV UTF-8", "CSV of a Korean Excel", "Unicode text"],
)
def test_tables_are_read_as_spreadsheets_save_them(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "samples").write_bytes(data)
    (found,) = hook_samples.from_file(tmp_path / "samples", "p.g")
    assert (found.time, found.values) == (5, {"온도": 41, "메모": "가\n나"})


def test_a_cell_that_is_no_json_that_can_be_read_is_a_text(tmp_path: Path) -> None:
    (found,) = read(tmp_path, "time,a\n1," + "[" * 100_000, "p.g")
    assert found.values == {"a": "[" * 100_000}


def test_a_text_may_hold_any_character_that_separates_lines(tmp_path: Path) -> None:
    text = "a\u2028b\x85c"
    items = [{**each, "value": text, "quality": "good"} for each in EXPORTED]
    lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in items)
    assert [each.values for each in read(tmp_path, lines)] == [{"a": text, "b": text}, {"a": text}]


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "samples").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is neither UTF-8 nor CP949"):
        hook_samples.from_file(tmp_path / "samples", None)


def made_up(tmp_path: Path, count: int, *patterns: str) -> list[tuple[Any, Any]]:
    (tmp_path / "a.yaml").write_text(CONFIG)
    schemas = hook_samples.configured_schemas(load_config(tmp_path / "a.yaml"), hook_samples.wants(patterns))
    frames = hook_samples.made_up(schemas, count)
    return samples.frames_of(frames, [hook_samples.schema_json(each) for each in schemas])


def test_made_up_samples_fit_the_configs_groups_and_are_the_same_each_time(tmp_path: Path) -> None:
    found = made_up(tmp_path, 8, "press1.fast", "*.slow")
    assert [each.group for each, _ in found] == ["fast", "slow"] * 4
    assert [frame.n for _, frame in found] == [1, 1, 2, 2, 3, 3, 4, 4]
    shown = samples.shown(*found[0])
    assert {each.quality for each in shown.values()} == {"good"}
    assert shown["oil"].value == 5.0
    assert shown["lot"].value == "lot 1"
    # They move, so that a rate or an average has something to work on.
    for tag in ("oil", "zone1", "running"):
        assert len({samples.shown(*each)[tag].value for each in found[::2]}) > 1
    assert found == made_up(tmp_path, 8, "press1.fast", "*.slow")


def test_only_groups_that_are_asked_for_are_made_up(tmp_path: Path) -> None:
    assert {each.group for each, _ in made_up(tmp_path, 5, "press1.s*")} == {"slow"}
    assert made_up(tmp_path, 5, "press2.*") == []
