"""What a subscription's tags have now: its parts, laid over one another."""

from array import array

from edge_agent.contracts.driver import Reading
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.quality import Quality, QualityRun
from edge_agent.wire.schema import Schema

# A tag of which nothing came yet.
_NOT_YET = QualityRun(0, 1, Quality.BAD_COMM)


class Merged:
    """came_ms: when each tag came last, on the wall clock; 0: not yet."""

    def __init__(self, schema: Schema) -> None:
        self._edges = schema.edges
        self._fixed = schema.fixed_tags
        self._row = bytearray(schema.row_bytes)
        self._text: list[JsonValue] = [None] * (schema.tag_count - schema.fixed_tags)
        self._marks: dict[int, QualityRun] = dict.fromkeys(range(schema.tag_count), _NOT_YET)
        self.came_ms = array("q", bytes(8 * schema.tag_count))

    def add(self, piece: Reading, tags: bytes, wall_ms: int) -> Reading:
        """A reading of the whole group, with the values of `piece` for the tags `tags`."""
        marks = {run.first + n: run for run in piece.quality for n in range(run.count)}
        row, edges = self._row, self._edges
        zeros = bytes(len(row)) if not piece.row else piece.row
        tag = tags.find(1)
        while tag >= 0:
            if tag < self._fixed:
                start, end = edges[tag], edges[tag + 1]
                row[start:end] = zeros[start:end]
            else:
                self._text[tag - self._fixed] = (piece.text or ())[tag - self._fixed]
            if tag in marks:
                self._marks[tag] = marks[tag]
            else:
                self._marks.pop(tag, None)
            self.came_ms[tag] = wall_ms
            tag = tags.find(1, tag + 1)
        return Reading(bytes(row), tuple(self._text) if self._text else None, self._quality())

    def _quality(self) -> tuple[QualityRun, ...]:
        return tuple(self._marks[tag]._replace(first=tag, count=1) for tag in sorted(self._marks))
