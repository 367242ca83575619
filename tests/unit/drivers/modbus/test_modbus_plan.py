"""Planning and decoding against golden cases: tests/golden/modbus/<case>/.

`case.yaml` has a connection, what its station holds, and the values that a person reads there.
`expected.json` has the requests, the schema and the row, byte for byte.
"""

import pickle
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.modbus.address import Area
from edge_agent.drivers.modbus.harvest import Harvest
from edge_agent.drivers.modbus.plan import Block, ModbusPlan, plan
from edge_agent.drivers.modbus.settings import ModbusConnection
from edge_agent.wire.schema import _tags_of
from edge_agent.wire.values import read_value

GOLDEN = Path(__file__).parents[3] / "golden" / "modbus"
CASES = sorted(path.name for path in GOLDEN.iterdir())
UNUSED = 0xDEAD


def load(case: str) -> tuple[dict[str, Any], ModbusPlan]:
    document = yaml.safe_load((GOLDEN / case / "case.yaml").read_text())
    connection = ModbusConnection.model_validate({"driver": "modbus", **document["connection"]})
    return document, plan(connection, connection.groups[0])


def serve(memory: dict[str, dict[int, list[int]]], block: Block) -> bytes:
    """The data that a station would answer: unused registers hold UNUSED, unused bits are set."""
    unused = 1 if block.area.is_bits else UNUSED
    cells = [unused] * block.count
    for start, values in memory.get(block.area, {}).items():
        for index, value in enumerate(values, start - block.start):
            if 0 <= index < block.count:
                cells[index] = value
    if block.area.is_bits:
        return sum(bit << index for index, bit in enumerate(cells)).to_bytes(block.data_bytes, "little")
    return b"".join(cell.to_bytes(2) for cell in cells)


@pytest.mark.parametrize("case", CASES)
def test_golden_case(case: str) -> None:
    document, made = load(case)
    harvest = Harvest(pickle.loads(pickle.dumps(made)))  # as the agent that runs gets it
    for index, block in enumerate(made.blocks):
        harvest.whole(index, serve(document["memory"], block))
    reading = harvest.reading()

    found = {
        "requests": [[r.text, r.tags, r.sent_bytes, r.received_bytes, r.bus_seconds] for r in made.requests],
        "notes": list(made.notes),
        "schema": orjson.loads(made.schema.canonical),
        "row": reading.row.hex(" "),
        "text": None if reading.text is None else list(reading.text),
        "quality": [[run.first, run.count, run.quality.label, run.null] for run in reading.quality],
    }
    assert found == orjson.loads((GOLDEN / case / "expected.json").read_bytes())

    values: dict[str, Any] = {}
    for index, tag in enumerate(made.schema.tags):
        if index < made.schema.fixed_tags:
            start = made.schema.edges[index]
            values[tag.name] = read_value(tag, reading.row[start : start + tag.row_bytes])
        else:
            assert reading.text is not None
            values[tag.name] = reading.text[index - made.schema.fixed_tags]
    assert values == document["values"]


def connection_of(tags: list[dict[str, Any]], **settings: Any) -> ModbusConnection:
    groups = [{"name": "fast", "interval": "1s", "tags": tags}]
    base = {"name": "press1", "transport": {"host": "192.0.2.10"}, "groups": groups}
    return ModbusConnection.model_validate({**base, **settings})


def test_blocks_are_merged_up_to_125_registers() -> None:
    """tb#406, #1589, #1821: no block reads, or blocks of 16."""
    tags = [{"name": f"t{number}", "address": f"holding:{number}"} for number in range(1000)]
    connection = connection_of(tags)
    made = plan(connection, connection.groups[0])
    assert [(block.start, block.count) for block in made.blocks] == [(125 * i, 125) for i in range(8)]
    assert made.program.cut.values is None  # the replies, one behind the other, are the row


def test_coils_are_merged_up_to_2000() -> None:
    tags = [{"name": f"t{number}", "address": f"coil:{number}"} for number in range(4000)]
    connection = connection_of(tags)
    made = plan(connection, connection.groups[0])
    assert [(block.start, block.count) for block in made.blocks] == [(0, 2000), (2000, 2000)]


def test_a_row_is_laid_out_by_address_whatever_order_the_tags_are_written_in() -> None:
    tags = [{"name": f"t{number}", "address": f"holding:{number}"} for number in (3, 1, 2, 0)]
    connection = connection_of(tags)
    made = plan(connection, connection.groups[0])
    assert [tag.name for tag in made.schema.tags] == ["t0", "t1", "t2", "t3"]
    assert made.program.cut.values is None


def test_a_value_that_no_request_may_hold_is_refused() -> None:
    connection = connection_of([{"name": "t", "address": "holding:0", "type": "float64"}], max_registers=3)
    with pytest.raises(ConfigError, match="tag t of press1 takes 4 addresses, and max_registers is 3"):
        plan(connection, connection.groups[0])
    connection = connection_of([{"name": "t", "address": "coil:0", "count": 9}], max_bits=8)
    with pytest.raises(ConfigError, match="max_bits is 8"):
        plan(connection, connection.groups[0])


def test_two_tags_of_one_name_are_refused() -> None:
    connection = connection_of([{"name": "t", "address": "holding:0"}, {"name": "t", "address": "holding:1"}])
    with pytest.raises(ConfigError, match="two tags of the same name"):
        plan(connection, connection.groups[0])


def test_equal_meanings_have_equal_schemas() -> None:
    """The order of words means nothing to one register, and that of bytes nothing to a bit."""
    tags = [{"name": "t", "address": "holding:0"}, {"name": "b", "address": "holding:0.1"}]
    big = connection_of(tags)
    little = connection_of(tags, word_order="little")
    assert plan(big, big.groups[0]).schema.hash == plan(little, little.groups[0]).schema.hash


def test_each_area_has_its_own_request() -> None:
    tags = [{"name": area, "address": f"{area}:0"} for area in Area]
    connection = connection_of(tags)
    functions = [block.pdu[0] for block in plan(connection, connection.groups[0]).blocks]
    assert functions == [1, 2, 3, 4]


def test_a_text_that_cannot_be_read_is_named_without_looking_at_the_schemas_tags() -> None:
    tags = [{"name": "lot", "address": "holding:0", "type": "string", "length": 4, "encoding": "ascii"}]
    connection = connection_of(tags)
    made: ModbusPlan = pickle.loads(pickle.dumps(plan(connection, connection.groups[0])))
    before = _tags_of.cache_info()
    harvest = Harvest(made)
    harvest.whole(0, b"\xff" * 4)
    assert harvest.reading().errors == {"lot": "not a text in the tag's encoding"}
    assert _tags_of.cache_info() == before
