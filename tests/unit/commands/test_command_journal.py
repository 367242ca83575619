"""The journal gives back what was put into it, forgets in time, and begins anew where its file is damaged."""

from pathlib import Path

import pytest

from edge_agent.commands import journal as journals
from edge_agent.commands.entry import Entry, Moment, Outcome
from edge_agent.commands.errors import JournalDamaged, JournalFailed
from edge_agent.commands.journal import KEPT_FINISHED, KEPT_MS, Journal
from edge_agent.wire.commands import CommandReport, CommandState, LogPart
from tests.unit.commands.orders import offer

NOW = Moment(1_000.0, 10 * KEPT_MS, "boot-1", "run-1")


def ended(name: str, result: object = None) -> Entry:
    return Entry.of(offer("quick", name), NOW, Outcome(CommandState.SUCCEEDED, result=result))  # type: ignore[arg-type]


async def test_what_was_put_is_there_for_the_next_process(tmp_path: Path) -> None:
    entry = Entry.of(
        offer("quick", "온도", number=3), NOW, Outcome(CommandState.FAILED, "no_luck", "why", [1, None])
    )
    entry.no, entry.attempts, entry.run, entry.log, entry.log_base, entry.log_end = (
        7,
        2,
        "run-1",
        "rest",
        3,
        5,
    )
    entry.pending = CommandReport(no=7, state=CommandState.RUNNING, time=1, log=LogPart(offset=3, text="re"))
    first = Journal(tmp_path / "commands.db")
    await first.put([entry, Entry.of(offer("quick", "other"), NOW)])
    await first.close()
    second = Journal(tmp_path / "commands.db")
    found = await second.unfinished()
    await second.close()
    assert found[0] == entry
    assert [each.id for each in found] == ["온도", "other"]
    assert (tmp_path / "commands.db").stat().st_mode & 0o077 == 0


async def test_finished_ones_are_kept_without_what_is_long_and_forgotten_in_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "commands.db")
    try:
        await journal.put([ended("long", "x" * 10_000), ended("short", "x")])
        for name in ("long", "short"):
            await journal.finish(ended(name, "x" * 10_000 if name == "long" else "x"), NOW.wall_ms)
        assert await journal.unfinished() == []
        kept = {each.id: each.outcome for each in await journal.finished(["long", "short", "none"])}
        assert {name: outcome and outcome.result for name, outcome in kept.items()} == {
            "long": None,
            "short": "x",
        }
        await journal.put([ended("later")])
        await journal.finish(ended("later"), NOW.wall_ms + KEPT_MS + 1)
        assert [each.id for each in await journal.finished(["long", "short", "later"])] == ["later"]
    finally:
        await journal.close()


async def test_so_many_finished_ones_are_kept_and_all_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "commands.db")
    try:
        names = [f"c{number}" for number in range(KEPT_FINISHED + 5)]
        await journal.put([*map(ended, names), ended("open")])
        for number, name in enumerate(names):
            await journal.finish(ended(name), NOW.wall_ms + number)
        assert len(await journal.finished(names)) == KEPT_FINISHED
        assert not await journal.finished(names[:5])
        assert [each.id for each in await journal.unfinished()] == ["open"]
    finally:
        await journal.close()


@pytest.mark.parametrize("content", [b"no database" * 100, b"SQLite format 3\0" + b"\xff" * 8_000])
async def test_a_damaged_file_is_set_aside_and_is_suspect_until_it_is_trusted(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "commands.db"
    path.write_bytes(content)
    for trusted in (False, False, True):
        journal = Journal(path)
        assert await journal.unfinished() == []
        assert journal.suspect
        if trusted:
            await journal.trust()
        await journal.close()
    journal = Journal(path)
    await journal.put([ended("new")])
    await journal.close()
    assert not journal.suspect
    assert (tmp_path / "commands.db.damaged").read_bytes() == content


@pytest.mark.parametrize("left", ["commands.db", "commands.db.damaged"])
async def test_a_new_file_in_the_place_of_a_lost_one_is_suspect(tmp_path: Path, left: str) -> None:
    """A power cut left an empty one, or a kill came between setting aside and beginning anew."""
    (tmp_path / left).touch()
    journal = Journal(tmp_path / "commands.db")
    assert journal.exists
    assert await journal.unfinished() == []
    assert journal.suspect
    await journal.replace([ended("known")])
    await journal.close()
    journal = Journal(tmp_path / "commands.db")
    assert [each.id for each in await journal.unfinished()] == ["known"]
    assert not journal.suspect
    await journal.close()


async def test_a_row_that_nobody_wrote_is_damage(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "commands.db")
    await journal.put([ended("c")])
    await journal._run(lambda db: db.execute("UPDATE command SET offer = X'7b'").close())
    with pytest.raises(JournalDamaged):
        await journal.unfinished()
    await journal.replace([ended("kept")], suspect=True)
    assert [each.id for each in await journal.unfinished()] == ["kept"]
    assert journal.suspect
    await journal.close()


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "commands.db"
    journal = Journal(path)
    await journal.put([ended("c")])
    await journal.close()
    newer = Journal(path)
    await newer._run(lambda db: db.execute(f"PRAGMA user_version = {journals._VERSION + 1}").close())
    await newer.close()
    journal = Journal(path)
    with pytest.raises(JournalFailed, match="newer version"):
        await journal.unfinished()
    await journal.close()
    assert not path.with_name("commands.db.damaged").exists()
