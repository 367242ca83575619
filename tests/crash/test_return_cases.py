"""Every row of the spec's table of cases («What the centre keeps»), with a real agent and a real centre.

What is asserted comes out of the databases: which seqs and frames they hold, and what their records name.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from edge_agent.buffer.ledger import split_id
from edge_agent.demo.children import Child, output_of
from edge_agent.wire.ranges import Ranges, intersect, of_numbers, subtract, union
from tests.crash.judge import Judgement
from tests.crash.rig import DEVICE, Rig, Setup, until

# Starts and waits add up on a busy machine.
pytestmark = pytest.mark.timeout(180)

TAGS = 20
QUICK = {"flush_interval": "100ms"}


def _rig(directory: Path, **buffer: str) -> Rig:
    return Rig(directory, connections=1, tags=TAGS, interval="100ms", setup=Setup(buffer={**QUICK, **buffer}))


# --- what the databases hold --------------------------------------------------------------------------------


def _rows(database: Path, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return db.execute(sql, parameters).fetchall()


async def rows(database: Path, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    return await asyncio.to_thread(_rows, database, sql, *parameters)


def _backup(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def _replace(database: Path, copy: Path) -> None:
    _delete(database)
    shutil.copyfile(copy, database)


def _delete(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)


async def _at_edge(rig: Rig) -> dict[str, Ranges]:
    """The seqs that the edge database holds, by epoch."""
    names = dict(await rows(rig.edge_database, "SELECT no, id FROM epoch"))
    found: dict[str, list[int]] = {}
    for (key,) in await rows(rig.edge_database, "SELECT id FROM batch"):
        no, seq = split_id(key)
        found.setdefault(names[no], []).append(seq)
    return {name: of_numbers(seqs) for name, seqs in found.items()}


async def _contents(rig: Rig) -> dict[tuple[str, int], bytes]:
    """The hash of each batch at the centre, by its name."""
    sql = "SELECT epoch.id, seq, hash FROM batch JOIN epoch ON epoch.no = epoch_no"
    return {(epoch, seq): digest for epoch, seq, digest in await rows(rig.central_database, sql)}


async def _at_centre(rig: Rig) -> dict[str, Ranges]:
    sql = "SELECT epoch.id, seq FROM batch JOIN epoch ON epoch.no = epoch_no ORDER BY seq"
    found: dict[str, list[int]] = {}
    for name, seq in await rows(rig.central_database, sql):
        found.setdefault(name, []).append(seq)
    return {name: of_numbers(seqs) for name, seqs in found.items()}


async def _events(rig: Rig, code: str) -> list[tuple[str, dict[str, Any]]]:
    sql = "SELECT message, data FROM event WHERE code = ? ORDER BY no"
    return [(text, orjson.loads(data)) for text, data in await rows(rig.central_database, sql, code)]


async def _stats(rig: Rig) -> dict[str, Any]:
    stats = await rig.api._get("/api/fleet/data/stats", {})
    [device] = stats["devices"]
    return dict(device)


async def _samples(rig: Rig, more: int) -> None:
    """Until so many more samples are at the centre."""
    before = (await rig.api.account()).samples

    async def arrived() -> bool:
        return (await rig.api.account()).samples >= before + more

    await until(arrived, 40)


async def _event(rig: Rig, code: str) -> None:
    async def told() -> bool:
        return bool(await _events(rig, code))

    await until(told, 30)


@asynccontextmanager
async def _running(rig: Rig) -> AsyncIterator[None]:
    async with rig:
        await rig.start_centre()
        await rig.start_agent()
        await _samples(rig, 20 * TAGS)
        yield


async def _ended(rig: Rig) -> Judgement:
    """The agent has stopped in order and everything has arrived: nothing is stored twice, or has a hole."""
    await rig.settled(40)
    await rig.agent.stop()
    await rig.settled(40)
    found = await rig.judged()
    assert (found.doubled, found.wrong_rows, found.holes()) == (0, 0, [])
    assert (await _stats(rig))["duplicates"] == 0
    return found


# --- the edge database is lost ------------------------------------------------------------------------------


async def test_edge_database_lost_while_stopped_leaves_a_tail_and_nothing_else(tmp_path: Path) -> None:
    rig = _rig(tmp_path, catch_up_rate="1KiB/s")
    async with _running(rig):
        await rig.centre.kill()
        await _batches_wait(rig, 60)
        await rig.start_centre()
        await until(rig.fresh_value, 10)  # live first: what is behind it was announced and is still here
        await rig.agent.kill()
        [old] = await _at_edge(rig)
        _delete(rig.edge_database)
        rig.clear_runtime()
        await rig.start_agent()
        await _event(rig, "tail_unknown")
        await _samples(rig, 20 * TAGS)
        stats = await _stats(rig)
        # What was on its way when the agent was killed has come by now, and nothing more of that epoch can.
        [(announced,)] = await rows(rig.central_database, "SELECT next FROM epoch WHERE id = ?", old)
        missing = subtract([(1, announced - 1)], (await _at_centre(rig))[old])
        assert missing, "nothing was left behind"
        tails = [(gap["epoch"], [gap["from"], gap["to"]], gap["name"]) for gap in stats["gaps"]]
        assert tails == [(old, [lo, hi], "tail") for lo, hi in missing]
        assert stats["lost"] == 0
        [(_, incomplete)] = await _events(rig, "epoch_incomplete")
        assert incomplete["missing"] == [list(pair) for pair in missing]
        [(_, unknown)] = await _events(rig, "tail_unknown")
        assert (unknown["epoch"], unknown["from"]) == (old, announced)
        states = dict(await rows(rig.central_database, "SELECT id, closed FROM epoch"))
        assert (states.pop(old), *states.values()) == (1, 0)
        await rig.agent.stop()
        found = await rig.judged()
        assert (found.doubled, found.wrong_rows) == (0, 0)
        for epoch, seqs in (await _at_edge(rig)).items():
            assert (await _at_centre(rig))[epoch] == seqs


async def _batches_wait(rig: Rig, count: int) -> None:
    async def enough() -> bool:
        return (await rig.status()).buffer.pending_batches >= count

    await until(enough, 40)


async def test_edge_database_replaced_by_an_older_copy_takes_new_names(tmp_path: Path) -> None:
    """The copy holds what the centre got later, under the same names: that must not be there twice."""
    rig = _rig(tmp_path)
    async with _running(rig):
        await rig.centre.kill()
        await _batches_wait(rig, 20)
        await rig.agent.stop()
        await rig.start_centre()
        copy = tmp_path / "older.db"
        await asyncio.to_thread(_backup, rig.edge_database, copy)
        await rig.start_agent()
        await _samples(rig, 20 * TAGS)
        await rig.agent.stop()
        await rig.settled(40)
        before, contents = await _at_centre(rig), await _contents(rig)
        await asyncio.to_thread(_replace, rig.edge_database, copy)
        await rig.start_agent()
        await _event(rig, "seq_conflict")
        await _samples(rig, 20 * TAGS)
        found = await _ended(rig)
        after = await _at_centre(rig)
        [old] = before
        # Nothing was put over a name that the centre had, and what conflicts has epochs of its own.
        assert contents.items() <= (await _contents(rig)).items()
        assert old in after
        assert len(after) in (2, 3)
        assert len(found.numbers) == 3  # runs
        told = [message for message, _ in await _events(rig, "seq_conflict")]
        assert all(f"of epoch {old}" in message for message in told)
        assert len(told) in (2, 3)
        assert sum("came with other content" in message for message in told) == 1
        assert (await _stats(rig))["gaps"] == []


# --- the centre lost its memory -----------------------------------------------------------------------------


async def test_centre_restored_from_an_older_backup_gets_what_is_retained(tmp_path: Path) -> None:
    rig = _rig(tmp_path)
    async with _running(rig):
        backup = tmp_path / "backup.db"
        await asyncio.to_thread(_backup, rig.central_database, backup)
        await _samples(rig, 40 * TAGS)
        await rig.centre.kill()
        held, remembered = await _at_edge(rig), await _at_centre(rig)
        await asyncio.to_thread(_replace, rig.central_database, backup)
        assert await _at_centre(rig) != remembered
        commits = (await rig.status()).buffer.commits
        await rig.start_centre()
        await _samples(rig, 10 * TAGS)
        found = await _ended(rig)
        there = await _at_centre(rig)
        assert all(intersect(there[epoch], seqs) == seqs for epoch, seqs in (held | remembered).items())
        stats = await _stats(rig)
        assert (stats["gaps"], stats["lost"], found.losses) == ([], 0, [])
        assert commits > 0


async def test_centre_restored_after_a_prune_gets_the_record_centre_forgot(tmp_path: Path) -> None:
    rig = _rig(tmp_path, retain_delivered="0s")
    async with _running(rig):
        backup = tmp_path / "backup.db"
        await asyncio.to_thread(_backup, rig.central_database, backup)
        [epoch] = known = await _at_centre(rig)
        last = known[epoch][-1][1]

        async def pruned() -> bool:
            return (await _at_edge(rig))[epoch][0][0] > last + 10

        await until(pruned, 40)
        await rig.centre.kill()
        first_held = (await _at_edge(rig))[epoch][0][0]
        await asyncio.to_thread(_replace, rig.central_database, backup)
        await rig.start_centre()
        await _samples(rig, 10 * TAGS)
        await rig.settled(40)
        await rig.agent.stop()
        await rig.settled(40)
        records = [loss for loss in (await rig.judged()).losses if loss.reason == "centre_forgot"]
        # One record, however often it was asked; and exactly what neither side has.
        forgotten = [pair for loss in records for pair in loss.seqs]
        assert forgotten == [(last + 1, first_held - 1)]
        [(following,)] = await rows(rig.central_database, "SELECT next FROM epoch WHERE id = ?", epoch)
        assert union((await _at_centre(rig))[epoch], forgotten) == [(1, following - 1)]
        stats = await _stats(rig)
        assert (stats["gaps"], stats["lost"], stats["duplicates"]) == ([], first_held - 1 - last, 0)


async def test_centre_wiped_is_an_event_and_gets_everything_that_is_retained(tmp_path: Path) -> None:
    rig = _rig(tmp_path)
    async with _running(rig):
        await rig.centre.kill()
        held = await _at_edge(rig)
        await asyncio.to_thread(_wipe, rig.central_database)
        await rig.start_centre()
        await _event(rig, "centre_changed")
        await _samples(rig, 10 * TAGS)
        await _ended(rig)
        there = await _at_centre(rig)
        assert all(intersect(there[epoch], seqs) == seqs for epoch, seqs in held.items())
        stats = await _stats(rig)
        assert (stats["gaps"], stats["lost"]) == ([], 0)


def _wipe(database: Path) -> None:
    """A new database; the agents' tokens are put back, as an operator does who keeps them elsewhere."""
    old = database.with_name("old.db")
    _backup(database, old)
    _delete(database)
    asyncio.run(
        output_of("central_sync", "token", "create", "--data", str(database.parent), "--role", "viewer")
    )
    with closing(sqlite3.connect(database)) as db:
        db.execute("ATTACH ? AS old", (str(old),))
        db.execute("INSERT INTO token SELECT * FROM old.token")
        db.commit()


