"""Checks that the driver writes into servers made by others what it says: every type, order and function.

What a server holds then is read as plain registers, and compared with registers that are made here anew. What
was written is put back, since the servers are shared.
"""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edge_agent.contracts.errors import WriteRefused
from edge_agent.drivers.modbus.settings import ModbusConnection
from edge_agent.drivers.modbus.write import ModbusTarget, target
from edge_agent.wire.frame import JsonValue
from tests.integration.modbus_image import BITS, ORDERS, REGISTERS, Station

AT = 360
WRITTEN: dict[str, tuple[str, JsonValue]] = {
    "int16": ("h", -2), "uint16": ("H", 0xABCD), "int32": ("i", -123_456), "uint32": ("I", 0xDEADBEEF),
    "float32": ("f", 2.71875), "int64": ("q", -(1 << 40) - 7), "uint64": ("Q", (1 << 63) + 9),
    "float64": ("d", 6.25e-30),
}  # fmt: skip


def target_of(tag: dict[str, Any], transport: str = "tcp", **connection: Any) -> ModbusTarget:
    where: dict[str, Any] = {"port": "/dev/null"} if transport == "serial" else {"host": "127.0.0.1"}
    group = {"name": "g", "interval": "1s", "unit_id": 1, "tags": [{"name": "t", **tag}]}
    made = ModbusConnection.model_validate(
        {"name": "plc", "transport": {"type": transport, **where}, **connection, "groups": [group]}
    )
    return target(made, made.groups[0], made.groups[0].tags[0])


async def registers(station: Station, first: int, count: int) -> list[int]:
    tags = [{"name": f"r{number}", "address": f"holding:{number}"} for number in range(first, first + count)]
    found = await station.values(station.plan(tags))
    return [int(str(found[f"r{number}"])) for number in range(first, first + count)]


def stored(data: bytes, order: str) -> list[int]:
    """Big-endian bytes as registers of a station with this order."""
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if order in ("cdab", "dcba"):
        words.reverse()
    return [int.from_bytes(word, "little" if order in ("badc", "dcba") else "big") for word in words]


@asynccontextmanager
async def put_back(station: Station, transport: str) -> AsyncIterator[None]:
    """The image as it was: registers from 350 on, coils from 2000 on."""
    try:
        yield
    finally:
        whole = target_of({"address": f"holding:{AT - 10}", "count": REGISTERS - AT + 10}, transport)
        await station.driver.write(whole, [3 * number for number in range(AT - 10, REGISTERS)])
        coils = target_of({"address": "coil:2000", "count": BITS - 2000}, transport)
        await station.driver.write(coils, [number % 3 == 0 for number in range(2000, BITS)])


async def check_every_type(station: Station, transport: str, order: str) -> None:
    byte_order, word_order = ORDERS[order]
    for kind, (code, value) in WRITTEN.items():
        tag = {"address": f"holding:{AT}", "type": kind, "byte_order": byte_order, "word_order": word_order}
        made = target_of(tag, transport)
        expected = stored(struct.pack(">" + code, value), order)
        before = await registers(station, AT - 1, len(expected) + 2)
        await station.driver.write(made, value)
        found = await registers(station, AT - 1, len(expected) + 2)
        assert found == [before[0], *expected, before[-1]], kind
        assert await station.driver.read_target(made) == value


async def check_text_and_arrays(station: Station, transport: str) -> None:
    for byte_order in ("big", "little"):
        text = target_of(
            {"address": f"holding:{AT}", "type": "string", "length": 7, "byte_order": byte_order}, transport
        )
        for value in ("A°b", ""):
            await station.driver.write(text, value)
            raw = value.encode().ljust(8, b"\0")
            assert await registers(station, AT, 4) == [
                int.from_bytes(raw[at : at + 2], byte_order) for at in range(0, 8, 2)
            ]
            assert await station.driver.read_target(text) == value
        with pytest.raises(WriteRefused, match="takes 8 bytes"):
            await station.driver.write(text, "°°°°")
    array = target_of({"address": f"holding:{AT}", "type": "int32", "count": 3}, transport)
    await station.driver.write(array, [1, -2, 70_000])
    assert await registers(station, AT, 6) == [0, 1, 0xFFFF, 0xFFFE, 1, 4464]


async def check_coils(station: Station, transport: str) -> None:
    one = target_of({"address": "coil:2001"}, transport)
    for value in (True, False, True):
        await station.driver.write(one, value)
        assert await station.driver.read_target(one) is value
    several = target_of({"address": "coil:2001", "count": 11}, transport)
    wanted: list[JsonValue] = [number % 2 == 0 for number in range(11)]
    await station.driver.write(several, wanted)
    assert await station.driver.read_target(several) == wanted
    tags = [{"name": f"b{number}", "address": f"coil:{number}"} for number in (2000, 2001, 2012)]
    assert await station.values(station.plan(tags)) == {"b2000": False, "b2001": True, "b2012": False}


async def check_bits_of_a_register(station: Station, transport: str) -> None:
    """Function 22: the other bits stay, whatever they are."""
    whole = target_of({"address": f"holding:{AT}"}, transport)
    await station.driver.write(whole, 0b1010_0000_1111_0001)
    bit = target_of({"address": f"holding:{AT}.4"}, transport)
    await station.driver.write(bit, False)
    assert await registers(station, AT, 1) == [0b1010_0000_1110_0001]
    await station.driver.write(bit, True)
    swapped = target_of({"address": f"holding:{AT}.1", "byte_order": "little"}, transport)
    await station.driver.write(swapped, True)
    assert await registers(station, AT, 1) == [0b1010_0010_1111_0001]
    field = target_of({"address": f"holding:{AT}.12", "count": 4}, transport)
    await station.driver.write(field, [True, True, False, False])
    assert await registers(station, AT, 1) == [0b0011_0010_1111_0001]
    assert await station.driver.read_target(field) == [True, True, False, False]


async def check_several_registers_where_one_would_do(station: Station, transport: str) -> None:
    """Functions 15 and 16 alone, for stations that know no others."""
    word = target_of({"address": f"holding:{AT}"}, transport, write_function="multiple")
    await station.driver.write(word, 4711)
    assert await registers(station, AT, 1) == [4711]
    coil = target_of({"address": "coil:2004"}, transport, write_function="multiple")
    await station.driver.write(coil, True)
    assert await station.driver.read_target(coil) is True


async def check_what_is_not_there(station: Station, transport: str) -> None:
    beyond = target_of({"address": f"holding:{REGISTERS}"}, transport)
    with pytest.raises(WriteRefused, match="illegal data address"):
        await station.driver.write(beyond, 1)
    assert await registers(station, REGISTERS - 1, 1) == [3 * (REGISTERS - 1)]
