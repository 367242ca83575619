"""What the requests of one read brought, and the reading made of it. Pure."""

import codecs

from edge_agent.contracts.driver import Reading
from edge_agent.drivers.packing import Mark, runs_of
from edge_agent.drivers.xgt import status
from edge_agent.drivers.xgt.plan import Block, Item, Text, XgtPlan
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.quality import Quality


def text_of(data: bytes, encoding: str) -> str:
    """A fixed field's text without its padding. Raises UnicodeError.

    The text ends at the first NUL; blanks at its end are padding. A character that the end of the field cuts
    in two is left out.
    """
    if len("A".encode(encoding)) == 1:  # behind the NUL may stand anything, valid or not
        data = data.partition(b"\0")[0]
    text = codecs.getincrementaldecoder(encoding)().decode(data)
    return text.partition("\0")[0].rstrip(" ")


class Harvest:
    """Collects replies block by block. Whatever was not read when it is asked for a reading is bad_comm."""

    def __init__(self, plan: XgtPlan) -> None:
        self.plan = plan
        self._payloads: list[bytes | bytearray | None] = [None] * len(plan.blocks)
        self._faults: dict[int, Quality] = {}
        self._errors: dict[str, str] = {}
        self._unanswered = False

    def whole(self, index: int, data: bytes) -> None:
        """The data of a whole block."""
        self._payloads[index] = data

    def header_only(self, index: int, data: bytes, text: str) -> None:
        """The status command was refused: `data` has what the header says."""
        self._payloads[index] = data
        block = self.plan.blocks[index]
        self._errors[str(block)] = text
        for item in block.items:
            if item.start >= status.HEADER_FIELDS_BYTES:
                self._faults[item.tag] = Quality.BAD_CONFIG

    def split(self, index: int) -> None:
        """A block will come in parts."""
        block = self.plan.blocks[index]
        self._payloads[index] = bytearray(block.data_bytes)
        self._faults.update((item.tag, Quality.BAD_COMM) for item in block.items)

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

    def failed(self, block: Block, text: str) -> None:
        """The PLC could not serve this block."""
        self._faults.update((item.tag, Quality.BAD_DEVICE) for item in block.items)
        self._errors[str(block)] = text

    def stop(self, index: int, text: str) -> None:
        """The PLC does not answer: neither this block nor those behind it were read."""
        self._unanswered = True
        self._errors[str(self.plan.blocks[index])] = text

    def reading(self) -> Reading:
        if None in self._payloads:
            self._mark_missing()
        payload = self._payload()
        text = self._text(payload) if self.plan.texts else None
        row = self.plan.cut.row(payload)
        if not self._faults and not self._errors:
            return Reading(row, text)
        quality = runs_of({tag: Mark(quality) for tag, quality in self._faults.items()})
        return Reading(self._blank(row), text, quality, (), self._unanswered, self._errors)

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
                bytes(block.data_bytes) if payload is None else payload
                for block, payload in zip(self.plan.blocks, self._payloads, strict=True)
            ]
        )

    def _text(self, payload: bytes) -> tuple[JsonValue, ...]:
        first = self.plan.schema.fixed_tags
        return tuple(
            None if first + index in self._faults else self._one_text(first + index, text, payload)
            for index, text in enumerate(self.plan.texts)
        )

    def _one_text(self, tag: int, text: Text, payload: bytes) -> str | None:
        try:
            return text_of(payload[text.start : text.end], text.encoding)
        except UnicodeError:
            self._faults[tag] = Quality.BAD_VALUE
            self._errors[text.name] = "not a text in the tag's encoding"
            return None

    def _blank(self, row: bytes) -> bytes:
        """The row with zeros for tags without a value; empty where that is all of them."""
        schema = self.plan.schema
        without = [tag for tag in self._faults if tag < schema.fixed_tags]
        if len(without) == schema.fixed_tags:
            return b""
        if not without:
            return row
        blanked = bytearray(row)
        for tag in without:
            start, end = schema.edges[tag : tag + 2]
            blanked[start:end] = bytes(end - start)
        return bytes(blanked)
