"""Databases of every earlier version: opened by today's code, the same data, and used from there on."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from central_sync.app import CannotOpen, auditing
from central_sync.store import database
from tests.unit.central import golden
from tests.unit.central.conftest import FakeClock, founded, house_on
from tests.unit.central.edge import Edge

GOLDEN = Path(__file__).parents[2] / "golden" / "central"
EARLIER = sorted(int(path.name.split("-")[1].split(".")[0]) for path in GOLDEN.glob("version-*.sql.gz"))

Rows = dict[str, tuple[list[str], list[Any]]]


def rows(path: Path, columns: dict[str, list[str]] | None = None) -> Rows:
    """Of each table its columns, or those that are asked for, and all that stands there."""
    found: Rows = {}
    with closing(sqlite3.connect(path)) as connection:
        if columns is None:
            tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            columns = {
                name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
                for (name,) in tables
                if name not in ("meta", "sqlite_sequence")
            }
        for table, names in columns.items():
            listed = ", ".join(f'"{name}"' for name in names)
            sql = f"SELECT {listed} FROM {table} ORDER BY {listed}"
            found[table] = (names, connection.execute(sql).fetchall())
    return found


def lacking(said: Any, now: Any, place: str = "") -> list[str]:
    """What an earlier version said and today's does not; members that are new are welcome."""
    if isinstance(said, dict) and isinstance(now, dict):
        return [
            fault
            for key, value in said.items()
            for fault in lacking(value, now.get(key, "absent"), f"{place}.{key}")
        ]
    if isinstance(said, list) and isinstance(now, list) and len(said) == len(now):
        return [
            f for i, (a, b) in enumerate(zip(said, now, strict=True)) for f in lacking(a, b, f"{place}[{i}]")
        ]
    return [] if said == now else [f"{place}: {said!r} became {now!r}"]


def test_each_version_before_has_its_golden_database() -> None:
    assert list(range(1, golden.LAST_BEFORE + 1)) == EARLIER


@pytest.mark.parametrize("version", EARLIER)
def test_every_row_is_still_there_after_the_migration(version: int, tmp_path: Path) -> None:
    data = tmp_path / "data"
    golden.load(GOLDEN / f"version-{version}.sql.gz", data)
    before = rows(data / database.DATABASE_NAME)
    # Figures of one day, in another form since version 10, which begins them anew.
    del before["heartbeat"]
    assert sum(len(found) for _, found in before.values()) > 60
    database.prepare(data)
    after = rows(data / database.DATABASE_NAME, {table: names for table, (names, _) in before.items()})
    assert after == before
    with closing(database.connect(data / database.DATABASE_NAME)) as connection:
        assert database.read_meta(connection, "version") == database.migrations()[-1][0]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize("version", EARLIER)
async def test_the_api_answers_as_before_and_goes_on(version: int, tmp_path: Path) -> None:
    await asyncio.to_thread(golden.load, GOLDEN / f"version-{version}.sql.gz", tmp_path / "data")
    said = json.loads((GOLDEN / f"version-{version}.json").read_text(encoding="utf-8"))
    foundation = await asyncio.to_thread(founded, tmp_path / "data")
    async with house_on(foundation, foundation.data, FakeClock()) as house:
        assert lacking(said, await golden.answers(house)) == []
        # The agent goes on where it was: a batch that is still missing, a repeat, and new ones.
        edge = Edge(epoch="epoch-a", no=2, next=14, n=20)
        items = [edge.make(seq=11), edge.make(), edge.make()]
        answer = (await house.post(edge, edge.upload(*items))).json
        assert (answer["acked"], answer["need_schemas"]) == ([[11, 11], [14, 15]], [])
        again = (await house.post(edge, edge.upload(*items))).json
        assert again["acked"] == [[11, 11], [14, 15]]
        await house.beat(edge)
        stats = await house.stats()
        assert (stats["pending"], stats["gaps"], stats["duplicates"]) == (0, [], 0)
        assert stats["batches"] == said["/api/fleet/data/stats"]["devices"][0]["batches"] + 3
        body = b'{"connections": []}'
        answer = await house.ask("PUT", "/api/fleet/edge/dev-1/config", "admin", body)
        assert answer.json["version"] == 3, answer.body
    verdict = await asyncio.to_thread(
        auditing.verify_audit, tmp_path / "data", auditing.AuditQuestion(), lambda done, total: None
    )
    assert verdict.wrong is None


@pytest.mark.parametrize("version", [number for number, _ in database.migrations()[:-1]])
def test_a_database_of_any_version_becomes_the_newest(version: int, tmp_path: Path) -> None:
    """Of those between the golden ones, too: each migration finds what the one before it left."""
    made, fresh = tmp_path / "made", tmp_path / "fresh"
    made.mkdir()
    with closing(database.connect(made / database.DATABASE_NAME)) as connection:
        connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID")
        for number, sql in database.migrations():
            if number <= version:
                connection.executescript(sql)
        database.write_meta(connection, "version", version)
        connection.execute("INSERT INTO device (id, created, state_since) VALUES ('dev-1', 1, 1)")
    shapes = []
    for data in (made, fresh):
        with closing(database.connect(database.prepare(data))) as connection:
            sql = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"
            shapes.append(connection.execute(sql).fetchall())
            found = connection.execute("SELECT id, scripts_etag FROM device").fetchall()
            assert found == ([("dev-1", None)] if data == made else [])
    assert shapes[0] == shapes[1]


def test_a_newer_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = database.prepare(tmp_path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET value = 9999 WHERE key = 'version'")
    with pytest.raises(CannotOpen, match="version 9999"):
        database.prepare(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        assert database.read_meta(connection, "version") == 9999


async def test_no_command_migrates_beneath_a_running_centre(tmp_path: Path) -> None:
    """A command line of a newer version would change the tables of a service that knows the old ones."""
    data = tmp_path / "data"
    await asyncio.to_thread(golden.load, GOLDEN / "version-2.sql.gz", data)
    lock = await asyncio.to_thread(database.DirectoryLock, data)
    with pytest.raises(CannotOpen, match="another central-sync"):
        await asyncio.to_thread(database.prepare, data)
    lock.release()
    await asyncio.to_thread(database.prepare, data)
