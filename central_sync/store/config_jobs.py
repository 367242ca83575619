"""Jobs that put configs on many devices, in the database: the job, and a row for each device."""

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

import orjson

from central_sync.services.audit.entries import Actor, Entry
from central_sync.services.configs.jobs import (
    ConfigJob,
    ConfigJobDevice,
    NewJob,
    Result,
    ResultState,
    RunningJob,
)
from central_sync.services.configs.service import Author
from central_sync.services.configs.views import ConfigWritten
from central_sync.services.configs.work import Job, Work
from central_sync.services.database import Database
from central_sync.services.errors import Conflict
from central_sync.store import audit
from central_sync.store.configs import SqliteConfigs
from central_sync.store.idempotency import answer_once
from central_sync.store.targets import limits_sql

MAX_RUNNING: Final = 100
MAX_KEPT: Final = 1_000
_COLUMNS: Final = "id, kind, note, dry_run, author, created, finished"
_SEEN: Final = "EXISTS (SELECT 1 FROM device WHERE id = each.device AND {})"
_COUNTED: Final = (ResultState.WAITING, ResultState.CHANGED, ResultState.UNCHANGED, ResultState.REFUSED)


def create(connection: sqlite3.Connection, job: NewJob) -> ConfigJob:
    running = connection.execute("SELECT count(*) FROM config_job WHERE finished IS NULL").fetchone()[0]
    if running >= MAX_RUNNING:
        raise Conflict("too_many_jobs", f"{MAX_RUNNING} jobs are running: wait for one of them")
    _forget_old(connection)
    actor = job.author.actor
    packed = orjson.dumps([actor.kind, actor.id, actor.name, actor.address])
    cursor = connection.execute(
        "INSERT INTO config_job (id, created, author, actor, note, dry_run, kind, edit) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            job.id, job.now, job.author.name, packed, job.note, job.dry_run, job.edit.kind,
            Job(edit=job.edit).model_dump_json().encode(),
        ),
    )  # fmt: skip
    connection.executemany(
        "INSERT INTO config_job_device (job_no, device, work) VALUES (?, ?, ?)",
        [
            (cursor.lastrowid, device, work and work.model_dump_json().encode())
            for device, work in job.devices.items()
        ],
    )
    said = {"kind": job.edit.kind, "devices": len(job.devices), "note": job.note, "dry_run": job.dry_run}
    audit.record(connection, actor, job.now, Entry("config.job", "config_job", job.id, after=said))
    total = len(job.devices)
    return ConfigJob(
        id=job.id, kind=job.edit.kind, note=job.note, dry_run=job.dry_run, author=job.author.name,
        created=job.now, total=total, waiting=total, changed=0, unchanged=0, refused=0,
    )  # fmt: skip


def _forget_old(connection: sqlite3.Connection) -> None:
    sql = "SELECT no FROM config_job WHERE finished IS NOT NULL ORDER BY no DESC LIMIT -1 OFFSET ?"
    for (number,) in connection.execute(sql, (MAX_KEPT,)).fetchall():
        connection.execute("DELETE FROM config_job_device WHERE job_no = ?", (number,))
        connection.execute("DELETE FROM config_job WHERE no = ?", (number,))


def job_view(
    connection: sqlite3.Connection, number: int, row: tuple[Any, ...], limits: Mapping[str, str]
) -> ConfigJob | None:
    """None: none of its devices is in sight."""
    sight, values = limits_sql(limits)
    # A device that is gone is in the sight of those alone who see all.
    where = _SEEN.format(sight) if limits else "1"
    sql = f"SELECT state, count(*) FROM config_job_device AS each WHERE job_no = ? AND {where} GROUP BY 1"  # noqa: S608
    counts = dict(connection.execute(sql, (number, *values)).fetchall())
    if not counts:
        return None
    id_, kind, note, dry_run, author, created, finished = row
    return ConfigJob(
        id=id_, kind=kind, note=note, dry_run=bool(dry_run), author=author, created=created,
        finished=finished, total=sum(counts.values()),
        **{str(state): counts.get(state, 0) for state in _COUNTED},
    )  # fmt: skip


