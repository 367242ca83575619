"""What the requests of one read brought, and the reading made of it. Pure."""

from collections.abc import Iterable, Sequence

from edge_agent.drivers.harvest import BlockHarvest
from edge_agent.drivers.texts import text_of
from edge_agent.drivers.xgt import status
from edge_agent.drivers.xgt.plan import Block, Item, XgtPlan
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.quality import Quality


class Harvest(BlockHarvest):
    """Knows how the parts of a block stand in it, and what a refused status still tells."""

    def __init__(self, plan: XgtPlan) -> None:
        super().__init__(plan.schema, plan.blocks, plan.cut, plan.texts)
        self.plan = plan

    def header_only(self, index: int, data: bytes, text: str) -> None:
        """The status command was refused: `data` has what the header says."""
        self._payloads[index] = data
        block = self.plan.blocks[index]
        self._errors[str(block)] = text
        for item in block.items:
            if item.start >= status.HEADER_FIELDS_BYTES:
                self._faults[item.tag] = Quality.BAD_CONFIG

    def part(self, index: int, part: Block, data: bytes) -> None:
        """The data of a part of a split block."""
        root, payload = self.plan.blocks[index], self._payloads[index]
        assert isinstance(payload, bytearray)
        offsets = root.offsets()
        for item, value in part.cut(data):
            start = root.place(item, offsets)
            payload[start : start + len(value)] = value
            self._faults.pop(item.tag, None)

    def bad_item(self, block: Block, item: Item, text: str) -> None:
        """The PLC refuses this item alone."""
        self._faults[item.tag] = Quality.BAD_CONFIG
        self._errors[str(Block.of(block.kind, (item,)))] = text

    def _texts(self, payload: bytes) -> tuple[Sequence[JsonValue], Iterable[int]]:
        values: list[JsonValue] = []
        bad: list[int] = []
        for index, text in enumerate(self.plan.texts):
            try:
                values.append(text_of(payload[text.start : text.end], text.encoding))
            except UnicodeError:
                values.append(None)
                bad.append(index)
        return values, bad
