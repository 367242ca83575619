"""What the requests of one read brought, and the reading made of it, where a plan is a list of blocks.

A protocol says how the parts of a block that came in pieces stand in it, and how texts are decoded. Pure.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Protocol

from edge_agent.contracts.driver import Reading
from edge_agent.drivers.cutting import RowCut
from edge_agent.drivers.packing import Mark, blanked, runs_of
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import Schema


class Item(Protocol):
    """What one tag needs read."""

    @property
    def tag(self) -> int: ...


class Block(Protocol):
    """One request. data_bytes: of values in its reply."""

    @property
    def items(self) -> Sequence[Item]: ...
    @property
    def data_bytes(self) -> int: ...


class Named(Protocol):
    @property
    def name(self) -> str: ...


class BlockHarvest(ABC):
    """Collects replies block by block. Whatever was not read when it is asked for a reading is bad_comm."""

    def __init__(self, schema: Schema, blocks: Sequence[Block], cut: RowCut, texts: Sequence[Named]) -> None:
        """texts: in schema order; the schema's own tags cost too much to be looked at in each read."""
        self._schema = schema
        self._blocks = blocks
        self._cut = cut
        self._named = texts
        self._payloads: list[bytes | bytearray | None] = [None] * len(blocks)
        self._faults: dict[int, Quality] = {}
        self._errors: dict[str, str] = {}
        self._unanswered = False

    def whole(self, index: int, data: bytes) -> None:
        """The data of a whole block."""
        self._payloads[index] = data

    def split(self, index: int) -> None:
        """A block will come in parts."""
        block = self._blocks[index]
        self._payloads[index] = bytearray(block.data_bytes)
        self._faults.update((item.tag, Quality.BAD_COMM) for item in block.items)

    def failed(self, block: Block, text: str) -> None:
        """The device could not serve this block."""
        self._faults.update((item.tag, Quality.BAD_DEVICE) for item in block.items)
        self._errors[str(block)] = text

    def stop(self, index: int, text: str) -> None:
        """The device does not answer: neither this block nor those behind it were read."""
        self._unanswered = True
        self._errors[str(self._blocks[index])] = text

    def reading(self) -> Reading:
        if None in self._payloads:
            self._mark_missing()
        payload = self._payload()
        text = self._text(payload) if self._named else None
        row = self._cut.row(payload)
        if not self._faults and not self._errors:
            return Reading(row, text)
        quality = runs_of({tag: Mark(quality) for tag, quality in self._faults.items()})
        row = blanked(self._schema, row, self._faults)
        return Reading(row, text, quality, (), self._unanswered, self._errors)

    @abstractmethod
    def _texts(self, payload: bytes) -> tuple[Sequence[JsonValue], Iterable[int]]:
        """The texts in schema order, and the indexes of those whose bytes are none."""

    def _text(self, payload: bytes) -> tuple[JsonValue, ...]:
        first = self._schema.fixed_tags
        values, bad = self._texts(payload)
        for index in bad:
            if first + index not in self._faults:
                self._faults[first + index] = Quality.BAD_VALUE
                self._errors[self._named[index].name] = "not a text in the tag's encoding"
        return tuple(None if first + index in self._faults else value for index, value in enumerate(values))

    def _mark_missing(self) -> None:
        for block, payload in zip(self._blocks, self._payloads, strict=True):
            if payload is None:
                for item in block.items:
                    self._faults.setdefault(item.tag, Quality.BAD_COMM)

    def _payload(self) -> bytes:
        if len(self._payloads) == 1 and isinstance(self._payloads[0], bytes):
            return self._payloads[0]
        return b"".join(
            [
                bytes(block.data_bytes) if payload is None else payload
                for block, payload in zip(self._blocks, self._payloads, strict=True)
            ]
        )
