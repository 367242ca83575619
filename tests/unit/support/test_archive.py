"""The archive: private, bounded, with a manifest that adds up; and collectors that fail alone."""

import asyncio
import hashlib
import json
import random
import stat
import tarfile
from pathlib import Path

import pytest

from edge_agent.support.archive import MAX_FILE_BYTES, MAX_TOTAL_BYTES, LeftOut, Piece, pack
from edge_agent.support.collecting import Absent, Collector, collect, output_of


def texts_of(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        found = {}
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            found[member.name.partition("/")[2]] = file.read()
        return found


def test_the_manifest_names_each_file_with_its_hash_and_what_is_not_there(tmp_path: Path) -> None:
    out = tmp_path / "b.tar.gz"
    pieces = [Piece("a.txt", "an a", "온도"), Piece("d/b.txt", "a b", "b")]
    packed = pack(out, pieces, [LeftOut("c.txt", "a c", "there is none")], {"format": 1})
    found = texts_of(out)
    manifest = json.loads(found.pop("MANIFEST.json"))
    assert {each["name"]: each["sha256"] for each in manifest["files"]} == {
        name: hashlib.sha256(data).hexdigest() for name, data in found.items()
    }
    assert manifest["left_out"] == [{"name": "c.txt", "about": "a c", "why": "there is none"}]
    assert packed.size_bytes == out.stat().st_size
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "b.tar.gz"
    out.write_text("mine")
    with pytest.raises(FileExistsError):
        pack(out, [], [], {})
    assert out.read_text() == "mine"


def test_what_cannot_be_compressed_stays_within_the_bound_and_is_named(tmp_path: Path) -> None:
    chance = random.Random(7)
    noise = "".join(chr(chance.randrange(33, 127)) for _ in range(MAX_FILE_BYTES + 1_000))
    pieces = [Piece(f"log{number}.txt", "a log", noise, newest_last=True) for number in range(6)]
    packed = pack(tmp_path / "b.tar.gz", pieces, [], {})
    assert packed.size_bytes < MAX_TOTAL_BYTES
    assert [each["cut"] for each in packed.files] == [f"of {len(noise):,} bytes"] * len(packed.files)
    assert [each["why"] for each in packed.left_out] == ["the bundle would be too large"] * 2
    assert texts_of(tmp_path / "b.tar.gz")["log0.txt"] == noise[-MAX_FILE_BYTES:].encode()


async def test_collectors_that_fail_hang_or_find_nothing_stop_no_other() -> None:
    async def good() -> str:
        return "text"

    async def absent() -> str:
        raise Absent("no agent runs")

    async def broken() -> str:
        raise ZeroDivisionError("a bug")

    async def hangs() -> str:
        await asyncio.Event().wait()
        return ""

    named = {"absent": absent, "broken": broken, "hangs": hangs, "good": good}
    collectors = [Collector(name, "", function) for name, function in named.items()]
    pieces, left_out = await collect(collectors, seconds=0.05)
    assert [piece.name for piece in pieces] == ["good"]
    assert {each.name: each.why for each in left_out} == {
        "absent": "no agent runs",
        "broken": "ZeroDivisionError: a bug",
        "hangs": "not collected within 0.05 s",
    }


def test_a_program_that_is_not_there_or_fails_is_absent() -> None:
    with pytest.raises(Absent, match="there is no holdfast-no-such-program"):
        output_of(["holdfast-no-such-program"])
    with pytest.raises(Absent, match="ended with 3: why"):
        output_of(["sh", "-c", "echo why >&2; exit 3"])
    assert output_of(["echo", "x"]) == "x\n"
