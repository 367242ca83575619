"""Planning, decoding and splitting against a reader that knows nothing of blocks."""

import struct
from collections import deque
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.drivers.modbus.address import Area
from edge_agent.drivers.modbus.harvest import Harvest
from edge_agent.drivers.modbus.plan import Block, Item, ModbusPlan, plan
from edge_agent.drivers.modbus.settings import ModbusConnection, ModbusTag
from edge_agent.drivers.modbus.split import Trail
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.schema import ValueType
from edge_agent.wire.values import read_value

SPACE = 400
CODES = {
    "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q",
    "float32": "f", "float64": "d",
}  # fmt: skip
ENDIAN = st.sampled_from(["big", "little"])


@st.composite
def tags(draw: st.DrawFn) -> dict[str, Any]:
    area = draw(st.sampled_from(["holding", "input", "coil", "discrete"]))
    address = draw(st.integers(0, SPACE - 40))
    tag: dict[str, Any] = {"address": f"{area}:{address}"}
    if area in ("coil", "discrete"):
        return {**tag, "count": draw(st.integers(1, 20))}
    tag |= {"byte_order": draw(ENDIAN), "word_order": draw(ENDIAN)}
    kind = draw(st.sampled_from([*CODES, "bit", "string"]))
    if kind == "bit":
        bit = draw(st.integers(0, 15))
        return {**tag, "address": f"{area}:{address}.{bit}", "count": draw(st.integers(1, 20))}
    if kind == "string":
        return {**tag, "type": kind, "length": draw(st.integers(1, 20)), "encoding": "latin-1"}
    return {**tag, "type": kind, "count": draw(st.integers(1, 3))}


@st.composite
def connections(draw: st.DrawFn) -> ModbusConnection:
    drawn = draw(st.lists(tags(), min_size=1, max_size=25))
    named = [{"name": f"t{index}", **tag} for index, tag in enumerate(drawn)]
    return ModbusConnection.model_validate(
        {
            "name": "press1",
            "transport": {"host": "192.0.2.10"},
            "max_gap": draw(st.integers(0, 30)),
            "max_registers": draw(st.integers(16, 125)),
            "max_bits": draw(st.integers(20, 200)),
            "groups": [{"name": "fast", "interval": "1s", "tags": named}],
        }
    )


