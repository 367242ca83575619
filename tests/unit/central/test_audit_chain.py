"""`central-sync audit verify`: every kind of tampering with the trail is named at its first entry."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from central_sync.cli.commands import run_command
from central_sync.services.audit.chain import sign
from central_sync.services.audit.entries import Actor, Entry, link
from central_sync.store import database
from central_sync.store.audit import record
from central_sync.store.statements import AuditKey

KIM = Actor("user", "7f3a", "kim", "192.0.2.7")
ENTRIES = 20


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A centre's data with twenty entries."""
    with (
        closing(database.connect(database.prepare(tmp_path))) as connection,
        database.transaction(connection),
    ):
        for number in range(ENTRIES):
            entry = Entry("device.patch", "device", f"dev-{number}", f"dev-{number}", None, {"line": number})
            record(connection, KIM, 1_000 + number, entry)
    return tmp_path


def tamper(data: Path, *statements: str) -> None:
    with closing(sqlite3.connect(data / database.DATABASE_NAME)) as connection, connection:
        connection.execute("DROP TRIGGER audit_is_kept")
        for statement in statements:
            connection.execute(statement)


def recompute(data: Path, since: int) -> None:
    """What somebody does who knows how the chain is made: all hashes anew from `since` on."""
    with closing(sqlite3.connect(data / database.DATABASE_NAME)) as connection, connection:
        (previous,) = connection.execute("SELECT hash FROM audit WHERE no = ?", (since - 1,)).fetchone()
        sql = "SELECT no, entry FROM audit WHERE no >= ? ORDER BY no"
        for number, entry in connection.execute(sql, (since,)).fetchall():
            previous = link(previous, entry)
            connection.execute("UPDATE audit SET hash = ? WHERE no = ?", (previous, number))


