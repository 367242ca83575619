"""kill -9 of the real agent and the real centre at every named point of their commits and of the hand-over.

Each process dies in `tests.crash.trap` by its own hand, so that each point is proven reached: a process
that is still alive after its time fails the test. In between nobody else is killed. Nothing is lost,
nothing comes twice, and no loss record is accepted. The short form takes some of the points, others each
time; SEED repeats a run.
"""

import asyncio
import os
from pathlib import Path
from random import Random

import aiohttp
import pytest

from tests.crash.forms import LONG, some
from tests.crash.judge import broken_promises
from tests.crash.rig import Rig, Setup
from tests.crash.senders import missing, senders_of, start, stored_batches, until_killed

SEED = int(os.environ.get("SEED", str(int.from_bytes(os.urandom(3), "big"))))
ACKNOWLEDGE = "edge_agent.buffer.outbox:StoredOutbox.acknowledge"
UPLOAD = "edge_agent.uplink.client:CentreClient.upload"
ANSWER = "central_sync.store.writer:Writer._answer"
SEND = "aiohttp.web:Response.write_eof"
# (what, when, how often it happens at most before the kill). Beginnings of statements, system calls, and
# functions as tests.crash.trap takes them.
AGENT_POINTS = (
    ("BEGIN IMMEDIATE", "before", 9),
    ("BEGIN IMMEDIATE", "after", 9),
    ("INSERT OR IGNORE INTO run", "after", 1),
    ("INSERT INTO schema", "after", 3),
    ("INSERT INTO batch", "before", 9),
    ("INSERT INTO batch", "after", 9),
    ("DELETE FROM delivered", "after", 1),
    ("INSERT INTO delivered", "after", 1),
    ("INSERT OR REPLACE INTO state", "after", 4),
    ("COMMIT", "before", 9),
    ("COMMIT", "after", 9),
    ("writev", "before", 40),
    ("writev", "torn", 40),
    ("writev", "after", 40),
    ("unlink", "before", 9),
    ("unlink", "after", 9),
    (UPLOAD, "before", 6),
    (UPLOAD, "after", 6),
    (ACKNOWLEDGE, "before", 6),
    (ACKNOWLEDGE, "after", 6),
)
CENTRE_POINTS = (
    ("BEGIN IMMEDIATE", "before", 9),
    ("BEGIN IMMEDIATE", "after", 9),
    ("SAVEPOINT job", "after", 9),
    ("INSERT INTO batch VALUES", "before", 6),
    ("INSERT INTO batch VALUES", "after", 6),
    ("INSERT INTO batch_schema", "after", 6),
    ("UPDATE device SET batches", "after", 6),
    ("RELEASE job", "after", 9),
    ("COMMIT", "before", 9),
    ("COMMIT", "after", 9),
    (ANSWER, "before", 9),
    (ANSWER, "after", 9),
    (SEND, "before", 9),
    (SEND, "after", 9),
)
CONNECTIONS, TAGS = 3, 100
DEVICES = 3
REACHED_SECONDS = 30.0


@pytest.mark.timeout(len(AGENT_POINTS) * REACHED_SECONDS)
async def test_no_point_of_the_agents_commits_loses_or_doubles_anything(tmp_path: Path) -> None:
    random = Random(SEED)
    setup = Setup(buffer={"flush_interval": "50ms"})
    async with Rig(tmp_path, CONNECTIONS, TAGS, "100ms", setup) as rig:
        await rig.start_centre()
        for what, when, most in some(AGENT_POINTS, 7, random):
            rig.make_agent("tests.crash.trap", what, when, str(random.randint(1, most)))
            await rig.agent.start()
            code = await asyncio.wait_for(rig.agent.ended(), REACHED_SECONDS)
            assert code == -9, f"{when} {what}: ended with {code}, and not in its trap; seed {SEED}"
        rig.make_agent()
        await rig.agent.start()
        account = await rig.drained()
        await rig.agent.stop()
        assert await asyncio.to_thread(broken_promises, rig.edge_database, rig.central_database) == []
    found = await rig.judged()
    print(f"{found.summary()}\n{account}")
    said = f"seed {SEED}"
    assert (account.gaps, account.duplicates, account.lost, account.pending) == (0, 0, 0, 0), said
    assert (found.wrong_rows, found.bad_frames, found.doubled, found.losses) == (0, 0, 0, []), said
    assert (found.holes(), found.uncovered()) == ([], []), said
    assert found.read == found.suppressed + found.framed, said


@pytest.mark.timeout(len(CENTRE_POINTS) * REACHED_SECONDS)
async def test_no_point_of_the_centres_commits_loses_what_it_acknowledged(tmp_path: Path) -> None:
    random = Random(SEED)
    senders = await senders_of(tmp_path, DEVICES)
    points = some(CENTRE_POINTS, 5, random)
    for what, when, most in points:
        process, url = await start(tmp_path, "tests.crash.trap", what, when, str(random.randint(1, most)))
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            for sender in senders if url else ():
                group.create_task(until_killed(sender, session, url))
            code = await asyncio.wait_for(process.wait(), REACHED_SECONDS)
        assert code == -9, f"{when} {what}: ended with {code}, and not in its trap; seed {SEED}"
        lost = missing(senders, await asyncio.to_thread(stored_batches, tmp_path))
        assert lost == [], f"{when} {what}: acknowledged and not stored: {lost[:5]}; seed {SEED}"
    # Some points alone may all come before the first answer.
    assert not LONG or sum(len(sender.acked) for sender in senders) > len(points)
