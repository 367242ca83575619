"""The judge can fail: what is taken out of a centre's database, put in twice or changed is noticed.

The databases are doctored ones, written here with what the judge reads and nothing else.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from edge_agent.wire.batch import FramesPart, Kind, Origin, RecordsPart, encode
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from tests.crash.judge import SEQ_BITS, TICK_MS, Judgement, broken_promises, expected_block, judge

TAGS: Final = 10
FRAMES: Final = 6
EPOCH, RUN = "epoch-a", "run-a"
SCHEMA: Final = Schema.of("plc00", "all", 1, [TagSchema(f"t{at}", ValueType.UINT16) for at in range(TAGS)])
FIRST_TICK: Final = 1_800_000_000
KEY: Final = (RUN, "plc00")

Bodies = dict[int, Sequence[FramesPart | RecordsPart]]


def frame(n: int) -> Frame:
    tick = FIRST_TICK + n
    values = expected_block(0, TAGS, tick)
    values.byteswap()
    return Frame(n, n * 10**9, tick * TICK_MS, values.tobytes(), TAGS)


def whole() -> Bodies:
    """Batch n has frame n."""
    return {n: [FramesPart(SCHEMA, [frame(n)])] for n in range(1, FRAMES + 1)}


def written(path: Path, bodies: Bodies, following: int = FRAMES + 1) -> Path:
    """A centre's database of these batches. following: the `next` that the agent announced."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE schema(hash, body)")
        db.execute("CREATE TABLE epoch(no, id, next)")
        db.execute("CREATE TABLE batch(arrival INTEGER PRIMARY KEY, epoch_no, seq, codec, raw, hash, body)")
        db.execute("INSERT INTO schema VALUES(?, ?)", (SCHEMA.hash, SCHEMA.canonical))
        db.execute("INSERT INTO epoch VALUES(1, ?, ?)", (EPOCH, following))
        for seq, parts in bodies.items():
            made = encode(Origin("rig", RUN, "boot"), parts, 0)
            row = (1, seq, int(made.codec), made.raw_bytes, made.hash, made.body)
            db.execute("INSERT INTO batch(epoch_no, seq, codec, raw, hash, body) VALUES(?,?,?,?,?,?)", row)
        db.commit()
    return path


def loss(numbers: list[tuple[int, int]], seqs: list[tuple[int, int]], samples: int) -> RecordsPart:
    part = {"name": "plc00", "group": "all", "run": RUN, "n": numbers, "samples": samples}
    record = {"reason": "quota", "epoch": EPOCH, "seqs": seqs, "t0": 0, "t1": 0, "connections": [part]}
    return RecordsPart(Kind.LOSS, [record])


def findings(found: Judgement, promised: int = FRAMES * TAGS) -> set[str]:
    """The names of all that the suites assert to be nothing."""
    wrong = {
        "holes": found.holes(),
        "uncovered": found.uncovered(),
        "twice told": found.twice_told(),
        "short": found.short({KEY: promised}),
        "doubled": found.doubled,
        "wrong rows": found.wrong_rows,
        "sums": found.read - found.suppressed - found.framed,
    }
    return {name for name, value in wrong.items() if value}


def test_a_whole_database_is_well(tmp_path: Path) -> None:
    found = judge(written(tmp_path / "central.db", whole()), TAGS)
    assert findings(found) == set()
    assert (found.batches, found.frames, found.framed) == (FRAMES, FRAMES, FRAMES * TAGS)


def _without_a_batch(bodies: Bodies) -> None:
    del bodies[3]


def _without_the_last_batch(bodies: Bodies) -> None:
    del bodies[FRAMES]


def _without_a_frame(bodies: Bodies) -> None:
    bodies[3] = [FramesPart(SCHEMA, [frame(2), frame(4)])]
    del bodies[2], bodies[4]


def _a_frame_in_two_batches(bodies: Bodies) -> None:
    bodies[5] = [FramesPart(SCHEMA, [frame(4), frame(5)])]


def _a_frame_twice_in_one_batch(bodies: Bodies) -> None:
    bodies[5] = [FramesPart(SCHEMA, [frame(5)]), FramesPart(SCHEMA, [frame(5)])]


def _a_value_of_another_moment(bodies: Bodies) -> None:
    bodies[4] = [FramesPart(SCHEMA, [replace(frame(4), row=frame(90).row)])]


def _one_flipped_bit(bodies: Bodies) -> None:
    row = bytearray(frame(4).row)
    row[-1] ^= 1
    bodies[4] = [FramesPart(SCHEMA, [replace(frame(4), row=bytes(row))])]


