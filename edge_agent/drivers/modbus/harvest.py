"""What the requests of one read brought, and the reading made of it. Pure."""

from collections.abc import Iterable, Sequence

from edge_agent.drivers.harvest import BlockHarvest
from edge_agent.drivers.modbus.address import Area
from edge_agent.drivers.modbus.plan import Block, Item, ModbusPlan, span_text
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.quality import Quality


class Harvest(BlockHarvest):
    """Knows how the parts of a block of registers or bits stand in it."""

    def __init__(self, plan: ModbusPlan) -> None:
        super().__init__(plan.schema, plan.blocks, plan.program.cut, plan.program.strings)
        self.plan = plan

    def part(self, index: int, part: Block, data: bytes) -> None:
        """The reply to a part of a split block."""
        root, payload = self.plan.blocks[index], self._payloads[index]
        assert isinstance(payload, bytearray)
        distance = part.start - root.start
        if root.area.is_bits:
            bits = int.from_bytes(data, "little") & (1 << part.count) - 1
            joined = int.from_bytes(payload, "little") | bits << distance
            payload[:] = joined.to_bytes(len(payload), "little")
        else:
            payload[2 * distance : 2 * distance + len(data)] = data
        for item in part.items:
            self._faults.pop(item.tag, None)

    def bad_item(self, area: Area, item: Item, text: str) -> None:
        """The station refuses this item alone."""
        self._faults[item.tag] = Quality.BAD_CONFIG
        self._errors[span_text(area, item.start, item.end)] = text

    def _texts(self, payload: bytes) -> tuple[Sequence[JsonValue], Iterable[int]]:
        return self.plan.program.text(payload)
