"""Backup beside a running centre and restore: one moment, complete, checked; agents then bring the rest."""

import asyncio
import json
import shutil
import sqlite3
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from central_sync.app import CannotOpen, auditing, safekeeping
from central_sync.cli.commands import run_command
from central_sync.services.audit.entries import Actor, Entry
from central_sync.store import database
from central_sync.store.audit import record
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import Edge


async def sql(path: Path, *statements: str) -> list[Any]:
    """What the last statement gives."""

    def ask() -> list[Any]:
        found: list[Any] = []
        with closing(sqlite3.connect(path)) as connection, connection:
            for statement in statements:
                found = connection.execute(statement).fetchall()
        return found

    return await asyncio.to_thread(ask)


def quiet(done: int, total: int) -> None:
    """Nobody looks at the progress."""


async def deliver(house: House, edge: Edge, count: int) -> list[Any]:
    """Uploads new batches; the floor follows their acknowledgement."""
    items = [edge.make() for _ in range(count)]
    answer = (await house.post(edge, edge.upload(*items))).json
    if answer["need_schemas"]:
        await house.put_schema(edge)
        answer = (await house.post(edge, edge.upload(*items))).json
    assert answer["acked"] == [[items[0].seq, items[-1].seq]]
    edge.floor = edge.next
    return items


async def back_up(data: Path, file: Path, force: bool = False) -> safekeeping.Backup:
    return await asyncio.to_thread(safekeeping.backup, data, file, force, quiet)


async def restore(file: Path, data: Path, force: bool = False) -> safekeeping.Restored:
    return await asyncio.to_thread(safekeeping.restore, file, data, force, quiet)


