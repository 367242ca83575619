"""The load of the ingest figure: bodies that are all different, and commits counted from outside."""

import contextlib
import os
import sqlite3
from pathlib import Path

from bench.uploads import TAGS, commits, insert, prepare


def test_no_two_prepared_bodies_are_alike() -> None:
    uploads = prepare(["dev-a", "dev-b"], rounds=2, bundle=3)
    posts = [body for bodies in uploads.posts.values() for body in bodies]
    assert len(posts) == len(set(posts)) == 4
    assert len(uploads.batches) == len(set(uploads.batches)) == 12
    assert uploads.samples == 12 * TAGS


def test_commits_are_counted_from_outside(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE row(value)")
        before = commits(path)
        for value in range(7):
            db.execute("INSERT INTO row VALUES (?)", (value,))
        assert commits(path) - before == 7


def test_plain_inserts_store_every_body(tmp_path: Path) -> None:
    path = tmp_path / "plain.db"
    bodies = [bytes([index]) for index in range(10)]
    seconds = insert(path, bodies, rows_a_commit=4, core=min(os.sched_getaffinity(0)))
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert [body for (body,) in db.execute("SELECT body FROM batch ORDER BY arrival")] == bodies
    assert seconds > 0