def _lost_and_arrived(bodies: Bodies) -> None:
    bodies[FRAMES] = [FramesPart(SCHEMA, [frame(FRAMES)]), loss([(2, 2)], [], TAGS)]


def _a_record_of_too_few_samples(bodies: Bodies) -> None:
    del bodies[2]
    bodies[FRAMES] = [FramesPart(SCHEMA, [frame(FRAMES)]), loss([(2, 2)], [(2, 2)], TAGS - 1)]


def _a_record_of_another_frame(bodies: Bodies) -> None:
    del bodies[2]
    bodies[FRAMES] = [FramesPart(SCHEMA, [frame(FRAMES)]), loss([(20, 20)], [(2, 2)], TAGS)]


@pytest.mark.parametrize(
    ("doctored", "noticed"),
    [
        (_without_a_batch, {"holes", "uncovered", "short"}),
        (_without_the_last_batch, {"uncovered", "short"}),
        (_without_a_frame, {"holes", "uncovered", "short"}),
        (_a_frame_in_two_batches, {"doubled"}),
        (_a_frame_twice_in_one_batch, {"doubled"}),
        (_a_value_of_another_moment, {"wrong rows"}),
        (_one_flipped_bit, {"wrong rows"}),
        (_lost_and_arrived, {"twice told"}),
        (_a_record_of_too_few_samples, {"short"}),
        (_a_record_of_another_frame, {"holes"}),
    ],
    ids=lambda each: each.__name__.strip("_") if callable(each) else "",
)
def test_what_is_missing_doubled_or_wrong_is_noticed(
    tmp_path: Path, doctored: Callable[[Bodies], None], noticed: set[str]
) -> None:
    bodies = whole()
    doctored(bodies)
    assert findings(judge(written(tmp_path / "central.db", bodies), TAGS)) == noticed


def test_what_an_exact_record_names_is_accounted_for(tmp_path: Path) -> None:
    bodies = whole()
    del bodies[2]
    bodies[FRAMES] = [FramesPart(SCHEMA, [frame(FRAMES)]), loss([(2, 2)], [(2, 2)], TAGS)]
    found = judge(written(tmp_path / "central.db", bodies), TAGS)
    assert findings(found) == set()
    assert found.lost_samples() == {KEY: TAGS}


def test_a_record_is_void_for_a_batch_that_arrived_all_the_same(tmp_path: Path) -> None:
    bodies = whole()
    bodies[FRAMES] = [FramesPart(SCHEMA, [frame(FRAMES)]), loss([(2, 2)], [(2, 2)], TAGS)]
    found = judge(written(tmp_path / "central.db", bodies), TAGS)
    assert findings(found) == set()
    assert found.lost_samples() == {KEY: 0}


@pytest.mark.parametrize(("change", "said"), [("", ""), ("DELETE", "not there"), ("UPDATE", "other there")])
def test_what_the_agent_calls_delivered_must_be_there_with_that_content(
    tmp_path: Path, change: str, said: str
) -> None:
    centre = written(tmp_path / "central.db", whole())
    edge = tmp_path / "buffer.db"
    with closing(sqlite3.connect(centre)) as db, closing(sqlite3.connect(edge)) as own:
        own.execute("CREATE TABLE epoch(no, id)")
        own.execute("CREATE TABLE batch(id INTEGER PRIMARY KEY, hash)")
        own.execute("CREATE TABLE delivered(lo, hi)")
        own.execute("INSERT INTO epoch VALUES(1, ?)", (EPOCH,))
        own.execute("INSERT INTO delivered VALUES(?, ?)", (1 << SEQ_BITS | 1, 1 << SEQ_BITS | 5))
        for seq, digest in db.execute("SELECT seq, hash FROM batch").fetchall():
            own.execute("INSERT INTO batch VALUES(?, ?)", (1 << SEQ_BITS | seq, digest))
        own.commit()
        other = hashlib.blake2b(b"other", digest_size=16).digest()
        if change == "DELETE":
            # The last one is not called delivered: nobody is promised anything about it.
            db.execute("DELETE FROM batch WHERE seq IN (3, ?)", (FRAMES,))
        if change == "UPDATE":
            db.execute("UPDATE batch SET hash = ? WHERE seq = 3", (other,))
        db.commit()
    broken = broken_promises(edge, centre)
    assert len(broken) == bool(said)
    assert all(f"{(EPOCH, 3)} is delivered here and {said}" == each for each in broken)
