"""What the S7 servers of others hold, and what the driver must make of it. Each server encodes it by itself.

DB1 has one value of each type, DB2 600 words, DB3 ten bytes, and there is no DB99.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import pytest

from edge_agent.contracts.driver import Identity, Reading
from edge_agent.contracts.errors import ConfigError, WriteRefused
from edge_agent.drivers.s7 import SPEC
from edge_agent.drivers.s7.client import S7Driver
from edge_agent.drivers.s7.plan import S7Plan
from edge_agent.drivers.s7.settings import S7Connection
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.quality import Quality
from edge_agent.wire.values import read_value

WORDS = 600
VALUES: dict[str, JsonValue] = {
    "DB1.DBX0.3": True,
    "DB1.DBX0.1": False,
    "DB1.DBB1": 200,
    "DB1.DBB2:SINT": -100,
    "DB1.DBW4:INT": -12345,
    "DB1.DBW6": 54321,
    "DB1.DBD8:DINT": -123456789,
    "DB1.DBD12": 4000000000,
    "DB1.DBD16:REAL": 3.25,
    "DB1.DBB20:LREAL": 1234.5678,
    "DB1.DBB28:LINT": -1234567890123,
    "DB1.DBB36:ULINT": (1 << 63) + 5,
    "DB1.DBB44:STRING[20]": "Werk äöü 7",
    "DB1.DBB66:WSTRING[10]": "온도 21°",
    "P#DB1.DBX90.0:DTL": "2026-11-21T15:07:08.123456789",
    "DB1.DBB102:DT": "2026-11-21T15:07:08.123",
    "DB1.DBW110:DATE": "2026-11-21",
    "DB1.DBD112:TIME": -5000,
    "DB1.DBD116:TOD": 54_428_123,
    "DB1.DBW120:S5TIME": 12_500,
    "DB1.DBB122:CHAR": "K",
    "DB1.DBW124:WCHAR": "한",
    "DB1.DBW126:INT": [1, -2, 3, -4, 5],
    "M10.0": True,
    "MW20": 1111,
    "E0.1": True,
    "IB4": 77,
    "QB4": 88,
    "AW6:INT": -6,
    "T5": 345_000,
    "C3": 123,
}
_COUNTS = {"DB1.DBW126:INT": 5}


class Cpu:
    """A driver that is connected to a server."""

    def __init__(self, port: int, **more: Any) -> None:
        transport = {"host": "127.0.0.1", "port": port, "timeout": "2s", "slot": 2}
        self._settings = {"name": "cpu", "driver": "s7", "transport": transport, **more}
        self.driver = S7Driver(S7Connection.model_validate(self._settings))

    async def __aenter__(self) -> Self:
        await self.driver.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.driver.close()

    def connection(self, tags: Sequence[dict[str, Any]]) -> S7Connection:
        group = {"name": "g", "interval": "1s", "tags": tags}
        return S7Connection.model_validate({**self._settings, "groups": [group]})

    def plan(self, tags: Sequence[dict[str, Any]]) -> S7Plan:
        connection = self.connection(tags)
        made = SPEC.plan(connection, connection.groups[0])
        assert isinstance(made, S7Plan)
        return made

    async def values(self, tags: Sequence[dict[str, Any]]) -> dict[str, JsonValue]:
        plan = self.plan(tags)
        reading = await self.driver.read(plan)
        assert not reading.quality, reading.errors
        return values_of(plan, reading)

    async def write(self, address: str, value: JsonValue) -> JsonValue:
        """What is read back."""
        connection = self.connection([{"name": "out", "address": address}])
        assert SPEC.target is not None
        target = SPEC.target(connection, connection.groups[0], connection.groups[0].tags[0])
        await self.driver.write(target, value)
        return await self.driver.read_target(target)


def values_of(plan: S7Plan, reading: Reading) -> dict[str, JsonValue]:
    schema, found = plan.schema, {}
    for index, tag in enumerate(schema.tags):
        if index < schema.fixed_tags:
            start, end = schema.edges[index : index + 2]
            found[tag.name] = read_value(tag, reading.row[start:end])
        else:
            assert reading.text is not None
            found[tag.name] = reading.text[index - schema.fixed_tags]
    return found


async def check_every_type(port: int, pdu: int) -> None:
    tags = [{"name": name, "address": name, "count": _COUNTS.get(name, 1)} for name in VALUES]
    async with Cpu(port, pdu=pdu) as cpu:
        found = await cpu.values(tags)
    assert {name: value for name, value in found.items() if value != VALUES[name]} == {}
    assert found.keys() == VALUES.keys()


async def check_long_reads(port: int, pdu: int) -> None:
    """Several requests, and an array that no message holds."""
    tags: list[dict[str, Any]] = [
        {"name": f"w{at}", "address": f"DB2.DBW{2 * at}"} for at in range(0, WORDS, 3)
    ]
    tags.append({"name": "all", "address": "DB2.DBW0", "count": WORDS})
    async with Cpu(port, pdu=pdu) as cpu:
        found = await cpu.values(tags)
    assert found.pop("all") == [7 * at for at in range(WORDS)]
    assert found == {f"w{at}": 7 * at for at in range(0, WORDS, 3)}


async def check_a_bad_tag_is_bad_alone(port: int) -> None:
    """Behind the end of DB3, and in a block that there is not."""
    tags = [
        {"name": "good", "address": "DB3.DBW0"}, {"name": "behind", "address": "DB3.DBW12"},
        {"name": "no_block", "address": "DB99.DBW0"}, {"name": "other", "address": "MW20"},
    ]  # fmt: skip
    async with Cpu(port) as cpu:
        plan = cpu.plan(tags)
        for _ in range(2):
            reading = await cpu.driver.read(plan)
            bad = {
                plan.schema.tags[index].name
                for run in reading.quality
                for index in range(run.first, run.first + run.count)
            }
            assert bad == {"behind", "no_block"}
            assert {run.quality for run in reading.quality} == {Quality.BAD_CONFIG}
            assert values_of(plan, reading)["other"] == 1111
            assert reading.errors
            assert set(reading.errors) == {"DB3.DBB12..13", "DB99.DBB0..1"}


async def check_writes(port: int) -> None:
    """Of a string the length and the characters: the maximum stays what the program declared."""
    async with Cpu(port) as cpu:
        assert await cpu.write("DB4.DBD4:REAL", -1.5) == -1.5
        assert await cpu.write("DB4.DBW8:INT", -7) == -7
        assert await cpu.write("DB4.DBW10:S5TIME", 12_500) == 12_500
        assert await cpu.write("DB4.DBB20:STRING[20]", "neu ß") == "neu ß"
        assert await cpu.values([{"name": "max", "address": "DB4.DBB20"}]) == {"max": 20}
        assert await cpu.write("QW2", 4660) == 4660
        with pytest.raises(WriteRefused):
            await cpu.write("DB99.DBW0", 1)
        with pytest.raises(ConfigError, match="not written"):
            await cpu.write("IB0", 1)


async def check_a_bit_is_written_alone(port: int) -> None:
    async with Cpu(port) as cpu:
        before = (await cpu.values([{"name": "b", "address": "DB4.DBB0"}]))["b"]
        assert isinstance(before, int)
        assert await cpu.write("DB4.DBX0.6", True) is True
        assert await cpu.values([{"name": "b", "address": "DB4.DBB0"}]) == {"b": before | 0x40}
        assert await cpu.write("M30.1", True) is True


async def identity(port: int) -> Identity | None:
    async with Cpu(port) as cpu:
        return await cpu.driver.identify(None)


async def state(port: int) -> JsonValue:
    async with Cpu(port) as cpu:
        return (await cpu.values([{"name": "state", "address": "CPU:STATE"}]))["state"]
