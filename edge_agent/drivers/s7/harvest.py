"""What the requests of one read brought, and the reading made of it. Pure."""

from edge_agent.contracts.driver import Reading
from edge_agent.drivers.packing import MISSING, Mark, blanked, runs_of
from edge_agent.drivers.s7.blocks import Block, Request
from edge_agent.drivers.s7.errors import is_config, item_text
from edge_agent.drivers.s7.plan import Layout, S7Plan
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.quality import Quality

_CONFIG, _DEVICE, _VALUE = Mark(Quality.BAD_CONFIG), Mark(Quality.BAD_DEVICE), Mark(Quality.BAD_VALUE)
_TORN = Mark(Quality.UNCERTAIN, null=False)


class Harvest:
    """Collects data block by block. Tags that were not read when it is asked for a reading are bad_comm.

    While every block comes in the order of the layout, the data are only put together; `_payload` takes
    over once something is missing.
    """

    def __init__(self, plan: S7Plan, layout: Layout, *, in_order: bool) -> None:
        self._plan = plan
        self._layout = layout
        self._chunks: list[bytes] = []
        self._blocks: list[Block] = []
        self._in_order = in_order
        self._faults: dict[tuple[int, int], Mark] = {}
        self._errors: dict[str, str] = {}
        self._unanswered = False

    def took(self, block: Block, data: bytes) -> None:
        self._chunks.append(data)
        self._blocks.append(block)

    def refused(self, block: Block, code: int) -> None:
        """The CPU refuses the range of this block."""
        self._fault(block, _CONFIG if is_config(code) else _DEVICE, item_text(code))

    def failed(self, request: Request, text: str, *, is_config: bool) -> None:
        """The CPU could not serve a whole request."""
        for block in request.blocks:
            self._fault(block, _CONFIG if is_config else _DEVICE, text)

    def stop(self, request: Request, text: str) -> None:
        """The CPU does not answer: neither this request nor those behind it were read."""
        self._unanswered = True
        self._errors[str(request.blocks[0])] = text

    def skipped(self) -> None:
        """Something was left for the next read."""
        self._in_order = False

    def reading(self) -> Reading:
        program = self._layout.program
        payload, marks = self._payload()
        row, bad = program.row(payload)
        for tag in bad:
            self._bad_value(tag, marks)
        text = self._text(payload, marks) if program.texts else None
        for tag in self._layout.torn:
            marks.setdefault(tag, _TORN)
        if not marks:
            return Reading(row, text)
        row = blanked(self._plan.schema, row, marks)
        return Reading(row, text, runs_of(marks), (), self._unanswered, dict(self._errors) or None)

    def _fault(self, block: Block, mark: Mark, text: str) -> None:
        self._in_order = False
        self._errors[str(block)] = text
        self._faults.update({(item.tag, item.start): mark for item in block.items})

    def _payload(self) -> tuple[bytes, dict[int, Mark]]:
        """The data in the layout's order, and what is to be said of tags without."""
        if self._in_order and not self._unanswered:
            return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks), {}
        payload = bytearray(self._layout.program.payload_bytes)
        lacking = {(item.tag, item.start): MISSING for block in self._layout.blocks for item in block.items}
        for block, data in zip(self._blocks, self._chunks, strict=True):
            payload[block.base : block.base + len(data)] = data
            for item in block.items:
                lacking.pop((item.tag, item.start), None)
        lacking |= {key: mark for key, mark in self._faults.items() if key in lacking}
        return bytes(payload), {tag: mark for (tag, _), mark in sorted(lacking.items())}

    def _bad_value(self, tag: int, marks: dict[int, Mark]) -> None:
        if tag not in marks:
            marks[tag] = _VALUE
            name = self._plan.schema.tags[tag].name
            self._errors[name] = "its bytes are no value of the tag's type"

    def _text(self, payload: bytes, marks: dict[int, Mark]) -> tuple[JsonValue, ...]:
        fixed = self._plan.schema.fixed_tags
        values, bad = self._layout.program.text(payload)
        for index in bad:
            self._bad_value(fixed + index, marks)
        return tuple(None if fixed + index in marks else value for index, value in enumerate(values))
