"""The last good config on disk, and the quarantine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.config.last_good import MAX_QUARANTINED, LastGood, envelope_hash
from edge_agent.wire.messages import ConfigEnvelope


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def envelope(version: int, content: str = "a") -> ConfigEnvelope:
    return ConfigEnvelope(version=version, sections={"connections": [{"name": content}]})


def reopened(path: Path) -> LastGood:
    again = LastGood(path, write)
    assert again.load() == ""
    return again


def test_nothing_is_kept_at_first(tmp_path: Path) -> None:
    assert reopened(tmp_path / "last.json").applied is None


def test_what_is_saved_is_there_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "last.json"
    LastGood(path, write).save(envelope(7, "프레스"), '"etag"')
    applied = reopened(path).applied
    assert applied is not None
    assert (applied.envelope, applied.etag) == (envelope(7, "프레스"), '"etag"')


def test_the_quarantine_is_by_content_not_by_version(tmp_path: Path) -> None:
    path = tmp_path / "last.json"
    kept = LastGood(path, write)
    kept.save(envelope(1), "one")
    kept.quarantine(envelope(2, "bad"), "worse", "press1 went down")
    again = reopened(path)
    failure = again.failure(envelope(9, "bad"))
    assert failure is not None
    assert (failure.version, failure.code, failure.message) == (2, "worse", "press1 went down")
    assert again.failure(envelope(2, "good")) is None
    assert again.applied is not None
    assert again.applied.envelope == envelope(1)


def test_what_runs_well_leaves_the_quarantine(tmp_path: Path) -> None:
    kept = LastGood(tmp_path / "last.json", write)
    kept.quarantine(envelope(2), "worse", "")
    kept.save(envelope(3), "three")
    assert kept.failure(envelope(2)) is None


def test_release_and_forget(tmp_path: Path) -> None:
    path = tmp_path / "last.json"
    kept = LastGood(path, write)
    kept.save(envelope(1), "one")
    kept.quarantine(envelope(2, "bad"), "worse", "")
    kept.release()
    assert reopened(path).failure(envelope(2, "bad")) is None
    assert reopened(path).applied is not None
    kept.quarantine(envelope(2, "bad"), "worse", "")
    kept.forget()
    assert reopened(path).applied is None
    assert reopened(path).failure(envelope(2, "bad")) is not None


def test_the_quarantine_is_bounded_and_drops_the_oldest(tmp_path: Path) -> None:
    kept = LastGood(tmp_path / "last.json", write)
    for version in range(MAX_QUARANTINED + 1):
        kept.quarantine(envelope(version, str(version)), "worse", "")
    assert kept.failure(envelope(0, "0")) is None
    assert kept.failure(envelope(1, "1")) is not None
    assert kept.failure(envelope(0, str(MAX_QUARANTINED))) is not None


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
        lambda data: data.replace(b'"format":1', b'"format":2'),
    ],
)
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "last.json"
    LastGood(path, write).save(envelope(1, "good"), "one")
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    again = LastGood(path, write)
    assert "is damaged, starting from the local file; it is kept as" in again.load()
    assert again.applied is None
    assert (tmp_path / "last.json.corrupt").read_bytes() == damaged
    assert not path.exists()
    again.save(envelope(2), "two")
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
        kept.save(envelope(1), "one")
    assert kept.applied is None


def test_the_hash_is_of_the_sections_in_any_order() -> None:
    one = ConfigEnvelope(version=1, sections={"a": {"x": 1, "y": 2}, "b": []})
    two = ConfigEnvelope(version=2, sections={"b": [], "a": {"y": 2, "x": 1}})
    assert envelope_hash(one) == envelope_hash(two)
    assert len(envelope_hash(one)) == 64