# --- two agents with one identity ---------------------------------------------------------------------------


@pytest.mark.parametrize("machine", ["another machine", "the same machine"])
async def test_a_clone_is_an_identity_conflict_and_the_data_of_both_is_kept(
    tmp_path: Path, machine: str
) -> None:
    rig = _rig(tmp_path)
    async with _running(rig):
        await rig.agent.stop()
        directory = tmp_path / "clone"
        directory.mkdir()
        clone = await asyncio.to_thread(_clone, rig, directory, machine == "another machine")
        try:
            await rig.start_agent()
            await clone.start()
            await _event(rig, "identity_conflict")
            await _samples(rig, 40 * TAGS)
            found = await rig.judged()
        finally:
            await clone.stop()
        await rig.agent.stop()
        at_edges = [rig.edge_database, directory / "buffer.db"]
        found = await rig.judged()
        assert (found.doubled, found.wrong_rows, found.holes()) == (0, 0, [])
        runs = {run for path in at_edges for (run,) in await rows(path, "SELECT id FROM run")}
        assert {run for run, _ in found.numbers} == runs
        assert len(runs) == 3
        stats = await _stats(rig)
        assert (stats["duplicates"], stats["lost_samples"]) == (0, {})
        assert not [gap for gap in stats["gaps"] if gap["name"] != "tail"]
        page = await rig.api._get(f"/api/fleet/devices/{DEVICE}/events", {"limit": "100"})
        assert "identity_conflict" in [event["code"] for event in page["items"]]


def _clone(rig: Rig, directory: Path, another: bool) -> Child:
    """A copy of the card in a second box; both run in this boot, so the copy's epoch names the machine."""
    _backup(rig.edge_database, directory / "buffer.db")
    if another:
        with closing(sqlite3.connect(directory / "buffer.db")) as db:
            db.execute("UPDATE epoch SET machine = 'another'")
            db.commit()
    config = yaml.safe_load((rig.edge_database.parent / "edge-agent.yaml").read_text())
    runtime = directory / "run"
    runtime.mkdir(mode=0o700)
    config["agent"]["runtime_dir"] = str(runtime)
    config["buffer"]["path"] = str(directory / "buffer.db")
    path = directory / "edge-agent.yaml"
    path.write_text(yaml.safe_dump(config))
    return Child("clone", ["edge_agent", "run", "-c", str(path)], directory / "clone.log")