class SqliteConfigJobs:
    """Implements services.configs.jobs.JobStore."""

    def __init__(self, database: Database, configs: SqliteConfigs) -> None:
        self._database = database
        self._configs = configs

    async def create(self, job: NewJob) -> ConfigJob:
        return await self._database.write(
            lambda connection: answer_once(
                connection, job.once, ConfigJob, job.now, lambda: create(connection, job)
            )
        )

    async def running(self) -> list[RunningJob]:
        columns = "no, id, edit, author, actor, note, dry_run"
        sql = f"SELECT {columns} FROM config_job WHERE finished IS NULL ORDER BY no"  # noqa: S608
        rows = await self._database.read(lambda connection: connection.execute(sql).fetchall())
        return [
            RunningJob(
                no, id_, Job.model_validate_json(edit).edit,
                Author(author, Actor(*orjson.loads(actor))), note, bool(dry_run),
            )
            for no, id_, edit, author, actor, note, dry_run in rows
        ]  # fmt: skip

    async def waiting(self, job_no: int, limit: int) -> list[tuple[str, Work | None]]:
        sql = (
            "SELECT device, work FROM config_job_device WHERE job_no = ? AND state = 'waiting' "
            "ORDER BY device LIMIT ?"
        )
        rows = await self._database.read(
            lambda connection: connection.execute(sql, (job_no, limit)).fetchall()
        )
        return [(device, None if work is None else Work.model_validate_json(work)) for device, work in rows]

    async def settle(self, job_no: int, device: str, result: Result) -> None:
        def work(connection: sqlite3.Connection) -> ConfigWritten | None:
            written = None
            if result.change is not None:
                written = self._configs.put(connection, result.change)
            problems = orjson.dumps([problem.model_dump() for problem in result.problems])
            connection.execute(
                "UPDATE config_job_device SET state = ?, version = ?, time = ?, code = ?, detail = ?, "
                "problems = ? WHERE job_no = ? AND device = ?",
                (
                    result.state, written and written.version, result.time, result.code, result.detail,
                    problems, job_no, device,
                ),
            )  # fmt: skip
            return written

        def tell(written: ConfigWritten | None) -> None:
            if written is not None:
                self._configs.tell(device, written)

        await self._database.write(work, tell)

    async def finish(self, job: RunningJob, now: int) -> None:
        sql = "UPDATE config_job SET finished = ? WHERE no = ?"
        await self._database.write(lambda connection: connection.execute(sql, (now, job.no)))

    async def page(
        self, limits: Mapping[str, str], below: int | None, limit: int
    ) -> list[tuple[int, ConfigJob]]:
        sql = f"SELECT no, {_COLUMNS} FROM config_job WHERE no < ? ORDER BY no DESC"  # noqa: S608

        def find(connection: sqlite3.Connection) -> list[tuple[int, ConfigJob]]:
            found: list[tuple[int, ConfigJob]] = []
            for number, *row in connection.execute(sql, ((1 << 62) if below is None else below,)):
                view = job_view(connection, number, tuple(row), limits)
                if view is not None:
                    found.append((number, view))
                if len(found) >= limit:
                    break
            return found

        return await self._database.read(find)

    async def get(self, job: str, limits: Mapping[str, str]) -> ConfigJob | None:
        sql = f"SELECT no, {_COLUMNS} FROM config_job WHERE id = ?"  # noqa: S608

        def find(connection: sqlite3.Connection) -> ConfigJob | None:
            row = connection.execute(sql, (job,)).fetchone()
            return None if row is None else job_view(connection, row[0], row[1:], limits)

        return await self._database.read(find)

    async def devices(
        self, job: str, limits: Mapping[str, str], state: ResultState | None, after: str, limit: int
    ) -> list[ConfigJobDevice]:
        sight, values = limits_sql(limits)
        where = _SEEN.format(sight) if limits else "1"
        wanted = "1" if state is None else "each.state = ?"
        sql = (
            "SELECT device, state, version, time, code, detail, problems FROM config_job_device AS each "  # noqa: S608
            f"WHERE job_no = (SELECT no FROM config_job WHERE id = ?) AND device > ? AND {where} "
            f"AND {wanted} ORDER BY device LIMIT ?"
        )
        arguments = (job, after, *values, *([] if state is None else [state]), limit)
        rows = await self._database.read(lambda connection: connection.execute(sql, arguments).fetchall())
        return [
            ConfigJobDevice(
                device_id=device, state=each, version=version, time=time, code=code, detail=detail,
                problems=orjson.loads(problems or b"[]"),
            )
            for device, each, version, time, code, detail, problems in rows
        ]  # fmt: skip