def verify(capsys: pytest.CaptureFixture[str], data: Path, *more: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = run_command(["audit", "verify", "--json", "--data", str(data), *more])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def checkpoint(capsys: pytest.CaptureFixture[str], data: Path) -> Path:
    """Taken as an operator does, and kept elsewhere."""
    capsys.readouterr()
    assert run_command(["audit", "checkpoint", "--data", str(data)]) == 0
    kept = data.parent / "elsewhere.jsonl"
    kept.write_text(capsys.readouterr().out)
    return kept


def test_a_whole_trail_is_sound_to_its_last_entry(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = verify(capsys, data)
    assert (code, said["ok"], said["entries"], said["last"]["no"]) == (0, True, ENTRIES, ENTRIES)


def test_an_empty_trail_is_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database.prepare(tmp_path)
    code, said = verify(capsys, tmp_path)
    assert (code, said["entries"]) == (0, 0)


@pytest.mark.parametrize(
    ("statement", "no", "code"),
    [
        ("UPDATE audit SET entry = replace(entry, '192.0.2.7', '192.0.2.8') WHERE no = 7", 7, "changed"),
        ("UPDATE audit SET entry = CAST(replace(CAST(entry AS TEXT), 'kim', 'lee') AS BLOB) WHERE no = 7", 7,
         "changed"),
        ("UPDATE audit SET hash = zeroblob(32) WHERE no = 7", 7, "changed"),
        ("UPDATE audit SET actor = 'user:0000' WHERE no = 7", 7, "column"),
        ("UPDATE audit SET time = 5 WHERE no = 7", 7, "column"),
        ("UPDATE audit SET action = 'x' WHERE no = 7", 7, "column"),
        ("UPDATE audit SET entity = 'x' WHERE no = 7", 7, "column"),
        ("UPDATE audit SET name = 'x' WHERE no = 7", 7, "column"),
        ("UPDATE audit SET device = NULL WHERE no = 7", 7, "column"),
        ("DELETE FROM audit WHERE no = 7", 7, "missing"),
        ("DELETE FROM audit WHERE no BETWEEN 7 AND 11", 7, "missing"),
        ("DELETE FROM audit WHERE no <= 7", 1, "missing"),
        ("UPDATE audit SET entry = x'00' WHERE no = 7", 7, "moved"),
    ],
)  # fmt: skip
def test_one_statement_of_tampering_is_found_at_its_entry(
    data: Path, capsys: pytest.CaptureFixture[str], statement: str, no: int, code: str
) -> None:
    tamper(data, statement)
    exit_code, said = verify(capsys, data)
    assert (exit_code, said["wrong"]["no"], said["wrong"]["code"]) == (1, no, code)
    assert said["entries"] == no - 1


def test_entries_that_changed_places_are_found(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tamper(
        data,
        "UPDATE audit SET no = -1 WHERE no = 7",
        "UPDATE audit SET no = 7 WHERE no = 12",
        "UPDATE audit SET no = 12 WHERE no = -1",
    )
    assert verify(capsys, data)[1]["wrong"]["code"] == "moved"


def test_an_entry_put_in_between_is_found(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moving = [f"UPDATE audit SET no = {number + 1} WHERE no = {number}" for number in range(ENTRIES, 6, -1)]
    copy = (
        "INSERT INTO audit SELECT 7, time, action, entity, name, device, actor, "
        "replace(entry, '\"no\":6', '\"no\":7'), hash FROM audit WHERE no = 6"
    )
    tamper(data, *moving, copy)
    _, said = verify(capsys, data)
    assert (said["wrong"]["no"], said["wrong"]["code"]) == (7, "changed")


def test_a_change_with_its_own_hash_is_found_at_the_next_entry(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(data / database.DATABASE_NAME)) as connection, connection:
        connection.execute("DROP TRIGGER audit_is_kept")
        (previous,) = connection.execute("SELECT hash FROM audit WHERE no = 6").fetchone()
        (entry,) = connection.execute("SELECT entry FROM audit WHERE no = 7").fetchone()
        changed = entry.replace(b"192.0.2.7", b"192.0.2.8")
        connection.execute(
            "UPDATE audit SET entry = ?, hash = ? WHERE no = 7", (changed, link(previous, changed))
        )
    _, said = verify(capsys, data)
    assert (said["wrong"]["no"], said["wrong"]["code"]) == (8, "changed")


# --- what only a checkpoint finds ----------------------------------------------------------------------


def test_a_trail_made_anew_from_one_entry_on_is_found_by_a_checkpoint(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = checkpoint(capsys, data)
    change = "UPDATE audit SET entry = CAST(replace(CAST(entry AS TEXT), 'kim', 'lee') AS BLOB) WHERE no = 7"
    tamper(data, change)
    recompute(data, 7)
    assert verify(capsys, data)[0] == 0, "the chain alone cannot know"
    code, said = verify(capsys, data, "--checkpoint", str(kept))
    assert (code, said["wrong"]["no"], said["wrong"]["code"]) == (1, ENTRIES, "rewritten")


def test_a_trail_cut_at_its_end_is_found_by_a_checkpoint(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = checkpoint(capsys, data)
    tamper(data, "DELETE FROM audit WHERE no > 15")
    assert verify(capsys, data)[0] == 0, "the chain alone cannot know"
    code, said = verify(capsys, data, "--checkpoint", str(kept))
    assert (code, said["wrong"]["no"], said["wrong"]["code"]) == (1, 16, "truncated")


def test_a_walk_since_a_checkpoint_takes_the_new_entries_alone(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = checkpoint(capsys, data)
    with closing(database.connect(database.prepare(data))) as connection, database.transaction(connection):
        record(connection, KIM, 9_000, Entry("device.patch", "device", "dev-1"))
    code, said = verify(capsys, data, "--checkpoint", str(kept), "--since")
    assert (code, said["entries"], said["last"]["no"]) == (0, 1, ENTRIES + 1)
    tamper(data, f"UPDATE audit SET hash = zeroblob(32) WHERE no = {ENTRIES}")
    code, said = verify(capsys, data, "--checkpoint", str(kept), "--since")
    assert (code, said["wrong"]["code"]) == (1, "rewritten")


@pytest.mark.parametrize(
    ("field", "value"), [("no", 3), ("hash", "0" * 64), ("time", 1), ("signature", "AA")]
)
def test_a_forged_checkpoint_is_refused(
    data: Path, capsys: pytest.CaptureFixture[str], field: str, value: object
) -> None:
    kept = checkpoint(capsys, data)
    kept.write_bytes(orjson.dumps({**orjson.loads(kept.read_bytes()), field: value}))
    assert run_command(["audit", "verify", "--data", str(data), "--checkpoint", str(kept)]) == 2
    assert "its signature is wrong" in capsys.readouterr().err


def test_a_checkpoint_of_another_key_or_centre_is_refused_unless_the_key_is_named(
    data: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    other = AuditKey(tmp_path_factory.mktemp("other"))
    kept = checkpoint(capsys, data)
    said = orjson.loads(kept.read_bytes())
    foreign = sign(other, "checkpoint", said["centre"], said["no"], bytes.fromhex(said["hash"]), 5)
    kept.write_text(foreign.line())
    assert run_command(["audit", "verify", "--data", str(data), "--checkpoint", str(kept)]) == 2
    assert "another key" in capsys.readouterr().err
    assert verify(capsys, data, "--checkpoint", str(kept), "--key", other.public)[0] == 0
    kept.write_text(sign(other, "checkpoint", "elsewhere", 3, bytes(32), 5).line())
    words = ["audit", "verify", "--data", str(data), "--checkpoint", str(kept), "--key", other.public]
    assert run_command(words) == 2
    assert "it is of centre elsewhere" in capsys.readouterr().err


def test_the_key_is_kept_apart_from_the_database_and_for_its_owner_alone(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(capsys, data)[0] == 0
    assert not (data / "audit-key.pem").exists(), "verifying makes no key"
    assert run_command(["audit", "key", "--data", str(data)]) == 0
    first = capsys.readouterr().out
    assert (data / "audit-key.pem").stat().st_mode & 0o777 == 0o600
    assert run_command(["audit", "key", "--data", str(data)]) == 0
    assert capsys.readouterr().out == first


def test_a_directory_without_data_stays_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("verify", "checkpoint", "key"):
        assert run_command(["audit", action, "--data", str(tmp_path)]) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_long_walk_says_how_far_it_is(data: Path) -> None:
    from central_sync.app import auditing

    told: list[tuple[int, int]] = []
    auditing.verify_audit(data, auditing.AuditQuestion(), lambda done, total: told.append((done, total)))
    assert told[-1] == (ENTRIES, ENTRIES)
