"""The golden batches: bodies of format 1 are read as they were written, and written as they were.

The files come from tests/golden/wire/generate.py. A case that fails here means that batches on gateways
in the field cannot be read any more: never mend it by writing the files anew.
"""

import importlib.util
import json
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edge_agent.wire import codecs
from edge_agent.wire.batch import Batch, FramesPart, Kind, Origin, RecordsPart, content_hash, encode
from edge_agent.wire.codecs import Codec
from edge_agent.wire.frame import Frame, selection
from edge_agent.wire.schema import Schema
from edge_agent.wire.values import read_value

FOLDER = Path(__file__).parents[2] / "golden" / "wire"
NAMES = sorted(path.stem for path in FOLDER.glob("*.bin"))


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_wire_generate", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(name: str) -> tuple[bytes, dict[str, Any]]:
    body = (FOLDER / f"{name}.bin").read_bytes()
    return body, json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def described(frame: Frame) -> dict[str, Any]:
    return {
        "n": frame.n,
        "mono_ns": frame.mono_ns,
        "wall_ms": frame.wall_ms,
        "row": frame.row.hex() if len(frame.row) <= 1024 else sha256(frame.row).hexdigest(),
        "read": frame.read,
        "suppressed": frame.suppressed,
        "present": None if frame.present is None else frame.present.hex(),
        "text": None if frame.text is None else list(frame.text),
        "quality": [[q.first, q.count, q.quality.label, q.null, q.status] for q in frame.quality],
        "source": [list(run) for run in frame.source],
    }


def test_there_are_golden_batches() -> None:
    assert len(NAMES) >= 19


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_body_is_read_as_it_was_written(name: str) -> None:
    body, wanted = load(name)
    assert content_hash(body).hex() == wanted["hash"]
    batch = Batch.open(body, wanted["codec"], wanted["raw_bytes"])
    assert [batch.origin.device, batch.origin.run, batch.origin.boot] == wanted["origin"]
    assert int(batch.kind) == wanted["kind"]
    assert [entry["k"] for entry in batch.sections] == [section["kind"] for section in wanted["sections"]]
    assert sum(samples for _, samples in batch.contents().values()) == wanted["samples"]
    for index, section in enumerate(wanted["sections"]):
        if section["kind"] == "frames":
            check_frames(batch, index, section)
    for kind in (Kind.LOSS, Kind.EVENT, Kind.CLOCK):
        records = [
            section["records"] for section in wanted["sections"] if section["kind"] == str(kind.name).lower()
        ]
        assert batch.records(kind) == [record for part in records for record in part]


def check_frames(batch: Batch, index: int, section: dict[str, Any]) -> None:
    schema = Schema.from_bytes(section["schema"].encode())
    assert schema.hash == section["schema_hash"] == batch.sections[index]["s"]
    found = batch.frames(index, schema)
    for frame, wanted in zip(found, section["frames"], strict=True):
        assert described(frame) == {key: value for key, value in wanted.items() if key != "values"}
        if "values" in wanted:
            assert values(schema, frame) == wanted["values"]


def values(schema: Schema, frame: Frame) -> dict[str, Any]:
    parts = [frame.row[start:end] for start, end in zip(schema.edges, schema.edges[1:], strict=False)]
    return {tag.name: read_value(tag, part) for tag, part in zip(schema.tags, parts, strict=False)}


def parts_of(batch: Batch, description: dict[str, Any]) -> list[FramesPart | RecordsPart]:
    parts: list[FramesPart | RecordsPart] = []
    for index, (entry, section) in enumerate(zip(batch.sections, description["sections"], strict=True)):
        if entry["k"] == "frames":
            schema = Schema.from_bytes(section["schema"].encode())
            parts.append(FramesPart(schema, batch.frames(index, schema), entry["layout"]))
        else:
            parts.append(RecordsPart(Kind[entry["k"].upper()], section["records"]))
    return parts


@pytest.mark.parametrize("name", NAMES)
def test_todays_writer_writes_the_same_bytes(name: str) -> None:
    """Before compression, whose bytes are the library's affair."""
    body, wanted = load(name)
    batch = Batch.open(body, wanted["codec"], wanted["raw_bytes"])
    again = encode(Origin(*wanted["origin"]), parts_of(batch, wanted), wanted["t0"], Codec.NONE)
    assert again.body == codecs.decompress(wanted["codec"], body, wanted["raw_bytes"])
    assert (again.t0, again.t1, again.samples) == (wanted["t0"], wanted["t1"], wanted["samples"])


def test_the_goldens_have_every_shape() -> None:
    sections = [section for name in NAMES for section in load(name)[1]["sections"]]
    frames = [frame for section in sections for frame in section.get("frames", [])]
    tags = [tag for s in sections if "schema" in s for tag in json.loads(s["schema"])["tags"]]
    assert {section["kind"] for section in sections} == {"frames", "loss", "event", "clock"}
    assert {load(name)[1]["codec"] for name in NAMES} == set(Codec)
    assert len({tag["type"] for tag in tags}) == 13
    assert {tag.get("order", "dcba") for tag in tags} == {"abcd", "dcba", "cdab", "badc"}
    assert {run[2] for frame in frames for run in frame["quality"]} >= {
        "uncertain",
        "stale",
        "bad_comm",
        "good",
    }
    assert any(frame["present"] and sum(selection(bytes.fromhex(frame["present"]), 10)) for frame in frames)
    assert any(frame["source"] for frame in frames)
    assert any(frame["text"] and "" in frame["text"] for frame in frames)


# --- the generator -----------------------------------------------------------------------------------------


def test_every_case_of_the_generator_has_its_files() -> None:
    assert sorted(load_generator().CASES) == NAMES
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == NAMES


def test_the_generator_keeps_what_exists_unless_it_is_forced(tmp_path: Path) -> None:
    generator = load_generator()
    assert generator.write(tmp_path, force=False) == []
    pinned = tmp_path / "arrays.bin"
    pinned.write_bytes(b"pinned")
    assert sorted(generator.write(tmp_path, force=False)) == NAMES
    assert pinned.read_bytes() == b"pinned"
    assert generator.write(tmp_path, force=True) == []
    assert pinned.read_bytes() != b"pinned"
