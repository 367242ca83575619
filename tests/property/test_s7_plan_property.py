"""Any tags, any PDU: all of them are covered, no value is cut that need not be, and every message fits."""

import random
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.drivers.s7 import messages
from edge_agent.drivers.s7.address import AREAS
from edge_agent.drivers.s7.blocks import MAX_RANGES, most_data
from edge_agent.drivers.s7.plan import plan
from edge_agent.drivers.s7.settings import S7Connection
from edge_agent.wire.values import read_value

_KINDS = (
    "INT",
    "DINT",
    "REAL",
    "LREAL",
    "BYTE",
    "SINT",
    "WORD",
    "STRING[10]",
    "STRING[254]",
    "DTL",
    "S5TIME",
)


@st.composite
def tags(draw: st.DrawFn) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for index in range(draw(st.integers(1, 40))):
        area = draw(st.sampled_from(("DB1.DB", "DB2.DB", "M", "I", "Q")))
        at = draw(st.integers(0, 1500))
        match draw(st.integers(0, 5)):
            case 0:
                bit = f"{area}X{at}.{draw(st.integers(0, 7))}"
                found.append({"address": bit, "count": draw(st.sampled_from((1, 1, 3, 20)))})
            case 1:
                found.append({"address": draw(st.sampled_from(("T", "C"))) + str(at % 50)})
            case 2:
                count = draw(st.integers(2, 400))
                found.append({"address": f"{area}B{at}:INT", "count": count})
            case _:
                found.append({"address": f"{area}B{at}:{draw(st.sampled_from(_KINDS))}"})
        found[-1]["name"] = f"t{index}"
    return found


@given(tags(), st.sampled_from((112, 240, 480, 960)), st.integers(0, 64))
@settings(max_examples=40, deadline=None)
def test_a_plan_covers_all_and_fits(found: list[dict[str, Any]], pdu: int, max_gap: int) -> None:
    group = {"name": "g", "interval": "1s", "tags": found}
    connection = S7Connection.model_validate(
        {"name": "c", "driver": "s7", "transport": {"host": "x"}, "max_gap": max_gap, "groups": [group]}
    )
    made = plan(connection, connection.groups[0])
    layout = made.layout(pdu)
    by_name = {tag.name: tag for tag in connection.groups[0].tags}
    served: dict[int, list[tuple[int, int]]] = {}
    base = 0
    for request in layout.requests:
        assert 1 <= len(request.blocks) <= MAX_RANGES
        sent = messages.read_request(1, request.blocks)
        reply = 14 + sum(4 + block.nbytes + block.nbytes % 2 for block in request.blocks)
        reply -= request.blocks[-1].nbytes % 2
        assert len(sent) == request.sent_bytes <= pdu
        assert reply == request.received_bytes <= pdu
        for block in request.blocks:
            assert block.base == base
            base += block.nbytes
            for item in block.items:
                tag = by_name[made.schema.tags[item.tag].name]
                assert (tag.place.area, tag.place.db) == (block.area, block.db)
                assert block.start <= item.start < item.end <= block.start + block.count
                served.setdefault(item.tag, []).append((item.start, item.end))
    assert base == layout.program.payload_bytes
    assert served.keys() == set(range(made.schema.tag_count))
    for index, spans in served.items():
        _check_whole(by_name[made.schema.tags[index].name], sorted(spans), pdu)


def _check_whole(tag: Any, spans: list[tuple[int, int]], pdu: int) -> None:
    assert (spans[0][0], spans[-1][1]) == tag.span
    assert all(end == start for (_, end), (start, _) in pairwise(spans))
    unit = 1 if tag.place.area.is_bytes else 2
    if (tag.span[1] - tag.span[0]) * unit <= most_data(pdu):
        assert len(spans) == 1
    elif tag.place.type.name == "INT":
        assert all((end - start) % 2 == 0 for start, end in spans)


@given(tags(), st.sampled_from((112, 240, 480, 960)), st.integers(0, 1 << 32))
@settings(max_examples=25, deadline=None)
def test_every_layout_makes_the_same_row(found: list[dict[str, Any]], pdu: int, seed: int) -> None:
    """That of a naive reader, which looks at each tag's own bytes."""
    numbers = random.Random(seed)
    memory: dict[tuple[int, int], bytes] = {}
    group = {"name": "g", "interval": "1s", "tags": found}
    connection = S7Connection.model_validate(
        {"name": "c", "driver": "s7", "transport": {"host": "x"}, "groups": [group]}
    )
    made = plan(connection, connection.groups[0])
    layout = made.layout(pdu)
    payload = b""
    for block in layout.blocks:
        key = (AREAS.index(block.area), block.db)
        held = memory.setdefault(key, numbers.randbytes(4096))
        payload += held[block.start * block.unit : (block.start + block.count) * block.unit]
    row, bad = layout.program.row(payload)
    texts, unread = layout.program.text(payload)
    by_name = {tag.name: tag for tag in connection.groups[0].tags}
    schema = made.schema
    for index, each in enumerate(schema.tags):
        tag = by_name[each.name]
        held = memory[AREAS.index(tag.place.area), tag.place.db]
        if index >= schema.fixed_tags:
            at = index - schema.fixed_tags
            assert (texts[at] is None) == (at in unread)
            continue
        got = row[schema.edges[index] : schema.edges[index + 1]]
        if tag.place.type.name == "BOOL":
            first = 8 * tag.place.number + tag.place.bit
            bits = [held[bit // 8] >> bit % 8 & 1 for bit in range(first, first + tag.count)]
            assert list(got) == bits
        elif tag.place.type.form == "raw":
            assert got == held[tag.span[0] : tag.span[1]]
        elif index not in bad:
            assert read_value(each, got) is not None
