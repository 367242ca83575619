"""What the servers in servers/ hold, and the checks that the driver reads all of it.

Registers, holding and input alike: for each order of bytes and words, at 0, 40, 80 and 120, one value of
every type; from 200 to 399 three times the address. Coils are set where 3 divides the address, discrete
inputs where 5 does, up to 2015. Nothing exists behind that. Unit 1.
"""

import asyncio
from typing import Any, Final

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.modbus.client import ModbusDriver
from edge_agent.drivers.modbus.plan import ModbusPlan, plan
from edge_agent.drivers.modbus.settings import ModbusConnection
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.quality import Quality
from edge_agent.wire.values import read_value

ORDERS: Final = {"abcd": ("big", "big"), "cdab": ("big", "little"), "badc": ("little", "big")} | {
    "dcba": ("little", "little")
}
REGISTERS: Final = 400
BITS: Final = 2016
_VALUES: Final[dict[str, tuple[int, JsonValue]]] = {
    "int16": (0, -12345),
    "uint16": (1, 54321),
    "int32": (2, -123456789),
    "uint32": (4, 4000000000),
    "float32": (6, -1234.5625),
    "int64": (8, -1234567890123456789),
    "uint64": (12, 17000000000000000001),
    "float64": (16, -1.25e-300),
    "string": (20, "HOLDFAST"),
}


class Station:
    """The driver, connected to a server at `port`: a number, or the path of a serial port.

    settings: of the transport, beside these.
    """

    def __init__(self, port: int | str, transport: str, timeout: str = "2s", **settings: Any) -> None:
        network = {} if transport == "serial" else {"host": "127.0.0.1"}
        self._base: dict[str, Any] = {
            "name": "plc",
            "transport": {"type": transport, "port": port, "timeout": timeout, **network, **settings},
        }
        self.driver = ModbusDriver(ModbusConnection.model_validate(self._base))

    def plan(self, tags: list[dict[str, Any]], unit_id: int = 1) -> ModbusPlan:
        group = {"name": "all", "interval": "1s", "unit_id": unit_id, "tags": tags}
        connection = ModbusConnection.model_validate({**self._base, "groups": [group]})
        return plan(connection, connection.groups[0])

    async def values(self, made: ModbusPlan) -> dict[str, JsonValue]:
        """All values of a reading that must be good."""
        reading = await self.driver.read(made)
        assert not reading.quality, reading.errors
        result: dict[str, JsonValue] = {}
        for index, tag in enumerate(made.schema.tags):
            if index < made.schema.fixed_tags:
                start = made.schema.edges[index]
                result[tag.name] = read_value(tag, reading.row[start : start + tag.row_bytes])
            else:
                assert reading.text is not None
                result[tag.name] = reading.text[index - made.schema.fixed_tags]
        return result

    async def __aenter__(self) -> "Station":
        await self.driver.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.driver.close()


async def check_every_type(station: Station, area: str, order: str) -> None:
    byte_order, word_order = ORDERS[order]
    base = 40 * list(ORDERS).index(order)
    tags = [
        {
            "name": kind, "type": kind, "address": f"{area}:{base + place}",
            "byte_order": byte_order, "word_order": word_order,
            **({"length": 10} if kind == "string" else {}),
        }
        for kind, (place, _) in _VALUES.items()
    ]  # fmt: skip
    found = await station.values(station.plan(tags))
    assert found == {kind: value for kind, (_, value) in _VALUES.items()}


async def check_bits(station: Station, area: str) -> None:
    """One full request of 2,000, and its neighbours."""
    step = {"coil": 3, "discrete": 5}[area]
    tags = [{"name": f"b{number}", "address": f"{area}:{number}"} for number in range(BITS)]
    made = station.plan(tags)
    assert [block.count for block in made.blocks] == [2000, 16]
    found = await station.values(made)
    assert found == {f"b{number}": number % step == 0 for number in range(BITS)}


async def check_bits_of_a_register(station: Station) -> None:
    """54321 is 0xD431; in the byte order of the station."""
    tags = [{"name": f"b{bit}", "address": f"holding:1.{bit}"} for bit in range(16)]
    found = await station.values(station.plan(tags))
    assert found == {f"b{bit}": bool(54321 >> bit & 1) for bit in range(16)}
    swapped = [
        {**tag, "address": tag["address"].replace(":1.", ":81."), "byte_order": "little"} for tag in tags
    ]
    assert await station.values(station.plan(swapped)) == found


async def check_full_requests(station: Station, area: str) -> None:
    tags = [{"name": f"r{number}", "address": f"{area}:{number}"} for number in range(200, REGISTERS)]
    made = station.plan([*tags, {"name": "array", "address": f"{area}:260", "count": 60}])
    assert [block.count for block in made.blocks] == [125, 75]
    found = await station.values(made)
    assert found.pop("array") == [3 * number for number in range(260, 320)]
    assert found == {f"r{number}": 3 * number for number in range(200, REGISTERS)}


async def check_a_bad_tag_is_bad_alone(station: Station) -> None:
    tags = [{"name": f"r{number}", "address": f"holding:{number}"} for number in (398, 399, 400)]
    made = station.plan(tags)
    for _ in range(3):
        reading = await station.driver.read(made)
        assert reading.row == (3 * 398).to_bytes(2) + (3 * 399).to_bytes(2) + b"\0\0"
        assert [(run.first, run.count, run.quality) for run in reading.quality] == [
            (2, 1, Quality.BAD_CONFIG)
        ]
        assert reading.errors == {"holding 400": "illegal data address (exception 2)"}


async def check_a_dead_unit(station: Station) -> None:
    """Needs a station with a short time-out."""
    tags = [{"name": "r", "address": "holding:200"}]
    reading = await station.driver.read(station.plan(tags, unit_id=9))
    assert reading.unanswered
    alive = station.plan(tags)
    async with asyncio.timeout(5):
        while True:
            try:
                reading = await station.driver.read(alive)
            except NotConnected:
                await station.driver.connect()
                continue
            if reading.unanswered:  # libmodbus takes the next request on a line for the dead unit's reply
                continue
            assert reading.row == (600).to_bytes(2)
            return
