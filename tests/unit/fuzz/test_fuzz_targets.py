"""Every decoder's fuzz target, kept alive: its seeds and a few hundred mutations, the same each time."""

import random
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from tests.fuzz.mutate import LONGEST_BYTES, mutations
from tests.fuzz.record import Record
from tests.fuzz.run import watch
from tests.fuzz.targets import load, names
from tests.fuzz.trial import attempt
from tests.fuzz.worker import keep

INPUTS = 200
_WRITES = "import sys; from pathlib import Path; from tests.fuzz.record import Record"
_TRIES = "Record(Path(sys.argv[1])).begin(b'x')"


@pytest.mark.parametrize("name", names())
def test_a_target_takes_whatever_comes(name: str) -> None:
    target = load(name)
    assert target.seeds
    for data in islice(mutations(target.seeds, random.Random(1)), INPUTS):
        finding = attempt(target.function, data)
        assert finding is None, f"{finding.text if finding else ''}\n{data.hex()}"


def _crashes(data: bytes) -> None:
    if data[:1] == b"\x80":
        raise IndexError("planted")


def _hangs(data: bytes) -> None:
    while data[:1] == b"\x80":
        try:
            len(data)
        except Exception:  # noqa: BLE001 - what ends a hang must not be kept here
            continue


@pytest.mark.parametrize(("target", "kind"), [(_crashes, "crash"), (_hangs, "hang")])
def test_a_planted_fault_is_found_with_its_bytes(target: Callable[[bytes], None], kind: str) -> None:
    for data in islice(mutations([b"\x00 a harmless seed"], random.Random(1)), 20_000):
        finding = attempt(target, data, limit_seconds=0.05)
        if finding is not None:
            break
    else:
        pytest.fail("the planted fault was not found")
    assert finding.kind == kind
    assert finding.data[:1] == b"\x80"
    again = attempt(target, finding.data, limit_seconds=0.05)
    assert again is not None
    assert again.name == finding.name


def test_mutations_are_bounded_and_the_same_each_time() -> None:
    seeds = [b"abc" * 1000, b"another"]
    first = list(islice(mutations(seeds, random.Random(7)), 500))
    assert first == list(islice(mutations(seeds, random.Random(7)), 500))
    assert first[:2] == seeds
    assert max(map(len, first)) <= LONGEST_BYTES
    assert len(set(first)) > 400


@pytest.mark.parametrize(
    ("ending", "kind"), [("import os; os.abort()", "crash"), ("import signal; signal.pause()", "hang")]
)
def test_a_process_that_dies_or_stands_still_leaves_its_input(tmp_path: Path, ending: str, kind: str) -> None:
    record = Record(tmp_path / "record")
    command = [sys.executable, "-c", f"{_WRITES}; {_TRIES}; {ending}", str(tmp_path / "record")]
    finding = watch(command, record, standstill_seconds=0.1)
    assert finding is not None
    assert (finding.kind, finding.data, record.inputs) == (kind, b"x", 1)
    record.close()


def test_a_finding_is_kept_once_for_each_place_in_the_code(tmp_path: Path) -> None:
    first, again = attempt(_crashes, b"\x80 one"), attempt(_crashes, b"\x80 two")
    assert first is not None
    assert again is not None
    assert keep(tmp_path, "planted", first)
    assert not keep(tmp_path, "planted", again)
    (path,) = tmp_path.glob("*.bin")
    assert path.read_bytes() == b"\x80 one"
    assert "planted" in path.with_suffix(".txt").read_text()
