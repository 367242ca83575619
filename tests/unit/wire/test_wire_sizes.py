"""What a sample costs: at most 4 bytes for uint16, float32 and 2-decimal values, 200 samples a batch."""

import math
import random
from collections.abc import Callable

import pytest

from edge_agent.wire.batch import FramesPart, Origin, encode
from edge_agent.wire.codecs import Codec
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType
from edge_agent.wire.values import pack

# As they are in the field: 32 hexadecimal digits that do not compress.
IDS = random.Random(11)
ORIGIN = Origin("press-shop-01", IDS.randbytes(16).hex(), IDS.randbytes(16).hex())
Signal = Callable[[random.Random, int, int], float]


def random_word(source: random.Random, tag: int, cycle: int) -> float:
    return source.randrange(65_536)


def walk(source: random.Random, tag: int, cycle: int) -> float:
    return 1_000 + int(300 * math.sin(7 * tag)) + source.randrange(-20, 20)


def random_cents(source: random.Random, tag: int, cycle: int) -> float:
    return round(source.uniform(0, 100), 2)


def sine_cents(source: random.Random, tag: int, cycle: int) -> float:
    return round(20 + tag % 10 + 5 * math.sin(cycle / 100 + tag) + source.gauss(0, 0.1), 2)


def full_float(source: random.Random, tag: int, cycle: int) -> float:
    return 20 + tag % 10 + 5 * math.sin(cycle / 100 + tag) + source.gauss(0, 0.1)


def constant(source: random.Random, tag: int, cycle: int) -> float:
    return 7 + tag


def part(signal: Signal, type_: ValueType, group: int, tags: int, cycles: int) -> FramesPart:
    source = random.Random(group)
    schema = Schema.of(
        "press1", f"g{group}", 1, [TagSchema(f"t{tag}", type_, Order.ABCD) for tag in range(tags)]
    )
    frames: list[Frame] = []
    mono = 86_400_000_000_000 + group * 3_131_313
    for cycle in range(cycles):
        values = [signal(source, tag, cycle) for tag in range(tags)]
        row = pack(type_, Order.ABCD, [int(v) for v in values] if not type_.is_float else values)
        mono += 1_000_000_000 + source.randrange(400_000)
        wall = 1_767_225_600_000 + mono // 10**6
        frames.append(Frame(86_400 + cycle, mono, wall, row, tags))
    return FramesPart(schema, frames)


def bytes_a_sample(
    signal: Signal, type_: ValueType, groups: int, tags: int, cycles: int = 1, codec: Codec = Codec.ZSTD
) -> float:
    sealed = encode(ORIGIN, [part(signal, type_, group, tags, cycles) for group in range(groups)], 0, codec)
    assert sealed.samples == groups * tags * cycles
    return len(sealed.body) / sealed.samples


# Deflate has one block for all of a small batch.
@pytest.mark.parametrize(("codec", "more"), [(Codec.ZSTD, 0.0), (Codec.DEFLATE, 0.15)])
@pytest.mark.parametrize(
    ("signal", "type_", "most"),
    [
        (random_word, ValueType.UINT16, 2.8),
        (walk, ValueType.UINT16, 2.2),
        (random_cents, ValueType.FLOAT32, 4.0),
        (sine_cents, ValueType.FLOAT32, 3.8),
        (full_float, ValueType.FLOAT32, 4.0),
        (constant, ValueType.UINT16, 1.9),
    ],
)
def test_a_batch_of_200_samples(
    signal: Signal, type_: ValueType, most: float, codec: Codec, more: float
) -> None:
    assert bytes_a_sample(signal, type_, 1, 200, codec=codec) <= most + more


@pytest.mark.parametrize(
    ("signal", "type_", "most"),
    [
        (random_word, ValueType.UINT16, 2.1),
        (walk, ValueType.UINT16, 1.3),
        (random_cents, ValueType.FLOAT32, 2.7),
        (sine_cents, ValueType.FLOAT32, 2.3),
        (full_float, ValueType.FLOAT32, 3.1),
        (constant, ValueType.UINT16, 0.2),
    ],
)
def test_a_batch_of_ten_groups_of_1000(signal: Signal, type_: ValueType, most: float) -> None:
    assert bytes_a_sample(signal, type_, 10, 1_000) <= most


def test_many_cycles_of_small_groups_share_their_heads() -> None:
    assert bytes_a_sample(walk, ValueType.UINT16, 100, 10, cycles=10) <= 2.1
    assert bytes_a_sample(sine_cents, ValueType.FLOAT32, 100, 10, cycles=10) <= 2.7


def test_a_group_and_cycle_of_one_tag_costs_less_than_60_bytes() -> None:
    one = encode(ORIGIN, [part(random_word, ValueType.UINT16, 0, 1, 1)], 0, Codec.NONE).raw_bytes
    eleven = [part(random_word, ValueType.UINT16, group, 1, 1) for group in range(11)]
    assert (encode(ORIGIN, eleven, 0, Codec.NONE).raw_bytes - one) / 10 < 60
