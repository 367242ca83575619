"""An agent that is killed at every step of a write: it is never sent twice, and told as unknown."""

import asyncio
import json
import os
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from edge_agent.contracts.errors import NotConnected
from edge_agent.demo.children import output_of
from tests.crash.forms import some
from tests.crash.orders import Orders
from tests.crash.rig import Rig, Setup, until

SEED = int(os.environ.get("SEED", str(int.from_bytes(os.urandom(3), "big"))))
APPEND = "edge_agent.writing.journal:WriteJournal.append"
DRIVER = "edge_agent.drivers.modbus.client:ModbusDriver"
# (what, when, the how manieth time, whether it was sent by then): all that a write passes, in its order.
POINTS = (
    (APPEND, "before", 1, 0),
    (APPEND, "after", 1, 0),
    (f"{DRIVER}.write", "before", 1, 0),
    (f"{DRIVER}.write", "after", 1, 1),
    (f"{DRIVER}.read_target", "after", 2, 1),
    (APPEND, "before", 2, 1),
    (APPEND, "after", 2, 1),
)
TAG = "plc00.t3"


@pytest.mark.writes
@pytest.mark.timeout(150)
async def test_a_write_that_a_kill_cuts_off_is_unknown_and_never_sent_again(tmp_path: Path) -> None:
    points = some(POINTS, 2, Random(SEED))
    allowed = {"tag": TAG, "min": 0, "max": 100, "interval": "0s"}
    async with Rig(tmp_path, 1, 10, "200ms", Setup(writes=[allowed])) as rig:
        await rig.start_centre()
        data = str(rig.central_data)
        engineer = await output_of("central_sync", "token", "create", "--data", data, "--role", "engineer")
        orders = Orders(rig, engineer)
        sent = 0
        for value, (what, when, count, sent_by_then) in enumerate(points):
            command = await _killed_at(rig, orders, value, (what, when, str(count)))
            found = await orders.ended(command)
            said = f"{when} {what}; seed {SEED}"
            assert (found["state"], found["code"]) == ("unknown", "interrupted"), said
            await until(partial(_polls, rig), 30)
            sent += sent_by_then
            assert (await rig.plc_counters())["write_requests"] == sent, said
            await rig.agent.stop()
        await rig.agent.start()
        await until(partial(_polls, rig), 30)
        good = await orders.ended(await orders.order("write_tag", {"tag": TAG, "value": 77}))
        await rig.drained()
        await rig.agent.stop()
        told = await asyncio.to_thread(_told, rig.central_database)
        assert (await rig.plc_counters())["write_requests"] == sent + 1
    assert good["state"] == "succeeded", good
    assert (good["result"]["after"], good["result"]["confirmation"]) == (77, "confirmed")
    _judge(rig.edge_database.with_name("writes.jsonl"), told)


async def _killed_at(rig: Rig, orders: Orders, value: int, trap: tuple[str, str, str]) -> str:
    """Orders a write of which the agent is killed in the middle, and starts it again. The command's id."""
    rig.make_agent("tests.crash.trap", *trap)
    await rig.agent.start()
    await until(partial(_polls, rig), 30)
    command = await orders.order("write_tag", {"tag": TAG, "value": value})
    code = await asyncio.wait_for(rig.agent.ended(), 30)
    assert code == -9, f"{trap}: ended with {code}, and not in its trap; seed {SEED}"
    rig.make_agent()
    await rig.agent.start()
    return command


def _judge(journal: Path, told: list[dict[str, Any]]) -> None:
    """Each that was begun ended once, and is in the centre's history with what became of it."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    begun = [line["id"] for line in lines if line["phase"] == "begin"]
    ended = {line["id"]: line["state"] for line in lines if line["phase"] == "end"}
    assert len(begun) == len(set(begun)) == len(lines) / 2
    assert set(ended) == set(begun)
    # Of one that was killed right behind its last line the journal tells, and nobody was told.
    assert {each["id"]: each["state"] for each in told}.items() <= ended.items()
    assert len(told) == len({each["id"] for each in told}) >= len(begun) - 1
    assert told[-1]["value"] == 77


async def _polls(rig: Rig) -> bool:
    try:
        return all(each.state == "connected" for each in (await rig.status()).connections)
    except NotConnected:
        return False


def _told(database: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(database)) as db:
        rows = db.execute("SELECT data FROM event WHERE code = 'write' ORDER BY rowid")
        return [json.loads(row[0]) for row in rows]
