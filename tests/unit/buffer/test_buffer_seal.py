"""Sealing: within the size limits, in order, and no frame keeps another from the disk."""

import random

from edge_agent.buffer.seal import Take, choose_layout, seal
from edge_agent.wire.batch import MAX_COMPRESSED_BYTES, MAX_RAW_BYTES, Batch, EncodedBatch, Kind, Origin
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import Loss
from edge_agent.wire.schema import Schema
from edge_agent.wire.section import Layout
from tests.unit.buffer.life import frame, schema

ORIGIN = Origin("d", "r1", "b")


def take(*groups: tuple[Schema, list[Frame]]) -> Take:
    return Take(frames={described.hash: (described, frames) for described, frames in groups})


def opened(sealed: EncodedBatch) -> Batch:
    return Batch.open(sealed.body, sealed.codec, sealed.raw_bytes)


def test_nothing_makes_no_batch() -> None:
    assert seal(ORIGIN, Take(), 0) == []


def test_one_flush_is_one_batch_with_every_group_and_record() -> None:
    groups = [(schema(group=f"g{index}"), [frame(1), frame(2)]) for index in range(3)]
    wanted = take(*groups)
    wanted.records[Kind.CLOCK] = [{"why": "start"}]
    [sealed] = seal(ORIGIN, wanted, 5)
    batch = opened(sealed)
    assert batch.origin == ORIGIN
    assert {name: found for name, (found, _) in batch.contents().items()} == {
        described.hash: [(1, 2)] for described, _ in groups
    }
    assert batch.records(Kind.CLOCK) == [{"why": "start"}]
    assert sealed.samples == 3 * 2 * 4


def test_too_much_for_one_batch_becomes_several_within_the_limits_in_order() -> None:
    described = schema(tags=20_000)
    noise = random.Random(4)
    frames = [Frame(n, n, n, noise.randbytes(40_000), 20_000) for n in range(1, 121)]
    sealed = seal(ORIGIN, take((described, frames)), 0)
    assert len(sealed) > 1
    assert all(len(each.body) <= MAX_COMPRESSED_BYTES and each.raw_bytes <= MAX_RAW_BYTES for each in sealed)
    found = [pair for each in sealed for pair in opened(each).contents()[described.hash][0]]
    assert [n for lo, hi in found for n in range(lo, hi + 1)] == list(range(1, 121))


def test_what_the_way_to_the_centre_takes_of_a_batch_is_kept_to() -> None:
    """A stored batch is never split: one that no message carries would stay here for ever."""
    described = schema(tags=1_000)
    noise = random.Random(4)
    frames = [Frame(n, n, n, noise.randbytes(2_000), 1_000) for n in range(1, 65)]
    sealed = seal(ORIGIN, take((described, frames)), 0, 8_192)
    assert all(len(each.body) <= 8_192 for each in sealed)
    found = [pair for each in sealed for pair in opened(each).contents()[described.hash][0]]
    assert [n for lo, hi in found for n in range(lo, hi + 1)] == list(range(1, 65))


def test_a_frame_that_cannot_be_encoded_becomes_a_loss_and_keeps_no_other_back() -> None:
    described = schema()
    bad = Frame(3, 0, 0, b"\x00" * 8, 4, present=b"\xff\xff\xff")
    other = schema(group="slow")
    wanted = take((described, [frame(1), frame(2), bad, frame(4)]), (other, [frame(1)]))
    wanted.records[Kind.EVENT] = [{"code": "fine"}, {"code": {1, 2}}]
    sealed = seal(ORIGIN, wanted, 9)
    batches = [opened(each) for each in sealed]
    numbers = [
        n
        for batch in batches
        for lo, hi in batch.contents().get(described.hash, ([], 0))[0]
        for n in range(lo, hi + 1)
    ]
    assert numbers == [1, 2, 4]
    assert sum(other.hash in batch.contents() for batch in batches) == 1
    assert [record for batch in batches for record in batch.records(Kind.EVENT)] == [{"code": "fine"}]
    [loss] = [Loss.model_validate(record) for batch in batches for record in batch.records(Kind.LOSS)]
    assert loss.reason == "unreadable"
    assert [(entry.group, entry.run, entry.n, entry.samples) for entry in loss.connections] == [
        ("fast", "r1", [(3, 3)], 4)
    ]
    assert "1 events" in loss.detail


def test_the_layout_is_the_one_that_compresses_better() -> None:
    described = schema(tags=64)
    noise = random.Random(1)
    levels = [noise.randrange(60_000) for _ in range(64)]
    drifting = [_row(n, [level + 7 * n for level in levels]) for n in range(1, 60)]
    assert choose_layout(described, drifting) is Layout.COLUMNS
    cycle = [noise.sample(levels, 64) for _ in range(3)]
    repeating = [_row(n, cycle[n % 3]) for n in range(1, 60)]
    assert choose_layout(described, repeating) is Layout.ROWS
    assert choose_layout(described, drifting[:1]) is Layout.ROWS


def _row(n: int, values: list[int]) -> Frame:
    return Frame(n, 0, 0, b"".join((value & 0xFFFF).to_bytes(2, "little") for value in values), len(values))
