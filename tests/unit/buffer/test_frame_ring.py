"""The ring's files: what a dead process left is read whole, and nothing that is there stops a start."""

import os
import resource
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge_agent.buffer import segments
from edge_agent.buffer.ring import FrameRing
from edge_agent.buffer.segments import Leftovers
from edge_agent.runtime.errors import InUse
from edge_agent.wire.frame import Frame
from edge_agent.wire.quality import Quality, QualityRun, SourceRun
from tests.unit.buffer.life import frame, schema

SCHEMA = schema()


def ring(directory: Path, run: str = "r1", *, device: str = "d", boot: str = "b", **kwargs: int) -> FrameRing:
    made = FrameRing(directory, boot, run, **kwargs)
    made.open(device)
    return made


def abandon(made: FrameRing) -> None:
    """What the kernel does for a killed process."""
    assert made._lock is not None
    made._lock.release()
    made._lock = None
    if made._fd is not None:
        os.close(made._fd)
        made._fd = None


def find(directory: Path, *, device: str = "d", boot: str = "b") -> Leftovers:
    return segments.find(directory, device, boot, "own")


def numbers(found: Leftovers, run: str = "r1") -> list[int]:
    return [entry.frame.n for entry in found.frames.get(run, [])]


def test_a_frame_comes_back_as_it_was(tmp_path: Path) -> None:
    made = ring(tmp_path)
    rich = Frame(
        7, 123456789, 1_767_225_600_123, b"\x01\x02", 5, 2, b"\x0b", ("a", None, {"k": [1.5]}),
        (QualityRun(0, 1, Quality.BAD_COMM), QualityRun(1, 1, Quality.UNCERTAIN, False, 0x40000000)),
        (SourceRun(0, 2, 1_767_225_600_100),),
    )  # fmt: skip
    plain = frame(8)
    made.announce(SCHEMA)
    made.append(SCHEMA.hash, rich)
    made.append(SCHEMA.hash, plain)
    abandon(made)
    found = find(tmp_path)
    assert [entry.frame for entry in found.frames["r1"]] == [rich, plain]
    assert {entry.schema_hash for entry in found.frames["r1"]} == {SCHEMA.hash}
    assert found.schemas == {SCHEMA.hash: SCHEMA.canonical}
    assert found.incomplete == {}


def test_released_segments_are_gone_and_later_ones_stay(tmp_path: Path) -> None:
    made = ring(tmp_path)
    made.append(SCHEMA.hash, frame(1))
    mark = made.rotate()
    made.append(SCHEMA.hash, frame(2))
    made.release(mark)
    abandon(made)
    assert len(list(tmp_path.glob("ring-*"))) == 1
    assert numbers(find(tmp_path)) == [2]


def test_a_death_between_two_removals_leaves_all_frames_of_a_commit_or_none(tmp_path: Path) -> None:
    made = ring(tmp_path)
    for n in (1, 2):
        made.append(SCHEMA.hash, frame(n))
        mark = made.rotate()
    kept = {path: path.read_bytes() for path in sorted(tmp_path.glob("ring-*"))[:2]}
    made.append(SCHEMA.hash, frame(3))
    made.release(mark)
    abandon(made)
    second = list(kept)[1]
    second.write_bytes(kept[second])
    found = find(tmp_path)
    assert numbers(found) == [3]
    assert second in found.finished
    # The mark itself outlives the segment that it was written into.
    again = ring(tmp_path, "r2")
    again.append(SCHEMA.hash, frame(1))
    first_mark = again.rotate()
    again.append(SCHEMA.hash, frame(2))
    stale = min(tmp_path.glob("ring-b-r2-*"))
    data = stale.read_bytes()
    again.release(first_mark)
    again.release(again.rotate())
    stale.write_bytes(data)
    abandon(again)
    assert numbers(find(tmp_path), "r2") == []


def test_an_unused_segment_is_not_rotated_and_goes_at_the_end(tmp_path: Path) -> None:
    made = ring(tmp_path)
    before = sorted(tmp_path.glob("ring-*"))
    made.release(made.rotate())
    assert sorted(tmp_path.glob("ring-*")) == before
    made.close()
    made.close()
    assert list(tmp_path.glob("ring-*")) == []


def test_a_run_that_was_killed_before_its_first_frame_still_left_a_trace(tmp_path: Path) -> None:
    abandon(ring(tmp_path))
    assert find(tmp_path).runs == {"r1"}


