"""The writer: one commit for many, answers after it, one job's failure its own."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from central_sync.services.errors import Busy
from central_sync.store.writer import MAX_GROUP, MAX_WAITING, Writer


class Watched(sqlite3.Connection):
    """Counts commits, and can be told to fail at the next one."""

    commits = 0
    failing = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql == "COMMIT":
            if Watched.failing:
                Watched.failing = False
                super().execute("ROLLBACK")
                raise sqlite3.OperationalError("disk I/O error")
            Watched.commits += 1
        return super().execute(sql, parameters)


@asynccontextmanager
async def _writer(path: Path) -> AsyncIterator[Writer]:
    Watched.commits = 0
    resets: list[int] = []

    def opening() -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, factory=Watched)
        connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY)")
        return connection

    writer = Writer(opening, lambda: resets.append(1))
    writer.start()
    try:
        yield writer
    finally:
        await writer.stop()


def _insert(number: int) -> Callable[[sqlite3.Connection], int]:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        return number

    return work


def _stored(path: Path) -> set[int]:
    connection = sqlite3.connect(path)
    try:
        return {row[0] for row in connection.execute("SELECT n FROM t")}
    finally:
        connection.close()


async def test_concurrent_jobs_share_commits(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    async with _writer(path) as writer:
        done = await asyncio.gather(*(writer.run(_insert(n)) for n in range(640)))
        assert done == list(range(640))
        assert 640 / MAX_GROUP <= Watched.commits < 640
    assert len(await asyncio.to_thread(_stored, path)) == 640


async def test_an_answer_means_that_it_is_committed(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    async with _writer(path) as writer:
        for number in range(20):
            await writer.run(_insert(number))
            assert number in await asyncio.to_thread(_stored, path)


async def test_what_follows_runs_after_the_commit_and_before_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    seen: list[tuple[int, bool]] = []
    async with _writer(path) as writer:
        for number in range(3):
            await writer.run(_insert(number), lambda n: seen.append((n, n in _stored(path))))
            assert seen[-1] == (number, True)


async def test_one_job_that_raises_undoes_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "w.db"

    def failing(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1000)")
        raise ValueError("no")

    async with _writer(path) as writer:
        results = await asyncio.gather(
            writer.run(_insert(1)),
            writer.run(failing),
            writer.run(_insert(1)),
            writer.run(_insert(2)),
            return_exceptions=True,
        )
    assert results[0] == 1
    assert isinstance(results[1], ValueError)
    assert isinstance(results[2], sqlite3.IntegrityError)
    assert results[3] == 2
    assert await asyncio.to_thread(_stored, path) == {1, 2}


async def test_a_failed_commit_is_nobodys_success_and_the_next_one_works(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    async with _writer(path) as writer:
        Watched.failing = True
        with pytest.raises(Busy) as raised:
            await writer.run(_insert(1))
        assert raised.value.code == "storage"
        assert await writer.run(_insert(2)) == 2
    assert await asyncio.to_thread(_stored, path) == {2}


async def test_the_queue_is_bounded(tmp_path: Path) -> None:
    gate = threading.Event()
    async with _writer(tmp_path / "w.db") as writer:
        blocked = asyncio.ensure_future(writer.run(lambda _: gate.wait(20)))
        waiting = [asyncio.ensure_future(writer.run(_insert(n))) for n in range(MAX_WAITING - 1)]
        while writer.load < 1:
            await asyncio.sleep(0)
        with pytest.raises(Busy):
            await writer.run(_insert(-1))
        gate.set()
        assert await blocked
        await asyncio.gather(*waiting)


async def test_a_stopped_writer_finishes_what_waits_and_takes_no_more(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    async with _writer(path) as writer:
        waiting = [asyncio.ensure_future(writer.run(_insert(n))) for n in range(200)]
        await asyncio.sleep(0)
        await writer.stop()
        assert await asyncio.gather(*waiting) == list(range(200))
        with pytest.raises(Busy):
            await writer.run(_insert(-1))
    assert len(await asyncio.to_thread(_stored, path)) == 200
