"""One frame's values as the worker was given them, read when a script asks, and what was known before it."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from edge_agent.hooks.worker.layout import Layout, Row, Selection
from edge_agent.wire.quality import Quality

# Beside a sample's quality, in its byte: it has no value; it is not in this frame.
NULL: Final = 0x80
ABSENT: Final = 0x40
QUALITY: Final = 0x0F
BAD_VALUE: Final = int(Quality.BAD_VALUE) | NULL
# Reads of single values after which the whole row is decoded.
_MANY_READS: Final = 32
# Partial frames that wait to be looked for in; then they are laid together.
_MOST_PARTS: Final = 32
_CODE_OF_DIGIT: Final = bytes.maketrans(b"01", bytes((ABSENT | NULL, 0)))


class Read(NamedTuple):
    """A value, its quality byte and when it was read (wall clock, milliseconds)."""

    value: Any
    code: int
    time: int


class Cells:
    """One frame. `codes` is a byte a tag; None: every tag is there, good and with its value."""

    __slots__ = ("_read", "_values", "codes", "layout", "mono", "row", "text", "time", "whole")

    def __init__(self, layout: Layout, head: dict[str, Any], row: Row) -> None:
        self.layout = layout
        self.row = row
        self._read = 0
        self._values: list[Any] | None = None
        self.time: int = head["t"]
        self.mono: int = head["m"]
        self.text: Sequence[Any] | None = head.get("x")
        present, runs = head.get("p"), head.get("q")
        self.whole = present is None
        self.codes = None if present is None and not runs and row else self._codes(present, runs)

    def _codes(self, present: str | None, runs: Any) -> bytes | None:
        tags = self.layout.count
        if present is None:
            codes = bytearray(tags)
        else:
            digits = format(int.from_bytes(bytes.fromhex(present), "little"), f"0{tags}b").encode()
            codes = bytearray(digits[: -tags - 1 : -1].translate(_CODE_OF_DIGIT))
        for first, count, quality, null in runs or ():
            code = quality | (NULL if null else 0)
            if present is None:
                codes[first : first + count] = bytes((code,)) * count
            else:
                for index in range(first, first + count):
                    if not codes[index] & ABSENT:
                        codes[index] = code
        if not self.row and self.layout.fixed:
            # A frame without a row has no value of one.
            for index in range(self.layout.fixed):
                codes[index] |= NULL
        return bytes(codes)

    def code(self, index: int) -> int:
        return self.codes[index] if self.codes is not None else 0

    def value(self, index: int) -> Any:
        """The value of a tag that has one. Who reads many, reads all of them: they are decoded together."""
        if self._values is not None:
            return self._values[index]
        if index < self.layout.fixed:
            self._read += 1
            if self._read > _MANY_READS:
                self._values = self._every()
            return self.layout.read(index, self.row)
        return self.text[index - self.layout.fixed] if self.text is not None else None

    def _every(self) -> list[Any]:
        layout, row = self.layout, self.row
        values: list[Any] = []
        for run in layout.runs:
            values += [layout.read(index, row) for index in range(len(values), run.first)]
            values += run.values(row, run.first, run.end)
        values += [layout.read(index, row) for index in range(len(values), layout.fixed)]
        return values + list(self.text or (None,) * (layout.count - layout.fixed))

    def read(self, index: int) -> Read:
        code = self.code(index)
        return Read(None if code & NULL else self.value(index), code, self.time)

    def column(self, chosen: Selection) -> tuple[list[Any], bytes | None]:
        """Values (None: none) and quality bytes (None: all good)."""
        codes = self._codes_of(chosen)
        if codes is not None and not any(codes):
            codes = None
        if chosen.run is not None and self.row:
            values = chosen.run.values(self.row, chosen.indices[0], chosen.indices[-1] + 1)
            if codes is not None:
                values = [None if code & NULL else value for value, code in zip(values, codes, strict=True)]
            return values, codes
        if codes is None:
            return self._scattered(chosen.indices), None
        return [
            None if code & NULL else self.value(index)
            for index, code in zip(chosen.indices, codes, strict=True)
        ], codes

    def _codes_of(self, chosen: Selection) -> bytes | None:
        if self.codes is None:
            return None
        if chosen.run is not None:
            return self.codes[chosen.indices[0] : chosen.indices[-1] + 1]
        return bytes([self.codes[index] for index in chosen.indices])

    def _scattered(self, indices: Sequence[int]) -> list[Any]:
        """Values of tags in several runs, all of them there: each run is read once."""
        if len(indices) < 16:
            return [self.value(index) for index in indices]
        runs: dict[int, list[Any]] = {}
        result: list[Any] = []
        for index in indices:
            run = self.layout.run_of(index)
            if run is None:
                result.append(self.value(index))
                continue
            values = runs.get(run.first)
            if values is None:
                values = runs[run.first] = run.values(self.row, run.first, run.end)
            result.append(values[index - run.first])
        return result


class History:
    """The newest value of each tag of one group, over frames that followed each other without a hole."""

    __slots__ = ("_last", "_parts", "_since", "_whole")

    def __init__(self) -> None:
        self._whole: Cells | None = None  # the last frame that had every tag
        self._since: dict[int, Read] = {}  # what frames behind it had
        self._parts: list[Cells] = []  # those that are not laid into it yet
        self._last: int | None = None

    def push(self, cells: Cells, number: int | None) -> None:
        """`number`: of the frame in its group. After a hole nothing is known of what went before."""
        if cells.whole or number is None or self._last is None or number != self._last + 1:
            self._whole = None
            self._parts.clear()
            self._since.clear()
        self._last = number
        if cells.whole:
            self._whole = cells
            return
        self._parts.append(cells)
        if len(self._parts) > _MOST_PARTS:
            self._lay_together()

    def _lay_together(self) -> None:
        for cells in self._parts:
            for index, code in enumerate(cells.codes or bytes(cells.layout.count)):
                if not code & ABSENT:
                    self._since[index] = cells.read(index)
        self._parts.clear()

    def find(self, index: int) -> Read | None:
        if self._parts:
            self._lay_together()
        found = self._since.get(index)
        return self._whole.read(index) if found is None and self._whole is not None else found