def naive(tag: ModbusTag, memory: dict[str, list[int]]) -> JsonValue:
    """Reads one tag out of the station's memory, step by step."""
    cells = memory[tag.place.area]
    first = tag.place.number
    if tag.place.area.is_bits:
        bits: list[JsonValue] = [bool(cells[first + index]) for index in range(tag.count)]
        return bits if tag.count > 1 else bits[0]
    end = tag.span[1]
    words = [cell.to_bytes(2, "little" if tag.byte_order == "little" else "big") for cell in cells[first:end]]
    if tag.place.bit is not None:
        bits = []
        for index in range(tag.place.bit, tag.place.bit + tag.count):
            value = int.from_bytes(words[index // 16])
            bits.append(bool(value >> index % 16 & 1))
        return bits if tag.count > 1 else bits[0]
    if tag.length is not None:
        data = b"".join(words)[: tag.length]
        return data.decode("latin-1").split("\0")[0].rstrip(" ")
    size = tag.type.size // 2
    values: list[JsonValue] = []
    for index in range(tag.count):
        part = words[index * size : (index + 1) * size]
        if tag.word_order == "little":
            part.reverse()
        values.append(struct.unpack(">" + CODES[tag.type], b"".join(part))[0])
    return values if tag.count > 1 else values[0]


def serve(memory: dict[str, list[int]], block: Block) -> bytes:
    cells = memory[block.area][block.start : block.start + block.count]
    if block.area.is_bits:
        return sum(bit << index for index, bit in enumerate(cells)).to_bytes(block.data_bytes, "little")
    return b"".join(cell.to_bytes(2) for cell in cells)


def values_of(made: ModbusPlan, harvest: Harvest) -> dict[str, JsonValue]:
    reading = harvest.reading()
    assert len(reading.row) == made.schema.row_bytes
    result: dict[str, JsonValue] = {}
    for index, tag in enumerate(made.schema.tags):
        if index < made.schema.fixed_tags:
            start = made.schema.edges[index]
            result[tag.name] = read_value(tag, reading.row[start : start + tag.row_bytes])
        else:
            assert reading.text is not None
            result[tag.name] = reading.text[index - made.schema.fixed_tags]
    return result


def finite(tag: ModbusTag, value: JsonValue) -> bool:
    """NaN is not equal to itself, and has no engineering value."""
    values = value if isinstance(value, list) else [value]
    return all(not isinstance(v, float) or abs(v) < float("inf") for v in values)


# Parts of NaN, infinity, the least and the largest numbers, padding and odd characters.
EXTREME_WORDS = (
    0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7F80, 0x7F7F, 0xFF80, 0x7FC0, 0x7FF0, 0x7FEF, 0xFFF0, 0x0010,
    0x2020, 0x4100, 0x0041, 0x8585, 0xA0A0,
)  # fmt: skip


def memory_of(seed: int) -> dict[str, list[int]]:
    """A station full of random and of extreme values; by a seed, because drawing each takes seconds."""
    random = Random(seed)
    share = random.random()
    cells = SPACE + 40

    def word() -> int:
        return random.choice(EXTREME_WORDS) if random.random() < share else random.getrandbits(16)

    return {
        "coil": [random.getrandbits(1) for _ in range(cells)],
        "discrete": [random.getrandbits(1) for _ in range(cells)],
        "holding": [word() for _ in range(cells)],
        "input": [word() for _ in range(cells)],
    }


SEEDS = st.integers(0, 1 << 32)


@settings(max_examples=300, deadline=None)
@given(connections(), SEEDS)
def test_every_tag_reads_what_a_naive_reader_reads(connection: ModbusConnection, seed: int) -> None:
    memory = memory_of(seed)
    group = connection.groups[0]
    made = plan(connection, group)
    harvest = Harvest(made)
    for index, block in enumerate(made.blocks):
        harvest.whole(index, serve(memory, block))
    found = values_of(made, harvest)
    for tag in group.tags:
        value = naive(tag, memory)
        if finite(tag, value):
            assert found[tag.name] == value, tag


@settings(max_examples=100, deadline=None)
@given(connections())
def test_requests_keep_the_limits_and_cover_each_tag_once(connection: ModbusConnection) -> None:
    made = plan(connection, connection.groups[0])
    served = sorted(item.tag for block in made.blocks for item in block.items)
    assert served == list(range(len(made.schema.tags)))
    for block in made.blocks:
        assert block.count <= (connection.max_bits if block.area.is_bits else connection.max_registers)
        assert all(block.start <= item.start < item.end <= block.start + block.count for item in block.items)
        covered = {address for item in block.items for address in range(item.start, item.end)}
        gap = longest = 0
        for address in range(block.start, block.start + block.count):
            gap = 0 if address in covered else gap + 1
            longest = max(longest, gap)
        assert longest <= connection.max_gap * (16 if block.area.is_bits else 1)


@settings(max_examples=100, deadline=None)
@given(connections())
def test_no_two_requests_could_have_been_one(connection: ModbusConnection) -> None:
    made = plan(connection, connection.groups[0])
    for left, right in zip(made.blocks, made.blocks[1:], strict=False):
        if left.area is not right.area:
            continue
        limit = connection.max_bits if left.area.is_bits else connection.max_registers
        gap = connection.max_gap * (16 if left.area.is_bits else 1)
        end = max(left.start + left.count, right.start + right.count)
        too_long = end - left.start > limit
        too_far = right.start - left.start - left.count > gap
        assert too_long or too_far


@settings(max_examples=100, deadline=None)
@given(connections(), SEEDS, st.data())
def test_parts_of_a_block_make_the_same_row(connection: ModbusConnection, seed: int, data: Any) -> None:
    memory = memory_of(seed)
    made = plan(connection, connection.groups[0])
    whole, parts = Harvest(made), Harvest(made)
    index = data.draw(st.integers(0, len(made.blocks) - 1))
    cut = data.draw(st.integers(1, len(made.blocks[index].items)))
    for number, block in enumerate(made.blocks):
        whole.whole(number, serve(memory, block))
        if number != index:
            parts.whole(number, serve(memory, block))
            continue
        parts.split(number)
        for items in filter(None, (block.items[:cut], block.items[cut:])):
            start = items[0].start
            part = Block(block.area, start, max(item.end for item in items) - start, items)
            parts.part(number, part, serve(memory, part))
    assert parts.reading() == whole.reading()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 4)), min_size=1, max_size=40, unique=True),
    st.sets(st.integers(0, 64), max_size=6),
    st.integers(4, 64),
)
def test_only_tags_on_missing_addresses_are_bad(
    spans: list[tuple[int, int]], missing: set[int], longest: int
) -> None:
    """Whatever the station lacks, and however short its replies: all others are read, in few requests."""
    ordered = sorted((start, start + length) for start, length in spans)
    items = tuple(Item(start, end, tag) for tag, (start, end) in enumerate(ordered))
    root = Block(Area.HOLDING, items[0].start, max(i.end for i in items) - items[0].start, items)

    def works(block: Block) -> bool:
        return block.count <= longest and not missing & set(range(block.start, block.start + block.count))

    if works(root):
        return  # nothing is ever refused
    trail = Trail.of(root, 2, 0.0)
    served: set[int] = set()
    asked = 0
    for _ in range(2 * len(items) + 2):
        served, asked = set(), 0
        queue = deque(trail.parts)
        while queue:
            part = queue.popleft()
            asked += 1
            if works(part.block):
                trail.answered(part)
                served |= {item.tag for item in part.block.items}
            else:
                queue.extendleft(reversed(trail.refused(part, 2, 0.0)))
        trail.settle()
    bad = {item.tag for item in items if missing & set(range(item.start, item.end))}
    assert {item.tag for item in trail.bad} == bad
    assert served == {item.tag for item in items} - bad
    assert asked == len(trail.parts)


def test_the_drawn_types_are_all_there_are() -> None:
    known = {*CODES, "string", "bool"}
    assert known == {str(kind) for kind in ValueType} - {"int8", "uint8", "json"}