@pytest.mark.parametrize("cut", [1, 8, 40])
def test_a_record_that_was_being_written_is_no_damage(tmp_path: Path, cut: int) -> None:
    made = ring(tmp_path)
    made.append(SCHEMA.hash, frame(1))
    made.append(SCHEMA.hash, frame(2))
    abandon(made)
    [path] = tmp_path.glob("ring-*")
    path.write_bytes(path.read_bytes()[:-cut])
    found = find(tmp_path)
    assert numbers(found) == [1]
    assert found.damaged == []
    assert found.finished == [path]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: data[:-20] + b"\xff" * 8 + data[-12:], id="bytes of a row"),
        pytest.param(lambda data: data + struct.pack("<IIB", 0, 0, 99), id="a kind nobody knows"),
        pytest.param(
            lambda data: data + b"".join(segments.encode(segments.Record.FRAME, b"x")), id="no frame"
        ),
    ],
)
def test_damage_costs_what_is_behind_it_and_is_kept_aside(
    tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    made = ring(tmp_path)
    for n in (1, 2):
        made.append(SCHEMA.hash, frame(n))
    abandon(made)
    [path] = tmp_path.glob("ring-*")
    path.write_bytes(spoil(path.read_bytes()))
    found = find(tmp_path)
    assert numbers(found)[:1] == [1]
    assert found.damaged == [path]
    assert path.name in found.incomplete["r1"]
    segments.clear(found)
    assert [each.name for each in tmp_path.glob("aside-*")] == [f"aside-{path.name}"]
    assert find(tmp_path).runs == set()


def test_only_the_newest_damaged_segments_are_kept(tmp_path: Path) -> None:
    for index in range(segments.KEPT_ASIDE + 3):
        path = tmp_path / f"ring-b-r{index}-00000001"
        path.write_bytes(b"".join(segments.encode(segments.Record.FRAME, b"x")))
        os.utime(path, (index, index))
        segments.clear(find(tmp_path))
    assert sorted(path.name for path in tmp_path.glob("aside-*")) == [
        f"aside-ring-b-r{index}-00000001" for index in range(3, segments.KEPT_ASIDE + 3)
    ]


def test_what_is_no_file_of_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ring-of-keys").write_text("mine")
    (tmp_path / "ring-b-r1-00000001").mkdir()
    found = find(tmp_path)
    assert found.finished == []
    assert "Is a directory" in found.incomplete["r1"]
    segments.clear(found)
    assert (tmp_path / "ring-of-keys").exists()


def test_another_boot_is_not_believed(tmp_path: Path) -> None:
    made = ring(tmp_path, boot="old")
    made.append(SCHEMA.hash, frame(1))
    abandon(made)
    found = find(tmp_path)
    assert found.runs == set()
    segments.clear(found)
    assert list(tmp_path.glob("ring-*")) == []


def test_another_devices_frames_are_not_taken_for_ours(tmp_path: Path) -> None:
    made = ring(tmp_path, device="other")
    made.append(SCHEMA.hash, frame(1))
    abandon(made)
    found = find(tmp_path)
    assert found.runs == set()
    segments.clear(found)
    assert len(list(tmp_path.glob("ring-*"))) == 1


def test_two_agents_do_not_share_a_directory(tmp_path: Path) -> None:
    made = ring(tmp_path)
    other = FrameRing(tmp_path, "b", "r2")
    with pytest.raises(InUse, match=r"ring\.lock"):
        other.open("other")
    other.close()
    assert len(list(tmp_path.glob("ring-*"))) == 1
    made.close()


def test_segments_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    made = ring(tmp_path)
    for n in (1, 2, 3):
        made.append(SCHEMA.hash, frame(n))
        made.rotate()
    abandon(made)
    first, second, third, _ = sorted(tmp_path.glob("ring-*"))
    first.rename(tmp_path / "ring-b-r1-99999999")
    second.rename(tmp_path / "ring-b-r1-100000000")
    third.rename(tmp_path / "ring-b-r1-100000001")
    assert numbers(find(tmp_path)) == [1, 2, 3]


def test_a_full_ring_says_that_it_is_not_the_whole_truth_until_the_commit(tmp_path: Path) -> None:
    made = ring(tmp_path, max_bytes=400)
    for n in range(1, 9):
        made.append(SCHEMA.hash, frame(n))
    mark = made.rotate()
    assert made.missed_frames > 0
    assert find(tmp_path).incomplete == {"r1": "the ring was full or could not be written"}
    made.release(mark)
    assert find(tmp_path).incomplete == {}
    made.append(SCHEMA.hash, frame(9))
    abandon(made)
    assert numbers(find(tmp_path)) == [9]


def test_a_directory_that_vanished_costs_the_protection_and_nothing_else(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    made = ring(directory)
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    made.append(SCHEMA.hash, frame(1))
    made.rotate()
    made.append(SCHEMA.hash, frame(2))
    assert made.missed_frames == 1
    directory.mkdir()
    made.release(made.rotate())
    made.append(SCHEMA.hash, frame(3))
    made.close()
    assert numbers(find(directory)) == [3]


def test_a_write_that_fell_short_hides_nothing_behind_it(tmp_path: Path) -> None:
    made = ring(tmp_path)
    made.append(SCHEMA.hash, frame(1))
    [path] = tmp_path.glob("ring-b-*")
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 30, unlimited[1]))
    try:
        with capture_logs() as logs:  # a line that is printed would be cut short too
            made.append(SCHEMA.hash, frame(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    made.append(SCHEMA.hash, frame(3))
    made.append(SCHEMA.hash, frame(4))
    abandon(made)
    assert made.missed_frames == 1
    assert len(logs) == 1
    found = find(tmp_path)
    assert numbers(found) == [1, 3, 4]
    assert found.damaged == []
    assert found.incomplete.keys() == {"r1"}


def test_a_frame_that_cannot_be_written_is_counted_and_not_raised(tmp_path: Path) -> None:
    made = ring(tmp_path)
    made.append(SCHEMA.hash, Frame(1, 0, 0, b"\x00\x00", 1, text=(b"bytes",)))  # type: ignore[arg-type]
    made.append(SCHEMA.hash, frame(2))
    abandon(made)
    assert made.missed_frames == 1
    found = find(tmp_path)
    assert numbers(found) == [2]
    assert found.incomplete.keys() == {"r1"}