async def test_after_a_restore_the_agent_brings_what_the_backup_does_not_have(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    edge = Edge()
    file = tmp_path / "kept.db"
    async with open_house() as house:
        await deliver(house, edge, 3)
        made = await back_up(house.data, file)
        assert (made.manifest.batches, made.manifest.devices) == (3, 2)
        later = await deliver(house, edge, 4)
        centre = house.centre.centre
    done = await restore(file, house.data, force=True)
    async with open_house() as house:
        assert house.centre.centre == centre
        assert (await house.stats())["batches"] == 3
        answer = await house.beat(edge)
        assert answer["resend"] == [{"epoch": "epoch-a", "seqs": [[4, 7]]}]
        await house.post(edge, edge.upload(*later))
        assert (await house.beat(edge))["resend"] == []
        stats = await house.stats()
        assert (stats["batches"], stats["gaps"], stats["pending"], stats["duplicates"]) == (7, [], 0, 0)
        await deliver(house, edge, 1)
        (entry,) = (await house.get("/api/fleet/audit-logs?action=centre.restore", "admin"))["items"]
        assert entry["after"]["backup_of"] == done.time
    assert done.aside is not None
    assert await sql(done.aside / database.DATABASE_NAME, "SELECT count(*) FROM batch") == [(7,)]


async def test_a_backup_is_of_one_moment_while_batches_arrive_and_keeps_none_of_them_waiting(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    """Every batch that is in it has its range, and the other way round; uploads go on at their pace."""
    file = tmp_path / "kept.db"
    async with open_house() as house:
        edge = Edge()
        await deliver(house, edge, 1)
        # Large enough for many slices.
        await house.centre.store.write(lambda c: c.execute("CREATE TABLE ballast (body BLOB)"))
        for _ in range(40):
            await house.centre.store.write(
                lambda c: c.execute("INSERT INTO ballast VALUES (randomblob(1048576))")
            )
        waits: list[float] = []
        backing = asyncio.ensure_future(back_up(house.data, file))
        while not backing.done():
            began = time.monotonic()
            await deliver(house, edge, 1)
            waits.append(time.monotonic() - began)
        made = await backing
        assert len(waits) > 5, "no batch arrived during the backup: make it longer"
        assert sorted(waits)[len(waits) // 2] < 0.1
        assert 1 <= made.manifest.batches <= len(waits) + 1
    stored = made.manifest.batches
    assert await sql(file, "SELECT sum(hi - lo + 1) FROM received") == [(stored,)]
    assert await sql(file, "SELECT batches FROM device WHERE id = 'dev-1'") == [(stored,)]


async def test_keys_checkpoints_and_artifacts_come_along(open_house: OpenHouse, tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    async with open_house() as house:
        data = house.data
    key = await asyncio.to_thread(auditing.audit_key, data)
    (data / "artifacts").mkdir()
    (data / "artifacts" / "bundle-1.tgz").write_bytes(b"\x1f\x8b bundle")
    made = await back_up(data, file)
    assert file.stat().st_mode & 0o777 == 0o600
    # A backup within the data directory is not part of the next one.
    await back_up(data, data / "again.db")
    assert made.manifest.files == (await back_up(data, tmp_path / "third.db")).manifest.files == 2
    new = tmp_path / "new"
    done = await restore(file, new)
    assert done.aside is None
    assert await asyncio.to_thread(auditing.audit_key, new) == key
    assert (new / "audit-key.pem").stat().st_mode & 0o777 == 0o600
    assert (new / "artifacts" / "bundle-1.tgz").read_bytes() == b"\x1f\x8b bundle"
    tables = await sql(new / database.DATABASE_NAME, "SELECT name FROM sqlite_schema")
    assert not {name for (name,) in tables} & {"backup", "backup_file"}


async def test_the_trail_stays_whole_through_backup_and_restore(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    async with open_house() as house:
        entry = Entry("device.patch", "device", "dev-1")
        for _ in range(5):
            await house.centre.store.write(
                lambda connection: record(connection, Actor("user", "1"), 5, entry)
            )
    made = await back_up(house.data, tmp_path / "kept.db")
    await restore(tmp_path / "kept.db", tmp_path / "new")
    verdict = await asyncio.to_thread(
        auditing.verify_audit, tmp_path / "new", auditing.AuditQuestion(), quiet
    )
    assert (verdict.wrong, verdict.entries) == (None, made.entries + 1)
    assert made.entries >= 5


async def test_a_backup_pauses_after_each_slice(open_house: OpenHouse, tmp_path: Path) -> None:
    times: list[float] = []
    async with open_house() as house:
        await house.centre.store.write(lambda c: c.execute("CREATE TABLE ballast (body BLOB)"))
        insert = "INSERT INTO ballast VALUES (zeroblob(12000000))"
        await house.centre.store.write(lambda c: c.execute(insert))

        def note(done: int, total: int) -> None:
            times.append(time.monotonic())

        await asyncio.to_thread(safekeeping.backup, house.data, tmp_path / "kept.db", False, note)
    between = [after - before for before, after in pairwise(times)]
    assert len(between) >= 5
    assert min(between) >= 0.009


def leave_a_draft(data: Path, beside: Path) -> None:
    """What a restore leaves that is killed between its commit and the end of its log."""
    draft = f"{database.DATABASE_NAME}.restoring"
    shutil.copy(data / database.DATABASE_NAME, beside / draft)
    with closing(database.connect(beside / draft)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("UPDATE batch SET arrived = arrived + 1")
        for name in (draft, f"{draft}-wal", f"{draft}-shm"):
            shutil.copy(beside / name, data / name)


async def test_a_restore_that_was_killed_leaves_nothing_that_the_next_one_takes_for_its_own(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    edge = Edge()
    async with open_house() as house:
        await deliver(house, edge, 1)
        await back_up(house.data, tmp_path / "kept.db")
        await deliver(house, edge, 300)
        data = house.data
    await asyncio.to_thread(leave_a_draft, data, tmp_path)
    await restore(tmp_path / "kept.db", data, force=True)
    async with open_house() as house:
        assert (await house.stats())["batches"] == 1
    assert await sql(data / database.DATABASE_NAME, "PRAGMA integrity_check") == [("ok",)]
    assert not list(data.glob("*.restoring*"))


# --- what is refused -----------------------------------------------------------------------------------


async def test_a_running_centre_is_not_restored_over(open_house: OpenHouse, tmp_path: Path) -> None:
    async with open_house() as house:
        await back_up(house.data, tmp_path / "kept.db")
        with pytest.raises(CannotOpen, match="another central-sync runs on this data"):
            await restore(tmp_path / "kept.db", house.data, force=True)
        assert (await house.ask("GET", "/api/fleet/devices")).status == 200


@pytest.mark.parametrize("name", ["central.db", "central.db-wal", "central.lock"])
async def test_a_backup_does_not_replace_what_it_is_made_of(open_house: OpenHouse, name: str) -> None:
    async with open_house() as house:
        with pytest.raises(CannotOpen, match="the centre's own"):
            await back_up(house.data, house.data / name, force=True)
        assert (await house.ask("GET", "/api/fleet/devices")).status == 200
    assert await sql(house.data / database.DATABASE_NAME, "PRAGMA integrity_check") == [("ok",)]


async def test_data_that_are_there_are_replaced_only_by_force(open_house: OpenHouse, tmp_path: Path) -> None:
    async with open_house() as house:
        await back_up(house.data, tmp_path / "kept.db")
    before = sorted(house.data.iterdir())
    with pytest.raises(CannotOpen, match="--force"):
        await restore(tmp_path / "kept.db", house.data)
    assert sorted(house.data.iterdir()) == before
    with pytest.raises(CannotOpen, match="--force"):
        await back_up(house.data, tmp_path / "kept.db")


async def test_a_damaged_backup_is_refused_and_changes_nothing(open_house: OpenHouse, tmp_path: Path) -> None:
    async with open_house() as house:
        await deliver(house, Edge(), 3)
        await back_up(house.data, tmp_path / "kept.db")
    whole = (tmp_path / "kept.db").read_bytes()
    (tmp_path / "cut.db").write_bytes(whole[: len(whole) // 2])
    worn = bytearray(whole)
    # All of a page in the middle.
    worn[8 * 4096 : 9 * 4096] = bytes([0xA5]) * 4096
    (tmp_path / "worn.db").write_bytes(worn)
    (tmp_path / "text.db").write_text("no database")
    (tmp_path / "plain.db").write_bytes((house.data / database.DATABASE_NAME).read_bytes())
    before = (house.data / database.DATABASE_NAME).read_bytes()
    for name in ("cut", "worn", "text", "plain", "absent"):
        with pytest.raises(CannotOpen):
            await restore(tmp_path / f"{name}.db", house.data, force=True)
    assert (house.data / database.DATABASE_NAME).read_bytes() == before
    assert not list(house.data.glob("before-restore-*"))


async def test_a_backup_of_a_newer_version_is_refused(open_house: OpenHouse, tmp_path: Path) -> None:
    async with open_house() as house:
        await back_up(house.data, tmp_path / "kept.db")
    await sql(tmp_path / "kept.db", "UPDATE backup SET value = 9999 WHERE key = 'version'")
    with pytest.raises(CannotOpen, match="9999"):
        await restore(tmp_path / "kept.db", tmp_path / "new")


async def test_a_backup_with_a_name_that_leads_out_of_the_directory_is_refused(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    async with open_house() as house:
        await back_up(house.data, tmp_path / "kept.db")
    await sql(tmp_path / "kept.db", "INSERT INTO backup_file VALUES ('../../escaped', 420, x'00')")
    with pytest.raises(CannotOpen, match="escaped"):
        await restore(tmp_path / "kept.db", tmp_path / "a" / "new")
    assert not (tmp_path / "escaped").exists()
    assert not (tmp_path / "a" / "new" / database.DATABASE_NAME).exists()


async def test_nothing_is_left_of_a_backup_that_failed(open_house: OpenHouse, tmp_path: Path) -> None:
    async with open_house() as house:
        data = house.data
    with pytest.raises(CannotOpen):
        await back_up(data, tmp_path / "no" / "such" / "place.db")
    with pytest.raises(CannotOpen, match=r"there is no central\.db"):
        await back_up(tmp_path, tmp_path / "kept.db")
    assert not list(tmp_path.glob("kept*"))


async def test_the_commands_print_json_for_programs(
    open_house: OpenHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_house() as house:
        data = house.data
    file = tmp_path / "kept.db"
    capsys.readouterr()
    assert await asyncio.to_thread(run_command, ["backup", str(file), "--data", str(data), "--json"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["event"], said["file"], said["devices"]) == ("done", str(file), 2)
    words = ["restore", str(file), "--data", str(tmp_path / "new"), "--json"]
    assert await asyncio.to_thread(run_command, words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["data"] == str(tmp_path / "new")
    assert await asyncio.to_thread(run_command, words) == 3
