"""Planning, encoding, decoding and splitting against a PLC that shares no code with them and is strict."""

import struct
from collections import deque
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.drivers.xgt import frames
from edge_agent.drivers.xgt.errors import Refused
from edge_agent.drivers.xgt.frames import COMPANY_IDS, Framing
from edge_agent.drivers.xgt.harvest import Harvest
from edge_agent.drivers.xgt.plan import Block, Kind, XgtPlan, plan
from edge_agent.drivers.xgt.settings import XgtConnection, XgtTag
from edge_agent.drivers.xgt.simulator.faults import Fault, FaultKind, Faults
from edge_agent.drivers.xgt.simulator.image import Image, contact, word
from edge_agent.drivers.xgt.simulator.server import SERIES
from edge_agent.drivers.xgt.simulator.station import Counters, World, answer
from edge_agent.drivers.xgt.split import Trail
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.values import read_value

SPACE_WORDS = 1200
CODES = {
    "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q", "uint8": "B",
    "int8": "b",
}  # fmt: skip


@st.composite
def tags(draw: st.DrawFn, areas: str) -> dict[str, Any]:
    """Each with its expected place: area, first byte, first bit."""
    area = draw(st.sampled_from(areas))
    number = draw(st.integers(0, SPACE_WORDS))
    form = draw(st.sampled_from(["word", "byte", "bit", "sized", "string", "contact"]))
    if form == "contact" and area in "TC":
        return {"address": f"%{area}X{number}"}
    if form == "bit":
        return {"address": f"{area}{number}.{draw(st.integers(0, 15)):X}", "count": draw(st.integers(1, 20))}
    if form == "string":
        return {
            "address": f"%{area}W{number}", "type": "string", "length": draw(st.integers(1, 20)),
            "encoding": "latin-1",
        }  # fmt: skip
    if form == "sized":
        return {"address": f"%{area}{draw(st.sampled_from('DL'))}{number // 4}"}
    if form == "byte":
        return {"address": f"%{area}B{number}", "type": draw(st.sampled_from(list(CODES)))}
    kind = draw(st.sampled_from([code for code in CODES if "8" not in code]))
    return {"address": f"%{area}W{number}", "type": kind, "count": draw(st.integers(1, 3))}


@st.composite
def connections(draw: st.DrawFn) -> XgtConnection:
    series = draw(st.sampled_from(list(SERIES)))
    areas = "MDTCPR" if series in ("xgk", "xgb-mk") else "MIQWR"
    drawn = draw(st.lists(tags(areas), min_size=1, max_size=25))
    return XgtConnection.model_validate(
        {
            "name": "press1",
            "transport": {"host": "192.0.2.10"},
            "series": series,
            "max_gap": draw(st.integers(0, 60)),
            "max_bytes": 2 * draw(st.integers(16, 700)),
            "max_names": draw(st.integers(1, 16)),
            "groups": [
                {
                    "name": "fast",
                    "interval": "1s",
                    "tags": [{"name": f"t{index}", **tag} for index, tag in enumerate(drawn)],
                }
            ],
        }
    )


def world_of(connection: XgtConnection, tick: int, faults: Faults | None = None) -> World:
    return World(
        SERIES[connection.series], connection.hex_bits, 1000, 0.0, False, 2, True,
        lambda: 1000 * tick, Image(), faults or Faults(), Counters(), deque(maxlen=1), set(),
    )  # fmt: skip


def serve(world: World, connection: XgtConnection, block: Block) -> bytes:
    """What the client does with one request, over no network."""
    framing = Framing(COMPANY_IDS["LSIS-XGT"], connection.series.cpu, 0)
    reply = framing.receive(answer(world, framing.request(block.body)).data)
    assert reply is not None
    assert len(reply.body) <= block.reply_bytes - frames.HEADER_BYTES
    frames.check(block.body, reply.body)
    if block.kind is Kind.CONTINUOUS:
        return frames.bytes_in(reply.body, block.count)
    return frames.values_in(reply.body, len(block.starts), block.count)


