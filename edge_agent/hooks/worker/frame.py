"""The frame that transform and before_forward are given."""

from collections.abc import Container
from typing import Any, Final

from edge_agent.hooks.worker.account import MUTABLE, Account, label_of, own, own_values
from edge_agent.hooks.worker.cells import ABSENT, BAD_VALUE, NULL, Cells, History, Read
from edge_agent.hooks.worker.column import Column
from edge_agent.hooks.worker.layout import Layout, Selection
from edge_agent.hooks.worker.outputs import MOST_PATTERNS, UNSET, Encoded, Outputs
from edge_agent.hooks.worker.patterns import choose, is_glob

_UNKNOWN: Final = Read(None, ABSENT | NULL, 0)


class Plan:
    """A hook on a schema: what it reads, what it may write, and what is worth keeping between frames."""

    def __init__(self, layout: Layout, outputs: Outputs) -> None:
        self.layout = layout
        self.outputs = outputs
        self.history = History()
        self._chosen: dict[str, Selection] = {}

    def of(self, layout: Layout) -> "Plan":
        """On another group with the same tags: what was found among those is found for both."""
        other = Plan(layout, self.outputs)
        other._chosen = self._chosen
        return other

    def choose(self, pattern: str) -> Selection:
        chosen = self._chosen.get(pattern)
        if chosen is None:
            if len(self._chosen) >= MOST_PATTERNS:
                self._chosen.clear()
            chosen = self.layout.selection(choose(pattern, self.layout.names, self.layout.index))
            self._chosen[pattern] = chosen
        return chosen


class Frame(Account):
    """All tags of one group from one poll cycle. A tag that did not change enough to be in the frame has the
    value that it had; `name in frame` says whether it is there."""

    __slots__ = ("_cells", "_dropped", "_plan", "connection", "group", "names", "time", "unit_id")

    def __init__(self, plan: Plan, cells: Cells) -> None:
        super().__init__(plan.outputs)
        schema = plan.layout.schema
        self.connection = schema.connection
        self.group = schema.group
        self.unit_id = schema.unit_id
        self.names = plan.layout.names
        self.time = cells.time
        self._plan = plan
        self._cells = cells
        self._dropped: set[int] | None = None

    def _lookup(self, index: int) -> Read:
        """A tag of a frame that is not plainly whole and good."""
        cells = self._cells
        code = cells.code(index)
        if code & ABSENT:
            return self._plan.history.find(index) or _UNKNOWN
        return cells.read(index)

    def __getitem__(self, name: str) -> Any:
        place = self._outputs.index.get(name)
        if place is not None and self._values[place] is not UNSET:
            return self._of_output(place)
        index = self._plan.layout.index.get(name)
        if index is None:
            raise self._unknown(name)
        cells = self._cells
        if cells.codes is None or not cells.codes[index]:
            value, code = cells.value(index), 0
        else:
            read = self._lookup(index)
            value, code = read.value, read.code
        if value is None:
            # Not finite, and told as good: no number for a script.
            code = code or BAD_VALUE
        elif type(value) in MUTABLE:
            value = own(value)
        if code > self._read:
            self._read = code
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """Like [], and `default` where there is no such tag or it has no value."""
        if name not in self._plan.layout.index and name not in self._outputs.index:
            return default
        try:
            value = self[name]
        except KeyError:
            return default
        return default if value is None else value

    def __contains__(self, name: object) -> bool:
        index = self._plan.layout.index.get(name) if isinstance(name, str) else None
        return index is not None and not self._cells.code(index) & ABSENT

    def _code_of(self, name: str) -> int:
        index = self._plan.layout.index.get(name)
        if index is None:
            raise self._unknown(name)
        return self._lookup(index).code

    def quality(self, name: str) -> str:
        """The label of an input's quality, such as `good`."""
        return label_of(self._code_of(name))

    def age(self, name: str) -> float | None:
        """Seconds since the value was read: 0 where it is in this frame; None where there is none."""
        index = self._plan.layout.index.get(name)
        if index is None:
            raise self._unknown(name)
        read = self._lookup(index)
        return None if read.code & ABSENT else (self.time - read.time) / 1_000

    def columns(self, pattern: str = "*") -> Column:
        chosen = self._plan.choose(pattern)
        if not chosen.indices:
            raise KeyError(f"{pattern!r} stands for no tag of {self.connection}.{self.group}")
        values, codes = self._cells.column(chosen)
        if codes is not None and not self._cells.whole:
            codes = self._complete(chosen, values, codes)
        if chosen.run is None:
            values = own_values(values)
        return Column(chosen.names, values, codes, self)

    def _complete(self, chosen: Selection, values: list[Any], codes: bytes) -> bytes | None:
        """Puts in what is known of the tags that are not in this frame."""
        made = bytearray(codes)
        find = self._plan.history.find
        for place, code in enumerate(codes):
            if code & ABSENT:
                values[place], made[place], _ = find(chosen.indices[place]) or _UNKNOWN
        return bytes(made) if any(made) else None

    def drop(self, pattern: str | None = None) -> None:
        """Leaves tags and outputs out of the frame; without a pattern: all of them. A pattern that stands for
        nothing here leaves nothing out; a name that nothing has is a mistake."""
        if self._dropped is None:
            self._dropped = set()
        outputs = self._outputs
        if pattern is None:
            self._dropped.update(range(len(self.names)))
            self._values = [UNSET] * len(outputs.all)
            return
        chosen = self._plan.choose(pattern).indices
        places = outputs.choose(pattern)
        if not chosen and not places and not is_glob(pattern):
            raise KeyError(f"{self.connection}.{self.group} has no tag {pattern!r}, and it is no output")
        self._dropped.update(chosen)
        for place in places:
            self._values[place] = UNSET

    def set_columns(self, pattern: str, values: Any, quality: str | None = None) -> None:
        """As for others. A replaced tag that is not in this frame stays out of it, as its deadband wants."""
        super().set_columns(pattern, values, quality)
        cells, outputs = self._cells, self._outputs
        if cells.whole or not outputs.replaced:
            return
        for place in outputs.choose(pattern):
            index = outputs.all[place].replaces
            if index >= 0 and cells.code(index) & ABSENT:
                self._values[place] = UNSET

    def _unknown(self, name: object) -> Exception:
        if name in self._outputs.index:
            return KeyError(f"the output {name!r} is not set yet")
        return KeyError(f"{self.connection}.{self.group} has no tag {name!r}")

    def _pass_on(self, dropped: Container[int]) -> None:
        """A replaced tag that was not set keeps its value, in its new type."""
        for place in self._outputs.replaced:
            if self._values[place] is UNSET:
                index = self._outputs.all[place].replaces
                if index not in dropped and not self._cells.code(index) & ABSENT:
                    value, code, _ = self._cells.read(index)
                    self._put(place, value, code)

    def encoded(self) -> Encoded:
        dropped = self._dropped
        if self._outputs.replaced and UNSET in self._values:
            self._pass_on(dropped or ())
        encoded = super().encoded()
        if dropped:
            bits = sum(1 << index for index in dropped)
            encoded.fields["d"] = bits.to_bytes((len(self.names) + 7) // 8, "little").hex()
        return encoded
