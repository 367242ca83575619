"""What the requests of one read brought, and the reading made of it. Pure."""

from edge_agent.contracts.driver import Reading
from edge_agent.drivers.modbus.address import Area
from edge_agent.drivers.modbus.plan import Block, Item, ModbusPlan, span_text
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.quality import Quality, QualityRun


class Harvest:
    """Collects replies block by block. Whatever was not read when it is asked for a reading is bad_comm."""

    def __init__(self, plan: ModbusPlan) -> None:
        self.plan = plan
        self._payloads: list[bytes | bytearray | None] = [None] * len(plan.blocks)
        self._faults: dict[int, Quality] = {}
        self._errors: dict[str, str] = {}
        self._unanswered = False

    def whole(self, index: int, data: bytes) -> None:
        """The reply to a whole block."""
        self._payloads[index] = data

    def split(self, index: int) -> None:
        """A block will come in parts."""
        block = self.plan.blocks[index]
        self._payloads[index] = bytearray(block.reply_bytes)
        self._faults.update((item.tag, Quality.BAD_COMM) for item in block.items)

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

    def failed(self, block: Block, text: str) -> None:
        """The station could not serve this block."""
        self._faults.update((item.tag, Quality.BAD_DEVICE) for item in block.items)
        self._errors[str(block)] = text

    def stop(self, index: int, text: str) -> None:
        """The unit does not answer: neither this block nor those behind it were read."""
        self._unanswered = True
        self._errors[str(self.plan.blocks[index])] = text

    def reading(self) -> Reading:
        if None in self._payloads:
            self._mark_missing()
        payload = self._payload()
        program = self.plan.program
        text = self._text(payload) if program.strings else None
        row = program.row(payload)
        if not self._faults:
            return Reading(row, text)
        return Reading(self._blank(row), text, self._quality(), (), self._unanswered, self._errors)

    def _mark_missing(self) -> None:
        for block, payload in zip(self.plan.blocks, self._payloads, strict=True):
            if payload is None:
                for item in block.items:
                    self._faults.setdefault(item.tag, Quality.BAD_COMM)

    def _payload(self) -> bytes:
        if len(self._payloads) == 1 and isinstance(self._payloads[0], bytes):
            return self._payloads[0]
        return b"".join(
            [
                bytes(block.reply_bytes) if payload is None else payload
                for block, payload in zip(self.plan.blocks, self._payloads, strict=True)
            ]
        )

    def _text(self, payload: bytes) -> tuple[JsonValue, ...]:
        schema = self.plan.schema
        values, bad = self.plan.program.text(payload)
        for index in bad:
            tag = schema.fixed_tags + index
            if tag not in self._faults:
                self._faults[tag] = Quality.BAD_VALUE
                self._errors[self.plan.program.strings[index].name] = "not a text in the tag's encoding"
        return tuple(
            None if schema.fixed_tags + index in self._faults else value for index, value in enumerate(values)
        )

    def _blank(self, row: bytes) -> bytes:
        """The row with zeros for tags without a value; empty where that is all of them."""
        schema = self.plan.schema
        without = [tag for tag in self._faults if tag < schema.fixed_tags]
        if len(without) == schema.fixed_tags:
            return b""
        blanked = bytearray(row)
        for tag in without:
            start, end = schema.edges[tag : tag + 2]
            blanked[start:end] = bytes(end - start)
        return bytes(blanked)

    def _quality(self) -> tuple[QualityRun, ...]:
        runs: list[QualityRun] = []
        for tag in sorted(self._faults):
            quality = self._faults[tag]
            if runs and runs[-1].quality is quality and runs[-1].first + runs[-1].count == tag:
                runs[-1] = runs[-1]._replace(count=runs[-1].count + 1)
            else:
                runs.append(QualityRun(tag, 1, quality))
        return tuple(runs)
