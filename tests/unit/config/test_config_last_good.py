"""The last good config on disk, and the quarantine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.config.last_good import MAX_QUARANTINED, Applied, Failure, LastGood, envelope_hash
from edge_agent.wire.messages import ConfigEnvelope


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def content(number: int) -> str:
    return f"{number:064x}"


def applied(version: int) -> Applied:
    return Applied(version=version, etag=f"e{version}", content=content(version))


def failure(version: int = 2) -> Failure:
    return Failure(version=version, code="worse", message="press1 went down")


def reopened(path: Path) -> LastGood:
    again = LastGood(path, write)
    assert again.load() == ""
    return again


def test_nothing_is_kept_at_first(tmp_path: Path) -> None:
    assert reopened(tmp_path / "last.json").applied is None


def test_what_is_saved_is_there_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "last.json"
    body = '{"version": 7,\n"sections": {"프레스": 1}}\n\n'.encode()
    LastGood(path, write).save(applied(7), body)
    again = reopened(path)
    assert (again.applied, again.body) == (applied(7), body)


def test_the_quarantine_is_by_content_not_by_version(tmp_path: Path) -> None:
    path = tmp_path / "last.json"
    kept = LastGood(path, write)
    kept.save(applied(1), b"one")
    kept.quarantine(content(2), failure())
    again = reopened(path)
    assert again.failure(content(2)) == failure()
    assert again.failure(content(3)) is None
    assert again.known_bad == {content(2)}
    assert (again.applied, again.body) == (applied(1), b"one")


def test_what_runs_well_leaves_the_quarantine(tmp_path: Path) -> None:
    kept = LastGood(tmp_path / "last.json", write)
    kept.quarantine(content(2), failure())
    kept.save(applied(2), b"two")
    assert kept.failure(content(2)) is None


def test_release_empties_the_quarantine_and_keeps_what_runs(tmp_path: Path) -> None:
    path = tmp_path / "last.json"
    kept = LastGood(path, write)
    kept.save(applied(1), b"one")
    kept.quarantine(content(2), failure())
    kept.release()
    again = reopened(path)
    assert again.failure(content(2)) is None
    assert (again.applied, again.body) == (applied(1), b"one")


def test_the_quarantine_is_bounded_and_drops_the_oldest(tmp_path: Path) -> None:
    kept = LastGood(tmp_path / "last.json", write)
    for number in range(MAX_QUARANTINED + 1):
        kept.quarantine(content(number), failure(number))
    assert kept.failure(content(0)) is None
    assert kept.failure(content(1)) is not None
    assert kept.failure(content(MAX_QUARANTINED)) is not None


def flipped(data: bytes) -> bytes:
    return data.replace(b"good", b"evil")


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"\x00" * len(data),
        lambda data: b"[1]\n" + data,
        lambda data: data.replace(b'"format":2', b'"format":3'),
    ],
)
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "last.json"
    LastGood(path, write).save(applied(1), b"good")
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    again = LastGood(path, write)
    assert "cannot be used, starting from the local file; it is kept as" in again.load()
    assert again.applied is None
    assert (tmp_path / "last.json.corrupt").read_bytes() == damaged
    assert not path.exists()
    again.save(applied(2), b"two")
    assert reopened(path).applied is not None


def test_a_file_that_cannot_be_read_is_no_reason_not_to_start(tmp_path: Path) -> None:
    kept = LastGood(tmp_path, write)
    assert "cannot be read, starting from the local file" in kept.load()
    assert kept.applied is None


def test_a_change_that_the_disk_refuses_is_not_remembered(tmp_path: Path) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError("no space left")

    kept = LastGood(tmp_path / "last.json", full)
    with pytest.raises(OSError, match="no space"):
        kept.save(applied(1), b"one")
    assert kept.applied is None


def test_the_hash_is_of_the_sections_in_any_order() -> None:
    one = ConfigEnvelope(version=1, sections={"a": {"x": 1, "y": 2}, "b": []})
    two = ConfigEnvelope(version=2, sections={"b": [], "a": {"y": 2, "x": 1}})
    assert envelope_hash(one) == envelope_hash(two)
    assert len(envelope_hash(one)) == 64