def naive(connection: XgtConnection, tag: XgtTag, tick: int) -> JsonValue:
    """Reads one tag by the formula alone."""
    text = tag.address.lstrip("%")
    area, letter = text[0], text[1]
    if letter == "X":
        return contact(int(text[2:]), tick)
    if "." in text:
        number, bit = text[1:].split(".")
        first = 16 * int(number) + int(bit, 16)
        bits: list[JsonValue] = [
            bool(word(area, at // 16, tick) >> at % 16 & 1) for at in range(first, first + tag.count)
        ]
        return bits if tag.count > 1 else bits[0]
    start = {"B": 1, "W": 2, "D": 4, "L": 8}[letter] * int(text[2:])
    size = tag.length or tag.type.size * tag.count
    data = bytes(word(area, at // 2, tick) >> 8 * (at % 2) & 0xFF for at in range(start, start + size))
    if tag.length is not None:
        return data.decode("latin-1").split("\0")[0].rstrip(" ")
    values = list(struct.unpack(f"<{tag.count}{CODES[tag.type]}", data))
    return values if tag.count > 1 else values[0]


def values_of(made: XgtPlan, harvest: Harvest) -> dict[str, JsonValue]:
    reading = harvest.reading()
    assert not reading.quality
    assert len(reading.row) == made.schema.row_bytes
    found: dict[str, JsonValue] = {}
    for index, tag in enumerate(made.schema.tags):
        if index < made.schema.fixed_tags:
            start = made.schema.edges[index]
            found[tag.name] = read_value(tag, reading.row[start : start + tag.row_bytes])
        else:
            assert reading.text is not None
            found[tag.name] = reading.text[index - made.schema.fixed_tags]
    return found


@settings(max_examples=60, deadline=None)
@given(connections(), st.integers(0, 1000))
def test_every_tag_reads_what_the_formula_says(connection: XgtConnection, tick: int) -> None:
    group = connection.groups[0]
    made = plan(connection, group)
    world = world_of(connection, tick)
    harvest = Harvest(made)
    for index, block in enumerate(made.blocks):
        harvest.whole(index, serve(world, connection, block))
    found = values_of(made, harvest)
    for tag in group.tags:
        assert found[tag.name] == naive(connection, tag, tick), tag


@settings(max_examples=40, deadline=None)
@given(connections())
def test_requests_keep_the_limits_and_cover_each_tag_once(connection: XgtConnection) -> None:
    made = plan(connection, connection.groups[0])
    served = sorted(item.tag for block in made.blocks for item in block.items)
    assert served == list(range(len(made.schema.tags)))
    assert sum(request.tags for request in made.requests) == len(served)
    for block in made.blocks:
        if block.kind is not Kind.CONTINUOUS:
            assert 1 <= len(block.names) <= connection.max_names
            continue
        assert block.count <= connection.max_bytes
        start = block.starts[0][1]
        assert start % 2 == block.count % 2 == 0
        covered = {byte for item in block.items for byte in range(item.start & ~1, item.end + 1 & ~1)}
        gap = longest = 0
        for byte in range(start, start + block.count):
            gap = 0 if byte in covered else gap + 1
            longest = max(longest, gap)
        assert longest <= 2 * connection.max_gap


@settings(max_examples=40, deadline=None)
@given(connections())
def test_no_two_requests_could_have_been_one(connection: XgtConnection) -> None:
    made = plan(connection, connection.groups[0])
    by_kind = {kind: [block for block in made.blocks if block.kind is kind] for kind in Kind}
    blocks = sorted(by_kind[Kind.CONTINUOUS], key=lambda block: block.starts[0])
    for left, right in pairwise(blocks):
        (area, start), (other, begin) = left.starts[0], right.starts[0]
        too_long = begin + right.count - start > connection.max_bytes
        too_far = begin - start - left.count > 2 * connection.max_gap
        assert area != other or too_long or too_far
    sizes = sorted(len({*range(block.starts[0][1], block.starts[0][1] + block.count, 2)}) for block in blocks)
    if len(sizes) > 1 and not by_kind[Kind.WORDS]:
        assert sizes[0] + sizes[1] > connection.max_names
    contacts = by_kind[Kind.CONTACTS]
    assert all(len(block.names) == connection.max_names for block in contacts[:-1])


@settings(max_examples=40, deadline=None)
@given(connections(), st.integers(0, 50), st.data())
def test_whatever_the_plc_refuses_all_others_are_read(
    connection: XgtConnection, tick: int, data: st.DataObject
) -> None:
    """The simulator lacks some bytes of one area; a request that touches one is refused."""
    made = plan(connection, connection.groups[0])
    index = data.draw(st.integers(0, len(made.blocks) - 1))
    root = made.blocks[index]
    area = data.draw(st.sampled_from(sorted({chr(item.area) for item in root.items})))
    lacking = data.draw(st.sets(st.integers(0, 2 * SPACE_WORDS), min_size=1, max_size=4))
    lacking |= {data.draw(st.sampled_from(root.items[:])).start}
    faults = Faults()
    for byte in lacking:
        faults.add(Fault(FaultKind.REFUSE, code=4, area=area, ranges=((byte, byte),)))
    world, harvest = world_of(connection, tick, faults), Harvest(made)
    trail = Trail.of(root, "lacking", 0.0)
    harvest.split(index)
    queue = deque(trail.parts)
    while queue:
        part = queue.popleft()
        try:
            harvest.part(index, part.block, serve(world, connection, part.block))
            trail.answered(part)
        except Refused as refusal:
            queue.extendleft(reversed(trail.refused(part, str(refusal), 0.0)))
    bad = {item.tag for item in trail.bad}
    for item in root.items:
        alone = Block.of(root.kind, (item,))
        width = alone.count if alone.kind is not Kind.WORDS else 2
        touched = {at for _, start in alone.starts for at in range(start, start + width)}
        assert (item.tag in bad) == (chr(item.area) == area and bool(lacking & touched))
    served = {item.tag for part in trail.parts for item in part.block.items}
    assert served == {item.tag for item in root.items} - bad
